"""Ha & Schmidhuber (2018), https://arxiv.org/abs/1803.10122.

    python -m training.train world_model_carracing --data-dir DIR --bundle

`DIR/carracing` is made by `python -m training.data.carracing`.

Measured: 1,707 s on 2 CPU cores (AMD EPYC).
Test split: mse 0.0006668, kl 163.5.
"""

from aezoo.training.recipe import Recipe

RECIPE = Recipe(
    family="world_model",
    config={
        "input_shape": (64, 64, 3),
        "latent_dim": 32,
        "filters": (24, 48, 64, 96),
        "strides": (2, 2, 2, 2),
        "hidden_units": (),
        "upsampling": "transposed_conv",
        "activation": "relu",
        "likelihood": "gaussian",
        "likelihood_scale": "optimal",
        "output_activation": "sigmoid",
        "actions": {
            "kind": "numbers",
            "low": (-1.0, 0.0, 0.0),
            "high": (1.0, 1.0, 1.0),
        },
        "dynamics_units": 192,
        "dynamics_components": 5,
    },
    description="World model of a car on a track: frames, and what follows actions.",
    metrics=("elbo", "reconstruction_nll", "kl", "mse"),
    paper="https://arxiv.org/abs/1803.10122",
    dataset="carracing",
    epochs=30,
    batch_size=64,
    learning_rate=1e-3,
    warmup_steps=100,
    importance_samples=0,
)
