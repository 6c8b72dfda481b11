"""Distances of several draws: measured once each, shown with their spread."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from aezoo.modalities.image.digits import draw_digits
from training import draws, seeds
from training.draws import SEEDS, Draw, append, measure, read, spreads, subjects

NAME = "dense_vae_mnist_z2"
METRIC = "frechet/lenet_mnist_v1"


def test_subjects_are_models_of_one_training_that_draw_samples() -> None:
    found = subjects()
    assert found[NAME] == (METRIC,)
    assert found["conv_vae_mnist_z16"] == (METRIC, "frechet/gmm/lenet_mnist_v1")
    assert not set(found) & set(seeds.rows())
    assert "patch_ae_mnist" not in found


def test_each_draw_is_another_and_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist").mkdir()
    images, labels = draw_digits(60, seed=0)
    np.savez(tmp_path / "mnist" / "test.npz", images=images, labels=labels)
    monkeypatch.setattr(draws, "SEEDS", 3)
    results = tmp_path / "results" / "draws.csv"
    measure(NAME, results, tmp_path)
    first = read(results)
    assert [(draw.model, draw.metric, draw.seed) for draw in first] == [
        (NAME, METRIC, seed) for seed in range(3)
    ]
    assert len({draw.value for draw in first}) == 3
    lines = results.read_text().splitlines()
    results.write_text("\n".join(lines[:3]) + "\n")  # killed before the last
    measure(NAME, results, tmp_path)
    assert read(results) == first


def test_the_spread_is_shown_where_all_draws_are_there(tmp_path: Path) -> None:
    results = tmp_path / "draws.csv"
    assert spreads(read(results)) == {}
    append(results, [Draw(NAME, METRIC, seed, 1.0 + seed) for seed in range(SEEDS)])
    append(results, [Draw("other", METRIC, 0, 5.0)])
    mean, spread = spreads(read(results))[NAME, METRIC]
    assert mean == pytest.approx(np.mean(range(1, SEEDS + 1)))
    assert spread == pytest.approx(np.std(range(SEEDS), ddof=1))
    assert ("other", METRIC) not in spreads(read(results))


def test_other_names_are_refused() -> None:
    result = CliRunner().invoke(draws.main, ["conv_vae_mnist"])
    assert result.exit_code == 1
    assert "Received: conv_vae_mnist." in result.output


def test_draws_in_the_repository_are_of_the_published_weights() -> None:
    """The first is the manifest's own."""
    entries = draws.manifest.entries()
    for draw in read():
        entry = entries[draw.model]
        stated = entry.metrics[f"{entry.data.name}/test"][draw.metric]
        if draw.seed == 0:
            assert draw.value == pytest.approx(stated.value, rel=1e-2)
