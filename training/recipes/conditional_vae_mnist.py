"""Sohn et al. (2015), https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models.

    python -m training.train conditional_vae_mnist --bundle

Measured: 123 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -97.75.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="conditional_vae",
    config={**NETWORK, "binarize": True},
    description="Conditional VAE of the grid: samples by class.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models",
    importance_samples=0,
    **BUDGET,
)
