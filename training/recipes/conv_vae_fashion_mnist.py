"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train conv_vae_fashion_mnist --bundle

Measured: 61 s on 2 CPU cores (AMD EPYC).
Test split: elbo -242.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conv_vae",
    config=NETWORK,
    description="Convolutional VAE of the grid, on Fashion-MNIST.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1312.6114",
    dataset="fashion_mnist",
    importance_samples=0,
    **{**BUDGET, "epochs": 6},
)
