"""`aezoo train`: a model from one's own images, ready to be loaded and published."""

import csv
import json
import shutil
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
    with (run / "log.csv").open(newline="") as file:
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
    before = (run / "log.csv").read_bytes()
    assert "made with other options: learning_rate=0.001 (now 0.1), seed=0" in fail(
        *arguments, "--seed", 3, "--learning-rate", 0.1, "-o", run
    )
    message = fail(*arguments, "--limit", 39, "-o", run)
    assert "limit=None (now 39)" in message
    assert (run / "log.csv").read_bytes() == before
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
    assert "learns from labels, and the dataset 'a/train' has none" in message


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


RECIPE = """
from aezoo.training import Recipe

RECIPE = Recipe(
    family="conv_vae",
    config={{"input_shape": (8, 8, 1), "latent_dim": 3, "filters": (3, 4)}},
    dataset={dataset!r},
    epochs=2,
    batch_size=16,
    {more}
)
"""


def recipe(folder: Path, dataset: object, more: str = "") -> Path:
    path = folder / "my_recipe.py"
    path.write_text(RECIPE.format(dataset=str(dataset), more=more))
    return path


def test_a_recipe_of_ones_own_is_trained_and_goes_on(images, tmp_path) -> None:
    run, own = tmp_path / "run", recipe(tmp_path, images, "description='Of leaves.',")
    told = succeed(own, "-o", run, "--json")
    assert "on 36 examples; 4 held out" in told.stderr
    report = json.loads(told.stdout)
    assert report["metrics"]["elbo"]["value"] < 0
    model = aezoo.load(run / "model")
    assert (model.input_shape, model.latent_dim) == ((8, 8, 1), 3)
    assert "Of leaves." in (run / "model" / "README.md").read_text()
    assert len(rows(run)) == 2
    assert "Going on" in succeed(own, "-o", run).stderr  # there is nothing left to do
    assert len(rows(run)) == 2
    # its rate of learning falls to 0 at the end, which must stay where it is
    message = fail(own, "--epochs", 3, "-o", run)
    assert "epochs=2 (now 3)" in message
    assert "--no-resume" in message
    succeed(own, "--epochs", 3, "--no-resume", "-o", run)
    assert len(rows(run)) == 3


def test_a_recipe_is_measured_on_the_test_split_where_there_is_one(
    images, tmp_path
) -> None:
    for split, of in (("train", "a"), ("test", "b")):
        shutil.copytree(images / of, tmp_path / "divided" / split)
    own = recipe(tmp_path, tmp_path / "divided", "metrics=('mse',),")
    told = succeed(own, "-o", tmp_path / "run", "--epochs", 1, "--json")
    assert "on 20 examples." in told.stderr
    report = json.loads(told.stdout)
    assert report["split"] == "test"
    assert list(report["metrics"]) == ["mse"]


def test_a_row_of_the_zoo_is_trained_again(tmp_path) -> None:
    (tmp_path / "mnist").mkdir()
    for split, count in (("train", 60), ("test", 20)):
        x, y = aezoo.digits.draw_digits(count, seed=count)
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=x, labels=y)
    run = tmp_path / "run"
    arguments = ("dense_vae_mnist_z2", "--data-dir", tmp_path, "--epochs", 1)
    told = succeed(*arguments, "-o", run)
    assert "on 60 examples." in told.stderr
    model, published = aezoo.load(run / "model"), aezoo.load("dense_vae_mnist_z2")
    assert model.config == published.config
    assert json.loads((run / "run.json").read_text())["recipe"]["epochs"] == 1


def test_a_time_budget_ends_it_with_a_checkpoint(images, tmp_path) -> None:
    arguments = (images, *TINY, *CONV, "--epochs", 3, "-o", tmp_path / "run")
    told = fail(*arguments, "--time-budget", "1s", code=75)
    assert "Give the same command again" in told
    assert not (tmp_path / "run" / "model").exists()
    succeed(*arguments)
    assert len(rows(tmp_path / "run")) == 3


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        ("epoch=3,", (), "Did you mean 'epochs'"),
        ("patience=0,", (), "`patience` must be an integer of at least 1"),
        ("1 / 0,", (), "is malformed"),
        (")\nRECIPE = (", (), "must set `RECIPE = Recipe(...)`"),
        ("", ("--family", "vae", "--set", "beta=2"), "leave out --family, --set, or"),
        ("validation_examples=40,", (), "`validation_examples` must be less than"),
    ],
)
def test_a_recipe_that_cannot_be_trained_says_so(
    images, tmp_path, more, options, message
) -> None:
    own = recipe(tmp_path, images, more)
    assert message in fail(own, *options, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_missing_is_said(tmp_path) -> None:
    message = fail(tmp_path / "none.py", "-o", tmp_path / "run")
    assert "There is no recipe" in message


def test_the_size_of_the_data_is_told_to_what_depends_on_it(images, tmp_path) -> None:
    run = tmp_path / "run"
    family = "beta_tcvae_mnist"  # its own was 60,000
    tiny = (*TINY, *CONV, "--set", "strides=[2,2]", "--epochs", 1)
    succeed(images, *tiny, "--family", family, "-o", run)
    assert aezoo.load(run / "model").dataset_size == 36


def test_data_that_are_missing_leave_no_folder(tmp_path) -> None:
    assert "There is no folder" in fail(tmp_path / "none", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()
