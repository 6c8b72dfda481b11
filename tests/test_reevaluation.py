"""`python -m training.evaluate`: published figures, measured again."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aezoo import manifest
from aezoo.digits import draw_digits
from aezoo.evaluation.definition import find_metric
from training import evaluate as script
from training.evaluate import PUBLISHED, main, sample_figures, tolerance


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifest to write to, and drawn digits in MNIST's place."""
    shutil.copy(script.MANIFEST, tmp_path / "manifest.json")
    monkeypatch.setattr(script, "MANIFEST", tmp_path / "manifest.json")
    (tmp_path / "mnist").mkdir()
    for seed, split in enumerate(("train", "test")):
        images, labels = draw_digits(60, seed=seed)
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=images, labels=labels)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(folder)])


def figures(folder: Path, name: str) -> dict:
    document = json.loads((folder / "manifest.json").read_text())
    return document["models"][name]["metrics"]["mnist/test"]


def test_figures_are_printed_beside_the_stated_ones(zoo: Path) -> None:
    before = (zoo / "manifest.json").read_bytes()
    result = run(zoo, "linear_ae_mnist_z32", "--metrics", "mse,psnr")
    assert result.exit_code == 0, result.output
    assert "linear_ae_mnist_z32" in result.output
    assert "(stated " in result.output
    assert (zoo / "manifest.json").read_bytes() == before


def test_writing_replaces_the_figures_that_were_measured(zoo: Path) -> None:
    name = "linear_ae_mnist_z32"
    before = figures(zoo, name)
    result = run(zoo, name, "--metrics", "psnr,mse", "--write")
    assert result.exit_code == 0, result.output
    after = figures(zoo, name)
    assert "all 60 images" in after["mse"]["protocol"]
    assert after["mse"]["value"] != before["mse"]["value"]
    assert after["mae"] == before["mae"]
    assert list(after)[:2] == ["mse", "mae"]  # those that the recipe names
    manifest.read_manifest(zoo / "manifest.json")
    again = run(zoo, name, "--metrics", "psnr,mse", "--check")
    assert again.exit_code == 0, again.output


def test_only_what_is_missing_is_measured_on_request(zoo: Path) -> None:
    path = zoo / "manifest.json"
    document = json.loads(path.read_text())
    stated = document["models"]["ppca_mnist_z32"]["metrics"]["mnist/test"]
    stated.pop("mse", None)
    path.write_text(json.dumps(document))
    wanted = ["--metrics", "mse,log_likelihood", "--missing"]
    result = run(zoo, "ppca_mnist_z32", *wanted)
    assert "mse" in result.output
    assert "log_likelihood" not in result.output


def test_baselines_are_measured_and_filed_by_dataset(zoo: Path) -> None:
    result = run(zoo, "pca_z2", "pixels", "--metrics", "mse,kmeans_nmi", "--write")
    assert result.exit_code == 0, result.output
    rows = json.loads((zoo / "manifest.json").read_text())["baselines"]["mnist/test"]
    assert {"mse", "kmeans_nmi"} <= set(rows["pca_z2"])
    assert "kmeans_nmi" in rows["pixels"]
    assert "mse" not in rows["pixels"]  # the identity has no error


def test_a_check_fails_for_a_figure_outside_its_tolerance(zoo: Path) -> None:
    """The drawn digits are not MNIST, so that the stated figures are wrong here."""
    result = run(zoo, "linear_ae_mnist_z32", "--metrics", "mse", "--check")
    assert result.exit_code == 1
    assert "linear_ae_mnist_z32 mse: measured" in result.output


def test_a_check_fails_for_another_protocol(zoo: Path) -> None:
    name = "linear_ae_mnist_z32"
    run(zoo, name, "--metrics", "mse", "--write")
    path = zoo / "manifest.json"
    path.write_text(path.read_text().replace("mean over images and pixels", "mean"))
    result = run(zoo, name, "--metrics", "mse", "--check")
    assert result.exit_code == 1
    assert "by another protocol than stated" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name models or baselines, or pass --all"),
        (["conv_vae"], "Received: conv_vae. Known: conv_ae_mnist_z32"),
        (["--all", "--metrics", "mse,fidd"], "Unknown metric 'fidd'"),
    ],
)
def test_wrong_arguments_are_refused(zoo: Path, arguments, message: str) -> None:
    result = run(zoo, *arguments)
    assert result.exit_code == 1
    assert message in result.output


def test_writing_and_checking_exclude_each_other(zoo: Path) -> None:
    result = run(zoo, "ppca_mnist_z32", "--write", "--check")
    assert result.exit_code == 2
    assert "--write makes the manifest right" in result.output


def test_samples_of_figures_are_drawn_by_seed() -> None:
    found = script.subjects()
    drawn = sample_figures(found, 7, seed=1)
    assert sum(len(metrics) for _, metrics in drawn) == 7
    for subject, metrics in drawn:
        assert set(metrics) <= set(subject.metrics)
    assert sample_figures(found, 7, seed=1) == drawn
    assert sample_figures(found, 7, seed=2) != drawn


def test_tolerances_follow_the_figure() -> None:
    record = manifest.Metric(100.0, "nats", "p", standard_error=2.0)
    assert tolerance("elbo", record) == pytest.approx(0.2)
    exact = dataclasses.replace(record, standard_error=None)
    assert tolerance("elbo", exact) == pytest.approx(0.1)
    assert tolerance("kmeans_ari", manifest.Metric(0.4, "", "")) == 0.02


def test_all_published_metrics_exist_once() -> None:
    assert len(set(PUBLISHED)) == len(PUBLISHED) > 20
    for name in PUBLISHED:
        find_metric(name)
