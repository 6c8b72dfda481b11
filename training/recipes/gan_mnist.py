"""Radford et al. (2016), https://arxiv.org/abs/1511.06434.

    python -m training.train gan_mnist --bundle

Measured: 1,115 s on 2 CPU cores (AMD EPYC).
Test split: frechet/lenet_mnist_v1 13.62.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="gan",
    config={**NETWORK, "discriminator_filters": (16, 32, 64)},
    description="GAN: a decoder as of the other models of MNIST, without an encoder.",
    metrics=("frechet",),
    paper="https://arxiv.org/abs/1511.06434",
    beta_1=0.5,
    adversary_learning_rate=5e-4,
    **{**BUDGET, "learning_rate": 1e-3},
    importance_samples=0,
)
