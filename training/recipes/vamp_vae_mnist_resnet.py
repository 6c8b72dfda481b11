"""Tomczak & Welling (2018), https://arxiv.org/abs/1705.07120.

    python -m training.train vamp_vae_mnist_resnet --bundle

Measured: 281 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -86.25.
"""

from aezoo.training.recipe import Recipe
from training.grid import RESIDUAL

RECIPE = Recipe(
    family="vamp_vae",
    config={**RESIDUAL, "binarize": True, "num_pseudo_inputs": 200},
    description="Residual VAE with a VampPrior, from conv_vae_mnist_resnet.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1705.07120",
    start_from="conv_vae_mnist_resnet",
    epochs=4,
    batch_size=128,
    learning_rate=1e-3,
)
