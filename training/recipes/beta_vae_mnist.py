"""Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl.

    python -m training.train beta_vae_mnist --bundle

Measured: 116 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -109.9.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="beta_vae",
    config={**NETWORK, "binarize": True, "beta": 4.0},
    description="Beta-VAE of the grid, beta = 4.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://openreview.net/forum?id=Sy2fzU9gl",
    importance_samples=0,
    **BUDGET,
)
