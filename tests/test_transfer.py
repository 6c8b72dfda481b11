"""Few-label transfer: what is compared, what is appended, what the table says."""

import re
import string
from pathlib import Path

import numpy as np
import pytest

import aezoo
from aezoo.data.datasets import DatasetError
from tests.draws import exhaustive
from training import documents, transfer
from training.intervals import mean
from training.transfer import (
    ALL,
    BUDGETS,
    PAIRS,
    Features,
    Laboratory,
    Network,
    Pair,
    Run,
    draw_labelled,
    fit_probe,
    is_above_random,
    lessons,
    measure,
    percent,
    read_results,
    runs_of,
    spread_labels,
    summarise,
)


def blobs(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes far apart in ten dimensions."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return random.normal(size=(count, 10)) + 6 * np.eye(10)[labels], labels


# --- Labels ----------------------------------------------------------------------


def test_a_budget_holds_so_many_of_each_class_and_follows_the_seed() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 200)
    rows = draw_labelled(labels, 7, seed=3)
    assert len(set(rows)) == 28
    assert (np.bincount(labels[rows]) == 7).all()
    np.testing.assert_array_equal(rows, draw_labelled(labels, 7, seed=3))
    assert set(rows) != set(draw_labelled(labels, 7, seed=4))
    np.testing.assert_array_equal(draw_labelled(labels, ALL, seed=0), np.arange(200))


def test_a_class_with_too_few_labels_is_named() -> None:
    with pytest.raises(DatasetError, match="Class 1 has 2 labels; 3 were asked for"):
        draw_labelled(np.array([0, 0, 0, 0, 1, 1]), 3, seed=0)


# --- Methods ---------------------------------------------------------------------


def test_features_are_standardised_by_the_training_images() -> None:
    train, test = np.random.default_rng(0).normal(3, 5, (2, 50, 2, 2))
    train[:, 0, 0] = 1.0  # a unit that never changes
    features = Features(train, test)
    np.testing.assert_allclose(features.train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(features.train.std(axis=0), [0, 1, 1, 1], atol=1e-5)
    assert features.test.shape == (50, 4)
    assert np.isfinite(features.test).all()


@pytest.mark.parametrize("count", [30, 1200])
def test_a_probe_tells_blobs_apart(count: int) -> None:
    x, labels = blobs(count)
    x_test, labels_test = blobs(90, seed=1)
    assert fit_probe(x, labels).score(x_test, labels_test) > 0.95


def test_labels_spread_to_images_without() -> None:
    x, labels = blobs()
    x_test, labels_test = blobs(90, seed=1)
    features = Features(x.repeat(8, axis=1), x_test.repeat(8, axis=1))
    rows = draw_labelled(labels, 1, seed=0)
    spread = spread_labels(features, rows, labels[rows])
    assert (spread.train == labels).mean() > 0.95
    assert (spread.test == labels_test).mean() > 0.95


# --- Networks --------------------------------------------------------------------

MODEL = "conv_ae_mnist"


@pytest.fixture(scope="module")
def network() -> Network:
    backbone = aezoo.feature_extractor(
        MODEL, trainable=True, layer="stage3", pooling="flatten"
    )
    return Network(backbone, 3)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    x, labels = aezoo.digits.draw_digits(60, seed=0)
    return x, labels % 3


def test_a_pretrained_network_starts_with_the_answers_of_its_probe(
    network: Network, images: tuple
) -> None:
    x, labels = images
    features = network.backbone.predict(x, verbose=0)
    scaled = Features(features, features)
    probe = fit_probe(scaled.train, labels)
    network.start_pretrained(probe, scaled, seed=0)
    np.testing.assert_array_equal(network.predict(x), probe.predict(scaled.test))


def test_training_starts_anew_and_follows_the_seed(
    network: Network, images: tuple
) -> None:
    x, labels = images

    def trained(seed: int) -> list[np.ndarray]:
        network.start_random(seed)
        network.train(x, labels, steps=3, seed=seed)
        return network.model.get_weights()

    network.start_random(0)
    start = network.model.get_weights()
    first = trained(0)
    for one, two in zip(start, first, strict=True):
        assert np.abs(one - two).max() > 1e-4
    other = trained(1)
    again = trained(0)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(first, other, strict=True))
    network.start_random(0)
    pretrained = network.pretrained
    fresh = network.backbone.get_weights()
    assert any(
        np.abs(a - b).max() > 1e-2 for a, b in zip(pretrained, fresh, strict=True)
    )


def test_as_many_steps_as_asked(network: Network, images: tuple) -> None:
    x, labels = images
    network.start_random(0)
    network.train(x, labels, steps=5, seed=0)
    assert int(network.model.optimizer.iterations) == 5


# --- Runs ------------------------------------------------------------------------


def test_pairs_name_weights_and_layers_that_there_are() -> None:
    names = aezoo.list_models()
    for pair in PAIRS:
        assert pair.source in names
        layers = [info.name for info in aezoo.feature_info(pair.source)]
        assert pair.layer in layers


def test_what_chance_does_not_touch_runs_once() -> None:
    pair = Pair("a", "b", methods=("pca", "tuned probe", "spread", "self-trained"))
    runs = list(runs_of(pair, seeds=5))
    assert len({run.key for run in runs}) == len(runs)
    counts = {(m, b): 0 for m in pair.methods for b in BUDGETS}
    for run in runs:
        counts[run.method, run.labels_per_class] += 1
    assert counts["tuned probe", ALL] == counts["pca", ALL] == 1
    assert counts["spread", ALL] == counts["self-trained", ALL] == 0
    assert counts["spread", 1] == counts["tuned probe", 1] == 5


def test_results_are_appended_and_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair("a", "b", methods=("tuned probe", "pixels"))
    results = tmp_path / "deep" / "r.csv"
    asked: list[Run] = []

    class Fake:
        test_labels = np.array([0, 1, 1, 0])

        def __init__(self, *_: object) -> None: ...

        def predict(self, run: Run) -> np.ndarray:
            asked.append(run)
            if len(asked) == 5:
                raise KeyboardInterrupt
            return np.array([0, 1, 0, 0])

    monkeypatch.setattr(transfer, "Laboratory", Fake)
    with pytest.raises(KeyboardInterrupt):
        measure(pair, 2, results, None)
    assert len(read_results(results)) == 4
    measure(pair, 2, results, None)
    rows = read_results(results)
    assert len(rows) == len(list(runs_of(pair, 2))) == len(asked) - 1
    assert {row["accuracy"] for row in rows} == {"0.7500"}
    measure(pair, 2, results, None)
    assert read_results(results) == rows


@exhaustive
@pytest.mark.usefixtures("mnist")
def test_frozen_features_beat_pixels_on_mnist() -> None:
    laboratory = Laboratory(Pair(MODEL, "mnist", "stage3", "flatten"))
    score = {
        method: np.mean(
            laboratory.predict(Run(laboratory.pair, method, 10, 0))
            == laboratory.test_labels
        )
        for method in ("tuned probe", "pixels")
    }
    assert score["tuned probe"] > score["pixels"] + 0.03


def test_every_method_predicts_the_test_images(monkeypatch) -> None:
    splits = {
        split: aezoo.digits.draw_digits(count, seed=count)
        for split, count in (("train", 200), ("test", 100))
    }
    monkeypatch.setattr(transfer, "load_labelled", lambda _, split, __: splits[split])
    monkeypatch.setitem(transfer.STEPS, 3, 20)
    pair = Pair(MODEL, "mnist", "stage3", "flatten", transfer.METHODS)
    laboratory = transfer.Laboratory(pair)
    for method in transfer.METHODS:
        predicted = laboratory.predict(Run(pair, method, 3, seed=0))
        accuracy = (predicted == splits["test"][1]).mean()
        assert accuracy > 0.2, f"{method}: chance is 0.1"


def test_methods_without_a_network_make_no_features(monkeypatch) -> None:
    images, labels = aezoo.digits.draw_digits(80, seed=0)
    monkeypatch.setattr(transfer, "load_labelled", lambda *_: (images, labels))
    pair = Pair(MODEL, "mnist", "stage3", "flatten", transfer.METHODS)
    laboratory = transfer.Laboratory(pair)
    for method in transfer.FREE:
        laboratory.predict(Run(pair, method, 1, seed=0))
    assert "features" not in vars(laboratory)
    assert "network" not in vars(laboratory)


# --- Report ----------------------------------------------------------------------


def test_accuracies_are_shown_in_percent_with_their_interval() -> None:
    assert percent(mean([0.5, 0.6, 0.7])) == "60.0 ± 24.8"
    assert percent(mean([0.912])) == "91.2"


def rows_of(source: str, method: str, values: dict[int, list[float]]) -> list[dict]:
    row = {"source": source, "target": "t", "layer": "latent", "method": method}
    return [
        {**row, "labels_per_class": str(n), "seed": str(seed), "accuracy": str(value)}
        for n, accuracies in values.items()
        for seed, value in enumerate(accuracies)
    ]


def test_rows_become_means_in_the_order_of_methods_and_budgets() -> None:
    source = PAIRS[0].source
    rows = [
        *rows_of(source, "random", {1: [0.1, 0.2], 10: [0.5, 0.51, 0.52]}),
        *rows_of(
            source, "fine-tuned", {0: [0.9], 10: [0.6, 0.61, 0.62], 1: [0.2, 0.4]}
        ),
        *rows_of("", "pixels", {1: [0.3, 0.3]}),
    ]
    summaries = summarise(rows)
    assert [key[3] for key in summaries] == ["pixels", "fine-tuned", "random"]
    tuned = (source, "t", "latent", "fine-tuned")
    assert list(summaries[tuned]) == [1, 10, 0]
    assert summaries[tuned][1].value == pytest.approx(0.3)
    assert transfer.is_above_random(tuned, 10, summaries)
    assert not transfer.is_above_random(tuned, 1, summaries), "intervals overlap"
    assert not transfer.is_above_random(tuned, 0, summaries), "nothing to compare with"
    assert not transfer.is_above_random(("", "t", "latent", "pixels"), 1, summaries)
    figure = transfer.draw("t", summaries)
    legends = [
        [text.get_text() for text in axes.get_legend().get_texts()]
        for axes in figure.axes
    ]
    assert legends == [
        ["pixels", "fine-tuned", "random"],
        [source, f"random, as {source}"],
    ]


def test_with_all_labels_nothing_is_above_random_weights_of_less_than_an_epoch() -> (
    None
):
    source = PAIRS[0].source
    rows = [
        *rows_of(source, "random", {10: [0.5, 0.51, 0.52], 0: [0.5, 0.51, 0.52]}),
        *rows_of(source, "fine-tuned", {10: [0.9, 0.91], 0: [0.9, 0.91]}),
    ]
    tuned = (source, "t", "latent", "fine-tuned")
    assert is_above_random(tuned, 10, summarise(rows))
    assert not is_above_random(tuned, ALL, summarise(rows))
    for images in documents.TRAINING_IMAGES.values():
        assert transfer.epochs_of_all(images) < 1.1


def test_accuracies_in_the_words_are_measured_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for lesson in transfer.LESSONS:
        literals = " ".join(part for part, *_ in string.Formatter().parse(lesson))
        assert not re.search(r"%|point|\d\.\d", literals), lesson
    monkeypatch.setattr(transfer, "LESSONS", ("It gives {a t fine-tuned 10}.",))
    summaries = {("a", "t", "latent", "fine-tuned"): {10: mean([0.5, 0.6, 0.7])}}
    assert lessons(summaries) == ["It gives 60.0 ± 24.8 %."]
    monkeypatch.setattr(transfer, "LESSONS", ("It gives {a t fine-tuned 1}.",))
    with pytest.raises(ValueError, match=r"Received: 'a t fine-tuned 1'"):
        lessons(summaries)


def test_the_probe_of_transfer_has_a_name_of_its_own() -> None:
    methods = {row["method"] for row in read_results()}
    assert "tuned probe" in methods
    assert "probe" not in methods
