"""Davidson et al. (2018), https://arxiv.org/abs/1804.00891.

    python -m training.train hyperspherical_vae_mnist --bundle

Measured: 123 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -96.9.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="hyperspherical_vae",
    config={**NETWORK, "binarize": True},
    description="VAE of the grid on the hypersphere.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1804.00891",
    importance_samples=0,
    **BUDGET,
)
