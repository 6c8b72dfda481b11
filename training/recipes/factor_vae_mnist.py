"""Kim & Mnih (2018), https://arxiv.org/abs/1802.05983.

    python -m training.train factor_vae_mnist --bundle

Measured: 133 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -96.84.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="factor_vae",
    config={**NETWORK, "binarize": True, "discriminator_units": (128, 128, 128)},
    description="FactorVAE of the grid, gamma = 10.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1802.05983",
    adversary_learning_rate=3e-4,
    importance_samples=0,
    **BUDGET,
)
