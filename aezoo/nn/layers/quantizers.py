"""Codebooks: from vectors to finitely many codes, and back."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


class VectorQuantizer(keras.layers.Layer):
    """A codebook, and the nearest code to a vector.

    van den Oord et al. (2017), https://arxiv.org/abs/1711.00937, equation 1. All in
    float32, also in mixed precision.

    Args:
        num_codes: Codes in the codebook.
        is_averaged: Whether the codebook follows moving averages, by `update`, rather
            than the gradient.
        has_usage: Whether to count how often each code is used.
    """

    def __init__(
        self, num_codes: int, is_averaged: bool, has_usage: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.is_averaged = is_averaged
        self.has_usage = has_usage or is_averaged
        bound = 1.0 / num_codes
        self.initializer = keras.initializers.RandomUniform(-bound, bound)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the codebook for vectors `(..., code_dim)`."""
        # `autocast`: no rounding of codes inside a layer that computes in half
        # precision. `aggregation`: of what replicas assign.
        arguments = {"dtype": "float32", "autocast": False, "aggregation": "mean"}
        self.codebook = self.add_weight(
            shape=(self.num_codes, input_shape[-1]),
            initializer=self.initializer,
            trainable=not self.is_averaged,
            name="codebook",
            **arguments,
        )
        if self.has_usage:
            self.usage = self.add_weight(
                shape=(self.num_codes,),
                initializer="zeros",
                trainable=False,
                name="usage",
                **arguments,
            )

    def bound(self, z: Tensor) -> Tensor:
        """The vectors as they are: codes can be anywhere."""
        return z

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code: the lowest of several. int32, `(...)`.

        `|z - e|**2` less `|z|**2`, which is the same for all codes `e`.

        Args:
            z: Vectors, float32, `(..., code_dim)`.
        """
        codes = ops.convert_to_tensor(self.codebook)
        squares = ops.sum(ops.square(codes), axis=-1)
        distances = squares - 2.0 * ops.matmul(z, ops.transpose(codes))
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes of indices: `(...)` to float32 `(..., code_dim)`."""
        return ops.take(ops.convert_to_tensor(self.codebook), indices, axis=0)

    def update(
        self,
        z: Tensor,
        indices: Tensor,
        decay: float,
        restart_below: float = 0.0,
        draws: Tensor | None = None,
    ) -> None:
        """Follow a training batch: averages, counts and restarts.

        Appendix A.1, equations 6 to 8, with the quotient `m / N` itself as the
        variable: `N <- decay N + (1 - decay) n` and
        `e <- e + (1 - decay) (sum of z - n e) / N`. A code that is not used stays
        where it is. Since `N` starts at 0, the first batch sets the codes it uses to
        the means of their vectors.

        Args:
            z: Vectors of the batch, `(..., code_dim)`.
            indices: Their codes, `(...)`.
            decay: Of the moving averages.
            restart_below: Codes used less than this, where 1 is the mean of all
                codes, move to a random vector of the batch; 0 for none.
            draws: Uniform in [0, 1), `(num_codes,)`: which vector each would move to.
        """
        vectors = ops.stop_gradient(ops.reshape(z, (-1, z.shape[-1])))
        flat = ops.reshape(indices, (-1,))
        count = ops.segment_sum(
            ops.ones_like(vectors[:, 0]), flat, num_segments=self.num_codes
        )
        usage = decay * self.usage + (1.0 - decay) * count
        codes = ops.convert_to_tensor(self.codebook)
        if self.is_averaged:
            total = ops.segment_sum(vectors, flat, num_segments=self.num_codes)
            change = total - count[:, None] * codes
            weight = (1.0 - decay) / ops.maximum(usage, 1e-30)
            codes = codes + weight[:, None] * change
        if restart_below:
            mean = ops.mean(usage)
            is_dead = usage < restart_below * mean
            size = ops.cast(ops.shape(vectors)[0], "float32")
            chosen = ops.minimum(draws * size, size - 1.0)  # the product may round up
            moved = ops.take(vectors, ops.cast(chosen, "int32"), axis=0)
            codes = ops.where(is_dead[:, None], moved, codes)
            usage = ops.where(is_dead, mean, usage)
        if self.is_averaged or restart_below:
            self.codebook.assign(codes)
        self.usage.assign(usage)


class ScalarQuantizer(keras.layers.Layer):
    """Rounds each unit of a vector to one of a few levels: a codebook that is a grid.

    Mentzer et al. (2023), https://arxiv.org/abs/2309.15505, section 3.1 and
    appendix A.1. Units are scaled to [-1, 1]. A code's index is its digits, one a
    unit, as a number of mixed radix, the first unit the least significant.

    Args:
        levels: Values that each unit can take; at least 2 each.
    """

    def __init__(self, levels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_codes = math.prod(levels)
        self.levels = np.asarray(levels, "int32")
        self.basis = np.cumprod([1, *levels[:-1]]).astype("int32")
        self.half_width = self.levels // 2  # the digit of the level at 0

    def build(self, input_shape: Sequence[int | None]) -> None:
        """No weights."""

    def bound(self, z: Tensor) -> Tensor:
        """Vectors in the range whose rounding gives each unit its levels.

        `tanh(z + shift) * half - offset`, over `levels // 2`: for an even number of
        levels the offset of 1/2 moves the range between whole numbers.

        Args:
            z: Vectors, float32, `(..., code_dim)`.
        """
        half = (self.levels - 1) * (1.0 - 1e-3) / 2.0
        offset = np.where(self.levels % 2 == 1, 0.0, 0.5)
        shift = np.tan(offset / half)
        half, offset, shift = (v.astype("float32") for v in (half, offset, shift))
        bounded = ops.multiply(ops.tanh(ops.add(z, shift)), half)
        return ops.divide(ops.subtract(bounded, offset), self._scale)

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code to bounded vectors. int32, `(...)`."""
        nearest = ops.cast(ops.round(ops.multiply(z, self._scale)), "int32")
        digits = ops.clip(ops.add(nearest, self.half_width), 0, self.levels - 1)
        return ops.cast(ops.sum(ops.multiply(digits, self.basis), axis=-1), "int32")

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes of indices: `(...)` to float32 `(..., code_dim)`."""
        indices = ops.cast(indices, "int32")[..., None]
        digits = ops.mod(ops.floor_divide(indices, self.basis), self.levels)
        steps = ops.cast(ops.subtract(digits, self.half_width), "float32")
        return ops.divide(steps, self._scale)

    @property
    def _scale(self) -> np.ndarray:
        scale: np.ndarray = self.half_width.astype("float32")
        return scale
