"""Rezende & Mohamed (2015), https://arxiv.org/abs/1505.05770.

    python -m training.train flow_vae_mnist_planar --bundle

Measured: 157 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -91.29.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="flow_vae",
    config={**NETWORK, "binarize": True, "flow": "planar", "num_flows": 10},
    description="VAE of the grid with planar flows.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1505.05770",
    importance_samples=0,
    **BUDGET,
)
