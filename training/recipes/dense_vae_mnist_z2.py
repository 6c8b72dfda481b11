"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train dense_vae_mnist_z2 --bundle

Measured: 341 s on 2 CPU cores (AMD EPYC).
Test split: elbo -139.3.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="dense_vae",
    config={"latent_dim": 2, "hidden_units": (512, 256)},
    description="Dense VAE with a 2-D code, for the manifold of MNIST.",
    epochs=40,
    metrics=("elbo", "reconstruction_nll", "kl", "mse", "active_units"),
    paper="https://arxiv.org/abs/1312.6114",
)
