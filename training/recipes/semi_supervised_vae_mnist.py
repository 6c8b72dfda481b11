"""Kingma et al. (2014), https://arxiv.org/abs/1406.5298.

    python -m training.train semi_supervised_vae_mnist --bundle

Measured: 219 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -114.9.
"""

from aezoo.training.recipe import Recipe
from training.grid import NETWORK

RECIPE = Recipe(
    family="semi_supervised_vae",
    config={**NETWORK, "binarize": True, "classification_weight": 3000.0},
    description="M2 on the grid's network: a hundred labels, sixty thousand images.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1406.5298",
    epochs=3,
    batch_size=100,
    learning_rate=1e-3,
    labelled_examples=100,
    importance_samples=0,
)
