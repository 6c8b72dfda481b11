"""Divisive normalisation, for networks that compress."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
# Least of what is divided by.
FLOOR = 1e-3


@keras.saving.register_keras_serializable("aezoo")
class DivisiveNormalization(keras.layers.Layer):
    """Each channel divided by a weighted sum of the sizes of all, or multiplied.

    `x / (beta + gamma |x|)`, the generalised divisive normalisation of Balle et al.
    (2016, https://arxiv.org/abs/1511.06281) with both exponents 1, as Johnston et al.
    (2019, https://arxiv.org/abs/1912.08771) found it to do as well. `beta` and `gamma`
    are squares of the weights, so that they stay positive.

    Input and output `(batch, h, w, channels)`.

    Args:
        is_inverse: Multiplies in place of dividing, on the way back.
    """

    def __init__(self, is_inverse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_inverse = is_inverse

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights: at first each channel sees itself alone."""
        channels = int(input_shape[-1] or 0)
        self.beta = self.add_weight(shape=(channels,), initializer="ones", name="beta")
        self.gamma = self.add_weight(
            shape=(channels, channels),
            initializer=keras.initializers.Identity(0.1**0.5),
            name="gamma",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps, of the same shape."""
        gamma, beta = (
            ops.cast(ops.square(w), self.compute_dtype) for w in (self.gamma, self.beta)
        )
        size = ops.matmul(ops.abs(inputs), gamma) + beta + FLOOR
        return inputs * size if self.is_inverse else inputs / size

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "is_inverse": self.is_inverse}
