"""Metrics of samples: against other computations, known cases and brute force."""

import sys

import keras
import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.distance import cdist

import aezoo
from aezoo.errors import (
    MissingDependencyError,
    UnknownModelError,
    UnsupportedOperationError,
)
from aezoo.evaluation import evaluate, list_metrics
from aezoo.evaluation.image import samples
from aezoo.evaluation.image.baselines import TrainingImages
from aezoo.evaluation.image.samples import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from aezoo.modalities.image.classifier import Classifier
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.extractors import Extractor
from tests.conftest import needs_dataset

METRICS = [
    *("frechet", "kernel_distance", "precision", "recall", "density", "coverage"),
]


@pytest.fixture
def pair(rng) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of correlated features."""
    mixing = rng.normal(size=(6, 6))
    a = rng.normal(size=(50, 6)) @ mixing
    return a, rng.normal(size=(40, 6)) + 0.3


@pytest.fixture
def integers(rng) -> tuple[np.ndarray, np.ndarray]:
    """Small integers, whose squared distances are exact, with ties and duplicates."""
    return rng.integers(0, 4, (60, 3)), rng.integers(1, 6, (45, 3))


def whitened(n: int, dim: int, seed: int) -> np.ndarray:
    """Features whose mean is exactly 0 and whose covariance is exactly I."""
    x = np.random.default_rng(seed).normal(size=(n, dim))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


# --- Frechet distance ----------------------------------------------------------------


def test_frechet_agrees_with_the_matrix_square_root(pair) -> None:
    a, b = pair
    c_a, c_b = np.cov(a.T), np.cov(b.T)
    root = np.real(linalg.sqrtm(c_a @ c_b))
    shift = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected = shift + np.trace(c_a + c_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_gaussians_with_axes_in_common_has_a_closed_form() -> None:
    scale_a, scale_b = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 0.0])
    a = whitened(30, 3, 0) * scale_a + [1.0, 0.0, 5.0]
    b = whitened(20, 3, 1) * scale_b + [0.0, 2.0, 5.0]
    expected = 1.0 + 4.0 + np.sum((scale_a - scale_b) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [3, 10, 200])
def test_frechet_of_a_set_and_itself_is_zero_also_where_it_is_singular(
    rng, n: int
) -> None:
    features = 100 * np.maximum(rng.normal(size=(n, 64)), 0.0)
    features[:, :5] = 0.0  # units that never fire
    distance = frechet_distance(features, features[::-1])
    assert 0.0 <= distance <= 1e-9 * np.trace(np.cov(features.T))


# --- Kernel distance -----------------------------------------------------------------


def test_the_kernel_distance_is_the_unbiased_estimate(rng) -> None:
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)) + 1.0

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 3 + 1.0) ** 3

    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                total += (kernel(a[i], a[j]) + kernel(b[i], b[j])) / (5 * 4)
            total -= 2 * kernel(a[i], b[j]) / 25
    result = kernel_distance(a, b)
    assert result.value == pytest.approx(total, rel=1e-12)
    assert result.standard_error is None  # the one subset is everything


def test_the_kernel_distance_averages_random_subsets(rng) -> None:
    a, b = rng.normal(size=(300, 4)), rng.normal(size=(200, 4))
    options = {"num_subsets": 40, "subset_size": 50}
    same = kernel_distance(a, b, **options)
    assert same.standard_error is not None
    assert abs(same.value) < 0.1
    other = kernel_distance(a, b + 1.0, **options)
    assert other.value > 10 * abs(same.value)
    whole = kernel_distance(a[:200], b + 1.0).value
    assert other.value == pytest.approx(whole, rel=0.15)
    assert kernel_distance(a, b, **options) == same
    assert kernel_distance(a, b, seed=1, **options) != same
    one = kernel_distance(a, b, num_subsets=1, subset_size=50)
    assert one.standard_error is None


# --- Precision, recall, density, coverage --------------------------------------------


def brute_force(real: np.ndarray, generated: np.ndarray, k: int) -> dict[str, float]:
    """All four by their definitions, one pair at a time."""

    def radii(x: np.ndarray) -> list[float]:
        d = cdist(x, x)
        return [sorted(np.delete(d[i], i))[k - 1] for i in range(len(x))]

    d, r, g = cdist(real, generated), radii(real), radii(generated)
    n, m = d.shape
    pairs = [(i, j) for i in range(n) for j in range(m)]
    inside = [(i, j) for i, j in pairs if d[i, j] < r[i]]
    return {
        "precision": len({j for i, j in pairs if d[i, j] <= r[i]}) / m,
        "recall": len({i for i, j in pairs if d[i, j] <= g[j]}) / n,
        "density": len(inside) / (k * m),
        "coverage": len({i for i, _ in inside}) / n,
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_metrics_agree_with_their_definitions(integers, pair, k: int) -> None:
    for real, generated in (integers, pair):
        expected = brute_force(real, generated, k)
        assert any(0.0 < v < 1.0 for v in expected.values())
        found = [*precision_recall(real, generated, k)]
        found += density_coverage(real, generated, k)
        assert found == pytest.approx(list(expected.values()), rel=1e-12)


def test_neighbour_metrics_of_equal_and_of_distant_sets(rng) -> None:
    points = rng.permutation(np.arange(40.0)).reshape(-1, 1)
    line = np.hstack([points, points**2])
    assert precision_recall(line, line) == (1.0, 1.0)
    density, coverage = density_coverage(line, line)
    assert coverage == 1.0
    assert density == 1.0
    assert precision_recall(line, line - 1e4) == (0.0, 0.0)
    assert density_coverage(line, line - 1e4) == (0.0, 0.0)


def test_samples_at_few_images_are_precise_but_do_not_cover(rng) -> None:
    real = rng.normal(size=(200, 2))
    generated = real[:5].repeat(10, axis=0) + 1e-6 * rng.normal(size=(50, 2))
    precision, recall = precision_recall(real, generated)
    density, coverage = density_coverage(real, generated)
    assert precision == 1.0
    assert recall < 0.05
    assert density > 0.5
    assert coverage < 0.3


def test_no_result_depends_on_the_size_of_the_pieces(
    integers, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = precision_recall(*integers), density_coverage(*integers)
    monkeypatch.setattr(samples, "DISTANCES_MB", 0.002)
    pieces = []
    reduce_over = samples._over_distances

    def spy(reduce, rows, columns):
        def counted(distances, start):
            pieces.append(len(distances))
            return reduce(distances, start)

        return reduce_over(counted, rows, columns)

    monkeypatch.setattr(samples, "_over_distances", spy)
    assert (precision_recall(*integers), density_coverage(*integers)) == whole
    assert len(pieces) > 10


# --- Bad inputs ----------------------------------------------------------------------

GOOD = np.eye(6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(6), r"shape \(n, dim\).*Received: \w+.shape=\(6,\)"),
        (np.zeros((0, 6)), r"n at least \d"),
        (np.zeros((6, 0)), r"shape \(n, dim\)"),
        (np.full((6, 6), "a"), "must be numbers"),
        (np.full((6, 6), np.nan), "holds NaN or infinity"),
        (np.zeros((6, 5)), r"same extractor. Received: \{.*6.*5\} features"),
    ],
)
@pytest.mark.parametrize(
    "function", [frechet_distance, kernel_distance, precision_recall, density_coverage]
)
def test_what_is_no_features_is_refused(function, bad, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(GOOD, bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(GOOD[:1], GOOD), r"`a` must .* n at least 2"),
        (lambda: precision_recall(GOOD[:3], GOOD), r"`real` must .* n at least 4"),
        (lambda: precision_recall(GOOD, GOOD[:3]), r"`generated` .* n at least 4"),
        (lambda: density_coverage(GOOD[:5], GOOD), r"`real` must .* n at least 6"),
        (lambda: precision_recall(GOOD, GOOD, k=0), r"`k` must be .* Received: k=0"),
        (lambda: density_coverage(GOOD, GOOD, k=1.5), r"`k` must be .* k=1.5"),
        (lambda: kernel_distance(GOOD, GOOD, num_subsets=0), "num_subsets=0"),
        (
            lambda: kernel_distance(GOOD, GOOD, subset_size=1),
            r"`subset_size` must be at least 2.*subset_size=1",
        ),
    ],
)
def test_too_few_rows_and_wrong_numbers_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_without_scikit_learn_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(MissingDependencyError, match=r"nearest neighbours needs skl"):
        precision_recall(GOOD, GOOD, k=1)


# --- Of a model ----------------------------------------------------------------------


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (60, 8, 8, 1), dtype="uint8")


@pytest.fixture
def vae():
    return aezoo.create("dense_vae", input_shape=(8, 8, 1), latent_dim=3)


class TinyExtractor(Extractor):
    """A random network for 8 x 8 images that remembers what it was given."""

    def __init__(self) -> None:
        keras.utils.set_random_seed(1)
        network = Classifier((8, 8, 1), 3, filters=(4,), feature_dim=5)
        network.build()
        super().__init__("tiny_v1", network, (8, 8, 1))
        self.seen: list[np.ndarray] = []

    def features(self, images):
        self.seen.append(images)
        return super().features(images)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> TinyExtractor:
    extractor = TinyExtractor()
    monkeypatch.setattr(
        samples, "load_extractor", lambda name: {"tiny_v1": extractor}[name]
    )
    return extractor


def test_a_model_is_sampled_once_for_all_metrics(vae, images, tiny) -> None:
    names = [f"{name}/tiny_v1" for name in METRICS]
    report = evaluate(vae, images, metrics=names, seed=3, num_samples=50)
    assert list(report) == names
    real, generated = tiny.seen
    assert real is images or np.array_equal(real, images)
    expected = np.round(255 * vae.sample(50, seed=3)).astype("uint8")
    np.testing.assert_array_equal(generated, expected)
    a, b = tiny.features(images), tiny.features(expected)
    assert report["frechet"].value == pytest.approx(frechet_distance(a, b))
    kernel = kernel_distance(a, b, seed=3)
    assert report["kernel_distance"].value == pytest.approx(kernel.value)
    assert report["kernel_distance"].standard_error == kernel.standard_error
    found = [report[name].value for name in METRICS[2:]]
    assert found == pytest.approx([*precision_recall(a, b), *density_coverage(a, b)])


def test_protocols_say_what_was_compared(vae, images, tiny) -> None:  # noqa: ARG001
    names = [f"{n}/tiny_v1" for n in (*METRICS, "reconstruction_frechet")]
    report = evaluate(vae, images, metrics=names, seed=3, num_samples=50)
    for name, record in report.items():
        assert "in features of tiny_v1" in record.protocol
        assert "rounded to 8 bits" in record.protocol
        assert "all 60 images" in record.protocol
        if name != "reconstruction_frechet/tiny_v1":
            assert "50 samples (means of p(x|z)" in record.protocol
            assert "seed 3" in record.protocol
    assert "k = 3" in report["precision"].protocol
    assert "k = 3" in report["recall"].protocol
    assert "k = 5" in report["density"].protocol
    assert "k = 5" in report["coverage"].protocol


def test_seeds_repeat_and_differ(vae, images, tiny) -> None:  # noqa: ARG001
    def value(seed: int) -> float:
        return evaluate(vae, images, metrics=["fid/tiny_v1"], seed=seed)["fid"].value

    assert value(0) == value(0)
    assert value(0) != value(1)


def test_perfect_reconstructions_have_no_distance(images, tiny) -> None:
    model = aezoo.create("linear_ae", input_shape=(8, 8, 1), latent_dim=64)
    model.encoder.heads["z"].set_weights([np.eye(64), np.zeros(64)])
    model.decoder.pixels.set_weights([np.eye(64), np.zeros(64)])
    report = evaluate(model, images, metrics=["reconstruction_frechet/tiny_v1"])
    np.testing.assert_array_equal(tiny.seen[1], images)
    assert report["reconstruction_frechet"].value < 1e-9


def test_models_without_a_prior_have_no_metrics_of_samples(images) -> None:
    model = aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=3)
    assert not set(METRICS) & set(list_metrics(model))
    assert "reconstruction_frechet" in list_metrics(model)
    with pytest.raises(UnsupportedOperationError, match=r"no metric 'frechet'"):
        evaluate(model, images, metrics=["frechet"])


def test_images_of_ones_own_need_a_named_extractor(vae, images) -> None:
    with pytest.raises(
        UnknownModelError, match=r"dataset 'images'.*lenet_mnist_v1 \(28 x 28 x 1"
    ):
        evaluate(vae, images, metrics=["frechet"])
    with pytest.raises(ValueError, match=r"'lenet_mnist_v1' needs .* 28, 28, 1\)"):
        evaluate(vae, images, metrics=["frechet/lenet_mnist_v1"])
    with pytest.raises(UnknownModelError, match=r"Did you mean 'lenet_mnist_v1'"):
        evaluate(vae, images, metrics=["frechet/lenet_mnist_v2"])


def test_a_pretrained_vae_on_mnist() -> None:
    needs_dataset("mnist")
    names = ["fid", "reconstruction_frechet", "precision", "coverage"]
    report = evaluate("conv_vae_mnist_z16", "mnist", metrics=names, limit=500)
    assert next(iter(report)) == "frechet/lenet_mnist_v1"
    assert "fid" not in list(report)
    assert "first 500 of 10,000" in report["frechet"].protocol
    # samples of this model are worse than its reconstructions, and not noise
    assert 1.0 < report["reconstruction_frechet"].value < report["frechet"].value < 100
    assert 0.3 < report["precision"].value < 1.0
    assert 0.3 < report["coverage"].value < 1.0


def test_training_images_are_as_good_as_samples_can_get() -> None:
    """A baseline row of its own, and only for metrics of samples."""
    train, test = (draw_digits(80, seed=seed)[0] for seed in (1, 2))
    names = ["mse", "frechet/lenet_mnist_v1", "reconstruction_frechet/lenet_mnist_v1"]
    report = aezoo.evaluate(
        "dense_vae_mnist_z2", test, metrics=names, train=train, baselines=True
    )
    row = report.baselines["training_images"]
    assert list(row) == ["frechet/lenet_mnist_v1"]
    assert "real images of the training data" in row["frechet"].protocol
    assert "means of p(x|z)" in report["frechet"].protocol
    assert 0.0 < row["frechet"].value < report["frechet"].value
    model = TrainingImages(train)
    drawn = model.sample(80, seed=0)
    everything = {image.tobytes() for image in train}
    assert {i.tobytes() for i in np.round(255 * drawn).astype("uint8")} == everything
    np.testing.assert_array_equal(drawn, model.sample(80, seed=0))
    assert len(model.sample(100, seed=0)) == 100
