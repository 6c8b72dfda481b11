"""Surfaces of functions on the unit cube, looked at from coarse to fine."""

from collections.abc import Callable, Sequence

import numpy as np

# Cells along an axis below which no resolution is halved.
COARSEST = 24
# Of a probability from the level, within which a neighbourhood may hide a surface.
MARGIN = 0.3


def coarse_to_fine(resolution: int) -> list[int]:
    """Resolutions, each twice the one before, up to this one.

    Example:
        >>> coarse_to_fine(96)
        [24, 48, 96]
    """
    steps = [resolution]
    while steps[0] % 2 == 0 and steps[0] // 2 >= COARSEST:
        steps.insert(0, steps[0] // 2)
    return steps


def refined(
    at: Callable[[np.ndarray], np.ndarray], steps: Sequence[int], level: float
) -> np.ndarray:
    """Values of a function at the centres of the cells of the finest grid.

    Of each grid after the first, only cells about the surface are looked at: those
    whose parent or one of its 26 neighbours is above the level, and another below it,
    or one that is within `MARGIN` of it. The others have their parent's value.

    Args:
        at: From points of the unit cube `(n, 3)` to values `(n,)`.
        steps: Cells along an axis, each twice the one before.
        level: Value on the surface.

    Returns:
        Float32, `(steps[-1],) * 3`.
    """
    values = np.empty((steps[0],) * 3, "float32")
    todo = np.ones_like(values, bool)
    for step in steps:
        if step != steps[0]:
            todo, values = (
                v.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
                for v in (about(values, level), values)
            )
        cells = np.argwhere(todo)
        if len(cells):
            values[todo] = at((cells.astype("float32") + 0.5) / step)
    return values


def about(values: np.ndarray, level: float) -> np.ndarray:
    """Cells about a surface, as in `refined`; bools of the same shape."""
    margin = min(MARGIN, level / 2, (1.0 - level) / 2)
    high, low = (
        _spread(v) for v in (values >= level - margin, values < level + margin)
    )
    return high & low


def _spread(mask: np.ndarray) -> np.ndarray:
    """A mask with the 26 neighbours of each of its cells."""
    for axis in range(mask.ndim):
        wide = np.pad(mask, [(1, 1) if a == axis else (0, 0) for a in range(mask.ndim)])
        n = mask.shape[axis]
        parts = (np.take(wide, range(i, i + n), axis=axis) for i in range(3))
        mask = np.logical_or.reduce(list(parts))
    return mask
