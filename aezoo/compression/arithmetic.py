"""Arithmetic whose every bit is the same on every machine, in NumPy.

A decoder must compute the very probabilities that the encoder computed: one count of
2**-24 that rounds the other way, and all that follows is noise. Floating point does not
promise that. TensorFlow and JAX differ by 1e-6, and one library differs from itself
with the size of a batch and the number of threads, because sums are taken in another
order, and because `exp` is another polynomial. Rounding the results to a grid only
makes it rare that they differ.

So probabilities that are coded come from networks that are evaluated here instead:

- Values are integers, in units of `2**-FRACTION_BITS`, held in float64. Kernels are
  rounded to integers, too, with as many bits as leave every sum of products below
  2**53. Then each product and each partial sum is an integer that float64 holds
  exactly: no order of summation, no fused multiply-add, no number of threads, no
  library of linear algebra can change it.
- Between sums there are only single operations on single numbers, `+ - * /`, square
  root and rounding, which IEEE 754 fixes to the last bit. Exponentials are made of
  these; activations and distribution functions are tables over the grid, made of them.

What is lost is precision, about 1e-4 of an activation. It costs bits (a fraction of a
percent, as `docs/compression.md` measures it), never correctness.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aezoo.errors import UnsupportedOperationError

Array = np.ndarray
FRACTION_BITS = 12
ONE = 1 << FRACTION_BITS
# Values beyond are cut: 2**10 in size.
LARGEST = 1 << 22
# Tables of functions reach from -TABLE_END to TABLE_END.
TABLE_END = 16
# Of arguments of distribution functions, which need a finer grid.
CDF_BITS, CDF_END = 14, 8
_EXACT_BITS = 53
_MASS_BITS = 44
# Written out, for the mathematical library's may differ in the last bit.
_PER_LN2 = 1.4426950408889634
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10

# --- Single numbers -------------------------------------------------------------------


def exp(x: Array) -> Array:
    """`e**x` for `|x| <= 700`, of additions and multiplications in a fixed order."""
    x = np.clip(np.asarray(x, "float64"), -700.0, 700.0)
    turns = np.rint(x * _PER_LN2)
    rest = x - turns * _LN2_HIGH
    rest = rest - turns * _LN2_LOW
    value = np.ones_like(rest)
    for k in range(14, 0, -1):  # Horner
        value = value * rest
        value = value * (1.0 / k)
        value = value + 1.0
    return np.asarray(np.ldexp(value, turns.astype("int64")))


def sigmoid(x: Array) -> Array:
    """`1 / (1 + exp(-x))`."""
    return np.asarray(1.0 / (1.0 + exp(-np.asarray(x, "float64"))))


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.asarray(2.0 * sigmoid(2.0 * np.asarray(x, "float64")) - 1.0)


def to_grid(x: Any) -> Array:
    """Real numbers as integers in units of the grid, cut to `LARGEST`."""
    return clip(np.rint(np.asarray(x, "float64") * ONE))


def clip(x: Array) -> Array:
    """Integers cut to `LARGEST`."""
    return np.clip(x, -LARGEST, LARGEST)


# --- Functions of one number ----------------------------------------------------------


def _gelu(x: Array) -> Array:
    cdf = normal_cdf(x)
    return np.asarray(x * cdf)


# Function; slope below and above the table.
_FUNCTIONS: dict[str, tuple[Callable[[Array], Array], float, float]] = {
    "silu": (lambda x: x * sigmoid(x), 0.0, 1.0),
    "gelu": (_gelu, 0.0, 1.0),
    "sigmoid": (sigmoid, 0.0, 0.0),
    "tanh": (tanh, 0.0, 0.0),
    "elu": (lambda x: np.where(x > 0.0, x, exp(np.minimum(x, 0.0)) - 1.0), 0.0, 1.0),
    "leaky_relu": (lambda x: np.where(x > 0.0, x, 0.2 * x), 0.2, 1.0),
}


@functools.cache
def _table(name: str) -> Array:
    points = np.arange(-TABLE_END * ONE, TABLE_END * ONE + 1) / ONE
    return np.rint(_FUNCTIONS[name][0](points) * ONE)


def activation(name: str, x: Array) -> Array:
    """A Keras activation of integers on the grid.

    Args:
        name: Its name.
        x: Integers on the grid, any shape.

    Raises:
        UnsupportedOperationError: If there is no exact form of it.
    """
    if name == "linear":
        return x
    if name == "relu":
        return np.maximum(x, 0.0)
    if name not in _FUNCTIONS:
        raise UnsupportedOperationError(
            f"The activation {name!r} has no exact arithmetic, which lossless coding "
            f"needs. There is one of linear, relu, {', '.join(_FUNCTIONS)}."
        )
    end = TABLE_END * ONE
    inside = np.clip(x, -end, end)
    y = _table(name)[inside.astype("int64") + end]
    _, below, above = _FUNCTIONS[name]
    if below or above:
        beyond = x - inside
        y = y + np.rint(np.where(beyond < 0.0, below, above) * beyond)
    return np.asarray(y)


# --- Distribution functions -----------------------------------------------------------


@functools.cache
def _normal_masses() -> Array:
    """Sums of the normal density at the points of a grid: int64, exact."""
    half = np.arange(CDF_END << CDF_BITS) + 0.5
    points = half * 2.0**-CDF_BITS
    density = exp(-0.5 * (points * points))
    right = np.rint(density * 2.0 ** (_MASS_BITS - CDF_BITS)).astype("int64")
    masses = np.concatenate([right[::-1], right])
    return np.concatenate([[0], np.cumsum(masses)])


def normal_cdf(x: Array) -> Array:
    """The standard normal's distribution function, of `x` rounded to a grid."""
    end = CDF_END << CDF_BITS
    index = np.rint(np.clip(x, -CDF_END, CDF_END) * 2.0**CDF_BITS).astype("int64")
    masses = _normal_masses()
    return np.asarray(masses[index + end] / float(masses[-1]))


def laplace_cdf(x: Array) -> Array:
    """That of the Laplace distribution of scale 1."""
    tail = 0.5 * exp(-np.abs(x))
    return np.asarray(np.where(x < 0.0, tail, 1.0 - tail))


@functools.cache
def normal_bins(bits: int) -> tuple[Array, Array]:
    """`2**bits` intervals of the standard normal, equally probable.

    Args:
        bits: Log2 of their number.

    Returns:
        The inner borders, `(2**bits - 1,)`, and the medians, `(2**bits,)`.
    """
    masses = _normal_masses()
    count = 1 << bits
    halves = (np.arange(1, 2 * count, dtype="int64") * (int(masses[-1]) // 2)) // count
    points = np.searchsorted(masses, halves) - (CDF_END << CDF_BITS)
    values = points * 2.0**-CDF_BITS
    return values[1::2], values[0::2]


def counts_of(cdf: Array, total_bits: int) -> Array:
    """Integer frequencies of symbols from their distribution function.

    Args:
        cdf: At the inner borders, in [0, 1], `(..., symbols - 1)`.
        total_bits: Log2 of what frequencies and one for each symbol sum to.

    Returns:
        Integers in float32, which holds them exactly, `(..., symbols)`: at least 0;
        they sum to `2**total_bits - symbols`.
    """
    symbols = cdf.shape[-1] + 1
    free = float((1 << total_bits) - symbols)
    inner = np.rint(np.clip(cdf, 0.0, 1.0) * free)
    inner = np.maximum.accumulate(inner, axis=-1)
    ends = np.empty((*cdf.shape[:-1], symbols + 1))
    ends[..., 0], ends[..., 1:-1], ends[..., -1] = 0.0, inner, free
    return np.diff(ends, axis=-1).astype("float32")


def softmax_counts(logits: Array, total_bits: int) -> Array:
    """Integer frequencies of symbols from logits.

    Args:
        logits: Integers on the grid, `(..., symbols)`.
        total_bits: As in `counts_of`.

    Returns:
        As `counts_of`.
    """
    symbols = logits.shape[-1]
    free = float((1 << total_bits) - symbols)
    powers = exponentials(logits)
    share = powers * (free / powers.sum(axis=-1, keepdims=True))
    counts = np.floor(share)
    lacking = free - counts.sum(axis=-1, keepdims=True)
    largest = np.argmax(counts, axis=-1)[..., None]
    np.put_along_axis(
        counts, largest, np.take_along_axis(counts, largest, -1) + lacking, -1
    )
    return counts.astype("float32")


def exponentials(logits: Array, bits: int = 28) -> Array:
    """`exp(logits - max)` as integers in units of `2**-bits`, so sums are exact.

    Args:
        logits: Integers on the grid, `(..., symbols)`.
        bits: Of the result.
    """
    below = (logits - logits.max(axis=-1, keepdims=True)) / ONE
    return np.rint(exp(np.maximum(below, -40.0)) * 2.0**bits)


# --- Sums of products -----------------------------------------------------------------


class Kernel:
    """A kernel as integers, whose products with values of the grid sum up exactly.

    Args:
        values: The kernel, `(..., inputs, outputs)`.
        bias: Added to the outputs, `(outputs,)`; None for none.
        terms: Products in a sum; None for those of all axes but the last.
        largest: Bound of the values that it is multiplied with.
    """

    def __init__(
        self,
        values: Array,
        bias: Array | None = None,
        terms: int | None = None,
        largest: int = LARGEST,
    ) -> None:
        values = np.asarray(values, "float64")
        terms = terms or math.prod(values.shape[:-1])
        bits = _EXACT_BITS - 1 - (largest - 1).bit_length() - terms.bit_length()
        peak = float(np.abs(values).max(initial=0.0))
        exponent = math.frexp(peak)[1] if peak else 0
        self.shift = min(bits - exponent, 30)
        self.values = np.rint(values * 2.0**self.shift)
        self.bias = None if bias is None else np.rint(np.asarray(bias, "float64") * ONE)

    def of(self, sums: Array) -> Array:
        """Values of the grid from sums of products; with the bias."""
        y = np.rint(sums * 2.0**-self.shift)
        return clip(y if self.bias is None else y + self.bias)

    def dense(self, x: Array) -> Array:
        """`x @ kernel + bias`, for `x` on the grid, `(..., inputs)`."""
        flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        y = self.of(flat @ self.values.reshape(x.shape[-1], -1))
        return np.asarray(y.reshape(*x.shape[:-1], -1))

    def conv(self, x: Array, stride: int = 1) -> Array:
        """Convolution of maps `(n, h, w, inputs)`, padded with 0 to `ceil(h / stride)`.

        The kernel is `(rows, columns, inputs, outputs)`.
        """
        rows, columns, inputs, outputs = self.values.shape
        if (rows, columns, stride) == (1, 1, 1):
            return self.dense(x)
        x = np.pad(
            x,
            (
                (0, 0),
                _padding(x.shape[1], rows, stride),
                _padding(x.shape[2], columns, stride),
                (0, 0),
            ),
        )
        windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), (1, 2))
        windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        n, height, width = windows.shape[:3]
        flat = windows.reshape(-1, rows * columns * inputs)  # a copy
        y = self.of(flat @ self.values.reshape(-1, outputs))
        return y.reshape(n, height, width, outputs)

    def conv_transpose(self, x: Array, stride: int) -> Array:
        """Transposed convolution to `stride` times the size, padding "same".

        The kernel is `(rows, columns, inputs, outputs)`.
        """
        rows, columns, inputs, outputs = self.values.shape
        n, height, width, _ = x.shape
        flat = np.ascontiguousarray(x).reshape(-1, inputs)
        full = np.zeros((n, stride * height + rows, stride * width + columns, outputs))
        for i in range(rows):
            for j in range(columns):
                part = (flat @ self.values[i, j]).reshape(n, height, width, outputs)
                full[
                    :,
                    i : i + stride * height : stride,
                    j : j + stride * width : stride,
                ] += part
        top, left = (
            _padding(stride * size, length, stride)[0]
            for size, length in ((height, rows), (width, columns))
        )
        return self.of(
            full[:, top : top + stride * height, left : left + stride * width]
        )


def _padding(size: int, length: int, stride: int) -> tuple[int, int]:
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + length - size, 0)
    return total // 2, total - total // 2


def scaled(x: Array, factor: Array, shift: Array | float = 0.0) -> Array:
    """`x * factor + shift`, in real numbers, of integers on the grid."""
    product = x * factor
    return clip(np.rint(product + np.rint(np.asarray(shift, "float64") * ONE)))


def normalised(x: Array, axes: Sequence[int], epsilon: float) -> Array:
    """Values of mean 0 and variance 1 over some axes, on the grid.

    Args:
        x: Integers on the grid.
        axes: Over which.
        epsilon: Added to the variance.
    """
    axes = tuple(axes)
    count = float(math.prod(x.shape[axis] for axis in axes))
    centred = np.rint(x - x.sum(axis=axes, keepdims=True) / count)
    squares = np.rint(centred * centred * (1.0 / ONE))
    variance = squares.sum(axis=axes, keepdims=True) / (count * ONE)
    return clip(np.rint(centred / np.sqrt(variance + epsilon)))
