"""Tipping & Bishop (1999), https://doi.org/10.1111/1467-9868.00196.

    python -m training.train ppca_mnist_z32 --bundle

Measured: 1 s on 2 CPU cores (AMD EPYC).
Test split: log_likelihood 409.4.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="ppca",
    config={"latent_dim": 32},
    description="Probabilistic PCA with an exact posterior and log-likelihood.",
    method="closed_form",
    metrics=("mse", "mae", "log_likelihood", "kl", "active_units"),
    paper="https://doi.org/10.1111/1467-9868.00196",
)
