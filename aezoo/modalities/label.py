"""Classes of examples as a modality."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from aezoo.modalities.base import Modality, Preview, lines_of
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_positive_int

Tensor = Any
# Stands for an unknown label, in batches and inside graphs.
UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class Label(Modality):
    """One of finitely many classes: an integer, or -1 where it is unknown.

    Inside models it is a row of zeros with a one at the class, all zeros if unknown.

    Args:
        num_classes: Number of classes.
    """

    num_classes: int = 10

    kind: ClassVar[str] = "label"
    noun: ClassVar[str] = "label"
    element: ClassVar[str] = "label"
    is_text: ClassVar[bool] = True
    is_continuous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the number.

        Raises:
            ValueError: If it is no whole number of at least 1.
        """
        value = check_positive_int("num_classes", self.num_classes)
        object.__setattr__(self, "num_classes", value)

    @property
    def shape(self) -> tuple[int, ...]:
        """`()`: one number."""
        return ()

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """`(num_classes,)`."""
        return (self.num_classes,)

    def check(self, x: Any, name: str = "labels") -> np.ndarray:
        """Labels as int32, `(n,)` or one for all, `()`."""
        values = to_numpy(x)
        if values.dtype.kind not in "iu" or values.ndim > 1:
            raise ValueError(
                f"`{name}` must be integers, one for each example, or one for all. "
                f"Received: {name}.shape={values.shape}, dtype={values.dtype}."
            )
        if values.size:
            low, high = int(values.min()), int(values.max())
            if low < UNLABELLED or high >= self.num_classes:
                raise ValueError(
                    f"Labels must be from 0 to {self.num_classes - 1}, or -1 where "
                    f"unknown. Received: {low} to {high}."
                )
        return values.astype("int32")

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether labels are in range, in a graph; bools `(batch,)`."""
        from keras import ops

        return ops.logical_and(x >= UNLABELLED, x < self.num_classes)

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """Labels `(batch,)` as rows `(batch, num_classes)`; zeros where unknown."""
        from keras import ops

        # not `one_hot`, which means the last class by -1 in other runtimes
        classes = ops.arange(self.num_classes, dtype="int32")
        return ops.cast(ops.cast(x, "int32")[..., None] == classes, dtype)

    def from_model(self, x: Tensor, like: str = "int32") -> Tensor:
        """Rows `(batch, num_classes)` to the class that each favours."""
        from keras import ops

        return ops.cast(ops.argmax(x, axis=-1), like)

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """Lines of numbers."""
        return Preview(lines=lines_of(map(str, x), columns))

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Classes, all equally probable; int32, `(n,)`."""
        generator = np.random.default_rng(seed)
        return generator.integers(self.num_classes, size=n).astype("int32")
