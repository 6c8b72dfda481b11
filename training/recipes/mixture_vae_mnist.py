"""Jiang et al. (2017), https://arxiv.org/abs/1611.05148.

    python -m training.train mixture_vae_mnist --bundle

Measured: 130 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -90.64.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="mixture_vae",
    config={**NETWORK, "binarize": True, "num_components": 100},
    description="VAE of the grid with a prior of 100 Gaussians.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1611.05148",
    importance_samples=0,
    **BUDGET,
)
