"""Bowman et al. (2016), https://arxiv.org/abs/1511.06349.

    python -m training.train sentence_vae_tatoeba --bundle --data-dir DIR

`DIR/tatoeba` is made by `python -m training.data.tatoeba`.

Measured: 1,801 s on 2 CPU cores (AMD EPYC).
Test split: elbo -28.28, token_accuracy 0.4145.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="sentence_vae",
    config={
        "modality": {"kind": "text", "length": 20, "min_count": 3},
        "latent_dim": 32,
        "free_bits": 0.27,
        "word_dropout": 0.1,
        "kl_warmup_steps": 1000,
    },
    description="Sentence VAE of English sentences of Tatoeba.",
    metrics=("elbo", "reconstruction_nll", "kl", "active_units", "token_accuracy"),
    paper="https://arxiv.org/abs/1511.06349",
    dataset="tatoeba",
    epochs=6,
    batch_size=128,
    learning_rate=3e-3,
    warmup_steps=300,
    importance_samples=100,
    validation_examples=3000,
)
