"""Several seeds of a row: each is trained and measured once, whatever stops it."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo import manifest
from aezoo.manifest import Metric
from aezoo.modalities.image.digits import draw_digits
from aezoo.training.checkpoints import StoppedError
from aezoo.training.recipe import Recipe
from training import seeds
from training.grid import OBJECTIVES
from training.recipes import load_recipe
from training.seeds import Figure, Training, append, read, run, work

NAME = "conv_vae_mnist"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn digits as a dataset named mnist, in .npz files."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for seed, (split, count) in enumerate({"train": 600, "test": 60}.items()):
        images, labels = draw_digits(count, seed=seed)
        np.savez(folder / "mnist" / f"{split}.npz", images=images, labels=labels)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch, and few figures."""

    def one_epoch(name: str) -> Recipe:
        return load_recipe(name).with_overrides(epochs=1, metrics=("mse",))

    monkeypatch.setattr(seeds, "load_recipe", one_epoch)
    monkeypatch.setattr(seeds, "MEASURED", ("mse", "active_units", "frechet/gmm"))
    monkeypatch.setattr(seeds, "NLL_IMAGES", 2)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("trained again")


@pytest.mark.usefixtures("small")
def test_a_seed_is_trained_and_measured_once(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, runs = tmp_path / "results" / "seeds.csv", tmp_path / "runs"
    arguments = (Training(NAME, 1), results, runs, data_dir)
    with pytest.raises(StoppedError):
        run(*arguments, deadline=time.monotonic())
    assert read(results) == []
    found = run(*arguments)
    by_metric = {figure.metric: figure.record for figure in found}
    assert {*by_metric} == {
        *("mse", "active_units", "frechet/gmm/lenet_mnist_v1", "iwae_nll/binarised")
    }
    assert by_metric["iwae_nll/binarised"].protocol.startswith(
        "mnist/test, the first 2 of 60 images; "
    )
    export = runs / NAME / "1" / "export" / "weights_manifest.json"
    exported = manifest.read_manifest(export).models[NAME]
    assert exported.seed == 1
    mse = exported.metrics["mnist/test"]["mse"]
    assert by_metric["mse"].value == pytest.approx(mse.value)
    # what is there is never repeated, what is missing is measured without training
    monkeypatch.setattr(seeds, "train", refuse)
    assert run(*arguments) == []
    seeds.write(results, [f for f in read(results) if f.metric != "mse"])
    (again,) = run(*arguments)
    assert again.metric == "mse"
    assert again.record.value == pytest.approx(by_metric["mse"].value)
    assert again.training_seconds == found[0].training_seconds


@pytest.mark.usefixtures("small")
def test_of_the_published_seed_only_what_the_manifest_lacks_is_measured(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "train", refuse)
    results = tmp_path / "seeds.csv"
    (figure,) = run(Training(NAME, 0), results, tmp_path / "runs", data_dir)
    assert (figure.metric, figure.seed) == ("iwae_nll/binarised", 0)
    assert run(Training(NAME, 0), results, tmp_path / "runs", data_dir) == []


def test_the_bound_given_labels_is_that_of_the_labels(data_dir: Path) -> None:
    """Right labels tell more than wrong ones; the protocol says that it has them."""
    model = aezoo.load("conditional_vae_mnist")
    data = seeds.load_dataset("mnist", "test", data_dir)
    right = seeds.elbo_given_labels(model, data)
    shifted = dataclasses.replace(data, labels=(data.labels + 1) % 10)
    assert right.value > seeds.elbo_given_labels(model, shifted).value + 1.0
    assert right.protocol.endswith("encoder and decoder given each image's label")
    assert right.standard_error > 0.0
    # an unknown label is what `evaluate` measures
    unknown = dataclasses.replace(data, labels=np.full_like(data.labels, -1))
    without = seeds.evaluate(model, data, metrics=["elbo/binarised"], data_dir=data_dir)
    assert seeds.elbo_given_labels(model, unknown).value == pytest.approx(
        without["elbo/binarised"].value, abs=1e-3
    )


# --- The work ------------------------------------------------------------------------


def test_every_row_of_the_grid_and_of_drawn_shapes_has_its_seeds() -> None:
    trainings = list(work())
    assert len(set(trainings)) == len(trainings)
    counts = {row.name: 0 for row in OBJECTIVES}
    for training in trainings:
        counts[training.name] = counts.get(training.name, 0) + 1
    shapes = {name for name, count in counts.items() if count == 5}
    assert len(shapes) == 5
    assert all(load_recipe(name).dataset == "shapes" for name in shapes)
    assert {count for name, count in counts.items() if name not in shapes} == {3}
    assert trainings[0] == Training("beta_tcvae_shapes", 0)


def test_what_is_first_are_rows() -> None:
    assert set(seeds.FIRST) <= set(seeds.rows())


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: conv_vae_mnist_z16\. Known"):
        list(work(["conv_vae_mnist_z16"]))


def test_the_command_goes_on_after_a_failure_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def fail_once(training: Training, *_: object) -> list[Figure]:
        done.append(training)
        if training.seed == 1:
            raise OSError("no space left")
        return []

    monkeypatch.setattr(seeds, "run", fail_once)
    options = ["--results", str(tmp_path / "s.csv"), "--runs", str(tmp_path / "runs")]
    result = CliRunner().invoke(seeds.main, [NAME, *options])
    assert [training.seed for training in done] == [0, 1, 2]
    assert result.exit_code == 1
    assert "conv_vae_mnist, seed 1: no space left" in result.output


def test_a_stop_in_time_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> list[Figure]:
        raise StoppedError("Stopped after 5 steps.")

    monkeypatch.setattr(seeds, "run", stop)
    options = ["--results", str(tmp_path / "s.csv"), "--runs", str(tmp_path / "runs")]
    result = CliRunner().invoke(seeds.main, [*options, "--time-budget", "9m"])
    assert result.exit_code == 75
    assert "Stopped after 5 steps." in result.output


# --- The figures ---------------------------------------------------------------------


def figure(seed: int, value: float, protocol: str = "p; q") -> Figure:
    return Figure(NAME, seed, "mse", Metric(value, "u", protocol, 0.25), 12.5)


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = tmp_path / "seeds.csv"
    assert read(results) == []
    append(results, [figure(2, 0.5)])
    append(results, [figure(1, 1 / 3, "another, of é")])
    assert read(results) == [figure(1, 0.33333333, "another, of é"), figure(2, 0.5)]
    assert len(json.loads((tmp_path / "protocols.json").read_text())) == 2


def test_a_figure_is_there_once(tmp_path: Path) -> None:
    results = tmp_path / "seeds.csv"
    append(results, [figure(1, 0.5)])
    with pytest.raises(ValueError, match=r"must have a figure once"):
        append(results, [figure(1, 0.6)])
    assert read(results) == [figure(1, 0.5)]


def test_a_write_that_is_killed_leaves_the_figures_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "seeds.csv"
    append(results, [figure(1, 0.5)])
    before = results.read_text()

    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> Callable[..., None]:
        raise Killed

    monkeypatch.setattr(seeds.csv, "writer", kill)
    with pytest.raises(Killed):
        append(results, [figure(2, 0.5)])
    monkeypatch.undo()
    assert results.read_text() == before
    append(results, [figure(2, 0.5)])
    assert len(read(results)) == 2


def test_figures_in_the_repository_are_of_rows_and_by_one_protocol_each() -> None:
    counts: dict[tuple[str, str], set[str]] = {}
    for found in read():
        assert found.model in seeds.rows()
        assert 0 <= found.seed < seeds.num_seeds(found.model)
        assert seeds.is_measured(seeds.plain_name(found.metric))
        key = (found.model, found.metric)
        counts.setdefault(key, set()).add(found.record.protocol)
    assert all(len(protocols) == 1 for protocols in counts.values())
