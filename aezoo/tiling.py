"""Many small images as one large one, in NumPy."""

import math
from typing import Any

import numpy as np

from aezoo.validation import check_positive_int


def to_uint8(images: Any, name: str = "images") -> np.ndarray:
    """Images as uint8: floats in [0, 1] are multiplied by 255 and rounded.

    Raises:
        ValueError: If the dtype is another, or a float is outside [0, 1] or NaN.
    """
    array = np.asarray(images)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "fb":
        raise ValueError(
            f"`{name}` must be uint8, or float with values in [0, 1]. "
            f"Received: dtype={array.dtype}."
        )
    array = array.astype("float32")
    if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
        raise ValueError(
            f"`{name}` must be uint8, or float with values in [0, 1]. "
            f"Received: min={array.min():.3g}, max={array.max():.3g}."
        )
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
