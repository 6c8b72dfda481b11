"""Gregor et al. (2015), https://arxiv.org/abs/1502.04623.

python -m training.train draw_two_digit_mnist --data-dir DIR --bundle
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="draw",
    config={
        "input_shape": (60, 60, 1),
        "steps": 24,
        "latent_dim": 12,
        "read_size": 6,
        "write_size": 6,
        "encoder_units": 320,
        "decoder_units": 320,
        "binarize": True,
    },
    description="DRAW with attention, 24 glimpses, on two MNIST digits.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/1502.04623",
    dataset="two_digit_mnist",
    epochs=20,
    batch_size=128,
    learning_rate=1e-3,
    clipnorm=5.0,
    ema_decay=0.999,
    importance_samples=0,
)
