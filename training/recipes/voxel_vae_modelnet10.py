"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114, on a grid of cells.

    python -m training.train voxel_vae_modelnet10 --bundle --data-dir DIR

`DIR/modelnet10` is made by `python -m training.data.modelnet10`. What
`occupancy_vae_modelnet10` is compared with: the same encoder and latent, and a decoder
to the cells of one grid.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="voxel_vae",
    config={
        "modality": {"kind": "voxels", "depth": 24, "height": 24, "width": 24},
        "latent_dim": 128,
        "filters": [8, 16, 32],
        "hidden_units": [128],
        "beta": 0.2,
        "kl_warmup_steps": 500,
    },
    description="VAE of the furniture of ModelNet10 on a grid of 24x24x24 voxels.",
    metrics=("iou", "elbo", "reconstruction_nll", "kl", "active_units"),
    paper="https://arxiv.org/abs/1312.6114",
    dataset="modelnet10",
    epochs=24,
    batch_size=32,
    learning_rate=2e-3,
    warmup_steps=100,
    importance_samples=0,
    validation_examples=199,
    license="research only, as ModelNet10",
)
