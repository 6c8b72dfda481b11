"""Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647.

    python -m training.train dense_ae_mnist_z2 --bundle

Measured: 194 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.03269.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="dense_ae",
    config={"latent_dim": 2, "hidden_units": (512, 256, 128)},
    description="Deep dense autoencoder with a 2-D code, for maps of MNIST.",
    epochs=40,
    metrics=("mse", "mae"),
    paper="https://doi.org/10.1126/science.1127647",
)
