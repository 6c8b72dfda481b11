"""What users pass as images: an array that a model can take, or what to do instead.

Needs NumPy only, so that it runs before any framework is imported.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aezoo.modalities.arrays import as_array

# How far floats may leave [0, 1] by rounding, and are then clipped. Of half precision
# one unit in the last place of 1, which is more.
TOLERANCE = 1e-6
# The bits of a float32, read as an integer, are at most those of 1 where it lies in
# [0, 1]; those of NaN and of what is below 0 are larger.
_FLOAT32 = np.dtype("float32")
_BITS_OF_ONE = int(np.float32(1.0).view("uint32"))
_HALF_TOLERANCE = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def check_images(x: Any, shape: Sequence[int], name: str = "x") -> np.ndarray:
    """Images that a model can take, as they are: uint8, or else as float32.

    Args:
        x: Images `(n, *shape)`: an array, a tensor, or a list of images of one shape.
            uint8, or floats in [0, 1]; what leaves [0, 1] by no more than `TOLERANCE`
            is clipped.
        shape: `(height, width, channels)` of each.
        name: What to call them in a message.

    Returns:
        Contiguous, shape `(n, *shape)`, n at least 1: uint8, or float32 in [0, 1].

    Raises:
        ValueError: If they are no array, or their shape, dtype or range is wrong, or
            a value is not finite; says what to do.

    Example:
        >>> check_images([[[0.0], [1.0]]], (1, 2, 1))[0, 0, :, 0]
        array([0., 1.], dtype=float32)
    """
    images = as_array(x, name, "image")
    expected = tuple(shape)
    if images.shape[1:] != expected or not images.ndim:
        raise ValueError(
            f"`{name}` must have shape (n, {', '.join(map(str, expected))}). "
            f"Received: {name}.shape={images.shape}."
            + shape_hint(name, images.shape, expected)
        )
    if len(images) == 0:
        raise ValueError(f"`{name}` is empty. Received: shape={images.shape}.")
    return check_levels(images, name)


def check_any_size(x: Any, channels: int, name: str = "x") -> tuple[np.ndarray, bool]:
    """Images of one size, whatever it is, as `check_images` has them.

    Args:
        x: Images `(n, height, width, channels)`, or one of them.
        channels: Of each.
        name: What to call them in a message.

    Returns:
        The images, `(n, height, width, channels)`; and whether it was a single one.

    Raises:
        ValueError: As `check_images`.
    """
    images = as_array(x, name, "image")
    is_single = images.ndim == 3
    if is_single:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] != channels or 0 in images.shape:
        raise ValueError(
            f"`{name}` must have shape (n, height, width, {channels}), or be one "
            f"image of {channels} channel{'s' * (channels != 1)}. Received: "
            f"{name}.shape={np.shape(x)}."
        )
    return check_levels(images, name), is_single


def check_levels(images: np.ndarray, name: str = "x") -> np.ndarray:
    """Images of any shape, as they are: uint8, or else as float32 in [0, 1].

    Args:
        images: The images.
        name: What to call them in a message.

    Returns:
        Contiguous; what leaves [0, 1] by no more than `TOLERANCE` is clipped.

    Raises:
        ValueError: If the dtype or the range is wrong, or a value not finite.
    """
    given = images.dtype  # its name takes time
    if given.char == "B":
        return np.ascontiguousarray(images)
    if given == _FLOAT32 and _most_bits(images) <= _BITS_OF_ONE:
        return np.ascontiguousarray(images)  # the most frequent, in one pass
    is_float = given.kind in "fb" or given.name == "bfloat16"
    if not is_float:
        raise ValueError(
            f"`{name}` must be uint8, or float with values in [0, 1]. "
            f"Received: dtype={given.name}." + _integer_hint(name, images)
        )
    if images.dtype.itemsize < 4:
        images = images.astype("float32")
    low = float(np.minimum.reduce(images, axis=None, initial=1.0))
    high = float(np.maximum.reduce(images, axis=None, initial=0.0))
    if low >= 0.0 and high <= 1.0:
        return np.ascontiguousarray(images, "float32")
    dtype = given.name
    tolerance = _HALF_TOLERANCE.get(dtype, TOLERANCE)
    if low >= -tolerance and high <= 1.0 + tolerance:
        return np.clip(np.ascontiguousarray(images, "float32"), 0.0, 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"`{name}` holds NaN or infinity. Received: min={low}, max={high}. "
            f"Find them with `np.isfinite({name})`."
        )
    raise ValueError(
        f"`{name}` must be uint8, or float with values in [0, 1]. Received: "
        f"shape={images.shape}, dtype={dtype}, min={_outside(low)}, "
        f"max={_outside(high)}." + _range_hint(name, low, high)
    )


def _most_bits(images: np.ndarray) -> int:
    return int(np.maximum.reduce(images.view("uint32"), axis=None, initial=0))


def _outside(value: float) -> str:
    """A number in three digits, or in as many as show that it leaves [0, 1]."""
    text = f"{value:.3g}"
    is_outside = not 0.0 <= value <= 1.0
    return f"{value:.8g}" if is_outside and 0.0 <= float(text) <= 1.0 else text


def _range_hint(name: str, low: float, high: float) -> str:
    if low >= -0.05 and high <= 1.05:
        return f" If that is rounding, pass `np.clip({name}, 0, 1)`."
    if low >= -1.05 and high <= 1.05:
        return f" If they are in [-1, 1], pass `({name} + 1) / 2`."
    if low >= 0.0 and high <= 255.0:
        return " Divide values of 0 to 255 by 255, or pass uint8."
    if low >= 0.0:
        return f" Divide by the largest level, e.g. `{name} / 65535` of 16 bits."
    return " Undo their standardisation: multiply by its scale and add its mean."


def _integer_hint(name: str, images: np.ndarray) -> str:
    if images.dtype.kind not in "iu" or not images.size:
        return f" Convert with `np.asarray({name}, 'float32')`, values in [0, 1]."
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > 255:
        return f" Levels are {low} to {high}: scale to [0, 1], e.g. `{name} / 65535`."
    binary = f"`np.asarray({name}, 'float32')` for values of 0 and 1, "
    return (
        f" Pass {binary if high <= 1 else ''}`np.asarray({name}).astype('uint8')` for "
        "values of 0 to 255."
    )


def shape_hint(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """The next call for the usual mistakes in the shape of a batch of images.

    Args:
        name: What the images are called.
        got: Their shape.
        expected: `(height, width, channels)` that each must have.

    Returns:
        A sentence that begins with a space, or nothing.
    """
    height, width, channels = expected
    if got == expected:
        return f" For a single image pass `{name}[None]`."
    if got == (height, width) and channels == 1:
        return f" For a single image pass `{name}[None, ..., None]`."
    if (*got[1:], 1) == expected:
        return f" Add the channel axis with `{name}[..., None]`."
    if len(got) == 4 and (*got[2:], got[1]) == expected:
        return f" Move the channels last with `np.moveaxis({name}, 1, -1)`."
    if len(got) == 3 and (*got[1:], got[0]) == expected:
        return f" For a single image pass `np.moveaxis({name}, 0, -1)[None]`."
    if len(got) in (1, 2) and got[-1] == math.prod(expected):
        sizes = f"-1, {height}, {width}, {channels}"
        return f" Unflatten with `np.reshape({name}, ({sizes}))`."
    if len(got) == 5 and got[2:] == expected:
        return f" Put batches together with `np.concatenate({name})`."
    if len(got) == 4 and got[1:3] == (height, width):
        if channels == 1 and got[3] in (3, 4):
            rgb = name if got[3] == 3 else f"{name}[..., :3]"
            return f" Make it grey with `keras.ops.image.rgb_to_grayscale({rgb})`."
        if channels == 3 and got[3] == 1:
            return f" Make it RGB with `np.repeat({name}, 3, axis=-1)`."
        if channels == 3 and got[3] == 4:
            return f" Drop transparency with `{name}[..., :3]`."
    if got[1:] == (height, width) and channels == 3:
        return f" Make it RGB with `np.repeat({name}[..., None], 3, axis=-1)`."
    if len(got) == 4 and got[3] == channels and 0 not in got:
        return (
            f" Resize with `keras.ops.image.resize({name}, ({height}, {width}), "
            "antialias=True)`."
        )
    return ""
