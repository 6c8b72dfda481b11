"""Convolutions over three axes as matrix products.

The gradient of TensorFlow's own takes far longer on a CPU than that of a product with
as many multiplications. Kernels are 3x3x3, strides 1 or 2, padding `"same"`.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any
SIDE = 3
LAYOUT = {"padding": "same", "data_format": "channels_last"}


class Conv3D(keras.layers.Conv3D):
    """Keras's, with the same weights: neighbourhoods as rows, times the kernel."""

    def __init__(self, filters: int, strides: int, **kwargs: Any) -> None:
        super().__init__(filters, SIDE, strides=strides, **LAYOUT, **kwargs)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve `(batch, depth, height, width, channels)`."""
        x = inputs
        for axis in (1, 2, 3):  # channels become (taps of the axis, channels)
            x = neighbours(x, axis, self.strides[0])
        kernel = ops.transpose(kernel, (2, 1, 0, 3, 4))
        return ops.matmul(x, ops.reshape(kernel, (-1, self.filters)))


class Conv3DTranspose(keras.layers.Conv3DTranspose):
    """Keras's, with the same weights: a product, and a sum of what overlaps."""

    def __init__(self, filters: int, strides: int, **kwargs: Any) -> None:
        super().__init__(filters, SIDE, strides=strides, **LAYOUT, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        """Map `(batch, depth, height, width, channels)` to `strides` times its size."""
        channels = inputs.shape[-1]
        kernel = ops.reshape(self.kernel, (-1, channels))  # (taps * filters, channels)
        x = ops.matmul(inputs, ops.transpose(kernel))
        for axis in (1, 2, 3):
            x = overlapped(x, axis, self.strides[0])
        return self.activation(x + self.bias)


def neighbours(x: Tensor, axis: int, stride: int) -> Tensor:
    """At each stride, a cell and those before and after it, as channels.

    Args:
        x: `(batch, depth, height, width, channels)`.
        axis: 1, 2 or 3.
        stride: 1 or 2.

    Returns:
        The axis has a cell for each stride, and there are three times the channels.
    """
    size = x.shape[axis]
    steps = -(-size // stride)
    before = max((steps - 1) * stride + SIDE - size, 0) // 2
    filled = steps + 2 if stride == 1 else 2 * (steps + 1)
    padding = [(0, 0)] * 5
    padding[axis] = (before, filled - size - before)
    x = ops.pad(x, padding)
    if stride == 1:
        taps = [_part(x, axis, slice(tap, tap + steps)) for tap in range(SIDE)]
    else:  # slices with a stride take longer
        shape = (-1, *x.shape[1:axis], steps + 1, 2, *x.shape[axis + 1 :])
        even, odd = ops.unstack(ops.reshape(x, shape), 2, axis=axis + 1)
        taps = [
            _part(even, axis, slice(0, steps)),
            _part(odd, axis, slice(0, steps)),
            _part(even, axis, slice(1, steps + 1)),
        ]
    return ops.concatenate(taps, axis=-1)


def overlapped(x: Tensor, axis: int, stride: int) -> Tensor:
    """The transpose of `neighbours`: channels of three taps, each added at its cell.

    Args:
        x: `(batch, depth, height, width, 3 * channels)`.
        axis: 1, 2 or 3.
        stride: 1 or 2.

    Returns:
        The axis has `stride` cells for each, and there is a third of the channels.
    """
    first, middle, last = ops.split(x, SIDE, axis=-1)
    size = x.shape[axis]
    later = [(0, 0)] * 5
    later[axis] = (1, 0)
    from_before = _part(ops.pad(last, later), axis, slice(0, size))
    if stride == 1:
        earlier = [(0, 0)] * 5
        earlier[axis] = (0, 1)
        from_after = _part(ops.pad(first, earlier), axis, slice(1, size + 1))
        return from_after + middle + from_before
    pairs = ops.stack([first + from_before, middle], axis=axis + 1)
    shape = [-1, *first.shape[1:]]
    shape[axis] = 2 * size
    return ops.reshape(pairs, shape)


def _part(x: Tensor, axis: int, part: slice) -> Tensor:
    return x[(slice(None),) * axis + (part,)]
