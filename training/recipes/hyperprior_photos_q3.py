"""Balle et al. (2018), https://arxiv.org/abs/1802.01436.

    python -m training.train hyperprior_photos_q3 --data-dir DIR --bundle

`DIR/photos128` is made by `python -m training.data.photos`.

Measured: 4,510 s on 2 CPU cores (AMD EPYC).
Test split: psnr 32.62.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="hyperprior",
    config={
        "input_shape": (128, 128, 3),
        "filters": (48, 64),
        "hyper_filters": 24,
        "code_dim": 192,
        "distortion_weight": 0.012,
    },
    description="Compression of photographs by a hyperprior, quality 3 of 4.",
    metrics=("mse", "psnr"),
    paper="https://arxiv.org/abs/1802.01436",
    dataset="photos128",
    epochs=24,
    batch_size=4,
    learning_rate=2e-3,
    warmup_steps=200,
    clipnorm=1.0,
    importance_samples=0,
    validation_examples=60,
)
