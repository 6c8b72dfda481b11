"""Rifai et al. (2011), https://icml.cc/2011/papers/455_icmlpaper.pdf.

    python -m training.train contractive_conv_ae_mnist --bundle

Measured: 237 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.00744.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="contractive_conv_ae",
    config=NETWORK,
    description="Contractive autoencoder of the grid: Jacobian's norm estimated.",
    metrics=("mse", "mae"),
    paper="https://icml.cc/2011/papers/455_icmlpaper.pdf",
    **BUDGET,
)
