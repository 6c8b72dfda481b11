"""Rybkin et al. (2021), https://arxiv.org/abs/2006.13202.

    python -m training.train conv_vae_mnist_sigma --bundle

Measured: 115 s on 2 CPU cores (AMD EPYC).
Test split: elbo 813.8.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conv_vae",
    config={**NETWORK, "likelihood": "gaussian", "likelihood_scale": "optimal"},
    description="Sigma-VAE of the grid: Gaussian pixels of the optimal common scale.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/2006.13202",
    importance_samples=0,
    **BUDGET,
)
