"""Small images as one large one, and large ones by small parts, in NumPy."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo.modalities.arrays import as_array
from aezoo.modalities.image.check import check_levels
from aezoo.utils.validation import check_positive_int


def to_uint8(images: Any, name: str = "images") -> np.ndarray:
    """Images as uint8: floats in [0, 1] are multiplied by 255 and rounded.

    Raises:
        ValueError: If the dtype is another, or a float is outside [0, 1] or NaN.
    """
    array = check_levels(as_array(images, name, "image"), name)
    if array.dtype == np.uint8:
        return array
    return np.round(255.0 * array).astype("uint8")


def tile(
    images: Any, columns: int | None = None, padding: int = 2, background: int = 0
) -> np.ndarray:
    """Lay images out in rows on one large image, with a frame around each.

    Args:
        images: `(n, height, width, channels)`, uint8 or floats in [0, 1].
        columns: Images per row; None makes the result about square.
        padding: Width of the frames in pixels; 0 or more.
        background: Grey level of the frames and of the places left over.

    Returns:
        One image, uint8 of shape `(height, width, channels)`.

    Raises:
        ValueError: If the shape, the range or an argument is wrong.
    """
    array = to_uint8(images)
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(
            "`images` must have shape (n, height, width, channels) with n >= 1. "
            f"Received: images.shape={array.shape}."
        )
    if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
        raise ValueError(
            f"`padding` must be an integer of at least 0. Received: {padding=}."
        )
    n, height, width, channels = array.shape
    if columns is None:
        columns = math.ceil(math.sqrt(n * height / width))
    columns = min(check_positive_int("columns", columns), n)
    rows = math.ceil(n / columns)
    sheet = np.full((rows * columns, height, width, channels), background, "uint8")
    sheet[:n] = array
    # Every image with its right and lower frame; the left and upper ones come last.
    end, start = ((0, padding), (padding, 0))
    sheet = np.pad(
        sheet, ((0, 0), end, end, (0, 0)), constant_values=background
    ).reshape(rows, columns, height + padding, width + padding, channels)
    sheet = sheet.swapaxes(1, 2)  # (rows, height, columns, width, channels)
    sheet = sheet.reshape(rows * (height + padding), -1, channels)
    return np.pad(sheet, (start, start, (0, 0)), constant_values=background)


def apply_in_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    values: np.ndarray,
    tile: tuple[int, int],
    overlap: float,
    shrink: tuple[int, int] = (1, 1),
    grow: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Apply a function of small maps to large ones, and blend where tiles overlap.

    Args:
        function: From maps `(n, height, width, channels)` of a tile's size to maps that
            are smaller by `shrink`, or larger by `grow`.
        values: `(n, height, width, channels)`, at least as large as a tile, in
            multiples of `shrink`.
        tile: Height and width of a tile, in units of `shrink`.
        overlap: Share of a tile that the next one covers too, from 0 to 0.5. There the
            weight moves linearly from one to the other.
        shrink: Factors by which `function` makes height and width smaller.
        grow: Factors by which it makes them larger.

    Returns:
        Float32, `(n, height, width, channels)`.
    """
    sides = [n // unit for n, unit in zip(values.shape[1:3], shrink, strict=True)]
    shared = [int(overlap * n) for n in tile]
    starts = [
        [*range(0, side - n, n - both), side - n]
        for side, n, both in zip(sides, tile, shared, strict=True)
    ]
    rows, columns = (
        _ramp(n * unit, both * unit)
        for n, unit, both in zip(tile, grow, shared, strict=True)
    )
    window = (rows[:, None] * columns)[..., None]
    total: Any = 0.0
    weight = np.zeros((sides[0] * grow[0], sides[1] * grow[1], 1), "float32")
    for top, left in itertools.product(*starts):
        source, target = (
            np.s_[
                top * h : (top + tile[0]) * h,
                left * w : (left + tile[1]) * w,
            ]
            for h, w in (shrink, grow)
        )
        part = window * function(values[:, *source])
        if not weight.any():
            total = np.zeros((len(part), *weight.shape[:2], part.shape[-1]), "float32")
        total[:, *target] += part
        weight[target] += window
    return np.asarray(total / weight)


def smallest_tile(side: int, tile: int, overlap: float) -> int:
    """The shortest side of a tile of which no more are needed than of a given one.

    Args:
        side: What tiles cover, along one axis.
        tile: The longest that is allowed.
        overlap: Share of a tile that the next one covers too.
    """
    shared = int(overlap * tile)
    count = 1 + -(-(side - tile) // (tile - shared))
    for smaller in range(1, tile):
        if smaller + (count - 1) * (smaller - int(overlap * smaller)) >= side:
            return smaller
    return tile


def apply_in_windows(
    function: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    tile: int,
    margin: int,
    grain: int = 1,
    grow: int = 1,
) -> np.ndarray:
    """Apply a function of small images to large ones, each tile with its surroundings.

    Without a trace of the tiles, if no pixel of the result depends on one that is
    farther away than the margin.

    Args:
        function: From images `(n, height, width, channels)` of any size to images that
            are larger by `grow`.
        images: `(n, height, width, channels)`.
        tile: Height and width of a tile, a multiple of `grain`.
        margin: Pixels around a tile that the function sees too, a multiple of `grain`.
        grain: Windows begin at multiples of it; below and to the right images are
            mirrored until they end at one.
        grow: Factor by which the function makes images larger.

    Returns:
        `(n, grow * height, grow * width, channels)`.
    """
    sides = images.shape[1:3]
    missing = [-side % grain for side in sides]
    padded = np.pad(
        images, ((0, 0), *((0, n) for n in missing), (0, 0)), mode="symmetric"
    )
    windows = [min(tile + 2 * margin, side) for side in padded.shape[1:3]]
    result: Any = None
    for top, left in itertools.product(*(range(0, n, tile) for n in padded.shape[1:3])):
        corner = [
            min(max(start - margin, 0), side - window)
            for start, side, window in zip(
                (top, left), padded.shape[1:3], windows, strict=True
            )
        ]
        rows, columns = (slice(c, c + n) for c, n in zip(corner, windows, strict=True))
        found = function(np.ascontiguousarray(padded[:, rows, columns]))
        if result is None:
            shape = (len(images), *(grow * n for n in padded.shape[1:3]))
            result = np.empty((*shape, found.shape[-1]), found.dtype)
        inner = [
            slice(grow * (start - c), grow * (start - c + tile))
            for start, c in zip((top, left), corner, strict=True)
        ]
        result[
            :,
            grow * top : grow * (top + tile),
            grow * left : grow * (left + tile),
        ] = found[:, *inner]
    return np.ascontiguousarray(result[:, : grow * sides[0], : grow * sides[1]])


def _ramp(length: int, shared: int) -> np.ndarray:
    """Weights of a tile's rows or columns, which fall to both ends within `shared`."""
    depth = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(1.0, depth / max(shared, 0.5)).astype("float32")
