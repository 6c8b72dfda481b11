"""Chen et al. (2018), https://arxiv.org/abs/1802.04942.

    python -m training.train beta_tcvae_shapes --bundle

Measured: 366 s on 2 CPU cores (AMD EPYC).
Test split: elbo -37.94.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="beta_tcvae",
    config={
        **NETWORK,
        "latent_dim": 10,
        "input_shape": (32, 32, 1),
        "beta": 6.0,
        "dataset_size": 22118,
    },
    description="Beta-TCVAE of the grid on drawn shapes, beta = 6.",
    metrics=("elbo", "kl", "mse"),
    paper="https://arxiv.org/abs/1802.04942",
    dataset="shapes",
    seed=2,
    importance_samples=0,
    **BUDGET,
)
