"""Ghosh et al. (2020), https://arxiv.org/abs/1903.12436.

    python -m training.train rae_cifar10 --bundle

Measured: 183 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.005062.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="rae",
    config={
        "input_shape": (32, 32, 3),
        "filters": (32, 64, 64),
        "strides": (2, 2, 2),
        "hidden_units": (),
        "latent_dim": 128,
        "activation": "silu",
    },
    description="Regularised autoencoder of CIFAR-10: decoder's weights penalised.",
    metrics=("mse", "mae"),
    paper="https://arxiv.org/abs/1903.12436",
    dataset="cifar10",
    epochs=6,
    batch_size=64,
    learning_rate=2e-3,
)
