"""Sohn et al. (2015), https://papers.nips.cc/paper/5775.

    python -m training.train restoration_vae_cifar10_color --bundle

Measured: 934 s on 2 CPU cores (AMD EPYC).
Test split: psnr 24.6, ssim 0.9372.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="restoration_vae",
    config={
        "input_shape": (32, 32, 3),
        "filters": (16, 32, 64),
        "blocks": 2,
        "latent_units": 32,
        "likelihood_scale": 0.06,
        "corruption": "grayscale",
    },
    description="CIFAR-10 in colours that grey values allow, of which there are many.",
    metrics=("mse", "psnr", "ssim"),
    paper="https://papers.nips.cc/paper/5775",
    dataset="cifar10",
    epochs=1,
    batch_size=32,
    learning_rate=1e-3,
    warmup_steps=100,
    clipnorm=1.0,
    importance_samples=0,
    validation_examples=2000,
)
