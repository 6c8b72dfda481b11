"""Razavi et al. (2019), https://arxiv.org/abs/1906.00446.

    python -m training.train vq_vae_2_cifar10 --bundle

In 64 bottom codes of 147 and 16 top codes of 147 an image takes 575.98 bits; the 64
codes of 512 of `vq_vae_cifar10` take 576.

Measured: 1,902 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.003214.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="vq_vae_2",
    config={
        "input_shape": (32, 32, 3),
        "filters": (64, 64),
        "strides": (2, 2),
        "residual_blocks": 1,
        "activation": "silu",
        "num_codes": 147,
        "num_top_codes": 147,
        "code_dim": 16,
        "commitment_cost": 2.0,
    },
    description="VQ-VAE-2 of CIFAR-10: 4x4 and 8x8 codes of 147.",
    metrics=("mse", "mae"),
    paper="https://arxiv.org/abs/1906.00446",
    dataset="cifar10",
    epochs=14,
    batch_size=64,
    learning_rate=2e-3,
)
