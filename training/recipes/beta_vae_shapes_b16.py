"""Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl.

    python -m training.train beta_vae_shapes_b16 --bundle

Measured: 216 s on 2 CPU cores (AMD EPYC).
Test split: elbo -61.62.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="beta_vae",
    config={**NETWORK, "latent_dim": 10, "input_shape": (32, 32, 1), "beta": 16.0},
    description="Beta-VAE of the grid on drawn shapes, beta = 16.",
    metrics=("elbo", "kl", "mse"),
    paper="https://openreview.net/forum?id=Sy2fzU9gl",
    dataset="shapes",
    seed=4,
    importance_samples=0,
    **BUDGET,
)
