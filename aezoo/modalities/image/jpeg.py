"""What JPEG keeps of an image, in a graph: no file is written.

Wallace (1991), "The JPEG still picture compression standard"
(https://doi.org/10.1145/103085.103089): YCbCr, colours at half the size, cosine
transforms of 8x8 pixels, rounded to multiples of a table.
"""

import functools
from typing import Any

import numpy as np

from aezoo.modalities.image.colours import LUMA
from aezoo.modalities.image.resampling import doubling_weights, weigh

Tensor = Any
SIDE = 8
# Annex K of the standard: tables of quality 50, of brightness and of colours.
BRIGHTNESS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
COLOURS = np.full((SIDE, SIDE), 99)
COLOURS[:4, :4] = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
]


def quantised(x: Tensor, quality: float) -> Tensor:
    """Images as a JPEG of them shows, in a graph.

    Args:
        x: Images in [0, 1], `(batch, height, width, 1 or 3)`.
        quality: From 1 to 100, as encoders scale the tables.

    Returns:
        Of the same shape, in [0, 1].
    """
    from keras import ops

    channels = x.shape[-1]
    levels = 255.0 * ops.cast(x, "float32")
    if channels == 1:
        found = _rounded(levels - 128.0, _table(BRIGHTNESS, quality)) + 128.0
        return ops.cast(ops.clip(found / 255.0, 0.0, 1.0), x.dtype)
    matrix = _to_ycbcr()
    ycc = ops.matmul(levels, ops.convert_to_tensor(matrix.T, "float32"))
    bright = _rounded(ycc[..., :1] - 128.0, _table(BRIGHTNESS, quality)) + 128.0
    colours = _at_half_size(ycc[..., 1:], _table(COLOURS, quality))
    ycc = ops.concatenate([bright, colours], axis=-1)
    found = ops.matmul(ycc, ops.convert_to_tensor(np.linalg.inv(matrix).T, "float32"))
    return ops.cast(ops.clip(found / 255.0, 0.0, 1.0), x.dtype)


def _to_ycbcr() -> np.ndarray:
    red, green, blue = LUMA
    return np.array(
        [
            [red, green, blue],
            [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
            [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
        ]
    )


def _table(base: np.ndarray, quality: float) -> np.ndarray:
    """As the encoder of the Independent JPEG Group scales it."""
    scale = 5000.0 / quality if quality < 50 else 200.0 - 2.0 * quality
    return np.clip(np.floor((base * scale + 50.0) / 100.0), 1, 255).astype("float32")


@functools.cache
def _cosines() -> np.ndarray:
    """Rows are the orthonormal cosines of 8 pixels."""
    k, n = np.mgrid[:SIDE, :SIDE]
    rows = np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE)) * np.sqrt(2.0 / SIDE)
    rows[0] /= np.sqrt(2.0)
    return rows.astype("float32")


def _rounded(x: Tensor, table: np.ndarray) -> Tensor:
    """Maps whose cosine coefficients are rounded to multiples of a table."""
    from keras import ops

    _, height, width, channels = x.shape
    x = _padded(x, SIDE)
    _, tall, wide, _ = x.shape
    blocks = ops.reshape(x, (-1, tall // SIDE, SIDE, wide // SIDE, SIDE, channels))
    blocks = ops.transpose(blocks, (0, 1, 3, 5, 2, 4))  # (..., 8, 8)
    cosines = ops.convert_to_tensor(_cosines())
    found = ops.matmul(ops.matmul(cosines, blocks), ops.transpose(cosines))
    steps = ops.convert_to_tensor(table)
    found = ops.round(found / steps) * steps
    blocks = ops.matmul(ops.matmul(ops.transpose(cosines), found), cosines)
    x = ops.reshape(
        ops.transpose(blocks, (0, 1, 4, 2, 5, 3)), (-1, tall, wide, channels)
    )
    return x[:, :height, :width]


def _at_half_size(x: Tensor, table: np.ndarray) -> Tensor:
    """Colours, kept at half the size, around 0."""
    from keras import ops

    _, height, width, channels = x.shape
    x = _padded(x, 2)
    _, tall, wide, _ = x.shape
    halves = ops.reshape(x, (-1, tall // 2, 2, wide // 2, 2, channels))
    found = _rounded(ops.mean(halves, axis=(2, 4)), table)
    rows, columns = doubling_weights(tall // 2), doubling_weights(wide // 2)
    return weigh(found, rows, columns)[:, :height, :width]


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Maps whose last row and column stand as often as a multiple needs."""
    from keras import ops

    for axis in (1, 2):
        missing = -x.shape[axis] % multiple
        if missing:
            last = x[:, -1:] if axis == 1 else x[:, :, -1:]
            x = ops.concatenate([x, *[last] * missing], axis=axis)
    return x
