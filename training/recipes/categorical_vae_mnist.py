"""Jang et al. (2017), https://arxiv.org/abs/1611.01144.

    python -m training.train categorical_vae_mnist --bundle

Measured: 120 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -113.9.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, CONVOLUTIONS

RECIPE = Recipe(
    family="categorical_vae",
    config={**CONVOLUTIONS, "binarize": True},
    description="Categorical VAE of the grid: 20 variables of 10 classes.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1611.01144",
    importance_samples=0,
    **BUDGET,
)
