"""A training in slices ends with the weights of one that never stopped."""

import csv
import errno
import os
import signal
import time
from pathlib import Path

import click
import keras
import numpy as np
import pytest

import aezoo
from aezoo.cli.durations import Duration
from aezoo.errors import DiskError
from aezoo.modalities.image.digits import draw_digits
from aezoo.nn.backend import BACKEND
from aezoo.training.checkpoints import (
    StoppedError,
    restore_state,
    save_state,
)
from aezoo.training.loop import fit
from aezoo.training.recipe import Recipe, RecipeError

IMAGES = draw_digits(100, seed=0)[0]
# In the middle and at the end of each epoch; PyTorch takes one step at a time.
STOPS = [*range(1, 19)] if BACKEND == "torch" else [5, 9, 14, 18]
CONVOLUTIONAL = {"latent_dim": 2, "filters": (4,), "strides": (2,), "hidden_units": ()}


@pytest.fixture
def recipe() -> Recipe:
    """Two epochs of nine steps, five at a time, each with noise of its own."""
    return Recipe(
        family="dense_vae",
        config={"latent_dim": 2, "hidden_units": (8,), "corruption": "masking"},
        description="Small.",
        paper="https://arxiv.org/abs/1312.6114",
        metrics=("elbo",),
        epochs=2,
        batch_size=10,
        steps_per_execution=5,
        warmup_steps=4,
    )


def run(
    recipe: Recipe, out: Path, deadline: float | None = None, seed: int = 0
) -> keras.Model:
    """Train until the end, or until stopped."""
    out.mkdir(exist_ok=True)
    keras.utils.set_random_seed(seed)
    model = aezoo.create(recipe.family, **recipe.config)
    model.build()
    held_out = recipe.validation_examples
    learnt = (IMAGES[:90],)
    fit(model, recipe, learnt, (IMAGES[90 : 90 + held_out],), out, deadline)
    return model


def run_in_slices(recipe: Recipe, out: Path) -> tuple[keras.Model, list[str]]:
    """The same, one compiled call a slice, each in a model with weights of its own."""
    stops: list[str] = []
    while len(stops) <= len(STOPS):
        try:
            return run(recipe, out, time.monotonic(), seed=len(stops)), stops
        except StoppedError as stop:
            stops.append(str(stop))
    raise AssertionError(stops)


def log_of(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def assert_same_weights(a: keras.Model, b: keras.Model) -> None:
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    "fields",
    [
        {"validation_examples": 10, "ema_decay": 0.9, "skip_gradients_above": 1e9},
        pytest.param(
            {"ema_decay": 0.9, "gradient_accumulation_steps": 2},
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            {"family": "adversarial_ae", "ema_decay": 0.9, "config": CONVOLUTIONAL},
            marks=pytest.mark.exhaustive,
        ),
        pytest.param({}, marks=pytest.mark.exhaustive),
    ],
    ids=lambda fields: "-".join(fields) or "defaults",
)
def test_slices_end_like_a_whole_run(
    recipe: Recipe, tmp_path: Path, fields: dict
) -> None:
    recipe = recipe.with_overrides(**fields)
    whole = run(recipe, tmp_path / "whole")
    sliced, stops = run_in_slices(recipe, tmp_path / "sliced")
    steps = [int(stop.split()[2]) for stop in stops]
    assert steps == STOPS
    assert_same_weights(whole, sliced)
    assert log_of(tmp_path / "sliced") == log_of(tmp_path / "whole")
    if "skip_gradients_above" in fields:
        assert [row["skipped_steps"] for row in log_of(tmp_path / "whole")] == ["0"] * 2
    stop = stops[steps.index(5)]
    assert "Stopped after 5 steps, 0.556 epochs, to keep to the time" in stop
    assert "checkpoint.npz. Give the same command again to go on." in stop


def test_sigterm_stops_as_a_deadline_does(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        killed = []

        def kill(*_: object) -> None:
            if not killed:
                killed.append(os.kill(os.getpid(), signal.SIGTERM))

        patch.setattr("aezoo.training.batches.ShuffledExamples.on_epoch_begin", kill)
        with pytest.raises(StoppedError, match=rf"after {STOPS[0]} steps, .* as asked"):
            run(recipe, tmp_path / "killed")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert_same_weights(whole, run(recipe, tmp_path / "killed", seed=1))


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    models = [aezoo.create("dense_ae", hidden_units=(n,)) for n in (3, 4)]
    for model in models:
        model.compile("adam")
    save_state(tmp_path / "a.npz", models[0], 7, 1.5)
    assert restore_state(tmp_path / "a.npz", models[0]) == (7, 1.5)
    with pytest.raises(RecipeError, match=r"a\.npz is of another model.*--no-resume"):
        restore_state(tmp_path / "a.npz", models[1])


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes | None) -> None:
    model = aezoo.create("dense_ae", hidden_units=(3,))
    model.compile("adam")
    path = tmp_path / "a.npz"
    save_state(path, model, 7, 1.5)
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with pytest.raises(RecipeError, match=r"a\.npz is damaged: .*Pass `--no-resume`"):
        restore_state(path, model)


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = aezoo.create("dense_ae", hidden_units=(3,))
    model.compile("adam")
    save_state(tmp_path / "a.npz", model, 7, 1.5)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", refuse)
    with pytest.raises(DiskError, match=f"{tmp_path} .*No space left on device. Free"):
        save_state(tmp_path / "a.npz", model, 8, 1.5)
    assert restore_state(tmp_path / "a.npz", model) == (7, 1.5)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_durations() -> None:
    seconds = [Duration().convert(text, None, None) for text in ("90s", "9m", "1h30m")]
    assert seconds == [90.0, 540.0, 5400.0]
    for text in ("", "9", "0m", "m", "5s9m", "-1m", "1.5h"):
        with pytest.raises(
            click.BadParameter, match=r"'90s', '9m' or '1h30m', above 0. Received: "
        ):
            Duration().convert(text, None, None)
