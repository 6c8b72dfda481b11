"""What features are good for without training: neighbours, clusters, outliers.

Pure functions of arrays; examples and files are the command's affair. Needs
scikit-learn: `pip install "aezoo[features]"`.
"""

import csv
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.data.datasets import LINES, open_dataset
from aezoo.data.streams import Stream
from aezoo.errors import UnsupportedOperationError
from aezoo.features.streaming import (
    BATCH_SIZE,
    EXTRA,
    ON_ERROR,
    Features,
    Skipped,
)
from aezoo.modalities import Modality
from aezoo.utils.extras import require
from aezoo.utils.files import atomic_path, check_output
from aezoo.utils.progress import progress_bar
from aezoo.utils.validation import check_choice, check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

METRICS = ("cosine", "euclidean")
OUTLIER_METHODS = ("mahalanobis", "knn", "reconstruction")
TABLE_SUFFIXES = (".csv", ".parquet")
_INDEX = re.compile(r"(?P<key>.+)/(?P<index>\d+)")


# --- Neighbours ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest of many features to each query, nearest first.

    Attributes:
        indices: Rows of the features, shape `(queries, k)`.
        distances: Shape `(queries, k)`: 1 - cosine, or Euclidean.
    """

    indices: np.ndarray
    distances: np.ndarray


def nearest(
    queries: Any, features: Any, k: int = 8, metric: str = "cosine"
) -> Neighbours:
    """The `k` nearest features of each query, by exact search.

    Args:
        queries: Float, shape `(queries, dim)`.
        features: Float, shape `(n, dim)`, n at least k.
        k: How many.
        metric: `"cosine"` or `"euclidean"`.

    Raises:
        ValueError: If the shapes do not fit, there are fewer than `k` features, or an
            argument is wrong.
        MissingDependencyError: If scikit-learn is not installed.
    """
    check_choice("metric", metric, METRICS)
    x, q = _check_features(features), _check_features(queries, "queries")
    if q.shape[1] != x.shape[1]:
        raise ValueError(
            f"`queries` must have as many columns as `features`, {x.shape[1]}. "
            f"Received: queries.shape={q.shape}."
        )
    _check_enough(k, len(x), "neighbours")
    neighbors = require("sklearn.neighbors", EXTRA, "A search for neighbours")
    search = neighbors.NearestNeighbors(n_neighbors=k, metric=metric).fit(x)
    distances, indices = search.kneighbors(q)
    return Neighbours(indices, distances)


# --- Clusters ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Clustering:
    """A partition of features by k-means.

    Attributes:
        clusters: Cluster of each row, shape `(n,)`; 0 is the largest.
        distances: Euclidean distance of each row to its centre, shape `(n,)`.
        centers: Shape `(k, dim)`.
        ari: Adjusted Rand index with the labels; 1 is agreement, 0 chance; None
            without labels.
        nmi: Normalised mutual information with the labels, 0 to 1; None without.
    """

    clusters: np.ndarray
    distances: np.ndarray
    centers: np.ndarray
    ari: float | None = None
    nmi: float | None = None


def cluster(
    features: Any, k: int = 10, *, labels: Any = None, seed: int = 0
) -> Clustering:
    """Partition features by k-means, the best of 10 starts.

    Args:
        features: Float, shape `(n, dim)`, n at least k.
        k: Number of clusters, at least 2.
        labels: Known classes, shape `(n,)`, which the clusters are compared with.
        seed: Of the starts.

    Raises:
        ValueError: If there are fewer than `k` rows, or labels of another length.
        MissingDependencyError: If scikit-learn is not installed.
    """
    x = _check_features(features)
    _check_enough(k, len(x), "clusters")
    if k < 2:
        raise ValueError(f"`k` must be an integer of at least 2. Received: {k=}.")
    if labels is not None and np.shape(labels) != (len(x),):
        raise ValueError(
            f"`labels` must have shape ({len(x)},), one per row of `features`. "
            f"Received: labels.shape={np.shape(labels)}."
        )
    sklearn_cluster = require("sklearn.cluster", EXTRA, "Clustering")
    found = sklearn_cluster.KMeans(k, n_init=10, random_state=seed).fit(x)
    order = np.argsort(-np.bincount(found.labels_, minlength=k), kind="stable")
    clusters = np.argsort(order)[found.labels_]
    centers = found.cluster_centers_[order]
    distances = np.linalg.norm(x - centers[clusters], axis=1)
    if labels is None:
        return Clustering(clusters, distances, centers)
    scores = require("sklearn.metrics", EXTRA, "Clustering")
    return Clustering(
        clusters,
        distances,
        centers,
        float(scores.adjusted_rand_score(labels, clusters)),
        float(scores.normalized_mutual_info_score(labels, clusters)),
    )


# --- Outliers ---------------------------------------------------------------------


def outlier_scores(
    features: Any,
    reference: Any = None,
    method: str = "mahalanobis",
    *,
    k: int = 10,
) -> np.ndarray:
    """How unlike the reference each row is; higher is stranger.

    Args:
        features: Float, shape `(n, dim)`.
        reference: What is usual, shape `(m, dim)`; None for the features themselves,
            of which no row is then its own neighbour.
        method: `"mahalanobis"`: Mahalanobis distance to the mean of the reference,
            with its covariance shrunk as Ledoit & Wolf (2004) do. `"knn"`: Euclidean
            distance to the k-th nearest row of the reference (Sun et al., 2022, without
            normalisation).
        k: Which neighbour.

    Returns:
        Shape `(n,)`.

    Raises:
        ValueError: If the shapes do not fit, the reference is too small or an argument
            is wrong.
        MissingDependencyError: If scikit-learn is not installed.
    """
    check_choice("method", method, OUTLIER_METHODS[:2])
    x = _check_features(features)
    usual = x if reference is None else _check_features(reference, "reference")
    if usual.shape[1] != x.shape[1]:
        raise ValueError(
            f"`reference` must have as many columns as `features`, {x.shape[1]}. "
            f"Received: reference.shape={usual.shape}."
        )
    if method == "mahalanobis":
        _check_enough(2, len(usual), "rows of the reference")
        covariance = require("sklearn.covariance", EXTRA, "A search for outliers")
        fitted = covariance.LedoitWolf().fit(usual.astype("float64"))
        return np.sqrt(fitted.mahalanobis(x.astype("float64")))
    is_own = reference is None
    _check_enough(k + is_own, len(usual), "neighbours")
    neighbors = require("sklearn.neighbors", EXTRA, "A search for outliers")
    search = neighbors.NearestNeighbors(n_neighbors=k).fit(usual)
    distances, _ = search.kneighbors(None if is_own else x)
    return distances[:, -1]


@dataclasses.dataclass(frozen=True)
class ReconstructionErrors:
    """How badly a model reconstructs each example of a stream.

    Attributes:
        paths: Of all examples that could be read.
        errors: Mean squared error per element, in [0, 1] of images.
        skipped: Files that hold no example, with the reason.
    """

    paths: np.ndarray
    errors: np.ndarray
    skipped: list[tuple[str, str]]


def reconstruction_errors(
    model: "Autoencoder",
    stream: Stream,
    batch_size: int = BATCH_SIZE,
    *,
    on_error: str = "fail",
) -> ReconstructionErrors:
    """Reconstruction errors of all examples of a stream.

    Args:
        model: A pretrained model.
        stream: What `aezoo.data.streams.open_stream` returned.
        batch_size: Examples per step.
        on_error: As in `aezoo.encode_to_parquet`.

    Raises:
        ExampleFileError: If a file holds no example and `on_error` is `"fail"`.
        UnsupportedOperationError: If examples are no numbers that can be subtracted.
    """
    modality = model.modality
    if not modality.is_continuous:
        raise UnsupportedOperationError(
            f"{modality.noun.capitalize()}s are symbols, which have no squared error. "
            "Score their features: by the Mahalanobis distance, or by neighbours."
        )
    skipped = Skipped(check_choice("on_error", on_error, ON_ERROR))
    paths: list[str] = []
    errors = [np.empty(0, "float32")]
    with progress_bar("Reconstructing", modality.noun, len(stream)) as bar:
        for batch in stream.batches(check_positive_int("batch_size", batch_size)):
            skipped.add(batch.unreadable)
            paths += batch.paths
            if len(batch.examples):
                x = modality.unrounded(modality.check(batch.examples))
                difference = (x - model.reconstruct(x)).reshape(len(x), -1)
                errors.append(np.mean(np.square(difference), axis=1))
            bar.update(len(batch))
    return ReconstructionErrors(
        np.array(paths, str), np.concatenate(errors), skipped.files
    )


# --- Tables ----------------------------------------------------------------------


def write_table(path: str | Path, columns: Mapping[str, Any]) -> None:
    """Write columns of one length as CSV or Parquet; the file is whole or absent.

    Args:
        path: Ends in one of `TABLE_SUFFIXES`.
        columns: Values by name.

    Raises:
        ValueError: If the suffix is another.
        MissingDependencyError: If it needs pyarrow, which is not installed.
    """
    path = check_output(path, TABLE_SUFFIXES)
    values = {name: np.asarray(column).tolist() for name, column in columns.items()}
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".parquet":
            pq = require("pyarrow.parquet", EXTRA, "A Parquet file")
            pa = require("pyarrow", EXTRA, "A Parquet file")
            pq.write_table(pa.table(values), temporary)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(values)
                writer.writerows(zip(*values.values(), strict=True))


# --- Examples ----------------------------------------------------------------------


def read_examples(
    paths: Sequence[str],
    metadata: Any,
    modality: Modality,
    *,
    data_dir: str | Path | None = None,
    **options: Any,
) -> np.ndarray:
    """The examples that rows of features come from.

    Args:
        paths: Of the rows.
        metadata: Of the features, which says where they come from.
        modality: What an example is.
        data_dir: As in `aezoo.datasets.load_dataset`.
        **options: Of reading files, as in `aezoo.data.streams.open_stream`.

    Returns:
        `(n, *shape)`.

    Raises:
        ExampleFileError: If a file is not there any more.
        DatasetError: If the dataset is not.
        UnsupportedOperationError: If the examples were arrays in memory.
    """
    if metadata["kind"] == "folder":
        return np.stack([modality.read(Path(path), **options)[0] for path in paths])
    if metadata["kind"] == "array":
        raise UnsupportedOperationError(
            "The examples of these features were arrays in memory, which no file names."
        )
    matches = [_INDEX.fullmatch(path) for path in paths]
    indices = [int(match["index"]) for match in matches if match]
    source = metadata["source"]
    if Path(source).suffix.lower() in (".npz", *LINES):
        examples = open_dataset(source).examples
    else:
        name, _, split = source.partition("/")
        examples = open_dataset(name, split, data_dir).examples
    return modality.check(examples[indices])


def _check_features(values: Any, name: str = "features") -> np.ndarray:
    array = values.features if isinstance(values, Features) else np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        raise ValueError(
            f"`{name}` must be floats of shape (n, dim), n at least 1. "
            f"Received: shape={array.shape}, dtype={array.dtype}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinity.")
    return array


def _check_enough(k: Any, available: int, what: str) -> None:
    if check_positive_int("k", k) > available:
        raise ValueError(
            f"{k} {what} need at least as many examples. Received: {available}."
        )
