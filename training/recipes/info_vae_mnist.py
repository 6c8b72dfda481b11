"""Zhao et al. (2019), https://arxiv.org/abs/1706.02262.

    python -m training.train info_vae_mnist --bundle

Measured: 154 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -95.09.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="info_vae",
    config={**NETWORK, "binarize": True, "alpha": 0.5, "mmd_weight": 100.0},
    description="InfoVAE of the grid: MMD of codes and the prior.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1706.02262",
    importance_samples=0,
    **BUDGET,
)
