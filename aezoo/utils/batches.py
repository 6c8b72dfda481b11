"""Functions over arrays, a batch at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo.utils.progress import with_progress


def batched(
    function: Callable[..., Any],
    *arrays: np.ndarray,
    batch_size: int = 256,
    title: str = "",
) -> Any:
    """Call a function on rows of arrays, and join what it returns.

    Args:
        function: Maps arrays `(rows, ...)` to an array `(rows, ...)` or a dictionary
            of such.
        *arrays: `(n, ...)` each, with n at least 1.
        batch_size: Rows per call.
        title: What to call it in the progress bar, which appears after two seconds.

    Returns:
        An array `(n, ...)`, or a dictionary of such.
    """
    size = len(arrays[0])
    if size <= batch_size:
        return function(*arrays)
    starts = range(0, size, batch_size)
    parts = [
        function(*(array[i : i + batch_size] for array in arrays))
        for i in with_progress(starts, title)
    ]
    if isinstance(parts[0], dict):
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return np.concatenate(parts)
