"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

    python -m training.train dense_vae_mnist_z20 --bundle

Measured: 727 s on 2 CPU cores (AMD EPYC).
Test split: elbo -96.07.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="dense_vae",
    config={"latent_dim": 20, "hidden_units": (512, 256)},
    description="Dense VAE with 20 code units and a Bernoulli likelihood.",
    epochs=100,
    metrics=("elbo", "reconstruction_nll", "kl", "mse", "active_units"),
    paper="https://arxiv.org/abs/1312.6114",
)
