"""Masci et al. (2011), https://doi.org/10.1007/978-3-642-21735-7_7.

    python -m training.train conv_ae_mnist --bundle

Measured: 120 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.006582.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conv_ae",
    config=NETWORK,
    description="Convolutional autoencoder of the grid.",
    metrics=("mse", "mae"),
    paper="https://doi.org/10.1007/978-3-642-21735-7_7",
    **BUDGET,
)
