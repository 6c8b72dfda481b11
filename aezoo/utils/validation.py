"""Argument checks whose messages name the argument, the rule and what came in."""

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeVar

from aezoo.utils.text import did_you_mean

_Choice = TypeVar("_Choice")


def is_bool(value: Any) -> bool:
    """Whether a value is a bool of Python or NumPy, which also count as numbers."""
    return type(value).__name__ in ("bool", "bool_")


def check_choice(name: str, value: _Choice, choices: Sequence[Any]) -> _Choice:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        known = [c for c in choices if isinstance(c, str)]
        hint = did_you_mean(str(value), known)
        one_of = "one of " if len(choices) > 1 else ""
        raise ValueError(
            f"`{name}` must be {one_of}{', '.join(map(repr, choices))}. "
            f"Received: {name}={value!r}.{hint}"
        )
    return value


def check_positive_int(name: str, value: Any) -> int:
    """Return `value` as an int if it is a whole number of at least 1."""
    return check_count(name, value, minimum=1)


def check_count(name: str, value: Any, minimum: int = 0) -> int:
    """Return `value` as an int if it is a whole number of at least `minimum`."""
    is_whole = hasattr(value, "__index__") and not is_bool(value)
    if not is_whole or value < minimum:
        raise ValueError(
            f"`{name}` must be an integer of at least {minimum}. "
            f"Received: {name}={value!r}."
        )
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False."""
    if not is_bool(value):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}.")
    return bool(value)


def _is_finite(value: numbers.Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def check_number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> float:
    """Return `value` if it is a finite number within the bounds."""
    bounds = []
    if low is not None:
        bounds.append(f" at least {low:g}")
    if above is not None:
        bounds.append(f" above {above:g}")
    if high is not None:
        bounds.append(f" at most {high:g}")
    is_number = isinstance(value, numbers.Real) and not is_bool(value)
    if (
        not is_number
        or not _is_finite(value)
        or (low is not None and value < low)
        or (above is not None and value <= above)
        or (high is not None and value > high)
    ):
        raise ValueError(
            f"`{name}` must be a finite number{' and'.join(bounds)}. "
            f"Received: {name}={value!r}."
        )
    # NumPy's numbers become Python's, which JSON can hold
    return value if isinstance(value, int | float) else float(value)


def check_positive_ints(name: str, values: Any, minimum: int = 0) -> tuple[int, ...]:
    """Return `values` as a tuple of at least `minimum` whole numbers above 0."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ValueError(
            f"`{name}` must be a sequence of integers. Received: {name}={values!r}."
        )
    if len(values) < minimum:
        raise ValueError(
            f"`{name}` must hold at least {minimum} integers. "
            f"Received: {name}={values!r}."
        )
    return tuple(check_positive_int(f"{name}[{i}]", v) for i, v in enumerate(values))


def check_strides(strides: Any, filters: Sequence[int]) -> tuple[int, ...]:
    """Return `strides` if there is one per convolution and each is 1 or 2."""
    values = check_positive_ints("strides", strides)
    if len(values) != len(filters) or not set(values) <= {1, 2}:
        raise ValueError(
            f"`strides` must hold one 1 or 2 for each of the {len(filters)} `filters`. "
            f"Received: strides={strides!r}, filters={tuple(filters)!r}."
        )
    return values


def check_input_shape(input_shape: Any) -> tuple[int, int, int]:
    """Return `input_shape` if it is `(height, width, channels)`."""
    shape = check_positive_ints("input_shape", input_shape)
    if len(shape) != 3:
        raise ValueError(
            "`input_shape` must be (height, width, channels). "
            f"Received: input_shape={input_shape!r}."
        )
    return shape


def check_seed(seed: int | None) -> int | None:
    """Return `seed` if it is None or a non-negative integer below 2**31."""
    if seed is None:
        return None
    if is_bool(seed) or not isinstance(seed, numbers.Integral):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}.")
    if not 0 <= seed < 2**31:
        raise ValueError(f"`seed` must be in [0, 2**31). Received: seed={seed}.")
    return int(seed)
