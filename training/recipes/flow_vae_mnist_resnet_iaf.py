"""Kingma et al. (2016), https://arxiv.org/abs/1606.04934.

    python -m training.train flow_vae_mnist_resnet_iaf --bundle

Measured: 200 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -87.1.
"""

from aezoo.training.recipe import Recipe
from training.grid import RESIDUAL

RECIPE = Recipe(
    family="flow_vae",
    config={
        **RESIDUAL,
        "binarize": True,
        "flow": "iaf",
        "num_flows": 3,
        "flow_units": (128,),
    },
    description="Residual VAE with autoregressive flows, from conv_vae_mnist_resnet.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1606.04934",
    start_from="conv_vae_mnist_resnet",
    epochs=5,
    batch_size=128,
    learning_rate=1e-3,
)
