"""Zhang et al. (2016), https://arxiv.org/abs/1603.08511.

    python -m training.train restoration_cifar10_color --bundle

Measured: 914 s on 2 CPU cores (AMD EPYC).
Test split: psnr 25.1, ssim 0.9394.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="restoration",
    config={
        "input_shape": (32, 32, 3),
        "filters": (16, 32, 64),
        "blocks": 2,
        "corruption": "grayscale",
    },
    description="CIFAR-10 in colour, from its grey values.",
    metrics=("mse", "psnr", "ssim"),
    paper="https://arxiv.org/abs/1603.08511",
    dataset="cifar10",
    epochs=1,
    batch_size=32,
    learning_rate=1e-3,
    warmup_steps=100,
    clipnorm=1.0,
    importance_samples=0,
    validation_examples=2000,
)
