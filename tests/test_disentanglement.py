"""Metrics of disentanglement: perfect, useless and entangled codes, and formulas."""

from collections.abc import Callable

import numpy as np
import pytest

import aezoo
from aezoo import evaluation
from aezoo.data.datasets import Dataset, DatasetError
from aezoo.evaluation.metrics import disentanglement as d

pytest.importorskip("sklearn")

VALUES = 6
FACTORS = 10
Metric = Callable[[np.ndarray, np.ndarray], float]


def _dci(field: str) -> Metric:
    def score(codes: np.ndarray, factors: np.ndarray) -> float:
        value: float = getattr(d.dci(codes, factors), field)
        return value

    return score


METRICS: dict[str, Metric] = {
    "mutual_information_gap": d.mutual_information_gap,
    "modularity": d.modularity,
    "disentanglement": _dci("disentanglement"),
    "completeness": _dci("completeness"),
    "informativeness": _dci("informativeness"),
    "sap_score": d.sap_score,
    "factor_vae_score": d.factor_vae_score,
    "beta_vae_score": d.beta_vae_score,
}
# Guessing one of six values is right once in six times, whatever the second-best unit.
BEST = dict.fromkeys(METRICS, 1.0) | {"sap_score": 1.0 - 1.0 / VALUES}


def _all_scores(codes: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    result = d.dci(codes, factors)
    return {
        "disentanglement": result.disentanglement,
        "completeness": result.completeness,
        "informativeness": result.informativeness,
    } | {
        name: metric(codes, factors)
        for name, metric in METRICS.items()
        if name not in ("disentanglement", "completeness", "informativeness")
    }


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    return np.random.default_rng(0).integers(0, VALUES, (3000, FACTORS))


@pytest.fixture(scope="module")
def perfect(factors: np.ndarray) -> np.ndarray:
    """One unit per factor in another order and scale, and two units of noise."""
    rng = np.random.default_rng(1)
    units = factors + rng.normal(0.0, 0.05, factors.shape)
    scales = np.linspace(-2.0, -0.5, FACTORS)
    return np.hstack([(units * scales)[:, ::-1], rng.normal(size=(len(units), 2))])


@pytest.fixture(scope="module")
def perfect_scores(perfect: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    return _all_scores(perfect, factors)


@pytest.fixture(scope="module")
def useless_scores(factors: np.ndarray) -> dict[str, float]:
    codes = np.random.default_rng(2).normal(size=(len(factors), 5))
    return _all_scores(codes, factors)


@pytest.fixture(scope="module")
def entangled_scores(factors: np.ndarray) -> dict[str, float]:
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(FACTORS, FACTORS)))[0]
    units = factors + rng.normal(0.0, 0.05, factors.shape)
    return _all_scores((units - units.mean(axis=0)) @ rotation, factors)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_codes_score_near_the_best(
    perfect_scores: dict[str, float], name: str
) -> None:
    assert BEST[name] - 0.05 < perfect_scores[name] <= 1.0


@pytest.mark.parametrize("name", METRICS)
def test_useless_codes_score_near_chance(
    useless_scores: dict[str, float], name: str
) -> None:
    assert 0.0 <= useless_scores[name] < 0.2


@pytest.mark.parametrize("name", METRICS)
def test_entangled_codes_score_less_than_perfect_ones(
    entangled_scores: dict[str, float],
    perfect_scores: dict[str, float],
    useless_scores: dict[str, float],
    name: str,
) -> None:
    assert useless_scores[name] < entangled_scores[name] < perfect_scores[name] - 0.01


@pytest.mark.parametrize("name", ["factor_vae_score", "beta_vae_score"])
def test_chance_is_one_in_the_number_of_factors(
    useless_scores: dict[str, float], name: str
) -> None:
    assert useless_scores[name] == pytest.approx(1.0 / FACTORS, abs=0.03)


def test_the_order_of_the_units_does_not_matter(
    perfect: np.ndarray, factors: np.ndarray
) -> None:
    codes, few = perfect[:1000, 6:10] + perfect[:1000, 5:9] / 2, factors[:1000, :4]
    shuffled = codes[:, [2, 0, 3, 1]]
    before, after = _all_scores(codes, few), _all_scores(shuffled, few)
    # Forests break ties between units at random.
    assert after == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize("name", ["dci", "sap_score"])
def test_same_seed_same_score_and_another_seed_another(
    factors: np.ndarray, name: str
) -> None:
    codes = factors[:500, :4] + np.random.default_rng(4).normal(size=(500, 4))
    metric = getattr(d, name)
    first = metric(codes, factors[:500, :4], seed=5)
    assert metric(codes, factors[:500, :4], seed=5) == first
    assert metric(codes, factors[:500, :4], seed=6) != first


@pytest.mark.parametrize("name", ["factor_vae_score", "beta_vae_score"])
def test_votes_repeat_with_the_seed(factors: np.ndarray, name: str) -> None:
    codes = factors[:500, :4] + np.random.default_rng(4).normal(0, 2, (500, 4))
    metric = getattr(d, name)
    first = metric(codes, factors[:500, :4], seed=5)
    assert metric(codes, factors[:500, :4], seed=5) == first
    assert metric(codes, factors[:500, :4], seed=6) != first


def test_scores_do_not_depend_on_how_factors_are_numbered(
    perfect: np.ndarray, factors: np.ndarray
) -> None:
    few = factors[:1000]
    for metric in (d.mutual_information_gap, d.sap_score, d.factor_vae_score):
        renamed = metric(perfect[:1000], few.astype("uint8") * 7 + 3)
        assert renamed == metric(perfect[:1000], few)


def _mutual_information_by_hand(table: np.ndarray) -> float:
    joint = table / table.sum()
    total = 0.0
    for i, row in enumerate(joint):
        for j, p in enumerate(row):
            if p > 0.0:
                total += p * np.log(p / (joint[i].sum() * joint[:, j].sum()))
    return total


def test_mutual_information_gap_by_hand() -> None:
    factors = np.array([[0, 0], [0, 1], [0, 0], [1, 1], [1, 0], [1, 1]])
    codes = np.array([[0, 5], [0, 6], [1, 5], [1, 6], [1, 5], [1, 5]], "float64")
    # Counts of (bin, value): unit 0 and unit 1, for factor 0 and then for factor 1.
    unit0 = [np.array([[2, 0], [1, 3]]), np.array([[1, 1], [2, 2]])]
    unit1 = [np.array([[2, 2], [1, 1]]), np.array([[3, 1], [0, 2]])]
    gaps = [
        abs(_mutual_information_by_hand(a) - _mutual_information_by_hand(b))
        for a, b in zip(unit0, unit1, strict=True)
    ]
    expected = np.mean(gaps) / np.log(2.0)  # both factors are fair coins
    assert expected > 0.3
    assert d.mutual_information_gap(codes, factors, bins=2) == pytest.approx(expected)


def test_bins_are_of_equal_width_and_constant_units_tell_nothing() -> None:
    factors = np.indices((4, 4)).reshape(2, -1).T
    codes = np.hstack([factors * 0.5, np.full((16, 1), 7.0)])
    assert d.mutual_information_gap(codes, factors, bins=4) == pytest.approx(1.0)
    # With 2 bins a unit tells one of the two bits.
    assert d.mutual_information_gap(codes, factors, bins=2) == pytest.approx(0.5)


def test_modularity_by_hand() -> None:
    """A unit that knows two of three factors equally well: 1 - 1 / 2."""
    factors = np.tile(np.indices((4, 4, 4)).reshape(3, -1).T, (50, 1))
    both = 4.0 * factors[:, 0] + factors[:, 1]  # 16 bins for 16 values
    pure = factors[:, 2].astype("float64")
    codes = np.stack([both, pure], axis=1)
    assert d.modularity(codes, factors, bins=16) == pytest.approx((0.5 + 1.0) / 2)


def test_modularity_leaves_out_units_that_know_nothing(factors: np.ndarray) -> None:
    few = factors[:300, :3]  # so few that mutual information looks large by its bias
    noise = np.random.default_rng(5).normal(size=(300, 5))
    assert d.modularity(noise, few) == 0.0
    assert d.modularity(np.zeros((300, 5)), few) == 0.0
    units = few.astype("float64")
    alone = d.modularity(units, few)
    assert alone > 0.9
    assert d.modularity(np.hstack([units, noise]), few) == pytest.approx(alone)


def test_importance_scores_follow_the_entropy_formula() -> None:
    matrix = np.array([[0.6, 0.2, 0.0], [0.4, 0.6, 0.0], [0.0, 0.2, 1.0]])

    def entropy(*shares: float) -> float:
        return -sum(p * np.log(p) for p in shares) / np.log(3.0)

    rows = [entropy(0.75, 0.25), entropy(0.4, 0.6), entropy(1 / 6, 5 / 6)]
    columns = [entropy(0.6, 0.4), entropy(0.2, 0.6, 0.2), 0.0]
    weights = np.array([0.8, 1.0, 1.2]) / 3.0
    disentanglement, completeness = d.importance_scores(matrix)
    assert disentanglement == pytest.approx(1.0 - weights @ rows)
    assert completeness == pytest.approx(1.0 - np.mean(columns))


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(3), (1.0, 1.0)),
        (np.ones((4, 3)), (0.0, 0.0)),
        (np.zeros((4, 3)), (0.0, 0.0)),
        # A dead unit weighs nothing; two units of one factor cost completeness.
        (np.array([[1.0, 0], [0, 0.5], [0, 0.5], [0, 0]]), (1.0, 0.75)),
    ],
)
def test_importance_scores_of_plain_cases(
    matrix: np.ndarray, expected: tuple[float, float]
) -> None:
    assert d.importance_scores(matrix) == pytest.approx(expected)


def test_collapsed_units_do_not_vote(factors: np.ndarray) -> None:
    three = factors[:, :3]
    rng = np.random.default_rng(6)
    codes = three + rng.normal(0.0, 0.05, three.shape)
    # Rare large values: in most groups its share of its own variance is the least.
    tiny = 1e-6 * rng.normal(size=(len(codes), 1)) ** 9
    assert 0.0 < tiny.var() < 0.01 * codes.var()
    score = d.factor_vae_score(np.hstack([codes, tiny]), three)
    assert score == d.factor_vae_score(codes, three) == 1.0
    assert d.factor_vae_score(np.ones_like(codes), three) == 0.0


def test_groups_share_one_value_and_reach_all_that_repeat() -> None:
    factors = np.array([[0, 5], [1, 5], [0, 6], [1, 6], [2, 6], [1, 7], [0, 5]])
    rows = np.array([6, 1, 4, 3, 5, 2])  # all but row 0; one row has value 2
    rng = np.random.default_rng(0)
    groups = d._draw_groups(factors, 0, rows, 400, 16, rng)
    assert groups.shape == (200, 16)
    values = factors[groups, 0]
    assert (values == values[:, :1]).all()
    drawn = {value: set(groups[values == value]) for value in (0, 1, 2)}
    assert drawn == {0: {2, 6}, 1: {1, 3, 5}, 2: set()}


def test_beta_vae_score_of_constant_codes_is_chance(factors: np.ndarray) -> None:
    three = factors[:, :3]
    assert d.beta_vae_score(np.ones((3000, 2)), three) == pytest.approx(1 / 3, abs=1e-3)


SEEDED = (d.dci, d.sap_score, d.factor_vae_score, d.beta_vae_score)
BINNED = (d.mutual_information_gap, d.modularity)
GOOD_CODES = np.random.default_rng(7).normal(size=(60, 3))
GOOD_FACTORS = np.random.default_rng(8).integers(0, 3, (60, 2))


def _with(array: np.ndarray, index: tuple, value: float) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize("metric", [*SEEDED, *BINNED])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (
            GOOD_CODES[:, 0],
            GOOD_FACTORS,
            r"`codes` must be numbers of shape \(n, units\).*codes.shape=\(60,\)",
        ),
        (GOOD_CODES[:, :1], GOOD_FACTORS, r"units at least 2.*shape=\(60, 1\)"),
        (GOOD_CODES.astype(str), GOOD_FACTORS, r"`codes` must be numbers.*dtype=<U"),
        (
            GOOD_CODES,
            GOOD_FACTORS[:, :1],
            r"`factors` must be integers of shape \(n, num_factors\).*\(60, 1\)",
        ),
        (GOOD_CODES, GOOD_FACTORS * 1.0, r"`factors` must be integers.*float64"),
        (GOOD_CODES[:59], GOOD_FACTORS, r"one row per example.*59 rows.*60 of factors"),
        (
            _with(GOOD_CODES, (3, 1), np.nan),
            GOOD_FACTORS,
            r"`codes` must be finite. Received: 1 NaN or infinite",
        ),
        (_with(GOOD_CODES, (3, 1), np.inf), GOOD_FACTORS, r"`codes` must be finite"),
        (
            GOOD_CODES,
            _with(GOOD_FACTORS, (slice(None), 1), 2),
            r"`factors` must vary.*single value in `factors\[:, 1\]`",
        ),
    ],
)
def test_bad_arrays(
    metric: Callable, codes: np.ndarray, factors: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(codes, factors)


@pytest.mark.parametrize("metric", SEEDED)
def test_bad_seeds_and_too_few_examples(metric: Callable) -> None:
    for seed in (-1, 0.5, True, 2**32):
        with pytest.raises(
            ValueError, match=rf"`seed` must be an integer.*seed={seed}"
        ):
            metric(GOOD_CODES, GOOD_FACTORS, seed=seed)
    with pytest.raises(ValueError, match=r"at least 50 rows. Received: 49 rows"):
        metric(GOOD_CODES[:49], GOOD_FACTORS[:49])


@pytest.mark.parametrize("metric", SEEDED)
def test_a_value_too_rare_to_be_trained_on_is_refused(metric: Callable) -> None:
    last = np.random.default_rng(0).permutation(60)[-1]  # a held-out row
    rare = _with(_with(GOOD_FACTORS, (slice(None), 1), 0), (last, 1), 1)
    with pytest.raises(ValueError, match=r"`factors\[:, 1\]` must take two values"):
        metric(GOOD_CODES, rare)


@pytest.mark.parametrize("metric", [d.factor_vae_score, d.beta_vae_score])
def test_a_factor_that_never_repeats_is_refused(metric: Callable) -> None:
    unique = _with(GOOD_FACTORS, (slice(None), 1), np.arange(60))
    with pytest.raises(ValueError, match=r"`factors\[:, 1\]` must repeat.*30 values"):
        metric(GOOD_CODES, unique)


@pytest.mark.parametrize("metric", BINNED)
@pytest.mark.parametrize("bins", [1, 61, 2.5, True])
def test_bad_bins(metric: Callable, bins: float) -> None:
    with pytest.raises(ValueError, match=rf"`bins` must.*bins={bins}, 60 examples"):
        metric(GOOD_CODES, GOOD_FACTORS, bins=bins)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones(3), r"`importances` must have shape \(units, num_factors\).*\(3,\)"),
        (np.ones((3, 1)), r"at least \(2, 2\).*\(3, 1\)"),
        (np.array([[1.0, -1.0], [0.0, 1.0]]), r"must be finite and non-negative.*-1.0"),
        (np.full((2, 2), np.nan), r"`importances` must be finite.*nan"),
    ],
)
def test_bad_importances(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        d.importance_scores(matrix)


def test_sap_of_factors_with_many_values_reaches_nine_tenths() -> None:
    """Guessing one of sixteen values is right once in sixteen times."""
    factors = np.random.default_rng(0).integers(0, 16, (4000, 4))
    codes = factors + np.random.default_rng(1).normal(0.0, 0.05, factors.shape)
    assert 0.9 <= d.sap_score(codes, factors) <= 1.0 - 1.0 / 16 + 0.01


def test_models_are_measured_on_datasets_with_factors() -> None:
    """`evaluate` hands codes and factors to the functions of this module."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (400, 2))
    pixels = np.stack([factors[:, 0] / 3, factors[:, 1] / 3, rng.random(400)], axis=1)
    model = aezoo.create("linear_ae", input_shape=(1, 3, 1), latent_dim=3)
    model.encoder.heads["z"].set_weights([np.eye(3), np.zeros(3)])
    images = pixels.reshape(400, 1, 3, 1).astype("float32")
    data = Dataset("drawn", "1", "test", images, factors=factors)
    names = [n for n, m in evaluation.METRICS.items() if m.needs == ("factors",)]
    assert len(names) == 8
    report = aezoo.evaluate(model, data, metrics=names, seed=3)
    codes = model.encode(images)
    scores = d.dci(codes, factors, seed=3)
    expected = {
        "mig": d.mutual_information_gap(codes, factors),
        "modularity": d.modularity(codes, factors),
        "dci_disentanglement": scores.disentanglement,
        "dci_completeness": scores.completeness,
        "dci_informativeness": scores.informativeness,
        "sap": d.sap_score(codes, factors, seed=3),
        "factor_vae_score": d.factor_vae_score(codes, factors, seed=3),
        "beta_vae_score": d.beta_vae_score(codes, factors, seed=3),
    }
    assert {name: record.value for name, record in report.items()} == expected
    with pytest.raises(DatasetError, match=r"'mig' needs factors"):
        aezoo.evaluate(model, images, metrics=["mig"])
