"""Ghosh et al. (2020), https://arxiv.org/abs/1903.12436.

    python -m training.train rae_fashion_mnist --bundle

Measured: 60 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.01139.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="rae",
    config={**NETWORK, "penalty": "l2"},
    description="Regularised autoencoder of the grid, on Fashion-MNIST.",
    metrics=("mse", "mae"),
    paper="https://arxiv.org/abs/1903.12436",
    dataset="fashion_mnist",
    **{**BUDGET, "epochs": 6},
)
