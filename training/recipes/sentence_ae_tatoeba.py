"""Dai & Le (2015), https://arxiv.org/abs/1511.01432.

    python -m training.train sentence_ae_tatoeba --bundle --data-dir DIR

`DIR/tatoeba` is made by `python -m training.data.tatoeba`.

Measured: 1,362 s on 2 CPU cores (AMD EPYC).
Test split: token_accuracy 0.5964.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="sentence_ae",
    config={
        "modality": {"kind": "text", "length": 20, "min_count": 3},
        "latent_dim": 32,
        "word_dropout": 0.1,
    },
    description="The network of the sentence VAE without a KL term, on Tatoeba.",
    metrics=("token_accuracy",),
    paper="https://arxiv.org/abs/1511.01432",
    dataset="tatoeba",
    epochs=3,
    batch_size=128,
    learning_rate=3e-3,
    warmup_steps=300,
    importance_samples=0,
    validation_examples=3000,
)
