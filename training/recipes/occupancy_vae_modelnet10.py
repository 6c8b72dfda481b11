"""Mescheder et al. (2019), https://arxiv.org/abs/1812.03828.

    python -m training.train occupancy_vae_modelnet10 --bundle --data-dir DIR

`DIR/modelnet10` is made by `python -m training.data.modelnet10`.

Measured: 2,912 s on 2 CPU cores (AMD EPYC).
Test split: iou 0.7556, elbo -1436, kl 304.3.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="occupancy_vae",
    config={
        "modality": {"kind": "voxels", "depth": 24, "height": 24, "width": 24},
        "latent_dim": 128,
        "filters": [8, 16, 32],
        "hidden_units": [128],
        "point_units": 64,
        "blocks": 2,
        "frequencies": 3,
        "num_points": 384,
        "beta": 0.2,
        "kl_warmup_steps": 500,
    },
    description="Occupancy VAE of the furniture of ModelNet10, at any resolution.",
    metrics=("iou", "elbo", "reconstruction_nll", "kl", "active_units"),
    paper="https://arxiv.org/abs/1812.03828",
    dataset="modelnet10",
    epochs=24,
    batch_size=32,
    learning_rate=2e-3,
    warmup_steps=100,
    importance_samples=0,
    validation_examples=199,
    license="research only, as ModelNet10",
)
