"""Lim et al. (2017), https://arxiv.org/abs/1707.02921.

    python -m training.train restoration_photos_x4 --data-dir DIR --bundle

`DIR/photos` is made by `python -m training.data.photos`.

Measured: 1,202 s on 2 CPU cores (AMD EPYC).
Test split: psnr 29.05, ssim 0.7251.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="restoration",
    config={
        "input_shape": (64, 64, 3),
        "filters": (32, 48),
        "blocks": 4,
        "corruption": "downsample",
        "corruption_level": 4,
        "reconstruction_loss": "mae",
    },
    description="Super-resolution of photographs, to four times their size.",
    metrics=("mse", "psnr", "ssim"),
    paper="https://arxiv.org/abs/1707.02921",
    dataset="photos",
    importance_samples=0,
    validation_examples=200,
    epochs=10,
    batch_size=8,
    learning_rate=1e-3,
    warmup_steps=100,
    clipnorm=1.0,
)
