"""Normalisation of groups of channels, in fewer passes over memory than Keras makes."""

from typing import Any

import keras
from keras import ops

from aezoo.nn.backend import fused_group_norm

Tensor = Any


class GroupNormalization(keras.layers.GroupNormalization):
    """Keras's, with the same weights, for feature maps with the channels last.

    Wu & He (2018), "Group normalization" (https://arxiv.org/abs/1803.08494). Moments of
    channels come first, then those of groups, so that no large tensor has an axis as
    short as a group; and the variance is the mean of squared deviations, which rounds
    less than a difference of squares.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps `(batch, h, w, channels)`, of the same shape."""
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        x = ops.cast(inputs, dtype)
        gamma, beta = (ops.cast(v, dtype) for v in (self.gamma, self.beta))
        if fused_group_norm is not None:
            outputs = fused_group_norm(x, self.groups, gamma, beta, self.epsilon)
            return ops.cast(outputs, self.compute_dtype)
        mean = self._of_groups(ops.mean(x, axis=(1, 2)))
        variance = self._of_groups(ops.mean(ops.square(x - mean), axis=(1, 2)))
        scale = ops.rsqrt(variance + self.epsilon) * gamma
        return ops.cast(x * scale + (beta - mean * scale), self.compute_dtype)

    def _of_groups(self, means: Tensor) -> Tensor:
        """Means of channels `(batch, channels)` to those of their groups, at each."""
        channels = means.shape[-1]
        size = channels // self.groups
        grouped = ops.reshape(means, (-1, self.groups, size))
        grouped = ops.repeat(ops.mean(grouped, axis=-1), size, axis=-1)
        return ops.reshape(grouped, (-1, 1, 1, channels))
