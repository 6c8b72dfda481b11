"""Streamed principal components against scikit-learn."""

import tracemalloc

import numpy as np
import pytest
import sklearn.decomposition

import aezoo
from aezoo.nn.pca import principal_components

SHAPE = (5, 6, 1)
DIM = 4


@pytest.fixture
def model():
    return aezoo.create("linear_ae", input_shape=SHAPE, latent_dim=DIM)


@pytest.fixture
def images(rng) -> np.ndarray:
    """Images on a few directions of falling variance, and a little noise."""
    directions = rng.normal(size=(6, 30)) * np.float64([[8, 6, 4, 3, 2, 1]]).T
    x = rng.normal(size=(301, 6)) @ directions + 0.5 * rng.normal(size=(301, 30))
    x = (x - x.min()) / (x.max() - x.min())
    return x.reshape(-1, *SHAPE).astype("float32")


def test_components_are_scikit_learns(model, images) -> None:
    ours = principal_components(model, images, batch_size=64)
    exact = sklearn.decomposition.PCA(DIM, svd_solver="full")
    exact.fit(images.reshape(len(images), -1).astype("float64"))
    np.testing.assert_allclose(ours.mean, exact.mean_, atol=1e-10)
    signs = np.sign(np.sum(ours.components * exact.components_, axis=1))
    np.testing.assert_allclose(
        ours.components, signs[:, None] * exact.components_, atol=1e-8
    )
    unbiased = ours.eigenvalues[:DIM] * len(images) / (len(images) - 1)
    np.testing.assert_allclose(unbiased, exact.explained_variance_, rtol=1e-8)


def test_components_are_orthonormal_and_their_signs_fixed(model, images) -> None:
    pca = principal_components(model, images)
    np.testing.assert_allclose(
        pca.components @ pca.components.T, np.eye(DIM), atol=1e-10
    )
    largest = np.abs(pca.components).argmax(axis=1)
    assert np.all(pca.components[np.arange(DIM), largest] > 0.0)
    assert np.all(np.diff(pca.eigenvalues) <= 0.0)
    assert pca.eigenvalues.shape == (30,)


@pytest.mark.parametrize("batch_size", [1, 7, 300, 301, 1000])
def test_the_stream_gives_what_the_array_gives(model, images, batch_size) -> None:
    whole = principal_components(model, images)
    batches = (images[i : i + batch_size] for i in range(0, 301, batch_size))
    for other in (
        principal_components(model, images, batch_size),
        principal_components(model, batches),
    ):
        np.testing.assert_allclose(other.mean, whole.mean, atol=1e-12)
        np.testing.assert_allclose(other.components, whole.components, atol=1e-7)
        np.testing.assert_allclose(other.eigenvalues, whole.eigenvalues, atol=1e-12)


def test_uint8_is_scaled_to_the_unit_range(model, images) -> None:
    as_bytes = np.round(255 * images).astype("uint8")
    a, b = (principal_components(model, x) for x in (as_bytes, as_bytes / 255.0))
    np.testing.assert_allclose(a.components, b.components, atol=1e-5)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-7)


def test_a_large_mean_costs_no_precision(model, rng) -> None:
    """The scatter is centred as it grows, not the difference of two large sums."""
    small = (0.9 + 1e-6 * rng.random((400, *SHAPE))).astype("float32")
    pca = principal_components(model, small, batch_size=50)
    exact = np.linalg.eigvalsh(
        np.cov(small.reshape(400, -1).T.astype("float64"), bias=True)
    )
    np.testing.assert_allclose(pca.eigenvalues, exact[::-1], rtol=1e-6, atol=1e-18)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    model = aezoo.create("linear_ae", input_shape=(16, 16, 1), latent_dim=2)

    def batches(n: int):
        generator = np.random.default_rng(0)
        for _ in range(n):
            yield generator.random((100, 16, 16, 1), "float32")

    peaks = []
    principal_components(model, batches(1))  # imports and caches
    for n in (10, 100):
        tracemalloc.start()
        principal_components(model, batches(n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, *SHAPE), "float32"), r"at least 2 examples\. Received: 1"),
        (iter([]), r"at least 2 examples\. Received: 0"),
        (3, r"an array or an iterable of batches\. Received: int"),
        (np.zeros((4, 5, 6), "float32"), "must have shape"),
        (np.full((4, *SHAPE), 2.0, "float32"), r"values in \[0, 1\]"),
        ([np.full((4, *SHAPE), np.nan)], "NaN or infinity"),
    ],
)
def test_wrong_images_are_refused(model, images, message) -> None:
    with pytest.raises(ValueError, match=message):
        principal_components(model, images)


def test_more_components_than_pixels_are_refused() -> None:
    model = aezoo.create("linear_ae", input_shape=(2, 2, 1), latent_dim=5)
    with pytest.raises(ValueError, match="at most the number of elements, 4"):
        model.fit_closed_form(np.zeros((9, 2, 2, 1), "float32"))
