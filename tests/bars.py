"""Bars of each brightness at each place, and models of their factors."""

import functools
import itertools
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

import aezoo
from aezoo.data.datasets import Dataset
from aezoo.training.loop import batch_grid, fit, training_examples
from aezoo.training.recipe import Recipe

LEVELS = np.linspace(0.25, 1.0, 6)
PLACES = range(5)


def bars() -> tuple[np.ndarray, np.ndarray]:
    """Bars of each brightness at each place, `(6, 5, 8, 8, 1)`; these, `(30, 2)`."""
    images = np.zeros((len(LEVELS), len(PLACES), 8, 8, 1), "float32")
    for place in PLACES:
        images[:, place, :, place : place + 3] = LEVELS[:, None, None, None]
    pairs = itertools.product(range(len(LEVELS)), PLACES)
    return images, np.array([*pairs])


def recipe(family: str, **config: Any) -> Recipe:
    """Of a small dense network on the bars."""
    return Recipe(
        family=family,
        config={
            "input_shape": (8, 8, 1),
            "network": "dense",
            "hidden_units": (48,),
            "activation": "silu",
            "latent_dim": 4,
            **config,
        },
        description="d",
        paper="https://arxiv.org/abs/1705.08841",
        metrics=("mse",),
        epochs=2,
        steps_per_epoch=300,
        batch_size=32,
        batch_grid=dict.fromkeys(NAMES[family], 2),
        learning_rate=1e-2,
        warmup_steps=10,
    )


# What each family calls brightness and place.
NAMES = {"dc_ign": ("shape", "pose"), "group_vae": ("style", "content")}


@functools.cache
def trained(family: str, **config: Any) -> Any:
    """A model of the bars, as `training.train` makes it."""
    keras.utils.set_random_seed(1)
    images, factors = bars()
    how = recipe(family, **config)
    data = Dataset(
        "bars", "npz", "train", images.reshape(-1, 8, 8, 1), None, factors,
        NAMES[family],
    )  # fmt: skip
    model = aezoo.create(family, **how.config)
    learnt, held_out = training_examples(model, data, how)
    grid = batch_grid(how, data)
    with tempfile.TemporaryDirectory() as folder:
        fit(model, how, learnt, held_out, Path(folder), grid=grid)
    model.finish(*learnt)
    return model


def tiny(family: str, **config: Any) -> Any:
    """An untrained model, smaller still."""
    keras.utils.set_random_seed(0)
    small = {"input_shape": (8, 8, 1), "network": "dense", "hidden_units": (8,)}
    return aezoo.create(family, **small, latent_dim=4, **config)
