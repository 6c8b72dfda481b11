"""The weights of a row's median training take the place of those published first."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.manifest import Metric
from training import median, seeds
from training.export import export, read_entry
from training.files import edited_manifest
from training.lessons import Records
from training.recipes import load_recipe
from training.seeds import Figure, Training

ROW = "conv_vae_mnist"
NLL = {0: 92.0, 1: 90.0, 2: 91.0}


def nll(seed: int, value: float) -> Figure:
    record = Metric(value, "nats", "mnist/test, the first 2 of 60 images; K = 3")
    return Figure(ROW, seed, seeds.NLL, record, 1.0)


def mse(seed: int, value: float) -> Figure:
    record = Metric(value, "squared intensity", "mnist/test, all 60 images; as it is")
    return Figure(ROW, seed, "mse", record, 1.0)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one row, published from seed 0, and a run of seed 2."""
    recipe = load_recipe(ROW)
    model = aezoo.load(ROW)
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    images = np.zeros((4, 28, 28, 1), "uint8")
    for split in ("train", "test"):
        np.savez(tmp_path / "data" / "mnist" / f"{split}.npz", images=images)
    data = seeds.load_dataset("mnist", "train", tmp_path / "data")
    training = {"hardware": "h", "seconds": 1.0, "backend": "tensorflow"}
    training["versions"] = {"keras": "3"}
    for folder, seed, value in (
        (tmp_path / "zoo", 0, 0.5),
        (Training(ROW, 2).folder(tmp_path / "runs") / "export", 2, 0.25),
    ):
        model.set_weights([np.full_like(w, value) for w in model.get_weights()])
        export(
            *(ROW, model, recipe.with_overrides(seed=seed), data),
            {"mnist/test": {"mse": mse(seed, value).record}},
            training,
            folder,
            folder / manifest.MANIFEST_NAME,
        )
    monkeypatch.setattr(median, "load_recipe", lambda _: recipe.with_overrides(seed=2))
    return tmp_path


def put(zoo: Path, records: Records) -> manifest.WeightsEntry:
    return median.bundle(
        *(ROW, records, zoo / "seeds.csv", zoo / "runs", zoo / "data"),
        folder=zoo / "zoo",
        manifest_file=zoo / "zoo" / manifest.MANIFEST_NAME,
    )


def test_the_median_takes_the_place_and_nothing_is_lost(zoo: Path) -> None:
    figures = [nll(seed, value) for seed, value in NLL.items()]
    seeds.append(zoo / "seeds.csv", [*figures, mse(2, 0.26)])
    entry = put(zoo, Records(figures))
    assert entry.seed == 2
    # the likelihood is of a few images only: no figure of the whole split
    assert {k: m.value for k, m in entry.metrics["mnist/test"].items()} == {"mse": 0.26}
    published = read_entry(ROW, zoo / "zoo" / manifest.MANIFEST_NAME)
    assert published == entry
    model = median.load_entry(entry, zoo / "zoo" / entry.weights.file)
    assert {float(w.max()) for w in model.get_weights()} == {0.25}
    assert len([*(zoo / "zoo").glob("*.h5")]) == 1
    # what was published is a seed among the others now
    kept = {(f.seed, f.metric): f.record.value for f in seeds.read(zoo / "seeds.csv")}
    assert kept[0, "mse"] == 0.5
    assert len(kept) == 5
    # given again, it changes nothing
    assert put(zoo, Records(figures)) == entry
    assert len(seeds.read(zoo / "seeds.csv")) == 5


def test_what_is_not_finished_is_refused(zoo: Path) -> None:
    two = Records([nll(0, 92.0), nll(2, 91.0)])
    with pytest.raises(ValueError, match="no figure of all its 3 seeds"):
        put(zoo, two)
    other = Records([nll(seed, value) for seed, value in {**NLL, 2: 80.0}.items()])
    with pytest.raises(ValueError, match=r"Received: seed=2\. Write `seed=1` into"):
        put(zoo, other)
    shutil.rmtree(zoo / "runs")
    ready = Records([nll(seed, value) for seed, value in NLL.items()])
    with pytest.raises(manifest.ManifestError, match="no weights of 'conv_vae_mnist'"):
        put(zoo, ready)


def test_what_is_on_the_hub_stays(zoo: Path) -> None:
    place = manifest.HubLocation("zoo/conv", "a" * 40)
    with edited_manifest(zoo / "zoo" / manifest.MANIFEST_NAME) as document:
        entry = document.models[ROW]
        weights = replace(entry.weights, hub=place)
        document.models[ROW] = replace(entry, weights=weights)
    with pytest.raises(manifest.ManifestError, match="immutable"):
        put(zoo, Records([nll(seed, value) for seed, value in NLL.items()]))


@pytest.mark.parametrize(
    ("values", "seed"),
    [({0: 3.0, 1: 1.0, 2: 2.0}, 2), ({0: 1.0, 1: 1.0, 2: 1.0}, 1), ({4: 1.0}, 4)],
)
def test_the_median_seed(values: dict[int, float], seed: int) -> None:
    assert median.median_seed(values) == seed


def test_shapes_are_judged_by_what_they_are_for() -> None:
    row = "beta_vae_shapes_b4"
    figures = [
        dataclasses.replace(mse(seed, 0.1), model=row, metric=metric)
        for seed in range(5)
        for metric in ("mse", "mig")
    ]
    assert median.judged_by(row, Records(figures)) == "mig"
    assert median.judged_by(row, Records(figures[::2])) == "mse"
