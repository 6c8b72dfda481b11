"""Images made smaller, larger or blurred: weighted sums along rows and columns.

The weights are NumPy matrices, so that all backends compute the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Tensor = Any
# How far a Gaussian reaches, in standard deviations.
REACH = 4.0


def cubic(distance: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel of Keys (1981), with a = -1/2.

    https://doi.org/10.1109/TASSP.1981.1163711, equation 15.

    Args:
        distance: In pixels.
    """
    d = np.abs(distance)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))


@functools.lru_cache(maxsize=64)
def resize_weights(size: int, new_size: int) -> np.ndarray:
    """Weights of `size` pixels in each of `new_size`: bicubic interpolation.

    When made smaller the kernel is as much wider, against aliasing. Beyond the borders
    the image is mirrored.

    Args:
        size: Pixels along an axis.
        new_size: Pixels that are wanted.

    Returns:
        Float32, `(new_size, size)`; each row sums to 1.
    """
    scale = new_size / size
    stretch = min(scale, 1.0)
    centres = (np.arange(new_size) + 0.5) / scale - 0.5
    return _weights(centres, size, lambda d: cubic(d * stretch), 2.0 / stretch)


@functools.lru_cache(maxsize=64)
def doubling_weights(size: int) -> np.ndarray:
    """Weights of `size` pixels in each of twice as many: linear interpolation."""
    centres = (np.arange(2 * size) + 0.5) / 2.0 - 0.5
    return _weights(centres, size, lambda d: np.maximum(1.0 - np.abs(d), 0.0), 1.0)


@functools.lru_cache(maxsize=64)
def blur_weights(size: int, sigma: float) -> np.ndarray:
    """Weights of `size` pixels in each of as many: a Gaussian, mirrored at borders.

    Args:
        size: Pixels along an axis.
        sigma: Standard deviation in pixels.

    Returns:
        Float32, `(size, size)`; each row sums to 1.
    """
    centres = np.arange(size, dtype="float64")
    return _weights(
        centres, size, lambda d: np.exp(-0.5 * (d / sigma) ** 2), REACH * sigma
    )


def _weights(
    centres: np.ndarray,
    size: int,
    kernel: Callable[[np.ndarray], np.ndarray],
    reach: float,
) -> np.ndarray:
    offsets = np.arange(-int(np.ceil(reach)) - 1, int(np.ceil(reach)) + 2)
    places = np.round(centres)[:, None].astype(int) + offsets
    values = kernel(places - centres[:, None])
    values = values / values.sum(axis=1, keepdims=True)
    mirrored = places % (2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    weights = np.zeros((len(centres), size))
    np.add.at(weights, (np.arange(len(centres))[:, None], mirrored), values)
    return weights.astype("float32")


def weigh(x: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
    """Images whose rows and columns are weighted sums of those of others.

    Args:
        x: `(batch, height, width, channels)`, float.
        rows: `(new_height, height)`.
        columns: `(new_width, width)`.

    Returns:
        `(batch, new_height, new_width, channels)`.
    """
    from keras import ops

    _, height, width, channels = x.shape
    shape = (-1, len(rows), len(columns), channels)
    left, right = (ops.convert_to_tensor(w, x.dtype) for w in (rows, columns))
    x = ops.matmul(left, ops.reshape(x, (-1, height, width * channels)))
    x = ops.matmul(right, ops.reshape(x, (-1, width, channels)))
    return ops.reshape(x, shape)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Images of another size by bicubic interpolation, in a graph.

    Args:
        x: `(batch, h, w, channels)`, float.
        height: Pixels that are wanted from top to bottom.
        width: Pixels that are wanted from left to right.

    Returns:
        `(batch, height, width, channels)`; may leave the range of `x` at edges.
    """
    return weigh(
        x, resize_weights(x.shape[1], height), resize_weights(x.shape[2], width)
    )


def blur(x: Tensor, sigma: float) -> Tensor:
    """Images blurred by a Gaussian, in a graph.

    Args:
        x: `(batch, height, width, channels)`, float.
        sigma: Standard deviation in pixels.
    """
    _, height, width, _ = x.shape
    return weigh(x, blur_weights(height, sigma), blur_weights(width, sigma))
