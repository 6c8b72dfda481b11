"""How well single code units stand for single generative factors.

Every function takes `codes`, floats of shape `(n, units)`, and `factors`, integers of
shape `(n, num_factors)`: the classes of the known factors of the same `n` examples.
Both have at least two columns, as the metrics compare units, or factors. Scores are
best at 1; none changes with the order of the units but for random choices. The rows
need not be all combinations of the factors: where a paper draws groups of examples
with a factor fixed, rows that share its value are drawn.

The metrics disagree by design; Locatello et al. (2019,
https://arxiv.org/abs/1811.12359) compare them. scikit-learn is optional:
`pip install "aezoo[evaluation]"`.
"""

import dataclasses
from typing import Any

import numpy as np

from aezoo.evaluation.context import Evaluation
from aezoo.utils.extras import require

# Share of a factor's entropy that a unit must tell to count as informative.
_INFORMATIVE = 0.05
# Units of less variance than this share of the largest unit's carry no code.
_COLLAPSED = 0.01
_GROUP_SIZE = 64  # rows, or pairs of rows, per vote
_TRAINING_VOTES = 10_000
_TEST_VOTES = 5_000
_TREES = 20
_LEAF_SIZE = 5
_MIN_EXAMPLES = 50


@dataclasses.dataclass(frozen=True)
class DCI:
    """The three scores of `dci`, each from 0 to 1.

    Attributes:
        disentanglement: 1 if every unit matters to one factor only.
        completeness: 1 if every factor needs one unit only.
        informativeness: Accuracy of predicting the factors on held-out examples.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def mutual_information_gap(
    codes: np.ndarray, factors: np.ndarray, bins: int = 20
) -> float:
    """Mutual information gap, MIG: is each factor known by one unit alone?

    Chen et al. (2018), section 4.1 (https://arxiv.org/abs/1802.04942): for every
    factor, the mutual information of the unit that knows most of it minus that of the
    second best, divided by the factor's entropy; averaged over factors. Each unit is
    cut into bins of equal width between its least and greatest value, as Locatello et
    al. (2019) do; the paper itself samples the posterior instead.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        bins: Bins per unit; from 2 to `n`. With few examples per bin mutual
            information is estimated too high.

    Returns:
        From 0 (some two units know equally much, or none knows anything: the chance
        level) to 1 (one unit knows each factor, no other knows anything of it).

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value.
        MissingDependencyError: If scikit-learn is not installed.

    Example:
        >>> factors = np.indices((4, 4)).reshape(2, -1).T
        >>> round(mutual_information_gap(factors * 0.5, factors, bins=4), 3)
        1.0
    """
    codes, factors = _check_arrays(codes, factors)
    information = _mutual_information(_discretize(codes, bins), factors)
    second, best = np.sort(information, axis=0)[-2:]
    return float(np.mean((best - second) / _entropies(factors)))


def modularity(codes: np.ndarray, factors: np.ndarray, bins: int = 20) -> float:
    """Modularity: does each unit know of one factor only?

    Ridgeway & Mozer (2018), section 3 (https://arxiv.org/abs/1802.05312): 1 minus the
    sum of a unit's squared mutual information with all factors but its best one,
    divided by the squared best one times the number of the others; averaged over units.

    The ratio of two numbers near 0 says nothing, so units that tell less than 5 % of
    every factor's entropy are left out. The bias of the estimate, to first order
    `(bins used - 1) (values - 1) / (2 n)` nats, is subtracted for this comparison.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        bins: Bins of equal width per unit; from 2 to `n`.

    Returns:
        From 0 (every unit knows as much of each factor, or none is informative: the
        chance level) to 1. A factor that no unit knows costs nothing.

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value.
        MissingDependencyError: If scikit-learn is not installed.
    """
    codes, factors = _check_arrays(codes, factors)
    cells = _discretize(codes, bins)
    information = _mutual_information(cells, factors)
    used, values = (
        np.array([len(np.unique(column)) for column in table.T])
        for table in (cells, factors)
    )
    bias = (used[:, None] - 1) * (values - 1) / (2 * len(codes))
    share = (information - bias) / _entropies(factors)
    information = information[share.max(axis=1) >= _INFORMATIVE]
    if not len(information):
        return 0.0
    squares = np.square(information)
    best = squares.max(axis=1)
    others = (squares.sum(axis=1) - best) / (best * (factors.shape[1] - 1))
    return float(np.mean(1.0 - others))


def dci(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness, DCI.

    Eastwood & Williams (2018) (https://openreview.net/forum?id=By-7dz-AZ): a random
    forest predicts each factor from all units, and its feature importances say which
    units matter (see `importance_scores`). Forests have 20 trees whose leaves hold at
    least 5 examples, are fitted to a random 80 % of the examples, and consider all
    units at every split, or the best unit would share its importance with others.
    Informativeness is the accuracy on the other 20 %, averaged over factors; the paper
    has the regression error of ordinal factors in its place.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        seed: Seed of the split and the forests. Non-negative.

    Returns:
        The three scores. Chance is about 0 for disentanglement and completeness, and
        for informativeness the share of a factor's most common value.

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value, or there are too
            few examples.
        MissingDependencyError: If scikit-learn is not installed.
    """
    codes, factors = _check_arrays(codes, factors)
    train, test = _split(factors, 0.8, seed)
    ensemble = require("sklearn.ensemble", "evaluation", "DCI")
    importances, accuracies = [], []
    for factor in factors.T:
        forest = ensemble.RandomForestClassifier(
            _TREES,
            max_features=None,
            min_samples_leaf=_LEAF_SIZE,
            random_state=seed,
            n_jobs=-1,
        ).fit(codes[train], factor[train])
        importances.append(forest.feature_importances_)
        accuracies.append(forest.score(codes[test], factor[test]))
    disentanglement, completeness = importance_scores(np.stack(importances, axis=1))
    return DCI(disentanglement, completeness, float(np.mean(accuracies)))


def importance_scores(importances: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of a matrix of importances.

    Eastwood & Williams (2018), section 2: a unit's disentanglement is 1 minus the
    entropy of its importances, scaled to sum to 1, with the number of factors as the
    base of the logarithm. Units are averaged with their total importance as weight.
    Completeness is the same with the roles of units and factors exchanged.

    Args:
        importances: Non-negative, shape `(units, num_factors)`, at least `(2, 2)`.

    Returns:
        Disentanglement and completeness, each from 0 to 1; 0 if all are 0.

    Raises:
        ValueError: If `importances` has another shape, is negative or not finite.

    Example:
        >>> importance_scores(np.array([[1.0, 0.0], [0.0, 2.0]]))
        (1.0, 1.0)
    """
    importances = np.asarray(importances, "float64")
    if importances.ndim != 2 or min(importances.shape) < 2:
        raise ValueError(
            "`importances` must have shape (units, num_factors), at least (2, 2). "
            f"Received: importances.shape={importances.shape}."
        )
    if not np.isfinite(importances).all() or importances.min() < 0.0:
        raise ValueError(
            "`importances` must be finite and non-negative. Received: values from "
            f"{importances.min()} to {importances.max()}."
        )
    return _concentration(importances), _concentration(importances.T)


def sap_score(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """Separated attribute predictability, SAP: does one unit alone predict each factor?

    Kumar et al. (2018), section 3 (https://arxiv.org/abs/1711.00848): every factor is
    predicted from every single unit; the score of the best unit minus that of the
    second best, averaged over factors. As the paper does for classes, thresholds on
    the unit are fitted for the balanced accuracy (the mean over values): a decision
    tree with as many leaves as the factor has values, fitted to a random 80 % of the
    examples and scored on the others. A linear SVM, as in other implementations, is
    no substitute: one-vs-rest lines on one number miss the values between the outer
    ones, so even perfect codes would score low.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        seed: Seed of the split. Non-negative.

    Returns:
        At least 0, the chance level. Guessing scores `1 / values` in the mean, so
        that perfect codes score about `1 - 1 / values`: above it by as much as the
        second best unit's guesses happen to fall below their mean.

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value, or there are too
            few examples.
        MissingDependencyError: If scikit-learn is not installed.
    """
    codes, factors = _check_arrays(codes, factors)
    train, test = _split(factors, 0.8, seed)
    tree = require("sklearn.tree", "evaluation", "The SAP score")
    gaps = []
    for factor in factors.T:
        counts = np.bincount(factor[test])
        balance = 1.0 / counts[factor[test]]
        accuracies = [
            tree.DecisionTreeClassifier(
                max_leaf_nodes=len(counts), class_weight="balanced", random_state=seed
            )
            .fit(unit[train, None], factor[train])
            .score(unit[test, None], factor[test], sample_weight=balance)
            for unit in codes.T
        ]
        second, best = np.sort(accuracies)[-2:]
        gaps.append(best - second)
    return float(np.mean(gaps))


def factor_vae_score(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """FactorVAE score: does the unit that varies least tell which factor is fixed?

    Kim & Mnih (2018), section 4 (https://arxiv.org/abs/1802.05983): 64 examples share
    the value of one factor; the unit whose variance, divided by its variance over all
    examples, is least votes for that factor. The score is the accuracy of the majority
    vote: each unit stands for the factor it votes for most often. 10,000 votes train
    this classifier and 5,000 test it, as many of each factor; groups are drawn with
    replacement, for training from one random half of the examples, for the test from
    the other, so that chance agreements of fixed examples are not learnt.

    Units with less than 1 % of the largest unit's variance are left out, as their
    ratio of variances is mere rounding.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        seed: Seed of the halves and the votes. Non-negative.

    Returns:
        From about `1 / num_factors`, the chance level, to 1; 0 if no unit varies.

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value, or no two
            examples of a half share a value of some factor.
    """
    codes, factors = _check_arrays(codes, factors)
    halves = _split(factors, 0.5, seed)
    variance = codes.var(axis=0)
    kept = variance > _COLLAPSED * variance.max()
    if not kept.any():
        return 0.0
    units = codes[:, kept] / np.sqrt(variance[kept])
    rng = np.random.default_rng(seed)
    tables = []  # votes of each unit for each factor
    for rows, votes in zip(halves, (_TRAINING_VOTES, _TEST_VOTES), strict=True):
        table = np.zeros((units.shape[1], factors.shape[1]), "int64")
        for index in range(factors.shape[1]):
            groups = _draw_groups(factors, index, rows, votes, _GROUP_SIZE, rng)
            spread = np.stack([unit[groups].var(axis=1) for unit in units.T], axis=1)
            table[:, index] = np.bincount(spread.argmin(axis=1), minlength=len(table))
        tables.append(table)
    training, test = tables
    right = test[np.arange(len(test)), training.argmax(axis=1)].sum()
    return float(right / test.sum())


def beta_vae_score(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """Beta-VAE score: do the differences of pairs tell which factor they share?

    Higgins et al. (2017), section 3 (https://openreview.net/forum?id=Sy2fzU9gl): both
    examples of a pair share the value of one factor; a linear classifier tells which,
    from the absolute difference of their codes averaged over 64 pairs. It is a
    logistic regression on units scaled to variance 1, trained on 10,000 averages and
    tested on 5,000, as many of each factor; pairs come with replacement, for training
    from one random half of the examples, for the test from the other.

    It is the most lenient of the scores: a rotated code may still reach 1, as a linear
    classifier uses all units at once.

    Args:
        codes: Floats of shape `(n, units)`.
        factors: Integers of shape `(n, num_factors)`.
        seed: Seed of the halves and the pairs. Non-negative.

    Returns:
        Accuracy, from about `1 / num_factors`, the chance level, to 1.

    Raises:
        ValueError: If an argument has a wrong shape, dtype or value, or no two
            examples of a half share a value of some factor.
        MissingDependencyError: If scikit-learn is not installed.
    """
    codes, factors = _check_arrays(codes, factors)
    halves = _split(factors, 0.5, seed)
    linear = require("sklearn.linear_model", "evaluation", "The beta-VAE score")
    deviation = codes.std(axis=0)
    units = codes / np.where(deviation > 0.0, deviation, 1.0)
    rng = np.random.default_rng(seed)
    parts: list[tuple[np.ndarray, np.ndarray]] = []  # differences, shared factors
    for rows, votes in zip(halves, (_TRAINING_VOTES, _TEST_VOTES), strict=True):
        differences = []
        for index in range(factors.shape[1]):
            groups = _draw_groups(factors, index, rows, votes, 2 * _GROUP_SIZE, rng)
            first, second = np.split(groups, 2, axis=1)
            pairs = [np.abs(u[first] - u[second]).mean(axis=1) for u in units.T]
            differences.append(np.stack(pairs, axis=1))
        shared = np.repeat(np.arange(len(differences)), len(differences[0]))
        parts.append((np.concatenate(differences), shared))
    (training, labels), (test, test_labels) = parts
    # Centred and scaled differences let the solver converge.
    centre, scale = training.mean(axis=0), training.std(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    classifier = linear.LogisticRegression(max_iter=1000)
    classifier.fit((training - centre) / scale, labels)
    return float(classifier.score((test - centre) / scale, test_labels))


def _check_arrays(codes: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes as float64, factors as classes 0, 1, ...; or an error with the rule."""
    codes, factors = np.asarray(codes), np.asarray(factors)
    for name, array, kinds, dtype in (
        ("codes", codes, "fiu", "numbers"),
        ("factors", factors, "iu", "integers"),
    ):
        if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in kinds:
            columns = "units" if name == "codes" else "num_factors"
            raise ValueError(
                f"`{name}` must be {dtype} of shape (n, {columns}), {columns} at least "
                f"2. Received: {name}.shape={array.shape}, dtype={array.dtype}."
            )
    if len(codes) != len(factors):
        raise ValueError(
            "`codes` and `factors` must have one row per example. Received: "
            f"{len(codes)} rows of codes, {len(factors)} of factors."
        )
    if not np.isfinite(codes).all():
        bad = int(np.count_nonzero(~np.isfinite(codes)))
        raise ValueError(
            f"`codes` must be finite. Received: {bad} NaN or infinite values."
        )
    classes = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    for index, column in enumerate(classes):
        if not column.any():
            raise ValueError(
                f"`factors` must vary. Received: a single value in `factors[:, "
                f"{index}]`. Leave this column out, or pass more examples."
            )
    return codes.astype("float64"), np.stack(classes, axis=1)


def _discretize(codes: np.ndarray, bins: int) -> np.ndarray:
    """Each unit's bin of equal width, from 0 to `bins - 1`; 0 for constant units."""
    is_int = hasattr(bins, "__index__") and not isinstance(bins, bool)
    if not is_int or not 2 <= bins <= len(codes):
        raise ValueError(
            "`bins` must be an integer from 2 to the number of examples. Received: "
            f"bins={bins!r}, {len(codes)} examples."
        )
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    cells = ((codes - low) / width * bins).astype("int64")
    return np.minimum(cells, bins - 1)


def _mutual_information(cells: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """In nats, of every unit and factor: `(units, num_factors)`."""
    metrics = require("sklearn.metrics", "evaluation", "Mutual information")
    return np.array(
        [
            [metrics.mutual_info_score(unit, factor) for factor in factors.T]
            for unit in cells.T
        ]
    )


def _entropies(factors: np.ndarray) -> np.ndarray:
    """Entropy of each factor in nats, `(num_factors,)`."""
    shares = [np.bincount(factor) / len(factor) for factor in factors.T]
    return np.array([-np.sum(share * np.log(share)) for share in shares])


def _concentration(importances: np.ndarray) -> float:
    """1 minus the rows' entropy, the base their length, weighted by the rows' sums."""
    totals = importances.sum(axis=1, keepdims=True)
    if not totals.any():
        return 0.0
    shares = importances / np.where(totals > 0.0, totals, 1.0)
    logarithms = np.log(np.where(shares > 0.0, shares, 1.0))
    entropy = -(shares * logarithms).sum(axis=1) / np.log(importances.shape[1])
    return float(np.average(1.0 - entropy, weights=totals[:, 0]))


def _split(
    factors: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of rows, the first one a random `share` of all."""
    is_int = hasattr(seed, "__index__") and not isinstance(seed, bool)
    if not is_int or not 0 <= seed < 2**32:
        raise ValueError(
            f"`seed` must be an integer from 0 to 2**32 - 1. Received: seed={seed!r}."
        )
    if len(factors) < _MIN_EXAMPLES:
        raise ValueError(
            f"`codes` and `factors` must have at least {_MIN_EXAMPLES} rows. Received: "
            f"{len(factors)} rows."
        )
    order = np.random.default_rng(seed).permutation(len(factors))
    first, second = np.split(order, [round(share * len(factors))])
    for index, column in enumerate(factors[first].T):
        if (column == column[0]).all():
            raise ValueError(
                f"`factors[:, {index}]` must take two values among the {len(first)} "
                f"examples drawn for training. Received: {column[0]} only. Pass more "
                "examples of its rare values."
            )
    return first, second


def _draw_groups(
    factors: np.ndarray,
    index: int,
    rows: np.ndarray,
    votes: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Groups of rows that share a value of one factor, `(votes / num_factors, size)`.

    A group's value is that of a random row, so rare values are as rare among groups;
    values of a single row are passed over, as all units are constant in their groups.
    """
    _, classes, counts = np.unique(
        factors[rows, index], return_inverse=True, return_counts=True
    )
    shared = classes[counts[classes] > 1]
    if not len(shared):
        raise ValueError(
            f"`factors[:, {index}]` must repeat some value, in each random half of the "
            f"examples. Received: {len(counts)} values in {len(rows)} rows. Pass more "
            "examples."
        )
    values = rng.choice(shared, (max(1, votes // factors.shape[1]), 1))
    by_value = rows[np.argsort(classes, kind="stable")]
    starts = np.cumsum(counts) - counts
    picks = rng.integers(counts[values], size=(len(values), size))
    return by_value[starts[values] + picks]


# --- Of a model ----------------------------------------------------------------------


def mig(evaluation: Evaluation) -> float:
    """Mutual information gap."""
    return mutual_information_gap(evaluation.codes, evaluation.factors)


def modularity_of_codes(evaluation: Evaluation) -> float:
    """Modularity."""
    return modularity(evaluation.codes, evaluation.factors)


def dci_disentanglement(evaluation: Evaluation) -> float:
    """Disentanglement of DCI."""
    return _dci_of(evaluation).disentanglement


def dci_completeness(evaluation: Evaluation) -> float:
    """Completeness of DCI."""
    return _dci_of(evaluation).completeness


def dci_informativeness(evaluation: Evaluation) -> float:
    """Informativeness of DCI."""
    return _dci_of(evaluation).informativeness


def _dci_of(evaluation: Evaluation) -> DCI:
    return evaluation.cached(
        "dci", lambda: dci(evaluation.codes, evaluation.factors, evaluation.seed)
    )


def sap(evaluation: Evaluation) -> float:
    """SAP score."""
    return sap_score(evaluation.codes, evaluation.factors, evaluation.seed)


def factor_vae(evaluation: Evaluation) -> float:
    """FactorVAE score."""
    return factor_vae_score(evaluation.codes, evaluation.factors, evaluation.seed)


def beta_vae(evaluation: Evaluation) -> float:
    """Beta-VAE score."""
    return beta_vae_score(evaluation.codes, evaluation.factors, evaluation.seed)
