"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train conv_vae_omniglot_z32 --bundle

Measured: 300 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -121.1.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conv_vae",
    config={**NETWORK, "binarize": True, "latent_dim": 32},
    description="Convolutional VAE on dynamically binarised Omniglot.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1312.6114",
    dataset="omniglot28",
    importance_samples=0,
    **{**BUDGET, "epochs": 50},
)
