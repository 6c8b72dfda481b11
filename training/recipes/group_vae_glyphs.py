"""Bouchacourt et al. (2018), https://arxiv.org/abs/1705.08841.

    python -m training.train group_vae_glyphs --bundle

Measured: 907 s on 2 CPU cores (AMD EPYC).
Test split: elbo -109.4.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="group_vae",
    config={
        "input_shape": (32, 32, 1),
        "latent_dim": 36,
        "style_dim": 12,
        "network": "dense",
        "hidden_units": (288, 192),
        "activation": "silu",
    },
    description="VAE of letters and digits with style and content apart.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1705.08841",
    dataset="glyphs",
    epochs=17,
    batch_size=128,
    batch_grid={"style": 4, "content": 4},
    learning_rate=2e-3,
    importance_samples=0,
)
