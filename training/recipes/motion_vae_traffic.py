"""Walker et al. (2016), https://arxiv.org/abs/1606.07873.

    python -m training.train motion_vae_traffic --bundle --data-dir DIR

`DIR/traffic_futures` is made by `python -m training.data.traffic_futures`.

Measured: 1,650 s on 2 CPU cores (AMD EPYC).
Test split: best_of_20_fde 3.393, futures_covered 0.7222, samples_covered 0.5108.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="motion_vae",
    config={
        "modality": {"kind": "trajectory", "steps": 16},
        "given": {"image": {"kind": "image", "height": 64, "width": 64, "channels": 3}},
        "latent_dim": 8,
        "filters": (48, 64, 80),
        "dropout": 0.4,
        "kl_warmup_steps": 1000,
    },
    description="Motion VAE of simulated traffic: where a car goes, from a picture.",
    metrics=(
        *("best_of_20_fde", "best_of_20_ade", "futures_covered", "samples_covered"),
        *("futures_covered_at_the_end", "samples_covered_at_the_end"),
        *("elbo", "reconstruction_nll", "kl", "ade", "fde"),
    ),
    paper="https://arxiv.org/abs/1606.07873",
    dataset="traffic_futures",
    epochs=30,
    batch_size=32,
    learning_rate=1e-3,
    warmup_steps=200,
    weight_decay=0.02,
    importance_samples=0,
    validation_examples=400,
)
