"""Lossless coding of examples with latent variables: bits back.

Townsend et al. (2019), "Practical lossless compression with latent variables using
bits back coding" (https://arxiv.org/abs/1901.04866), on a stack of bits: latents are
*popped* under the posterior q(z|x), which uses bits that are there already; then the
example is pushed under p(x|z), and the latents under the prior p(z). What an example
adds is `-log p(x|z) - log p(z) + log q(z|x)`, the negative bound in expectation. With
several levels, each is popped given those before it; networks that infer from the
coarsest level on need all of them popped before anything is pushed (Townsend et al.,
2020, https://arxiv.org/abs/1912.09953, section 3.3), where Bit-Swap (Kingma et al.,
2019, https://arxiv.org/abs/1905.06845) interleaves levels that are inferred from the
finest one on.

Latents are cut into intervals that are equally probable under the prior, so that
pushing one costs whole bits. How many, is chosen for each unit by how narrow its
posterior is: units that the model does not use get one interval, that is no bits, and
need none to start from. The stack starts from random bits; the first examples are coded
one by one, later ones in batches that grow with the stack, so that only the first one
costs more than it must.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import numpy as np

from aezoo.compression.arithmetic import (
    ONE,
    counts_of,
    exp,
    exponentials,
    laplace_cdf,
    normal_bins,
    normal_cdf,
    sigmoid,
    tanh,
    to_grid,
)
from aezoo.compression.coder import TOTAL_BITS, Stack
from aezoo.errors import UnsupportedOperationError

Array = np.ndarray
# Examples of a batch, at most; and how many times as many must lie on the stack.
MAX_BATCH, DEPTH = 64, 12
# Numbers in the tables of a batch, at most.
MAX_TABLES = 1 << 22
# Units of a smaller divergence, in nats, are not coded.
MIN_KL = 2e-3
MAX_LATENT_BITS = 10
# Examples by which the number of intervals is chosen.
NUM_PROBES = 64
LEVELS = 256


# --- Likelihoods ----------------------------------------------------------------------


class Likelihood(Protocol):
    """How values of examples become symbols, and which frequencies they have."""

    # In the tables of one element.
    num_symbols: ClassVar[int]

    def symbols(self, x: Array) -> Array:
        """Symbols of examples `(n, ...)`; raises ValueError for others."""

    def values(self, symbols: Array) -> Array:
        """Inputs of the network in [0, 1], of symbols."""

    def examples(self, symbols: Array, dtype: str) -> Array:
        """What `symbols` was given, of its dtype."""

    def push(self, stack: Stack, symbols: Array, parameters: Array) -> None:
        """Push symbols `(n, ...)` under the network's outputs on the grid."""

    def pop(self, stack: Stack, parameters: Array, shape: tuple[int, ...]) -> Array:
        """Pop what `push` pushed, `shape`."""


class _Independent(abc.ABC):
    """A likelihood whose elements do not depend on each other."""

    @abc.abstractmethod
    def counts(self, parameters: Array) -> Array:
        """Tables `(n * elements, symbols)` of the network's outputs on the grid."""

    def push(self, stack: Stack, symbols: Array, parameters: Array) -> None:
        """As in `Likelihood`."""
        stack.push(symbols.reshape(-1), self.counts(parameters))

    def pop(self, stack: Stack, parameters: Array, shape: tuple[int, ...]) -> Array:
        """As in `Likelihood`."""
        return stack.pop(self.counts(parameters)).reshape(shape)


@dataclasses.dataclass(frozen=True)
class Binary(_Independent):
    """Bernoulli elements: 0 or 1."""

    num_symbols: ClassVar[int] = 2

    def symbols(self, x: Array) -> Array:
        """As in `Likelihood`."""
        high = 255 if x.dtype == np.uint8 else 1
        is_high = x == high
        if not np.all(is_high | (x == 0)):
            raise ValueError(
                "`images` must be binary, 0 or "
                f"{high}, for a model of Bernoulli elements: it has no probabilities "
                "of the grey values between. Received: other values. Round them first, "
                "e.g. `images = 255 * (images > 127).astype('uint8')`."
            )
        return is_high.astype("int32")

    def values(self, symbols: Array) -> Array:
        """As in `Likelihood`."""
        return symbols.astype("float64")

    def examples(self, symbols: Array, dtype: str) -> Array:
        """As in `Likelihood`."""
        return (symbols * (255 if dtype == "uint8" else 1)).astype(dtype)

    def counts(self, parameters: Array) -> Array:
        """As in `Likelihood`."""
        free = float((1 << TOTAL_BITS) - 2)
        ones = np.rint(_fine_sigmoid(parameters) * free).reshape(-1)
        return np.stack([free - ones, ones], axis=1).astype("float32")


class _Levels:
    """Elements of 256 levels."""

    num_symbols: ClassVar[int] = LEVELS

    def symbols(self, x: Array) -> Array:
        """As in `Likelihood`."""
        if x.dtype != np.uint8:
            raise ValueError(
                "`images` must be uint8 to be coded without loss by a model of "
                f"continuous elements. Received: dtype={x.dtype}."
            )
        return x.astype("int32")

    def values(self, symbols: Array) -> Array:
        """As in `Likelihood`."""
        return symbols / (LEVELS - 1.0)

    def examples(self, symbols: Array, dtype: str) -> Array:
        """As in `Likelihood`."""
        return symbols.astype(dtype)


@dataclasses.dataclass(frozen=True)
class DensityLevels(_Levels, _Independent):
    """Elements of 256 levels under a density, which is summed over each level.

    Args:
        cdf: Distribution function for mean 0 and scale 1.
        log_scale: Natural log of the scale.
        output_activation: Of the decoder.
    """

    cdf: Callable[[Array], Array]
    log_scale: float
    output_activation: str

    def counts(self, parameters: Array) -> Array:
        """As in `_Independent`."""
        if self.output_activation == "sigmoid":
            mean = _fine_sigmoid(parameters)
        else:
            mean = parameters / ONE
        borders = (np.arange(1, LEVELS) - 0.5) / (LEVELS - 1.0)
        distance = borders - mean.reshape(-1, 1)
        precision = exp(np.asarray(-self.log_scale))
        return counts_of(self.cdf(distance * precision), TOTAL_BITS)


@dataclasses.dataclass(frozen=True)
class MixtureLevels(_Levels):
    """As `aezoo.distributions.DiscretizedLogisticMixture`: channel after channel.

    Args:
        channels: Elements at a position.
    """

    channels: int

    def push(self, stack: Stack, symbols: Array, parameters: Array) -> None:
        """As in `Likelihood`."""
        flat = symbols.reshape(-1, self.channels)
        for channel in range(self.channels)[::-1]:
            counts = self._counts(parameters, channel, flat[:, :channel])
            stack.push(flat[:, channel], counts)

    def pop(self, stack: Stack, parameters: Array, shape: tuple[int, ...]) -> Array:
        """As in `Likelihood`."""
        flat = np.zeros((math.prod(shape) // self.channels, self.channels), "int32")
        for channel in range(self.channels):
            counts = self._counts(parameters, channel, flat[:, :channel])
            flat[:, channel] = stack.pop(counts)
        return flat.reshape(shape)

    def _counts(self, parameters: Array, channel: int, before: Array) -> Array:
        """Tables `(positions, levels)` of a channel given those before it."""
        flat = parameters.reshape(-1, parameters.shape[-1])
        pairs = self.channels * (self.channels - 1) // 2
        size = flat.shape[1] // (1 + 2 * self.channels + pairs)
        parts = flat.reshape(len(flat), -1, size)
        powers = exponentials(parts[:, 0])
        weights = powers / powers.sum(axis=1, keepdims=True)
        means = parts[:, 1 + channel] / ONE
        log_scales = np.maximum(parts[:, 1 + self.channels + channel] / ONE, -7.0)
        first = 1 + 2 * self.channels + channel * (channel - 1) // 2
        for i in range(channel):
            value = 2.0 * (before[:, i, None] / (LEVELS - 1.0)) - 1.0
            share = tanh(parts[:, first + i] / ONE) * value
            means = means + share
        borders = (2.0 * np.arange(LEVELS - 1) + 1.0) / (LEVELS - 1.0) - 1.0
        cdf = np.zeros((len(flat), LEVELS - 1))
        for k in range(size):  # a sum whose order is fixed
            distance = borders - means[:, k, None]
            cdf += weights[:, k, None] * sigmoid(
                distance * exp(-log_scales[:, k, None])
            )
        return counts_of(cdf, TOTAL_BITS)


def _fine_sigmoid(parameters: Array) -> Array:
    """In [0, 1], finer than the grid; of integers on the grid."""
    return np.asarray(
        1.0 / (1.0 + exp(-np.clip(parameters, -20 * ONE, 20 * ONE) / ONE))
    )


def likelihood_of(model: Any) -> Likelihood:
    """How a model's examples are coded.

    Raises:
        UnsupportedOperationError: If its likelihood has no finite tables.
    """
    name = model.likelihood_name
    if name == "bernoulli":
        return Binary()
    densities = {"gaussian": normal_cdf, "laplace": laplace_cdf}
    if name in densities:
        # rounded: a logarithm of Python's may differ in the last bit elsewhere
        log_scale = float(np.float32(np.asarray(model.log_scale)))
        return DensityLevels(densities[name], log_scale, model.output_activation)
    if name == "discretized_logistic":
        return MixtureLevels(model.modality.channels)
    raise UnsupportedOperationError(
        f"{model.name!r} has no likelihood whose elements can be coded without loss "
        "('bernoulli', 'gaussian', 'laplace' or 'discretized_logistic'). Received: "
        f"likelihood={name!r}."
    )


# --- Latents --------------------------------------------------------------------------


class Intervals:
    """The intervals of each unit of a level.

    Args:
        bits: Log2 of their number, for each unit, `(units,)`; 0 is not coded.
    """

    def __init__(self, bits: Array) -> None:
        self.num_units = len(bits)
        self.groups = [
            (int(b), np.flatnonzero(bits == b), *normal_bins(int(b)))
            for b in np.unique(bits[bits > 0])
        ]

    @property
    def num_bits(self) -> int:
        """Bits of one latent under the prior."""
        return sum(bits * len(units) for bits, units, *_ in self.groups)

    def tables(self, mean: Array, std: Array) -> list[Array]:
        """Of each group `(n * units, symbols)`: q of each interval."""
        tables = []
        for _, units, borders, _ in self.groups:
            distance = borders - mean[:, units, None]
            cdf = normal_cdf(distance / std[:, units, None])
            tables.append(counts_of(cdf, TOTAL_BITS).reshape(-1, len(borders) + 1))
        return tables

    def medians(self, symbols: list[Array], n: int) -> Array:
        """Latents in units of the prior, `(n, units)`, of the groups' symbols."""
        z = np.zeros((n, self.num_units))
        for (_, units, _, medians), chosen in zip(self.groups, symbols, strict=True):
            z[:, units] = medians[chosen].reshape(n, -1)
        return z

    def push_prior(self, stack: Stack, symbols: list[Array]) -> None:
        """Push the symbols of a level under the prior."""
        for (bits, *_), chosen in zip(self.groups, symbols, strict=True):
            stack.push_uniform(chosen, bits)

    def pop_prior(self, stack: Stack, n: int) -> list[Array]:
        """Pop what `push_prior` pushed."""
        found = [
            stack.pop_uniform(n * len(units), bits)
            for bits, units, *_ in self.groups[::-1]
        ]
        return found[::-1]


def choose_bits(latents: Any, x: Array, seed: int = 0) -> list[Array]:
    """Log2 of the number of intervals of each unit, by level.

    Args:
        latents: The model's latents.
        x: Some examples on the grid.
        seed: Seed of the latents that are drawn on the way.

    Returns:
        uint8 `(units,)` for each level.
    """
    generator = np.random.default_rng(seed)
    features, walk = latents.features(x), latents.walk()
    chosen = []
    for level in range(len(latents.level_units)):
        mean, std = walk.posterior(level, features)
        walk.advance(level, mean + std * generator.standard_normal(mean.shape))
        kl = 0.5 * (mean**2 + std**2 - 1.0) - np.log(std)
        narrow = np.quantile(np.minimum(std, 1.0), 0.1, axis=0)
        # intervals around the mean are as wide as half the standard deviation
        bits = np.ceil(np.log2(2.0 * math.sqrt(2.0 * math.pi) / narrow))
        bits = np.clip(bits, 1, MAX_LATENT_BITS)
        chosen.append(np.where(kl.mean(axis=0) < MIN_KL, 0, bits).astype("uint8"))
    return chosen


# --- Coding ---------------------------------------------------------------------------


def batches(n: int, numbers: int) -> Iterator[slice]:
    """Which examples are coded together: few at first.

    Args:
        n: Number of examples.
        numbers: In the tables of one.
    """
    largest = max(1, min(MAX_BATCH, MAX_TABLES // numbers))
    start = 0
    while start < n:
        size = min(max(1, start // DEPTH), largest, n - start)
        yield slice(start, start + size)
        start += size


def encode(
    latents: Any, likelihood: Likelihood, symbols: Array, bits: list[Array]
) -> Array:
    """Examples as words.

    Args:
        latents: `FlatLatents` or `TopDownLatents`.
        likelihood: How examples are coded.
        symbols: Of examples, `(n, *shape)`.
        bits: As `choose_bits` returns them.

    Returns:
        uint32.
    """
    intervals = [Intervals(b) for b in bits]
    # more than a batch can pop: 24 bits for each latent at most
    supply = MAX_BATCH * sum(np.count_nonzero(b) for b in bits) + 64
    generator = np.random.default_rng(0)
    stack = Stack(generator.integers(1, 1 << 32, supply, dtype="uint32"))
    for rows in batches(len(symbols), likelihood.num_symbols * symbols[0].size):
        x = symbols[rows]
        n = len(x)
        features, walk = latents.features(to_grid(likelihood.values(x))), latents.walk()
        path = []
        for level, cut in enumerate(intervals):
            chosen = [
                stack.pop(table)
                for table in cut.tables(*walk.posterior(level, features))
            ]
            walk.advance(level, cut.medians(chosen, n))
            path.append(chosen)
        likelihood.push(stack, x, walk.parameters())
        for cut, chosen in zip(intervals, path, strict=True):
            cut.push_prior(stack, chosen)
    return stack.words()


def decode(
    latents: Any,
    likelihood: Likelihood,
    words: Array,
    shape: tuple[int, ...],
    bits: list[Array],
) -> Array:
    """The symbols that `encode` was given, `shape`; the inverse of its steps.

    Args:
        latents: As there.
        likelihood: As there.
        words: What it returned.
        shape: `(n, *shape)`.
        bits: As there.
    """
    intervals = [Intervals(b) for b in bits]
    stack = Stack(words)
    symbols = np.empty(shape, "uint8")
    numbers = likelihood.num_symbols * math.prod(shape[1:])
    for rows in list(batches(shape[0], numbers))[::-1]:
        n = rows.stop - rows.start
        path = [cut.pop_prior(stack, n) for cut in intervals[::-1]][::-1]
        walk = latents.walk()
        for level, (cut, chosen) in enumerate(zip(intervals, path, strict=True)):
            walk.advance(level, cut.medians(chosen, n))
        x = likelihood.pop(stack, walk.parameters(), (n, *shape[1:]))
        symbols[rows] = x
        features = latents.features(to_grid(likelihood.values(x)))
        for level in range(len(intervals))[::-1]:
            tables = intervals[level].tables(*walk.posterior(level, features))
            for table, popped in zip(tables[::-1], path[level][::-1], strict=True):
                stack.push(popped, table)
    return symbols
