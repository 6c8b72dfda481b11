"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train conv_vae_mnist_resnet --bundle

Measured: 2,162 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -87.12.
"""

from aezoo.training.recipe import Recipe
from training.grid import RESIDUAL

RECIPE = Recipe(
    family="conv_vae",
    config={**RESIDUAL, "binarize": True},
    description="Residual VAE on dynamically binarised MNIST, trained longest.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1312.6114",
    epochs=50,
    batch_size=128,
    learning_rate=2e-3,
)
