"""Rainforth et al. (2018), https://arxiv.org/abs/1802.04537.

    python -m training.train iwae_mnist_resnet_miwae --bundle

Measured: 426 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -88.5.
"""

from aezoo.training.recipe import Recipe
from training.grid import RESIDUAL

RECIPE = Recipe(
    family="iwae",
    config={
        **RESIDUAL,
        "binarize": True,
        "bound": "miwae",
        "num_samples": 8,
        "num_bounds": 8,
    },
    description="Residual MIWAE, 8 bounds of 8 samples, from conv_vae_mnist_resnet.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1802.04537",
    start_from="conv_vae_mnist_resnet",
    epochs=1,
    steps_per_epoch=250,
    batch_size=64,
    learning_rate=5e-4,
    warmup_steps=50,
)
