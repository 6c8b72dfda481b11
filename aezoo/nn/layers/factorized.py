"""A learned distribution of integers, each channel by itself."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any
COMPONENTS = 3
# Of a scale, at the start, by component.
START = (1.0, 4.0, 12.0)
LEAST = 1e-9


@keras.saving.register_keras_serializable("aezoo")
class FactorizedPrior(keras.layers.Layer):
    """Mixtures of logistic distributions, one for each channel, over integers.

    The probability of `v` is the mass from `v - 1/2` to `v + 1/2`, also for values
    between integers, as training with uniform noise needs it (Balle et al., 2017,
    https://arxiv.org/abs/1611.01704, equation 12).

    Input `(batch, h, w, channels)`, output log probabilities, float32, as the input.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the parameters of each channel's mixture."""
        shape = (COMPONENTS, int(input_shape[-1] or 0))
        self.logits = self.add_weight(shape=shape, initializer="zeros", name="logits")
        self.means = self.add_weight(shape=shape, initializer="zeros", name="means")
        self.log_scales = self.add_weight(
            shape=shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                np.broadcast_to(np.log(START)[:, None], shape), dtype
            ),
            name="log_scales",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Log probabilities."""
        x = ops.cast(inputs, "float32")
        weights = ops.softmax(ops.cast(self.logits, "float32"), axis=0)
        mass: Any = 0.0
        for i in range(COMPONENTS):
            scale = ops.exp(ops.cast(self.log_scales[i], "float32"))
            distance = ops.abs(x - ops.cast(self.means[i], "float32"))
            # in the lower tail, where differences of sigmoids are exact
            mass = mass + weights[i] * (
                ops.sigmoid((0.5 - distance) / scale)
                - ops.sigmoid((-0.5 - distance) / scale)
            )
        return ops.log(ops.maximum(mass, LEAST))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)
