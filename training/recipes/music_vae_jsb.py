"""Roberts et al. (2018), https://arxiv.org/abs/1803.05428.

    python -m training.train music_vae_jsb --bundle --data-dir DIR

`DIR/jsb_chorales_2bars` is made by `python -m training.data.jsb_chorales`.

Measured: 4,547 s on 2 CPU cores (AMD EPYC).
Test split: note_accuracy 0.8997, frame_accuracy 0.9505.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="music_vae",
    config={
        "modality": {"kind": "music", "steps": 16},
        "latent_dim": 128,
        "segment": 2,
        "beta": 0.1,
        "free_bits": 20.0,
        "kl_warmup_steps": 500,
    },
    description="Music VAE of two bars of Bach's chorales, four voices.",
    metrics=("note_accuracy", "frame_accuracy", "elbo", "reconstruction_nll", "kl"),
    paper="https://arxiv.org/abs/1803.05428",
    dataset="jsb_chorales_2bars",
    epochs=6,
    batch_size=64,
    learning_rate=3e-3,
    warmup_steps=200,
    importance_samples=0,
    validation_examples=1058,
)
