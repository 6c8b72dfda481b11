"""Child (2021), https://arxiv.org/abs/2011.10650.

    python -m training.train hierarchical_vae_mnist --bundle

Measured: not yet.
"""

from training.recipe import Recipe

RECIPE = Recipe(
    family="hierarchical_vae",
    config={"binarize": True},
    description="Hierarchical VAE of 5 latents on dynamically binarised MNIST.",
    metrics=("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised", "mse"),
    paper="https://arxiv.org/abs/2011.10650",
    dataset="mnist",
    epochs=40,
    batch_size=128,
    learning_rate=2e-3,
    clipnorm=5.0,
    ema_decay=0.999,
    importance_samples=50,
)
