"""How near generated images come to the dataset, in the features of a named network.

Every figure carries the extractor of its features: `frechet/lenet_mnist_v1`. The
default is the classifier that the project trained on the evaluated dataset. Figures of
different extractors do not compare, and none is the FID of the literature, which is
measured with one particular copy of InceptionV3.

Samples are from the model's prior; `frechet/gmm/lenet_mnist_v1` is of those from its
fitted sampler `gmm`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import Result, mean_with_error
from aezoo.metrics.image import DENSITY_K, NUM_SUBSETS, PRECISION_K, SUBSET_SIZE
from aezoo.modalities.image.extractors import load_extractor
from aezoo.modalities.image.tiling import to_uint8
from aezoo.utils.arrays import to_numpy
from aezoo.utils.extras import require
from aezoo.utils.validation import check_positive_int

# Megabytes of distances that are held at once; no result depends on it.
DISTANCES_MB = 64
_NEIGHBOURS = "A metric of nearest neighbours"


# --- On arrays of features ----------------------------------------------------------


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians with the moments of two sets.

    `|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))` of Heusel et al. (2017,
    https://arxiv.org/abs/1706.08500), covariances with n - 1. With `C = L L^T` from a
    symmetric eigen-decomposition, the root's trace is the sum of the singular values
    of `L_a^T L_b`: real, non-negative and exact also where covariances are singular.

    Args:
        a: Features `(n, dim)`, n at least 2.
        b: Features `(m, dim)`, m at least 2.

    Returns:
        Non-negative; 0 for equal moments.

    Raises:
        ValueError: If the arrays are no features of one width.
    """
    a, b = _check_features(a=(a, 2), b=(b, 2))
    root_a, root_b = _covariance_root(a), _covariance_root(b)
    shift = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    cross = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    distance = shift + np.sum(root_a**2) + np.sum(root_b**2) - 2.0 * cross
    return float(max(distance, 0.0))


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """L with `L L^T` the covariance, `(dim, dim)`."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(features) - 1))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    *,
    seed: int = 0,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
) -> Result:
    """Squared maximum mean discrepancy of two sets: the kernel distance.

    The unbiased estimate with the kernel `(x.y / dim + 1)^3` of Binkowski et al.
    (2018, https://arxiv.org/abs/1801.01401), averaged over random subsets, each drawn
    without replacement.

    Args:
        a: Features `(n, dim)`, n at least 2.
        b: Features `(m, dim)`, m at least 2.
        seed: Seed of the subsets.
        num_subsets: Subsets to average over.
        subset_size: Rows of a subset, from each set; at most `min(n, m)` are taken.

    Returns:
        The mean, which may be below 0, and its standard error over subsets, which is
        small where subsets overlap much; where both sets are whole subsets, one
        estimate without an error.

    Raises:
        ValueError: If the arrays are no features of one width, or a number is out of
            range.
    """
    a, b = _check_features(a=(a, 2), b=(b, 2))
    check_positive_int("num_subsets", num_subsets)
    if check_positive_int("subset_size", subset_size) < 2:
        raise ValueError(
            "`subset_size` must be at least 2, as pairs are compared. "
            f"Received: subset_size={subset_size}."
        )
    size = min(subset_size, len(a), len(b))
    if size == len(a) == len(b):
        return Result(_unbiased_mmd(a, b))
    generator = np.random.default_rng(seed)
    estimates = [
        _unbiased_mmd(
            a[generator.choice(len(a), size, replace=False)],
            b[generator.choice(len(b), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return mean_with_error(estimates)


def _unbiased_mmd(a: np.ndarray, b: np.ndarray) -> float:
    n, dim = a.shape  # of both

    def kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
        inner = x @ y.T / dim + 1.0
        return float(np.vdot(inner * inner, inner))

    def others_sum(x: np.ndarray) -> float:
        own = np.einsum("ij,ij->i", x, x) / dim + 1.0
        return kernel_sum(x, x) - float(np.sum(own**3))

    within = (others_sum(a) + others_sum(b)) / (n * (n - 1))
    return within - 2.0 * kernel_sum(a, b) / n**2


def precision_recall(
    real: np.ndarray, generated: np.ndarray, k: int = PRECISION_K
) -> tuple[float, float]:
    """Share of samples among the images, and of images among the samples.

    Improved precision and recall of Kynkaanniemi et al. (2019,
    https://arxiv.org/abs/1904.06991): a set's manifold is the union of the balls
    around its members that reach their k-th nearest other member, surface included.

    Args:
        real: Features of images `(n, dim)`, n above k.
        generated: Features of samples `(m, dim)`, m above k.
        k: Neighbour that a ball reaches.

    Returns:
        Precision and recall, each from 0 to 1.

    Raises:
        ValueError: If the arrays are no features of one width, or `k` is below 1.
        MissingDependencyError: If scikit-learn is not installed.
    """
    check_positive_int("k", k)
    real, generated = _check_features(real=(real, k + 1), generated=(generated, k + 1))
    real_radii = _neighbour_distances(real, k)
    generated_radii = _neighbour_distances(generated, k)
    is_precise = np.zeros(len(generated), bool)

    def is_recalled(distances: np.ndarray, start: int) -> np.ndarray:
        radii = real_radii[start : start + len(distances), None]
        is_precise[np.any(distances <= radii, axis=0)] = True
        return np.any(distances <= generated_radii, axis=1)

    recalled = _over_distances(is_recalled, real, generated)
    return float(is_precise.mean()), float(recalled.mean())


def density_coverage(
    real: np.ndarray, generated: np.ndarray, k: int = DENSITY_K
) -> tuple[float, float]:
    """How many samples lie around each image, and share of images that have one.

    Naeem et al. (2020, https://arxiv.org/abs/2002.09797): balls around the images
    alone, each up to its k-th nearest other image, surface excluded as in the
    authors' code.

    Args:
        real: Features of images `(n, dim)`, n above k.
        generated: Features of samples `(m, dim)`, m at least 1.
        k: Neighbour that a ball reaches.

    Returns:
        Density, about 1 for samples of the images' own distribution and possibly
        above; coverage, from 0 to 1.

    Raises:
        ValueError: If the arrays are no features of one width, or `k` is below 1.
        MissingDependencyError: If scikit-learn is not installed.
    """
    check_positive_int("k", k)
    real, generated = _check_features(real=(real, k + 1), generated=(generated, 1))
    radii = _neighbour_distances(real, k)

    def samples_inside(distances: np.ndarray, start: int) -> np.ndarray:
        inside = distances < radii[start : start + len(distances), None]
        return np.count_nonzero(inside, axis=1)

    counts = _over_distances(samples_inside, real, generated)
    return float(counts.sum() / (k * len(generated))), float(np.mean(counts > 0))


def _neighbour_distances(features: np.ndarray, k: int) -> np.ndarray:
    """Distance of each row to its k-th nearest other row, `(n,)`."""
    neighbors = require("sklearn.neighbors", "evaluation", _NEIGHBOURS)
    search = neighbors.NearestNeighbors(n_neighbors=k, algorithm="brute")
    distances = search.fit(features).kneighbors()[0]  # of others only, nearest first
    return np.asarray(distances[:, -1])


def _over_distances(
    reduce: Callable[[np.ndarray, int], np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """`reduce(distances, first row)` over pieces of a matrix of distances, joined."""
    metrics = require("sklearn.metrics", "evaluation", _NEIGHBOURS)
    parts = metrics.pairwise_distances_chunked(
        rows, columns, reduce_func=reduce, n_jobs=1, working_memory=DISTANCES_MB
    )
    return np.concatenate(list(parts))


def _check_features(**arrays: tuple[Any, int]) -> list[np.ndarray]:
    """Arrays by name, each with the fewest rows that it may have, as float64."""
    checked = {}
    for name, (value, minimum) in arrays.items():
        features = to_numpy(value)
        if (
            features.ndim != 2
            or features.dtype.kind not in "fiu"
            or len(features) < minimum
            or features.shape[1] == 0
        ):
            raise ValueError(
                f"`{name}` must be numbers of shape (n, dim), n at least {minimum}. "
                f"Received: {name}.shape={features.shape}, dtype={features.dtype}."
            )
        checked[name] = features.astype("float64")
        if not np.isfinite(checked[name]).all():
            raise ValueError(
                f"`{name}` holds NaN or infinity. Find them with `np.isfinite({name})`."
            )
    widths = {name: features.shape[1] for name, features in checked.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in widths)} must have features of the "
            f"same extractor. Received: {widths} features."
        )
    return list(checked.values())


# --- Of a model ----------------------------------------------------------------------


def frechet(evaluation: Evaluation, sampler: str, extractor: str) -> float:
    """Frechet distance of samples from the images."""
    return frechet_distance(*_pair(evaluation, sampler, extractor))


def reconstruction_frechet(evaluation: Evaluation, extractor: str) -> float:
    """Frechet distance of reconstructions from the images."""
    real = _features(evaluation, extractor, _real)
    return frechet_distance(real, _features(evaluation, extractor, _reconstructed))


def kernel(evaluation: Evaluation, sampler: str, extractor: str) -> Result:
    """Kernel distance of samples from the images."""
    real, generated = _pair(evaluation, sampler, extractor)
    return kernel_distance(real, generated, seed=evaluation.seed)


def precision(evaluation: Evaluation, sampler: str, extractor: str) -> float:
    """Share of samples among the images."""
    return _precision_recall(evaluation, sampler, extractor)[0]


def recall(evaluation: Evaluation, sampler: str, extractor: str) -> float:
    """Share of images among the samples."""
    return _precision_recall(evaluation, sampler, extractor)[1]


def density(evaluation: Evaluation, sampler: str, extractor: str) -> float:
    """How many samples lie around each image."""
    return _density_coverage(evaluation, sampler, extractor)[0]


def coverage(evaluation: Evaluation, sampler: str, extractor: str) -> float:
    """Share of images that have a sample around them."""
    return _density_coverage(evaluation, sampler, extractor)[1]


def _precision_recall(
    evaluation: Evaluation, sampler: str, extractor: str
) -> tuple[float, float]:
    return evaluation.cached(
        ("precision_recall", extractor, sampler),
        lambda: precision_recall(*_pair(evaluation, sampler, extractor)),
    )


def _density_coverage(
    evaluation: Evaluation, sampler: str, extractor: str
) -> tuple[float, float]:
    return evaluation.cached(
        ("density_coverage", extractor, sampler),
        lambda: density_coverage(*_pair(evaluation, sampler, extractor)),
    )


def _pair(
    evaluation: Evaluation, sampler: str, extractor: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the images and of samples."""
    real = _features(evaluation, extractor, _real)
    return real, _features(evaluation, extractor, _generated(sampler))


def _features(
    evaluation: Evaluation, extractor: str, images: Callable[[Evaluation], np.ndarray]
) -> np.ndarray:
    """Features of the images that a function takes from an evaluation, once."""

    def compute() -> np.ndarray:
        network = evaluation.cached(
            ("extractor", extractor), lambda: load_extractor(extractor)
        )
        return network.features(images(evaluation))

    return evaluation.cached((images, extractor), compute)


def _real(evaluation: Evaluation) -> np.ndarray:
    return evaluation.examples


@functools.cache  # one function per sampler, by which features are remembered
def _generated(sampler: str) -> Callable[[Evaluation], np.ndarray]:
    def generate(evaluation: Evaluation) -> np.ndarray:
        return to_uint8(evaluation.sample(sampler))

    return generate


def _reconstructed(evaluation: Evaluation) -> np.ndarray:
    return np.concatenate(
        [to_uint8(chunk.x_hat) for chunk in evaluation.chunks("reconstructing")]
    )
