"""Coding of rounded maps under a hyperprior: images of any size, with loss.

What is expected of each unit is computed from the hyperlatent in exact arithmetic, on
both sides; its scale then is one of a few, each with a table of its own, so that all
units of a scale are coded at once. Hyperlatents go first, under tables of their own.

That goes in blocks of the model's own size: a hyperlatent has so few positions that
all of them have learnt to rely on the zeros beyond the rim.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aezoo.compression.arithmetic import (
    ONE,
    counts_of,
    exp,
    normal_cdf,
    sigmoid,
    to_grid,
)
from aezoo.compression.coder import TOTAL_BITS, Stack
from aezoo.compression.networks import ExactLayers, numbers
from aezoo.modalities.image.tiling import apply_in_windows
from aezoo.models.hyperprior import MIN_SCALE, Hyperprior, from_blocks, to_blocks

Array = np.ndarray
# Scales that are told apart, from `MIN_SCALE` on; the factor from one to the next, and
# logarithms: written out, for the mathematical library's may differ in the last bit.
SCALES, FACTOR = 64, 1.1
_LOG_FACTOR, _LOG_MIN_SCALE = 0.09531017980432493, -2.2072749131897207
# A unit is cut to so many scales around its mean, or to so many integers where these
# are more, and a hyperlatent to its bounds.
REACH, LEAST_BOUND, HYPER_BOUND = 8.0, 64, 63
# Nats that a squared distance of 1 is worth. With steps of s, lengths fall by log(s),
# and errors grow to WORTH * s**2 / 12, whose sum would be least at s = 1 for 6. After
# training, of 6, 10, 15, 20, 30 and 50, this one is best on training patches that were
# held out (by 2.2 % of bits and error together, of `hyperprior_photos_q3`).
WORTH = 15.0
# Positions of a map, along an axis, that are decoded at once.
TILE = 64


class HyperCoder:
    """Tables of a model's hyperlatents and maps, in exact arithmetic.

    Args:
        model: The model.
    """

    def __init__(self, model: Hyperprior) -> None:
        self.model = model
        self._layers = ExactLayers()

    @functools.cached_property
    def hyper_tables(self) -> Array:
        """Of each channel of the hyperlatent, `(channels, symbols)`."""
        prior = self.model.hyper_prior
        logits, means, log_scales = (
            numbers(w) for w in (prior.logits, prior.means, prior.log_scales)
        )
        powers = exp(logits - logits.max(axis=0))
        total = powers[0]
        for row in powers[1:]:  # in a fixed order
            total = total + row
        borders = np.arange(-HYPER_BOUND, HYPER_BOUND) + 0.5
        cdf: Any = 0.0
        for power, mean, log_scale in zip(powers, means, log_scales, strict=True):
            distance = (borders - mean[:, None]) / exp(log_scale)[:, None]
            cdf = cdf + (power / total)[:, None] * sigmoid(distance)
        return counts_of(cdf, TOTAL_BITS)

    @property
    def block(self) -> tuple[int, int]:
        """Sides of the map of an image of the model's own size."""
        height, width, _ = self.model.latent_shape
        return height, width

    @property
    def hyper_block(self) -> tuple[int, int]:
        """Sides of the hyperlatent of such an image."""
        network = self.model.transforms
        ratio = network.hyper_stride // network.stride
        height, width = (-(-side // ratio) for side in self.block)
        return height, width

    def blocks_of(self, image: Sequence[int]) -> list[int]:
        """Blocks along both axes that cover an image of a height and width."""
        stride = self.model.transforms.stride
        return [
            -(-side // (stride * own))
            for side, own in zip(image, self.block, strict=True)
        ]

    def expected(self, hyper: Array) -> tuple[Array, Array]:
        """Means and the number of the scale of each unit, of rounded hyperlatents.

        Args:
            hyper: Integers, `(n, h, w, channels)`, of whole blocks.

        Returns:
            Float64 and integers, of the maps of these blocks, `(n, height, width,
            units)`.
        """
        own = self.hyper_block
        count = [side // n for side, n in zip(hyper.shape[1:3], own, strict=True)]
        x = to_grid(to_blocks(hyper, own, np))
        for layer in self.model.hyper_decoder.layers:
            x = self._layers.run(layer, x)
        height, width = self.block
        x = from_blocks(x[:, :height, :width], count, np)
        center, log_scale = np.split(x / ONE, 2, axis=-1)
        above = _softplus(log_scale - _LOG_MIN_SCALE)
        index = np.clip(np.rint(above / _LOG_FACTOR), 0, SCALES - 1)
        return center, index.astype("int32")


def _softplus(x: Array) -> Array:
    """`log(1 + exp(x))`, from a table over the grid."""
    table = _softplus_table()
    end = 16 * ONE
    index = np.rint(np.clip(x * ONE, -end, end)).astype("int64") + end
    return np.where(x > 16.0, x, table[index])


@functools.cache
def _softplus_table() -> Array:
    """Of points from -16 to 16: sums of its slope, the sigmoid, at midpoints."""
    end = 16 * ONE
    points = (np.arange(-end, end) + 0.5) / ONE
    slopes = np.rint(sigmoid(points) * 2.0**40).astype("int64")
    sums = np.concatenate([[0], np.cumsum(slopes)])
    return np.asarray(sums / float(2**40 * ONE))


@functools.cache
def scale_of(index: int) -> float:
    """One of the scales, by multiplications."""
    return MIN_SCALE if index == 0 else scale_of(index - 1) * FACTOR


@functools.cache
def scale_table(index: int) -> Array:
    """Frequencies of distances from the mean, in order, of one of the scales."""
    scale, bound = scale_of(index), bound_of(index)
    borders = (np.arange(-bound, bound) + 0.5) / scale
    return counts_of(normal_cdf(borders)[None], TOTAL_BITS)[0]


def bound_of(index: int) -> int:
    """The largest distance that is coded, of one of the scales."""
    return max(LEAST_BOUND, math.ceil(REACH * scale_of(index)))


def encode(model: Hyperprior, x: Array, batch_size: int) -> tuple[Array, list[Array]]:
    """Images as words; and the symbols that they hold.

    Args:
        model: The model.
        x: Images of any size, `(n, height, width, channels)`, checked.
        batch_size: Images per compiled call.

    Returns:
        uint32; hyperlatents and distances, int32.
    """
    coder = HyperCoder(model)
    found = model.run("encode_parameters", padded(coder, x), batch_size)
    hyper = np.clip(np.rint(found["hyper"]), -HYPER_BOUND, HYPER_BOUND)
    hyper = hyper.astype("int32")
    center, index = coder.expected(hyper)
    place = positions_of(model, x.shape)
    center, index = center[place], index[place]
    distance = cheapest(found["y"][place] - center, index)
    stack = Stack(np.empty(0, "uint32"))
    for i in np.unique(index)[::-1]:
        chosen = distance[index == i]
        stack.push_alike(chosen + bound_of(i), scale_table(int(i)))
    for channel in range(hyper.shape[-1])[::-1]:
        symbols = hyper[..., channel].ravel() + HYPER_BOUND
        stack.push_alike(symbols, coder.hyper_tables[channel])
    return stack.words(), [hyper, distance]


def cheapest(wanted: Array, index: Array) -> Array:
    """Integers near distances from means: the nearest, or the next one towards 0.

    That whose length and squared error together are less: rate-distortion optimised
    quantisation (Ramchandran & Vetterli, 1994, https://doi.org/10.1109/83.334987).

    Args:
        wanted: Distances before rounding.
        index: The number of the scale of each, of the same shape.

    Returns:
        int32, within the bounds of the scales.
    """
    distance = np.empty(wanted.shape, "int32")
    for i in np.unique(index):
        place, bound = index == i, bound_of(i)
        exact = wanted[place]
        nearest = np.clip(np.rint(exact), -bound, bound).astype("int32")
        lower = nearest - np.sign(nearest)
        lengths = -np.log((scale_table(int(i)) + 1.0) / 2.0**TOTAL_BITS)
        nats = lengths[nearest + bound] - lengths[lower + bound]
        error = np.square(lower - exact) - np.square(nearest - exact)
        distance[place] = np.where(nats > WORTH * error, lower, nearest)
    return distance


def decode(
    model: Hyperprior, words: Array, shape: Sequence[int]
) -> tuple[Array, list[Array]]:
    """Maps of images of a shape, and the symbols that were held.

    Args:
        model: As in `encode`.
        words: What it returned.
        shape: `(n, height, width, channels)` of the images.

    Returns:
        Float32, `(n, h, w, units)`; hyperlatents and distances, int32.
    """
    coder, network = HyperCoder(model), model.transforms
    count = coder.blocks_of(shape[1:3])
    sides = [n * own for n, own in zip(count, coder.hyper_block, strict=True)]
    stack = Stack(words)
    hyper = np.empty((shape[0], *sides, network.hyper_filters), "int32")
    for channel in range(hyper.shape[-1]):
        symbols = stack.pop_alike(hyper[..., 0].size, coder.hyper_tables[channel])
        hyper[..., channel] = symbols.reshape(hyper.shape[:-1]) - HYPER_BOUND
    place = positions_of(model, shape)
    center, index = (v[place] for v in coder.expected(hyper))
    distance = np.empty(center.shape, "int32")
    for i in np.unique(index):
        place = index == i
        symbols = stack.pop_alike(int(place.sum()), scale_table(int(i)))
        distance[place] = symbols - bound_of(i)
    return (center + distance).astype("float32"), [hyper, distance]


def positions_of(model: Hyperprior, shape: Sequence[int]) -> tuple[slice, ...]:
    """Which positions of a map images of a shape need; others of its blocks do not go.

    Args:
        model: The model.
        shape: `(n, height, width, channels)` of the images.
    """
    height, width = (-(-side // model.transforms.stride) for side in shape[1:3])
    return np.s_[:, :height, :width]


def padded(coder: HyperCoder, x: Array) -> Array:
    """Images of whole blocks: mirrored beyond their rims, as often as it takes."""
    stride = coder.model.transforms.stride
    whole = [
        n * own * stride
        for n, own in zip(coder.blocks_of(x.shape[1:3]), coder.block, strict=True)
    ]
    missing = [n - side for n, side in zip(whole, x.shape[1:3], strict=True)]
    return np.pad(x, ((0, 0), *((0, n) for n in missing), (0, 0)), mode="symmetric")


def images_of(model: Hyperprior, z: Array) -> Array:
    """Images of maps of any size, by parts of which each sees its surroundings.

    Args:
        model: The model.
        z: Maps, `(n, h, w, units)`.

    Returns:
        Float32 in [0, 1], `(n, 16 * h, 16 * w, channels)`.
    """
    return apply_in_windows(
        lambda windows: model.run("decode_whole", windows, 1),
        z,
        tile=TILE,
        margin=model.transforms.reach,
        grow=model.transforms.stride,
    )
