"""One function over the rows of arrays, a batch at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo.utils.progress import with_progress
from aezoo.utils.validation import check_positive_int


def batched(
    function: Callable[..., Any],
    *arrays: np.ndarray,
    batch_size: int = 256,
    title: str = "",
) -> Any:
    """`function` of arrays, computed batch by batch, and its outputs joined.

    Args:
        function: From arrays `(batch, ...)`, one per argument, to an array or a
            dictionary of arrays whose first axis is the batch.
        *arrays: Its arguments, `(n, ...)` each, n the same for all.
        batch_size: Rows per call.
        title: What the progress bar says.

    Returns:
        What `function` returns, of all rows; in one call where they fit.

    Raises:
        ValueError: If `batch_size` is no integer of at least 1, or the arrays have
            different numbers of rows.

    Example:
        >>> batched(lambda a, b: a + b, np.arange(5), np.ones(5), batch_size=2)
        array([1., 2., 3., 4., 5.])
    """
    check_positive_int("batch_size", batch_size)
    rows = [len(array) for array in arrays]
    if len(set(rows)) != 1:
        raise ValueError(
            "`arrays` must be at least one, all with as many rows. Received: "
            f"{', '.join(map(str, rows)) or 'no array'}."
        )
    if rows[0] <= batch_size:
        return function(*arrays)
    starts = range(0, rows[0], batch_size)
    parts = [
        function(*(array[start : start + batch_size] for array in arrays))
        for start in with_progress(starts, title)
    ]
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)
