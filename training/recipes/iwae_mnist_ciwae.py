"""Rainforth et al. (2018), https://arxiv.org/abs/1802.04537.

    python -m training.train iwae_mnist_ciwae --bundle

Measured: 476 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -92.41.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="iwae",
    config={
        **NETWORK,
        "binarize": True,
        "bound": "ciwae",
        "num_samples": 5,
        "elbo_weight": 0.5,
    },
    description="CIWAE of the grid, 5 samples.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1802.04537",
    importance_samples=0,
    **BUDGET,
)
