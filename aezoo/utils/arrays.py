"""Values of what users pass as arrays, wherever they are."""

from typing import Any

import numpy as np


def to_numpy(x: Any, dtype: Any = None) -> np.ndarray:
    """`numpy.asarray` that takes tensors of PyTorch as well.

    NumPy takes neither those on a GPU nor those that gradients are asked for.

    Args:
        x: An array, a tensor, numbers in lists, or whatever NumPy takes.
        dtype: As in NumPy.

    Example:
        >>> to_numpy([1, 2], "float32")
        array([1., 2.], dtype=float32)
    """
    if hasattr(x, "detach") and hasattr(x, "cpu"):
        x = x.detach().cpu().numpy()
    return np.asarray(x, dtype)
