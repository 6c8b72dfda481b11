"""Child (2021), https://arxiv.org/abs/2011.10650.

    python -m training.train hierarchical_vae_mnist --bundle

Measured: 3,667 s on 2 CPU cores (AMD EPYC).
Test split: elbo/binarised -82.35, iwae_nll/binarised 80.38.
"""

from aezoo.training.recipe import Recipe

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
