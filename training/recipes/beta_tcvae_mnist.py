"""Chen et al. (2018), https://arxiv.org/abs/1802.04942.

    python -m training.train beta_tcvae_mnist --bundle

Measured: 114 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -114.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="beta_tcvae",
    config={**NETWORK, "binarize": True, "beta": 6.0},
    description="Beta-TCVAE of the grid, beta = 6.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1802.04942",
    importance_samples=0,
    **BUDGET,
)
