"""Rows of numbers, each within a range, as a modality."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from aezoo.modalities.base import Modality, Preview, lines_of
from aezoo.utils.arrays import to_numpy

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Numbers(Modality):
    """So many numbers, such as what a driver does: each within its own range.

    Users pass and get floats `(n, size)`; inside models they are the same numbers.

    Args:
        low: The least value of each.
        high: The largest value of each.
    """

    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)

    kind: ClassVar[str] = "numbers"
    noun: ClassVar[str] = "row"
    element: ClassVar[str] = "number"
    is_text: ClassVar[bool] = True
    likelihoods: ClassVar[tuple[str, ...]] = ("gaussian", "laplace")
    errors: ClassVar[tuple[str, ...]] = ("mse", "mae", "smooth_l1")
    activations: ClassVar[tuple[str, ...]] = ("linear",)

    def __post_init__(self) -> None:
        """Check the ranges; raises ValueError."""
        for name in ("low", "high"):
            object.__setattr__(self, name, _floats(name, getattr(self, name)))
        if len(self.low) != len(self.high) or any(
            low >= high for low, high in zip(self.low, self.high, strict=False)
        ):
            raise ValueError(
                "`low` and `high` must be as many numbers, the first ones below the "
                f"others. Received: low={self.low}, high={self.high}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """`(size,)`."""
        return (len(self.low),)

    def to_config(self) -> dict[str, Any]:
        """As of every modality; the ranges as lists."""
        config = super().to_config()
        return {**config, "low": list(self.low), "high": list(self.high)}

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Rows that a model can take: float32, `(n, size)`."""
        values = to_numpy(x)
        if values.ndim != 2 or values.shape[1:] != self.shape or not len(values):
            raise ValueError(
                f"`{name}` must have shape (n, {self.shape[0]}), n at least 1. "
                f"Received: {name}.shape={values.shape}."
            )
        if values.dtype.kind not in "fiub":
            raise ValueError(
                f"`{name}` must be numbers. Received: dtype={values.dtype}."
            )
        values = np.ascontiguousarray(values, "float32")
        low, high = (np.asarray(v, "float32") for v in (self.low, self.high))
        if not ((values >= low) & (values <= high)).all():  # also false for NaN
            raise ValueError(
                f"`{name}` must be finite numbers in the ranges "
                + ", ".join(f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True))
                + f". Received: min={values.min(axis=0)}, max={values.max(axis=0)}."
            )
        return values

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether all numbers are in their ranges, in a graph; bools `(batch,)`."""
        from keras import ops

        x = ops.cast(x, "float32")
        low, high = (ops.convert_to_tensor(v, "float32") for v in (self.low, self.high))
        return ops.all(ops.logical_and(x >= low, x <= high), axis=-1)

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """The same numbers."""
        from keras import ops

        return ops.cast(x, dtype)

    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        """The same numbers, cut to their ranges."""
        from keras import ops

        low, high = (ops.convert_to_tensor(v, x.dtype) for v in (self.low, self.high))
        x = ops.clip(x, low, high)
        return ops.cast(x, like) if "float" in like else x

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """Lines of numbers."""
        rows = [" ".join(f"{value:.3g}" for value in row) for row in np.asarray(x)]
        return Preview(lines=lines_of(rows, columns))

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Numbers that are evenly spread over their ranges; float32, `(n, size)`."""
        share = np.random.default_rng(seed).random((n, *self.shape))
        low, high = np.asarray(self.low), np.asarray(self.high)
        return (low + share * (high - low)).astype("float32")


def _floats(name: str, value: Any) -> tuple[float, ...]:
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_sequence or not len(value) or not all(map(_is_finite, value)):
        raise ValueError(
            f"`{name}` must be finite numbers, at least one. Received: {name}="
            f"{value!r}."
        )
    return tuple(float(number) for number in value)


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
