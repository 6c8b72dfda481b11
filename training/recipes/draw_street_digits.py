"""Gregor et al. (2015), https://arxiv.org/abs/1502.04623.

python -m training.train draw_street_digits --data-dir DIR --bundle
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="draw",
    config={
        "input_shape": (32, 32, 3),
        "steps": 24,
        "latent_dim": 24,
        "read_size": 6,
        "write_size": 6,
        "encoder_units": 384,
        "decoder_units": 384,
        "likelihood": "gaussian",
        "likelihood_scale": "optimal",
    },
    description="DRAW with attention, 24 glimpses, on drawn house numbers in colour.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1502.04623",
    dataset="street_digits",
    epochs=20,
    batch_size=128,
    learning_rate=1e-3,
    clipnorm=5.0,
    ema_decay=0.999,
    importance_samples=0,
)
