"""Zhang et al. (2017), https://arxiv.org/abs/1608.03981.

    python -m training.train restoration_photos_denoise --data-dir DIR --bundle

`DIR/photos` is made by `python -m training.data.photos`.

Measured: 7,135 s on 2 CPU cores (AMD EPYC).
Test split: psnr 28.38, ssim 0.7568.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="restoration",
    config={
        "input_shape": (64, 64, 3),
        "filters": (24, 48, 64),
        "blocks": 2,
        "corruption": "gaussian",
        "corruption_level": 0.2,
        "lowest_level": 0.0,
        "reconstruction_loss": "mae",
    },
    description="Photographs without their noise, of unknown strength.",
    metrics=("mse", "psnr", "ssim"),
    paper="https://arxiv.org/abs/1608.03981",
    dataset="photos",
    importance_samples=0,
    validation_examples=200,
    epochs=6,
    batch_size=4,
    learning_rate=1e-3,
    warmup_steps=100,
    clipnorm=1.0,
)
