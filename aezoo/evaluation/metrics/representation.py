"""What codes are good for: labels from few examples, clusters, unfamiliar examples.

The functions on arrays take codes of shape `(n, units)` and integer labels of shape
`(n,)`. Nothing here fits the model: probes see the mode of the posterior.
"""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np

from aezoo.data.datasets import DatasetError
from aezoo.evaluation.context import Chunk, Evaluation
from aezoo.evaluation.definition import Result, mean_with_error
from aezoo.evaluation.metrics.likelihood import elbo
from aezoo.evaluation.metrics.reconstruction import mse
from aezoo.metrics.representation import (
    MAX_ITERATIONS,
    NEIGHBOURS,
    NUM_SUBSETS,
    STARTS,
    TOLERANCE,
)
from aezoo.utils.extras import require

# --- On arrays of codes --------------------------------------------------------------


def balanced_subset(labels: np.ndarray, num_labels: int, seed: int = 0) -> np.ndarray:
    """Positions of a random subset with equally many examples of each class.

    The subset depends on the arguments alone, so that models compare on the same
    one. Where `num_labels` is no multiple of the number of classes, some classes
    drawn at random have one example more than the others.

    Args:
        labels: Labels to choose from, integers, `(n,)`.
        num_labels: Size of the subset, at least the number of classes.
        seed: Seed of the choice.

    Returns:
        Different positions in `labels`, `(num_labels,)`.

    Raises:
        ValueError: If `num_labels` is below the number of classes, or a class has too
            few examples.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if num_labels < len(classes):
        raise ValueError(
            "`num_labels` must be at least the number of classes, so that each has "
            f"one. Received: num_labels={num_labels}, {len(classes)} classes."
        )
    per_class = -(-num_labels // len(classes))
    if counts.min() < per_class:
        raise ValueError(
            f"{num_labels} labels of {len(classes)} classes need {per_class} training "
            f"examples of each class. Received: {counts.min()} of class "
            f"{classes[counts.argmin()]}. Pass more training data or ask for fewer "
            "labels."
        )
    generator = np.random.default_rng((seed, num_labels))
    chosen = [
        generator.choice(np.flatnonzero(labels == label), per_class, replace=False)
        for label in generator.permutation(classes)
    ]
    # one example of every class after the other, until there are enough
    return np.stack(chosen, axis=1).reshape(-1)[:num_labels]


def linear_probe_accuracy(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Accuracy of a linear classifier of codes (Alain & Bengio, 2016).

    Multinomial logistic regression with the penalty `|w|^2 / 2` on the summed loss,
    on units that are standardised by the training codes. A unit without variance
    counts for nothing. Warns as scikit-learn does where L-BFGS does not converge.

    Args:
        train_codes: Codes to fit on, `(m, units)`.
        train_labels: Their labels, integers, `(m,)`.
        codes: Codes to classify, `(n, units)`.
        labels: Their labels, integers, `(n,)`.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: If the arrays do not belong together, or a class cannot be learnt.
        MissingDependencyError: If scikit-learn is not installed.
    """
    linear_model = require("sklearn.linear_model", "evaluation", "A linear probe")
    preprocessing = require("sklearn.preprocessing", "evaluation", "A linear probe")
    _check_task(train_codes, train_labels, codes, labels)
    scaler = preprocessing.StandardScaler().fit(train_codes)
    probe = linear_model.LogisticRegression(
        C=1.0, solver="lbfgs", tol=TOLERANCE, max_iter=MAX_ITERATIONS
    )
    probe.fit(scaler.transform(train_codes), train_labels)
    return float(probe.score(scaler.transform(codes), labels))


def knn_accuracy(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Accuracy of the nearest neighbours' majority (Cover & Hart, 1967).

    Five neighbours, or one where a class has fewer than five training examples.
    Distances are exact and Euclidean, of codes as they are: the scale of a unit is
    part of the representation. They are computed in pieces, so that memory does not
    grow with the product of the numbers of codes.

    Args:
        train_codes: Codes to look among, `(m, units)`.
        train_labels: Their labels, integers, `(m,)`.
        codes: Codes to classify, `(n, units)`.
        labels: Their labels, integers, `(n,)`.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: If the arrays do not belong together, or a class cannot be learnt.
        MissingDependencyError: If scikit-learn is not installed.
    """
    neighbors = require("sklearn.neighbors", "evaluation", "k-NN accuracy")
    _check_task(train_codes, train_labels, codes, labels)
    fewest = np.unique(train_labels, return_counts=True)[1].min()
    k = NEIGHBOURS if fewest >= NEIGHBOURS else 1
    classifier = neighbors.KNeighborsClassifier(k, algorithm="brute")
    return float(classifier.fit(train_codes, train_labels).score(codes, labels))


def cluster_agreement(
    codes: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """How well k-means finds the classes: adjusted Rand index and information.

    As many clusters as there are classes, in codes as they are; the best of ten
    starts by k-means++.

    Args:
        codes: Codes to cluster, `(n, units)`.
        labels: Their labels, integers, `(n,)`.
        seed: Seed of the starts.

    Returns:
        The adjusted Rand index of Hubert & Arabie (1985,
        https://doi.org/10.1007/BF01908075): 1 for the same partition, 0 in
        expectation for a random one. The mutual information divided by the mean of
        the two entropies: from 0 to 1.

    Raises:
        ValueError: If the arrays do not belong together, or there is one class only.
        MissingDependencyError: If scikit-learn is not installed.
    """
    cluster = require("sklearn.cluster", "evaluation", "Clustering")
    metrics = require("sklearn.metrics", "evaluation", "Clustering")
    exceptions = require("sklearn.exceptions", "evaluation", "Clustering")
    classes = _check_labelled(codes, labels)
    k_means = cluster.KMeans(len(classes), n_init=STARTS, random_state=seed)
    with warnings.catch_warnings():
        # fewer different codes than classes are fewer clusters, which scores as such
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        clusters = k_means.fit_predict(codes)
    return (
        float(metrics.adjusted_rand_score(labels, clusters)),
        float(metrics.normalized_mutual_info_score(labels, clusters)),
    )


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Area under the ROC curve of telling two sets apart by a score.

    The probability that a score from outside is larger than one from inside, where a
    tie counts half.

    Args:
        inside: Scores of in-distribution examples, `(n,)`.
        outside: Scores of out-of-distribution examples, `(m,)`.

    Returns:
        From 0 to 1; 0.5 where the score tells nothing.

    Raises:
        ValueError: If a set is empty, or a score is not finite.
        MissingDependencyError: If scikit-learn is not installed.
    """
    metrics = require("sklearn.metrics", "evaluation", "AUROC")
    for name, scores in {"inside": inside, "outside": outside}.items():
        if np.ndim(scores) != 1 or not np.size(scores) or not np.isfinite(scores).all():
            raise ValueError(
                f"`{name}` must be finite numbers of shape (n,), n at least 1. "
                f"Received: {name}.shape={np.shape(scores)}. Find NaN and infinity "
                f"with `np.isfinite({name})`."
            )
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    return float(metrics.roc_auc_score(is_outside, np.concatenate([inside, outside])))


def _check_task(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Refuse what a classifier cannot be fitted to or judged on."""
    known = _check_labelled(train_codes, train_labels, "train_")
    wanted = _check_labelled(codes, labels, fewest_classes=1)
    if np.shape(train_codes)[1] != np.shape(codes)[1]:
        raise ValueError(
            "`train_codes` and `codes` must have the same units. Received: "
            f"{np.shape(train_codes)[1]} and {np.shape(codes)[1]} units."
        )
    if missing := sorted(wanted - known):
        raise ValueError(
            f"`train_labels` must hold every class of `labels`. Received: none of "
            f"class {', '.join(map(str, missing))} among {len(train_labels):,} "
            "training examples. Pass more training data."
        )


def _check_labelled(
    codes: np.ndarray, labels: np.ndarray, prefix: str = "", fewest_classes: int = 2
) -> set[int]:
    """The classes, if these are codes and their labels."""
    name = f"{prefix}codes"
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or codes.dtype.kind not in "fiu" or not codes.size:
        raise ValueError(
            f"`{name}` must be numbers of shape (n, units). "
            f"Received: {name}.shape={codes.shape}, dtype={codes.dtype}."
        )
    if not np.isfinite(codes).all():
        raise ValueError(
            f"`{name}` holds NaN or infinity. Find them with `np.isfinite({name})`."
        )
    if labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`{prefix}labels` must be one integer per row of `{name}`. Received: "
            f"{prefix}labels.shape={labels.shape}, dtype={labels.dtype}, {len(codes)} "
            "rows."
        )
    classes = {int(label) for label in np.unique(labels)}
    if len(classes) < fewest_classes:
        raise ValueError(
            f"`{prefix}labels` must be of at least {fewest_classes} classes. "
            f"Received: class {', '.join(map(str, classes))} alone."
        )
    return classes


# --- Of a model ----------------------------------------------------------------------

# What examples a model of one dataset is usually shown as unfamiliar ones.
UNFAMILIAR = {"mnist": "fashion_mnist", "fashion_mnist": "mnist"}


def linear_probe(evaluation: Evaluation, num_labels: int | None = None) -> Result:
    """Accuracy of a linear probe fitted on all training labels, or on so many."""
    return _from_labels(linear_probe_accuracy, evaluation, num_labels)


def nearest_neighbours(evaluation: Evaluation, num_labels: int | None = None) -> Result:
    """Accuracy of nearest neighbours among all training codes, or among so many."""
    return _from_labels(knn_accuracy, evaluation, num_labels)


def _from_labels(
    accuracy: Callable[..., float], evaluation: Evaluation, num_labels: int | None
) -> Result:
    """The accuracy on all labels, or its mean over random subsets of so many."""
    labels = evaluation.train_labels
    if num_labels is None:
        subsets = [np.arange(len(labels))]
    else:
        subsets = [
            balanced_subset(labels, num_labels, evaluation.seed + i)
            for i in range(NUM_SUBSETS)
        ]
    values, note = _accuracies(accuracy, evaluation, subsets)
    if num_labels is not None:
        result = mean_with_error(values)
        return dataclasses.replace(result, values=tuple(values), note=note)
    (value,) = values
    error = np.sqrt(value * (1.0 - value) / len(evaluation))
    return Result(value, float(error), note=note)


def _accuracies(
    accuracy: Callable[..., float], evaluation: Evaluation, subsets: list[np.ndarray]
) -> tuple[list[float], str]:
    """Accuracy by subset of the training data, and what the protocol must add."""
    exceptions = require("sklearn.exceptions", "evaluation", "A probe")
    labels = evaluation.train_labels
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", exceptions.ConvergenceWarning)
        values = [
            accuracy(
                evaluation.train_codes[subset],
                labels[subset],
                evaluation.codes,
                evaluation.labels,
            )
            for subset in subsets
        ]
    note = f": {len(labels):,}"
    if caught:
        note += f"; {len(caught)} of {len(subsets)} fits ended short of the tolerance"
    return values, note


def classification_accuracy(chunk: Chunk) -> np.ndarray:
    """Whether a model that classifies is right about each example: 0 or 1, `(n,)`.

    Raises:
        DatasetError: If a label is none of the model's classes.
    """
    labels = chunk.evaluation.labels[chunk.start : chunk.stop]
    classes: int = chunk.model.num_classes
    if labels.min() < 0 or labels.max() >= classes:
        raise DatasetError(
            f"Labels must be from 0 to {classes - 1}, the classes that the model tells "
            f"apart. Received: {labels.min()} to {labels.max()}."
        )
    probabilities = chunk.model.classify(chunk.x)
    return (np.argmax(probabilities, axis=1) == labels).astype("float64")


def kmeans_ari(evaluation: Evaluation) -> float:
    """Adjusted Rand index of k-means and the labels."""
    return _agreement(evaluation)[0]


def kmeans_nmi(evaluation: Evaluation) -> float:
    """Normalised mutual information of k-means and the labels."""
    return _agreement(evaluation)[1]


def _agreement(evaluation: Evaluation) -> tuple[float, float]:
    return evaluation.cached(
        "cluster_agreement",
        lambda: cluster_agreement(
            evaluation.codes, evaluation.labels, seed=evaluation.seed
        ),
    )


def ood_auroc_mse(evaluation: Evaluation, dataset: str) -> float:
    """AUROC of telling examples of another dataset by their error."""
    inside = _scores(evaluation, mse)
    return auroc(inside, _scores(_other(evaluation, dataset), mse))


def ood_auroc_elbo(evaluation: Evaluation, dataset: str) -> float:
    """AUROC of telling examples of another dataset by their bound."""
    inside = _scores(evaluation, elbo)
    return auroc(-inside, -_scores(_other(evaluation, dataset), elbo))


def default_unfamiliar(dataset: str) -> str:
    """The dataset whose examples are usually shown as unfamiliar ones.

    Raises:
        DatasetError: If there is none.
    """
    if dataset not in UNFAMILIAR:
        raise DatasetError(
            f"There is no usual out-of-distribution dataset for {dataset!r}. Name one "
            "of the same shape, as in 'ood_auroc_mse/mnist'."
        )
    return UNFAMILIAR[dataset]


def _other(evaluation: Evaluation, dataset: str) -> Evaluation:
    """The model on the out-of-distribution examples, once for all scores."""

    def compute() -> Evaluation:
        try:
            return evaluation.other(dataset)
        except ValueError as error:
            raise DatasetError(
                f"{dataset!r} cannot be the out-of-distribution dataset of "
                f"{evaluation.data.key!r}: {error}"
            ) from error

    return evaluation.cached(("other", dataset), compute)


def _scores(evaluation: Evaluation, score: Callable[[Chunk], np.ndarray]) -> np.ndarray:
    """A metric of each example, once."""
    return evaluation.cached(
        ("scores", score),
        lambda: np.concatenate([score(c) for c in evaluation.chunks("scoring")]),
    )
