"""Intervals over seeds, against SciPy and by coverage."""

import numpy as np
import pytest
from scipy import stats

from training.intervals import Estimate, difference, mean, paired_difference

A, B = [1.0, 2.0, 4.0], [5.0, 5.5, 7.0, 9.0]


def test_the_interval_of_a_mean_is_students() -> None:
    low, high = stats.t.interval(0.95, 2, np.mean(A), stats.sem(A))
    estimate = mean(A)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_the_interval_of_a_difference_is_welchs() -> None:
    test = stats.ttest_ind(A, B, equal_var=False).confidence_interval(0.95)
    estimate = difference(A, B)
    assert (estimate.low, estimate.high) == pytest.approx((test.low, test.high))
    assert estimate.value == pytest.approx(np.mean(A) - np.mean(B))
    assert estimate.count == 3
    assert estimate.is_beyond_noise == (test.high < 0)


def test_what_trainings_share_cancels_in_pairs() -> None:
    shifted = [value + 1.0 for value in B]
    assert paired_difference(shifted, B) == Estimate(1.0, 0.0, 4)
    assert not difference(shifted, B).is_beyond_noise


def test_fewer_than_three_trainings_carry_no_claim() -> None:
    assert mean([5.0]) == Estimate(5.0, None, 1)
    assert difference([5.0], B).half_width is None
    assert not difference([5.0, 5.0], [9.0, 9.0, 9.0]).is_beyond_noise
    assert difference([5.0] * 3, [9.0] * 3) == Estimate(-4.0, 0.0, 3)
    assert difference([5.0] * 3, [9.0] * 3).is_beyond_noise
    assert not difference([5.0] * 3, [5.0] * 3).is_beyond_noise


def test_a_scale_keeps_what_is_beyond_the_noise() -> None:
    assert Estimate(2.0, 1.0, 3).scaled(-10.0) == Estimate(-20.0, 10.0, 3)


def test_intervals_cover_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(0)
    hits = []
    for _ in range(2000):
        estimate = difference(generator.normal(0, 1, 3), generator.normal(0, 2, 5))
        hits.append(estimate.low <= 0.0 <= estimate.high)
    assert 0.93 < np.mean(hits) < 0.98
