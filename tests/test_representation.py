"""Probes, clusters and out-of-distribution scores, against their definitions."""

import numpy as np
import pytest

import aezoo
from aezoo.data.datasets import DatasetError, load_dataset
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import evaluate
from aezoo.evaluation.context import Evaluation, Settings
from aezoo.evaluation.definition import METRICS, computation_of
from aezoo.evaluation.metrics import representation
from aezoo.evaluation.metrics.representation import (
    auroc,
    balanced_subset,
    cluster_agreement,
    knn_accuracy,
    linear_probe_accuracy,
)
from tests.conftest import needs_dataset

pytest.importorskip("sklearn")
ACCURACIES = [linear_probe_accuracy, knn_accuracy]
SEEDS = range(5)


def blobs(n: int, seed: int, spread: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Codes of four classes, whose centres are 5 apart and more, in six units."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, n)
    codes = 5.0 * np.eye(4, 6)[labels] + spread * generator.normal(size=(n, 6))
    return codes.astype("float32"), labels


# --- Subsets -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_a_subset_has_equally_many_of_each_class(rng, count: int) -> None:
    labels = np.append(rng.integers(0, 10, 3000), np.zeros(5000, int))
    subset = balanced_subset(labels, count, seed=3)
    assert len(set(subset)) == count
    np.testing.assert_array_equal(np.bincount(labels[subset]), count // 10)


def test_what_is_left_over_goes_to_random_classes(rng) -> None:
    labels = rng.integers(0, 4, 200) + 7
    extra = set()
    for seed in range(30):
        counts = np.bincount(labels[balanced_subset(labels, 10, seed)])[7:]
        assert sorted(counts) == [2, 2, 3, 3]
        extra |= set(np.flatnonzero(counts == 3))
    assert extra == {0, 1, 2, 3}


def test_a_subset_is_the_same_for_the_same_seed_alone(rng) -> None:
    labels = rng.integers(0, 10, 500)
    subset = balanced_subset(labels, 100, seed=1)
    np.testing.assert_array_equal(subset, balanced_subset(labels, 100, seed=1))
    assert set(subset) != set(balanced_subset(labels, 100, seed=2))
    # every example has its turn: 10 of about 50 of a class, 100 times
    drawn = {i for seed in range(100) for i in balanced_subset(labels, 100, seed)}
    assert len(drawn) == len(labels)


def test_subsets_that_cannot_be_balanced_are_refused() -> None:
    labels = np.repeat([0, 1, 5], [9, 3, 8])
    with pytest.raises(ValueError, match=r"at least the number of classes.*=2, 3 cla"):
        balanced_subset(labels, 2)
    with pytest.raises(ValueError, match=r"need 4 training.*Received: 3 of class 1\."):
        balanced_subset(labels, 12)
    assert len(balanced_subset(labels, 9)) == 9


# --- Probes --------------------------------------------------------------------------


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_separate_classes_are_all_right(accuracy) -> None:
    assert accuracy(*blobs(80, 0), *blobs(200, 1)) == 1.0


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_random_labels_are_right_by_chance(accuracy, rng) -> None:
    codes = rng.normal(size=(3000, 4))
    labels = rng.integers(0, 4, 3000)
    value = accuracy(codes[:1500], labels[:1500], codes[1500:], labels[1500:])
    assert abs(value - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1500)


def test_the_probe_is_logistic_regression_on_standardised_codes() -> None:
    """By Newton's method in place of L-BFGS, and standardised by hand."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    scales = np.array([1, 100, 0.01, 1, 1, 1])
    (train_codes, train_labels), (codes, labels) = blobs(300, 0, 3), blobs(500, 1, 3)
    mean, std = (train_codes * scales).mean(axis=0), (train_codes * scales).std(axis=0)
    exact = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-8)
    exact.fit((train_codes * scales - mean) / std, train_labels)
    expected = np.mean(exact.predict((codes * scales - mean) / std) == labels)
    value = linear_probe_accuracy(
        train_codes * scales, train_labels, codes * scales, labels
    )
    assert 0.6 < expected < 0.95
    assert value == pytest.approx(expected, abs=1 / 500)


@pytest.mark.parametrize("per_class", [3, 100])
def test_neighbours_are_those_of_all_distances(per_class: int) -> None:
    k = 1 if per_class < 5 else 5
    train_codes, train_labels = blobs(1000, 0, 3)
    subset = balanced_subset(train_labels, 4 * per_class)
    train_codes, train_labels = train_codes[subset], train_labels[subset]
    codes, labels = blobs(400, 1, 3)
    distances = np.linalg.norm(codes[:, None] - train_codes[None], axis=-1)
    nearest = train_labels[np.argsort(distances, axis=1)[:, :k]]
    votes = np.stack([np.sum(nearest == label, axis=1) for label in range(4)], axis=1)
    expected = np.mean(votes.argmax(axis=1) == labels)
    assert 0.5 < expected < 0.95
    assert knn_accuracy(train_codes, train_labels, codes, labels) == expected


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_units_without_variance_do_not_matter(accuracy) -> None:
    (train_codes, train_labels), (codes, labels) = blobs(300, 0, 3), blobs(500, 1, 3)
    value = accuracy(train_codes, train_labels, codes, labels)
    constant = np.float32(0.1)
    padded_train, padded = (
        np.pad(c, ((0, 0), (0, 2)), constant_values=constant)
        for c in (train_codes, codes)
    )
    assert accuracy(padded_train, train_labels, padded, labels) == value
    nothing = np.full((len(codes), 2), constant)
    chance = accuracy(nothing[:300], train_labels, nothing, labels)
    assert 0.1 < chance < 0.4


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_tasks_that_cannot_be_learnt_are_refused(accuracy) -> None:
    codes, labels = blobs(40, 0)
    with pytest.raises(ValueError, match=r"`train_codes` must be numbers of shape \(n"):
        accuracy(codes[:, 0], labels, codes, labels)
    with pytest.raises(ValueError, match=r"`codes` holds NaN.*np\.isfinite\(codes\)"):
        accuracy(codes, labels, codes * np.nan, labels)
    with pytest.raises(
        ValueError, match=r"`labels` must be one integer.*\(39,\).*40 r"
    ):
        accuracy(codes, labels, codes, labels[1:])
    with pytest.raises(ValueError, match=r"`train_labels` must be of at least 2 class"):
        accuracy(codes, 0 * labels, codes, labels)
    with pytest.raises(ValueError, match=r"same units. Received: 5 and 6 units"):
        accuracy(codes[:, 1:], labels, codes, labels)
    known = labels < 2
    with pytest.raises(ValueError, match=r"every class.*none of class 2, 3 among"):
        accuracy(codes[known], labels[known], codes, labels)


# --- Clusters ------------------------------------------------------------------------


def test_separate_clusters_agree_perfectly_whatever_their_labels() -> None:
    codes, labels = blobs(200, 0)
    assert cluster_agreement(codes, labels) == (1.0, 1.0)
    renamed = np.array([11, 2, 7, 0])[labels]
    assert cluster_agreement(codes, renamed, seed=1) == (1.0, 1.0)


def test_noise_agrees_by_chance_which_the_seed_decides(rng) -> None:
    codes, labels = rng.normal(size=(600, 6)), rng.integers(0, 4, 600)
    agreement = cluster_agreement(codes, labels)
    np.testing.assert_allclose(agreement, 0.0, atol=0.02)
    assert cluster_agreement(codes, labels, seed=0) == agreement
    assert cluster_agreement(codes, labels, seed=1) != agreement


def test_agreement_is_that_of_the_pairs_of_examples() -> None:
    """Two classes, one of which k-means cuts in two, by the formulas."""
    codes, parts = blobs(200, 0)
    labels = np.minimum(parts, 2)  # classes 2 and 3 are one; 3 clusters for 4 blobs
    cluster = pytest.importorskip("sklearn.cluster")
    k_means = cluster.KMeans(3, n_init=10, random_state=5).fit(codes)
    table = np.zeros((3, 3))
    np.add.at(table, (labels, k_means.labels_), 1)

    def pairs(counts: np.ndarray) -> float:
        return float(np.sum(counts * (counts - 1) / 2))

    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = pairs(rows) * pairs(columns) / pairs(np.array([200]))
    most = (pairs(rows) + pairs(columns)) / 2
    ari, nmi = cluster_agreement(codes, labels, seed=5)
    assert ari == pytest.approx((pairs(table) - chance) / (most - chance))
    assert ari < 0.9

    def entropy(counts: np.ndarray) -> float:
        share = counts[counts > 0] / 200
        return float(-np.sum(share * np.log(share)))

    halves = (entropy(rows) + entropy(columns)) / 2
    information = entropy(rows) + entropy(columns) - entropy(table)
    assert nmi == pytest.approx(information / halves)


def test_codes_that_are_all_equal_are_one_cluster() -> None:
    labels = np.arange(20) % 4
    assert cluster_agreement(np.ones((20, 3), "float32"), labels) == (0.0, 0.0)


def test_what_cannot_be_clustered_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`labels` must be of at least 2.*class 0 al"):
        cluster_agreement(np.ones((3, 2)), np.zeros(3, int))


# --- Out of distribution -------------------------------------------------------------


def test_auroc_is_the_mann_whitney_statistic(rng) -> None:
    inside = np.round(rng.normal(size=60), 1)
    outside = np.round(rng.normal(size=90) + 0.5, 1)
    larger = outside[:, None] > inside
    ties = outside[:, None] == inside
    assert ties.any()
    expected = np.mean(larger + 0.5 * ties)
    assert auroc(inside, outside) == pytest.approx(expected)
    assert auroc(outside, inside) == pytest.approx(1 - expected)
    assert auroc(inside, inside) == 0.5


@pytest.mark.parametrize("scores", [np.zeros(0), np.zeros((2, 2)), np.array([np.nan])])
def test_scores_that_cannot_be_ranked_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"`outside` must be finite numbers.*isfinite"):
        auroc(np.zeros(2), scores)
    with pytest.raises(ValueError, match=r"`inside` must be finite numbers"):
        auroc(scores, np.zeros(2))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory):
    """Folders of datasets of 8 x 8 images: familiar lines, and noise."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 60)
    lines = np.zeros((60, 8, 8, 1), "uint8")
    lines[np.arange(60), 2 * labels] = 255
    arrays = {
        "mnist": {"images": lines, "labels": labels},
        "fashion_mnist": {"images": generator.integers(0, 256, (45, 8, 8, 1), "uint8")},
        "wide": {"images": np.zeros((4, 8, 9, 1), "uint8")},
    }
    for name, columns in arrays.items():
        (folder / name).mkdir()
        for split in ("train", "test"):
            np.savez(folder / name / f"{split}.npz", **columns)
    return folder


@pytest.fixture(scope="module")
def vae():
    return aezoo.create("dense_vae", input_shape=(8, 8, 1), latent_dim=3)


def test_unfamiliar_images_are_ranked_by_error_and_by_elbo(vae, drawn) -> None:
    names = ["ood_auroc_mse", "ood_auroc_elbo"]
    report = evaluate(vae, "mnist", metrics=names, data_dir=drawn, seed=2)
    assert list(report) == [f"{name}/fashion_mnist" for name in names]

    def scores(name: str, metric: str) -> np.ndarray:
        data = load_dataset(name, "test", drawn)
        whole = Evaluation(vae, data, Settings(seed=2), len(data.examples))
        return computation_of(METRICS[metric])(next(whole.chunks("")))

    mse = scores("fashion_mnist", "mse")[:, None] > scores("mnist", "mse")
    elbo = scores("fashion_mnist", "elbo")[:, None] < scores("mnist", "elbo")
    value = report["ood_auroc_mse/fashion_mnist"].value
    assert value == pytest.approx(np.mean(mse))
    assert value < 0.1  # grey noise is nearer to an untrained model's grey than lines
    assert report["ood_auroc_elbo/fashion_mnist"].value == pytest.approx(np.mean(elbo))
    protocol = report["ood_auroc_elbo/fashion_mnist"].protocol
    assert protocol.startswith("mnist/test, all 60 images; probability that an image ")
    assert "fashion_mnist (same split and limit) has a lower ELBO" in protocol
    assert "seed 2" in protocol


def test_unfamiliar_images_are_encoded_once(vae, drawn, monkeypatch) -> None:
    calls = []
    run = type(vae).run

    def counted(self, method, inputs, batch_size, **given):
        calls.append((method, len(inputs)))
        return run(self, method, inputs, batch_size, **given)

    monkeypatch.setattr(type(vae), "run", counted)
    evaluate(
        vae,
        "fashion_mnist",
        metrics=["ood_auroc_mse", "ood_auroc_elbo", "ood_auroc_mse/mnist"],
        data_dir=drawn,
    )
    assert sorted(n for method, n in calls if method == "encode_parameters") == [45, 60]


def test_pixels_have_no_error_to_tell_unfamiliar_images_by(drawn) -> None:
    ae = aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=3)
    report = evaluate(
        ae, "mnist", metrics=["ood_auroc_mse"], data_dir=drawn, baselines=True
    )
    assert list(report.baselines) == ["pca_z3"]
    # noise has far more than three principal components of the lines
    assert report.baselines["pca_z3"]["ood_auroc_mse/fashion_mnist"].value == 1.0


def test_unfamiliar_datasets_that_do_not_fit_are_refused(vae, drawn) -> None:
    images = np.zeros((4, 8, 8, 1), "uint8")
    with pytest.raises(DatasetError, match=r"no usual.*for 'images'. Name one"):
        evaluate(vae, images, metrics=["ood_auroc_mse"])
    with pytest.raises(DatasetError, match=r"'wide' cannot be.*'images/test'.*8, 9, 1"):
        evaluate(vae, images, metrics=["ood_auroc_mse/wide"], data_dir=drawn)
    with pytest.raises(DatasetError, match=r"'absent' cannot be.*is not prepared"):
        evaluate(vae, images, metrics=["ood_auroc_elbo/absent"], data_dir=drawn)
    ae = aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=3)
    with pytest.raises(UnsupportedOperationError, match=r"no metric 'ood_auroc_elbo'"):
        evaluate(ae, images, metrics=["ood_auroc_elbo"])


# --- Of a model ----------------------------------------------------------------------


def striped(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of ten classes: half a row is bright, or a whole one from 8 on."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 10)
    images = generator.integers(0, 120, (n, 8, 8, 1), dtype="uint8")
    row, width = (labels % 8)[:, None, None], (4 + 4 * (labels // 8))[:, None, None]
    images[(np.arange(8)[:, None] == row) & (np.arange(8) < width)] = 255
    return images, labels


@pytest.fixture(scope="module")
def measured():
    model = aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=6)
    train, test = striped(1200, 0), striped(300, 1)
    names = [
        name
        for name in METRICS
        if name.partition("/")[0] in {"linear_probe", "knn_accuracy"}
    ]
    assert len(names) == 8
    report = evaluate(
        model,
        test,
        metrics=[*names, "kmeans_ari", "kmeans_nmi"],
        train=train,
        baselines=True,
        seed=7,
    )
    return model, train, test, report


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_a_model_is_probed_on_its_codes(measured, accuracy) -> None:
    model, (train_images, train_labels), (images, labels), report = measured
    name = {linear_probe_accuracy: "linear_probe"}.get(accuracy, "knn_accuracy")
    train_codes, codes = model.encode(train_images), model.encode(images)
    value = accuracy(train_codes, train_labels, codes, labels)
    assert report[name].value == value
    assert report[name].values is None
    error = np.sqrt(value * (1 - value) / 300)
    assert report[name].standard_error == pytest.approx(error)
    assert report[name].protocol.endswith("fitted on all training images: 1,200")
    for count in (10, 100, 1000):
        record = report[f"{name}/{count}"]
        subsets = [balanced_subset(train_labels, count, 7 + i) for i in SEEDS]
        values = [
            accuracy(train_codes[s], train_labels[s], codes, labels) for s in subsets
        ]
        assert record.values == tuple(values)
        assert record.value == pytest.approx(np.mean(values))
        error = np.std(values, ddof=1) / np.sqrt(5)
        assert record.standard_error == pytest.approx(error)
        assert f"5 random subsets of {count:,} labels" in record.protocol
        assert "seeds 7 and the next 4, out of all training images: 1,200" in (
            record.protocol
        )


def test_a_model_is_clustered_once(measured, monkeypatch) -> None:
    model, _, (images, labels), report = measured
    expected = cluster_agreement(model.encode(images), labels, seed=7)
    names = ["kmeans_ari", "kmeans_nmi"]
    assert tuple(report[name].value for name in names) == expected
    calls = []

    def counted(codes, labels, seed):
        assert len(codes) == len(labels) == 300
        calls.append(seed)
        return 0.25, 0.5

    monkeypatch.setattr(representation, "cluster_agreement", counted)
    report = evaluate(model, (images, labels), metrics=names, seed=3)
    assert [report[name].value for name in names] == [0.25, 0.5]
    assert calls == [3]


def test_pixels_and_principal_components_are_baseline_rows(measured) -> None:
    _, (train_images, train_labels), (images, labels), report = measured
    rows = report.baselines
    assert list(rows) == ["pca_z6", "pixels"]
    assert list(rows["pca_z6"]) == list(rows["pixels"]) == list(report)
    pixels = [x.reshape(len(x), -1) / np.float32(255) for x in (train_images, images)]
    expected = knn_accuracy(pixels[0], train_labels, pixels[1], labels)
    assert rows["pixels"]["knn_accuracy"].value == pytest.approx(expected, abs=0.01)
    assert rows["pixels"]["linear_probe"].value > 0.99  # a class is a row
    assert rows["pca_z6"]["linear_probe"].value > 0.9  # rows vary most
    # the same five subsets, whatever the model
    subset = balanced_subset(train_labels, 10, seed=7)
    first = knn_accuracy(pixels[0][subset], train_labels[subset], pixels[1], labels)
    assert rows["pixels"]["knn_accuracy/10"].values[0] == pytest.approx(first, abs=0.01)


def test_a_fit_that_does_not_converge_says_so(measured, monkeypatch) -> None:
    model, train, test, report = measured
    assert "ended short" not in report["linear_probe"].protocol
    monkeypatch.setattr(representation, "MAX_ITERATIONS", 1)
    names = ["linear_probe", "linear_probe/100", "knn_accuracy"]
    report = evaluate(model, test, metrics=names, train=train)
    note = "fits ended short of the tolerance"
    assert report["linear_probe"].protocol.endswith(f": 1,200; 1 of 1 {note}")
    assert report["linear_probe/100"].protocol.endswith(f": 1,200; 5 of 5 {note}")
    assert note not in report["knn_accuracy"].protocol
    convergence = pytest.importorskip("sklearn.exceptions").ConvergenceWarning
    codes, labels = blobs(300, 0, 3)
    with pytest.warns(convergence, match=r"failed to converge"):
        linear_probe_accuracy(codes, labels, codes, labels)


def test_labels_that_are_missing_are_asked_for(measured) -> None:
    model, (train_images, train_labels), test, _ = measured
    with pytest.raises(
        DatasetError, match=r"'linear_probe/10' needs labels.*'images/t"
    ):
        evaluate(model, test[0], metrics=["linear_probe/10"], train=test)
    with pytest.raises(DatasetError, match=r"'images/train' has no labels"):
        evaluate(model, test, metrics=["knn_accuracy"], train=train_images)
    with pytest.raises(DatasetError, match=r"Pass it as `train="):
        evaluate(model, test, metrics=["linear_probe"])
    few = train_images[:200], train_labels[:200]
    with pytest.raises(
        ValueError, match=r"1000 labels of 10 classes need 100 training"
    ):
        evaluate(model, test, metrics=["linear_probe/1000"], train=few)


def real(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels; skips where they are not prepared."""
    needs_dataset(name)
    data = load_dataset(name, split)
    return data.examples, data.labels


def test_a_trained_model_on_real_digits() -> None:
    names = ["linear_probe", "linear_probe/100", "knn_accuracy"]
    train, test = real("mnist", "train[:1000]"), real("mnist", "test[:1000]")
    report = evaluate(
        "conv_ae_mnist_z32", test, metrics=names, train=train, baselines=True
    )
    assert report["linear_probe"].value > 0.8
    assert report["knn_accuracy"].value > 0.8
    assert report["linear_probe"].value > report["linear_probe/100"].value > 0.5
    assert list(report.baselines) == ["pca_z32", "pixels"]
    for row in report.baselines.values():
        assert list(row) == names
        assert row["linear_probe"].value > 0.75
    report = evaluate("conv_ae_mnist_z32", test, metrics=["kmeans_nmi"])
    assert report["kmeans_nmi"].value > 0.3


def test_fashion_is_unfamiliar_to_a_model_of_digits() -> None:
    real("fashion_mnist", "test[:1]")
    names = ["ood_auroc_mse/fashion_mnist", "ood_auroc_elbo/fashion_mnist"]
    report = evaluate(
        "conv_vae_mnist_z16", real("mnist", "test"), metrics=names, limit=500
    )
    for name in names:
        assert report[name].value > 0.9
