"""He et al. (2016), https://arxiv.org/abs/1603.05027.

    python -m training.train resnet_vae_cifar10_z128 --bundle

Measured: 199 s on 2 CPU cores (AMD EPYC).
Test split: elbo 3368.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="resnet_vae",
    config={
        "filters": (16, 32, 64),
        "activation": "silu",
        "normalization": "batch",
        "likelihood": "gaussian",
        "likelihood_scale": "optimal",
    },
    description="Residual sigma-VAE of CIFAR-10 with 128 code units.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1603.05027",
    dataset="cifar10",
    epochs=5,
    batch_size=64,
    learning_rate=1e-3,
    importance_samples=0,
)
