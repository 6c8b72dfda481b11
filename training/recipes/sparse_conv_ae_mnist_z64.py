"""Glorot et al. (2011), https://proceedings.mlr.press/v15/glorot11a.html.

python -m training.train sparse_conv_ae_mnist_z64 --bundle
"""

from training.recipe import Recipe

RECIPE = Recipe(
    family="conv_ae",
    config={
        "hidden_units": (128,),
        "latent_dim": 64,
        "code_activation": "relu",
        "sparsity": 5.0,
    },
    description="Sparse convolutional autoencoder: few of 64 ReLU units fire.",
    epochs=25,
    weight_decay=0.3,
    metrics=("mse", "mae", "active_units", "active_code_fraction"),
    paper="https://proceedings.mlr.press/v15/glorot11a.html",
)
