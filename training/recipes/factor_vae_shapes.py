"""Kim & Mnih (2018), https://arxiv.org/abs/1802.05983.

    python -m training.train factor_vae_shapes --bundle

Measured: 501 s on 2 CPU cores (AMD EPYC).
Test split: elbo -37.74.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="factor_vae",
    config={
        **NETWORK,
        "latent_dim": 10,
        "input_shape": (32, 32, 1),
        "gamma": 10.0,
        "discriminator_units": (128, 128, 128),
    },
    description="FactorVAE of the grid on drawn shapes.",
    metrics=("elbo", "kl", "mse"),
    paper="https://arxiv.org/abs/1802.05983",
    dataset="shapes",
    seed=1,
    adversary_learning_rate=3e-4,
    importance_samples=0,
    **BUDGET,
)
