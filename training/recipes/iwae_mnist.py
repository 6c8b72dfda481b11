"""Burda et al. (2016), https://arxiv.org/abs/1509.00519.

    python -m training.train iwae_mnist --bundle

Measured: 498 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -93.88.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="iwae",
    config={**NETWORK, "binarize": True, "num_samples": 5},
    description="IWAE of the grid, 5 samples.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1509.00519",
    importance_samples=0,
    **BUDGET,
)
