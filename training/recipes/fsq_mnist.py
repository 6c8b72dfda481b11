"""Mentzer et al. (2023), https://arxiv.org/abs/2309.15505.

    python -m training.train fsq_mnist --bundle

Measured: 112 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.003076.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, MAP_NETWORK

RECIPE = Recipe(
    family="fsq",
    config={**MAP_NETWORK, "levels": (8, 6, 5), "reconstruction_loss": "bce"},
    description="Finite scalar quantisation on the grid's network: 7x7 codes of 240.",
    metrics=("mse", "mae"),
    paper="https://arxiv.org/abs/2309.15505",
    **BUDGET,
)
