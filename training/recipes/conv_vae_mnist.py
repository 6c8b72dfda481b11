"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train conv_vae_mnist --bundle

Measured: 111 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -93.23.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conv_vae",
    config={**NETWORK, "binarize": True},
    description="Convolutional VAE of the grid, on dynamically binarised MNIST.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1312.6114",
    importance_samples=0,
    **BUDGET,
)
