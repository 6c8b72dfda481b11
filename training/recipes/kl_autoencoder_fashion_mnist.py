"""Rombach et al. (2022), https://arxiv.org/abs/2112.10752.

python -m training.train kl_autoencoder_fashion_mnist --bundle
"""

from training.recipe import Recipe

RECIPE = Recipe(
    family="kl_autoencoder",
    config={
        "input_shape": (28, 28, 1),
        "filters": (32, 64),
        "strides": (2, 2),
        "residual_blocks": 1,
        "normalization": "group",
        "activation": "silu",
        "code_dim": 3,
        "likelihood": "laplace",
        "beta": 1e-3,
        "perceptual": "lenet_fashion_mnist_v1",
        "perceptual_weight": 0.1,
    },
    description="KL autoencoder of Fashion-MNIST, perceptual: 7x7 codes of 3 channels.",
    metrics=("mse", "mae"),
    paper="https://arxiv.org/abs/2112.10752",
    dataset="fashion_mnist",
    epochs=16,
    batch_size=64,
    learning_rate=2e-3,
    importance_samples=0,
)
