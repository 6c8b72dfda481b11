"""Roberts et al. (2018), https://arxiv.org/abs/1803.05428.

    python -m training.train music_vae_jsb_4bars_flat --bundle --data-dir DIR

`DIR/jsb_chorales_4bars` is made by `python -m training.data.jsb_chorales --bars 4`.
"""

from training.recipe import Recipe

RECIPE = Recipe(
    family="music_vae",
    config={
        "modality": {"kind": "music", "steps": 32},
        "latent_dim": 64,
        "segment": None,
        "beta": 0.2,
        "free_bits": 20.0,
        "kl_warmup_steps": 500,
    },
    description="Music VAE of four bars of Bach's chorales, no conductor.",
    metrics=("note_accuracy", "frame_accuracy", "elbo", "reconstruction_nll", "kl"),
    paper="https://arxiv.org/abs/1803.05428",
    dataset="jsb_chorales_4bars",
    epochs=6,
    batch_size=128,
    learning_rate=3e-3,
    warmup_steps=200,
    steps_per_execution=4,
    importance_samples=100,
    validation_examples=906,
)
