"""Means over seeds with their intervals, and what differs beyond the noise."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
# Fewer trainings carry no claim, unless a caller asks for more.
LEAST = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, and how far it may be off.

    Attributes:
        value: The mean or difference.
        half_width: Half the width of its 95 % interval, by Student's t; None where
            one training cannot tell.
        count: Trainings behind it; of a difference, of the side with fewer.
        least: Trainings that a claim needs.
    """

    value: float
    half_width: float | None
    count: int
    least: int = LEAST

    @property
    def is_claim(self) -> bool:
        """Whether it rests on enough trainings to be claimed."""
        return self.count >= self.least and self.half_width is not None

    @property
    def is_beyond_noise(self) -> bool:
        """Whether it is a claim, and its interval excludes 0."""
        return (
            self.is_claim
            and self.half_width is not None
            and abs(self.value) > self.half_width
        )

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + (self.half_width or 0.0)

    def scaled(self, factor: float) -> "Estimate":
        """The same in another unit."""
        half = None if self.half_width is None else abs(factor) * self.half_width
        return dataclasses.replace(self, value=factor * self.value, half_width=half)


def mean(values: Sequence[float], least: int = LEAST) -> Estimate:
    """The mean of independent values.

    Args:
        values: At least one.
        least: Values that a claim needs.

    Returns:
        With an interval where there are two or more.
    """
    average = float(np.mean(values))
    if len(values) < 2:
        return Estimate(average, None, len(values), least)
    half = _quantile(len(values) - 1) * math.sqrt(_squared_error(values))
    return Estimate(average, half, len(values), least)


def paired_difference(
    a: Sequence[float], b: Sequence[float], least: int = LEAST
) -> Estimate:
    """Mean of `a - b`, two figures each of the same trainings."""
    return mean([x - y for x, y in zip(a, b, strict=True)], least)


def difference(a: Sequence[float], b: Sequence[float], least: int = LEAST) -> Estimate:
    """Mean of `a` minus mean of `b`, of trainings that share nothing.

    Welch's interval, which does not suppose that both spread alike.

    Args:
        a: At least one value.
        b: At least one value.
        least: Values that a claim needs on each side.

    Returns:
        With an interval where each has two or more.
    """
    value, count = float(np.mean(a) - np.mean(b)), min(len(a), len(b))
    if count < 2:
        return Estimate(value, None, count, least)
    parts = [_squared_error(a), _squared_error(b)]
    total = sum(parts)
    if total == 0.0:
        return Estimate(value, 0.0, count, least)
    # Welch & Satterthwaite
    freedom = total**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (a, b), strict=True)
    )
    return Estimate(value, _quantile(freedom) * math.sqrt(total), count, least)


def _squared_error(values: Sequence[float]) -> float:
    """Squared standard error of the mean."""
    return float(np.var(values, ddof=1) / len(values))


def _quantile(freedom: float) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))
