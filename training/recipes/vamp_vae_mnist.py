"""Tomczak & Welling (2018), https://arxiv.org/abs/1705.07120.

    python -m training.train vamp_vae_mnist --bundle

Measured: 224 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -90.32.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="vamp_vae",
    config={**NETWORK, "binarize": True, "num_pseudo_inputs": 200},
    description="VAE of the grid with a VampPrior of 200 pseudo-inputs.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1705.07120",
    importance_samples=0,
    **BUDGET,
)
