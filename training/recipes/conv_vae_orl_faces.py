"""Kingma & Welling (2014), https://arxiv.org/abs/1312.6114.

python -m training.train conv_vae_orl_faces --data-dir DIR --bundle
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="conv_vae",
    config={
        "input_shape": (64, 56, 1),
        "latent_dim": 32,
        "filters": (16, 32, 64, 64),
        "strides": (2, 2, 2, 2),
        "hidden_units": (128,),
        "activation": "silu",
        "likelihood": "gaussian",
        "likelihood_scale": "optimal",
    },
    description="Convolutional VAE of the ORL faces.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1312.6114",
    dataset="orl_faces",
    epochs=200,
    batch_size=32,
    learning_rate=1e-3,
    warmup_steps=100,
    importance_samples=0,
)
