"""Kingma et al. (2016), https://arxiv.org/abs/1606.04934.

    python -m training.train flow_vae_mnist_iaf --bundle

Measured: 121 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -91.62.
"""

from aezoo.training.recipe import Recipe
from training.grid import BUDGET, NETWORK

RECIPE = Recipe(
    family="flow_vae",
    config={
        **NETWORK,
        "binarize": True,
        "flow": "iaf",
        "num_flows": 4,
        "flow_units": (128,),
    },
    description="VAE of the grid with inverse autoregressive flows.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1606.04934",
    importance_samples=0,
    **BUDGET,
)
