"""Coates et al. (2011), https://proceedings.mlr.press/v15/coates11a.html.

    python -m training.train patch_ae_cifar10 --bundle

Measured: 73 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.01233.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="patch_ae",
    config={
        "num_filters": 400,
        "corruption": "gaussian",
        "corruption_level": 0.1,
    },
    description="Denoising autoencoder of pooled 6x6 patches, 400 filters.",
    metrics=("mse", "mae", "denoising_mse"),
    paper="https://proceedings.mlr.press/v15/coates11a.html",
    dataset="cifar10",
    method="closed_form",
)
