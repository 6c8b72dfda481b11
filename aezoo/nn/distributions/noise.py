"""Noise by seed: the same numbers on every backend, whatever the batch."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.nn.backend import wrapped
from aezoo.utils.validation import check_seed

Tensor = Any
Seed = "int | keras.random.SeedGenerator | IndexedNoise | None"


class IndexedNoise:
    """Noise that depends on the seed and an example's position, not on its batch.

    Evaluating 10 examples at once or as 7 + 3 then gives the same numbers, on every
    backend and machine, and a second evaluation repeats the first. The generator is
    the integer hash "lowbias32" of C. Wellons over (seed, position, unit).

    An example's numbers are a stretch of one sequence of 2**32, from a random place on:
    stretches of long codes and many draws meet, so that two examples share numbers, but
    at other units or draws (of 10,000 examples with 1,048 units and 50 draws, 1,129).

    Args:
        seed: A non-negative integer below 2**31.
        start: Position of the batch's first example; an integer or a scalar tensor.
        draws: Rows per example: row `r` of the batch is another draw for example
            `start + r // draws`. Draws differ, and do not depend on how many are
            asked for at once.
        first_draw: Number of the first of these draws; an integer or a scalar tensor.
        is_shared: Gives all examples the noise of the first one, so that nothing
            depends on an example's place.
    """

    def __init__(
        self,
        seed: int,
        start: Any = 0,
        draws: int = 1,
        first_draw: Any = 0,
        is_shared: bool = False,
    ) -> None:
        self.seed = check_seed(seed) or 0
        self.start = start
        self.draws = draws
        self.first_draw = first_draw
        self.is_shared = is_shared

    def with_draws(self, draws: int, first_draw: Any = 0) -> "IndexedNoise":
        """The same noise with another number of draws per example."""
        return IndexedNoise(self.seed, self.start, draws, first_draw, self.is_shared)

    def uniform(self, shape: Sequence[Any]) -> Tensor:
        """Uniform in the open interval (0, 1). Float32 of shape `(batch, ...)`."""
        units = math.prod(shape[1:])
        examples = ops.arange(shape[0] // self.draws) * (not self.is_shared)
        rows = ops.cast(examples, "int32") + ops.cast(self.start, "int32")
        # (examples, 1), hashed before the units so that rows cannot alias one another
        rows = ops.cast(rows, "uint32")[:, None]
        keys = _hash32(wrapped(rows + _uint32(_mix(self.seed))))
        columns = _uint32(np.arange(self.draws * units))
        columns = columns + ops.cast(self.first_draw * units, "uint32")
        bits = _hash32(wrapped(keys + columns * _uint32(0x9E3779B9)))
        # 23 bits, since float32 rounds the half of the 24th up to 1.0 and beyond
        top23 = ops.cast(ops.right_shift(bits, _uint32(9)), "float32")
        return ops.reshape((top23 + 0.5) * 2.0**-23, shape)

    def normal(self, shape: Sequence[Any]) -> Tensor:
        """Standard normal. Float32 of shape `(batch, ...)`."""
        return math.sqrt(2.0) * ops.erfinv(2.0 * self.uniform(shape) - 1.0)


def _uint32(value: Any) -> Tensor:
    return ops.convert_to_tensor(np.asarray(value, "uint32"))


def _mix(seed: int) -> int:
    """Spread small seeds over 32 bits, so that seeds 0 and 1 share no stream."""
    return (seed * 0x85EBCA6B + 0xC2B2AE35) & 0xFFFFFFFF


def _hash32(x: Tensor) -> Tensor:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(shift)))
        x = wrapped(x * _uint32(factor))
    return ops.bitwise_xor(x, ops.right_shift(x, _uint32(16)))


def standard_normal(shape: Sequence[Any], seed: Any) -> Tensor:
    """Standard normal noise, float32.

    An integer seed (or None: fresh entropy) draws with NumPy, so that the same seed
    gives the same numbers on every backend. A `keras.random.SeedGenerator` draws in
    the graph, and `IndexedNoise` by position.
    """
    if isinstance(seed, IndexedNoise):
        return seed.normal(shape)
    if isinstance(seed, keras.random.SeedGenerator):
        return keras.random.normal(shape, dtype="float32", seed=seed)
    generator = np.random.default_rng(check_seed(seed))
    return ops.convert_to_tensor(generator.standard_normal(tuple(shape), "float32"))


def uniform(shape: Sequence[Any], seed: Any) -> Tensor:
    """Uniform noise in [0, 1), float32; seeds as in `standard_normal`."""
    if isinstance(seed, IndexedNoise):
        return seed.uniform(shape)
    if isinstance(seed, keras.random.SeedGenerator):
        return keras.random.uniform(shape, dtype="float32", seed=seed)
    generator = np.random.default_rng(check_seed(seed))
    return ops.convert_to_tensor(generator.random(tuple(shape), "float32"))


def gumbel(shape: Sequence[Any], seed: Any) -> Tensor:
    """Standard Gumbel noise, float32; seeds as in `standard_normal`."""
    tiny = 1e-37  # of a uniform draw of 0, and of the log of one near 1
    exponential = -ops.log(ops.maximum(uniform(shape, seed), tiny))
    return -ops.log(ops.maximum(exponential, tiny))
