"""`python -m training.sweeps`: one argument of the grid's VAE, value by value."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aezoo.modalities.image.digits import draw_digits
from training import sweeps
from training.grid import BUDGET, NETWORK
from training.sweeps import METRICS, SWEEPS, Sweep, main

TINY = {"filters": (2, 4), "strides": (2, 2), "hidden_units": (), "activation": "silu"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny network, two values, and drawn digits in MNIST's place."""
    monkeypatch.setattr(sweeps, "NETWORK", {**TINY, "latent_dim": 2})
    monkeypatch.setattr(sweeps, "FOLDER", tmp_path / "docs")
    monkeypatch.setitem(SWEEPS, "beta", Sweep("beta", (0, 0.25), "Two values."))
    (tmp_path / "mnist").mkdir()
    for seed, split in enumerate(("train", "test")):
        images, labels = draw_digits(40, seed=seed)
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=images, labels=labels)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    options = ["--out", str(folder / "runs"), "--data-dir", str(folder)]
    return CliRunner().invoke(main, ["beta", *options, *arguments])


@pytest.mark.exhaustive
def test_a_sweep_is_trained_measured_drawn_and_repeatable(folder: Path) -> None:
    result = run(folder, "--epochs", "1")
    assert result.exit_code == 0, result.output
    picture = (folder / "docs" / "beta.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    found = sweeps.read_results("beta")
    assert found is not None
    assert [point.value for point in found.points] == [0, 0.25]
    assert found.command == "python -m training.sweeps beta --epochs 1"
    for point in found.points:
        names = [name.replace("/lenet_mnist_v1", "") for name in point.metrics]
        assert tuple(names) == METRICS
        assert "all 40 images" in point.metrics["mse"].protocol

    # a second call finds every point finished, and writes the same
    logs = sorted((folder / "runs").glob("*/log.csv"))
    before = [log.read_text() for log in logs]
    assert len(before) == 2
    again = run(folder, "--epochs", "1")
    assert again.exit_code == 0, again.output
    assert [log.read_text() for log in logs] == before
    assert sweeps.read_results("beta") == found

    longer = run(folder, "--epochs", "2")
    assert longer.exit_code == 1
    assert "made with other options: epochs=1 (now 2)" in longer.output


def test_all_but_one_argument_is_the_grids() -> None:
    assert SWEEPS["beta"].values == (0, 0.25, 1, 4, 16)
    assert SWEEPS["latent_dim"].values == (2, 5, 10, 20)
    for sweep in SWEEPS.values():
        for value in sweep.values:
            recipe = sweeps.recipe(sweep, value, epochs=3)
            fixed = {"binarize": True, **NETWORK, sweep.argument: value}
            assert dict(recipe.config) == fixed
            assert recipe.epochs == 3
            assert recipe.batch_size == BUDGET["batch_size"]
            assert recipe.learning_rate == BUDGET["learning_rate"]


def test_the_name_of_a_point_is_one_of_weights() -> None:
    names = [sweeps.weights_name(SWEEPS["beta"], v) for v in SWEEPS["beta"].values]
    assert names[1] == "sweep_beta_0p25"
    assert len(set(names)) == len(names)


def test_published_sweeps_have_every_figure_and_a_picture() -> None:
    """Those of the repository, if they have run."""
    for path in sorted(sweeps.FOLDER.glob("*.json")):
        document = json.loads(path.read_text())
        values = [point["value"] for point in document["points"]]
        assert tuple(values) == SWEEPS[document["argument"]].values
        for point in document["points"]:
            names = {name.replace("/lenet_mnist_v1", "") for name in point["metrics"]}
            assert names == set(METRICS)
            assert all(
                "all 10,000 images" in m["protocol"] for m in point["metrics"].values()
            )
        assert path.with_suffix(".png").is_file()
