"""Burda et al. (2016), https://arxiv.org/abs/1509.00519.

    python -m training.train iwae_mnist_resnet --bundle

Measured: 279 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -90.87.
"""

from aezoo.training.recipe import Recipe
from training.grid import RESIDUAL

RECIPE = Recipe(
    family="iwae",
    config={**RESIDUAL, "binarize": True, "num_samples": 50},
    description="Residual IWAE, 50 samples, from conv_vae_mnist_resnet.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1509.00519",
    start_from="conv_vae_mnist_resnet",
    epochs=1,
    steps_per_epoch=250,
    batch_size=64,
    learning_rate=5e-4,
    warmup_steps=50,
)
