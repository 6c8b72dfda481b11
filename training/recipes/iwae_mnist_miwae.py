"""Rainforth et al. (2018), https://arxiv.org/abs/1802.04537.

    python -m training.train iwae_mnist_miwae --bundle

Measured: 458 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -92.23.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="iwae",
    config={
        **NETWORK,
        "binarize": True,
        "bound": "miwae",
        "num_samples": 2,
        "num_bounds": 2,
        "gradient": "doubly_reparameterised",
    },
    description="MIWAE of the grid, 2 bounds of 2 samples.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1802.04537",
    importance_samples=0,
    **BUDGET,
)
