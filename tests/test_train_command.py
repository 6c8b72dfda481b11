"""`aezoo train`: a model from one's own images, ready to be loaded and published."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import aezoo
from aezoo.cli import main

TINY = ("--size", "8x8x1", "--batch-size", "16", "--set", "latent_dim=3")
CONV = ("--set", "filters=[3,4]", "--set", "hidden_units=[6]")


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def succeed(*arguments: object) -> Result:
    result = train(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fail(*arguments: object, code: int = 1) -> str:
    result = train(*arguments)
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "leaves"
    generator = np.random.default_rng(0)
    for i in range(40):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 8), dtype="uint8")
        Image.fromarray(pixels).save(path)
    return folder


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_loaded_verified_and_goes_on(images, tmp_path) -> None:
    run = tmp_path / "run"
    told = succeed(images, *TINY, *CONV, "--epochs", 2, "-o", run)
    assert "on 36 examples; 4 held out" in told.stderr
    model = aezoo.load(run / "model")
    assert model.input_shape == (8, 8, 1)
    assert model.latent_dim == 3
    assert aezoo.verify(run / "model").ok
    assert (run / "reconstructions.png").is_file()
    assert [row["epoch"] for row in rows(run)] == ["0", "1"]

    longer = succeed(images, *TINY, *CONV, "--epochs", 4, "--json", "-o", run)
    assert "Going on" in longer.stderr
    assert [row["epoch"] for row in rows(run)] == ["0", "1", "2", "3"]
    best = min(float(row["val_loss"]) for row in rows(run))
    figures = json.loads(longer.stdout)["metrics"]
    assert -figures["elbo"]["value"] == pytest.approx(best, rel=1e-3)


def test_a_run_of_other_settings_and_folders_of_others_stay(images, tmp_path) -> None:
    run = tmp_path / "run"
    arguments = (images, *TINY, *CONV, "--epochs", 1)
    succeed(*arguments, "-o", run)
    before = (run / "history.csv").read_bytes()
    assert "other settings: learning_rate, seed." in fail(
        *arguments, "--seed", 3, "--learning-rate", 0.1, "-o", run
    )
    assert (run / "history.csv").read_bytes() == before
    assert "holds other files" in fail(*arguments, "-o", images)


def test_classes_are_told_to_models_that_want_them(images, tmp_path) -> None:
    arguments = (images, *TINY, *CONV, "--epochs", 1, "--family", "conditional_vae")
    succeed(*arguments, "--set", "num_classes=2", "-o", tmp_path / "two")
    assert aezoo.load(tmp_path / "two" / "model").num_classes == 2
    message = fail(*arguments, "--set", "num_classes=1", "-o", tmp_path / "one")
    assert "num_classes=2" in message or "num_classes" in message


def test_classes_that_are_missing_are_said(images, tmp_path) -> None:
    message = fail(
        images / "a",
        *TINY,
        *CONV,
        "--family",
        "conditional_vae",
        "-o",
        tmp_path / "run",
    )
    assert "is told labels beside each example, and a has none" in message


def test_it_stops_when_nothing_gets_better(images, tmp_path) -> None:
    run = tmp_path / "run"
    arguments = (images, *TINY, *CONV, "--learning-rate", 1e-30)
    succeed(*arguments, "--patience", 1, "--epochs", 9, "-o", run)
    assert len(rows(run)) == 2


def test_a_training_that_diverges_says_what_to_do(images, tmp_path) -> None:
    message = fail(
        images, *TINY, *CONV, "--learning-rate", 1e30, "-o", tmp_path / "run"
    )
    assert "diverged" in message or "Lower the learning rate" in message
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--size", "8x0"), 2, "is not like 64, 64x48 or 64x48x1"),
        (("--set", "beta"), 2, "is not like filters=[32,64]"),
        (("--hold-out", "0"), 2, "hold-out"),
        (("--family", "conv_veo"), 1, "Did you mean"),
        (("--set", "latent_dims=3"), 1, "latent_dim"),
    ],
)
def test_what_is_wrong_is_said_before_a_step(
    images, tmp_path, arguments, code, message
) -> None:
    run = tmp_path / "run"
    assert message in fail(images, *arguments, "--limit", 4, "-o", run, code=code)
    assert not run.exists()


def test_data_that_are_missing_leave_no_folder(tmp_path) -> None:
    assert "There is no folder" in fail(tmp_path / "none", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()
