"""Kumar et al. (2018), https://arxiv.org/abs/1711.00848.

    python -m training.train dip_vae_mnist_i --bundle

Measured: 116 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -103.4.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="dip_vae",
    config={
        **NETWORK,
        "binarize": True,
        "kind": "i",
        "lambda_od": 10.0,
        "lambda_d": 100.0,
    },
    description="DIP-VAE I of the grid.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1711.00848",
    importance_samples=0,
    **BUDGET,
)
