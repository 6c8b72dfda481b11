"""Residual blocks of convolutions."""

from collections.abc import Sequence
from typing import Any

import keras

from aezoo.nn.layers.diffusion import convolution

Tensor = Any

NORMALIZATIONS = ("batch", "group")


class ResidualBlock(keras.layers.Layer):
    """Pre-activation residual block of two 3x3 convolutions.

    He et al. (2016), "Identity mappings in deep residual networks"
    (https://arxiv.org/abs/1603.05027), figure 1b:
    `x + conv(activation(norm(conv(activation(norm(x))))))`. The second convolution
    starts at zero, so that the untrained block is the identity (Goyal et al., 2017,
    https://arxiv.org/abs/1706.02677, section 5.1).

    Args:
        channels: Channels of input and output.
        activation: Activation before each convolution.
        normalization: None, `"batch"`, or `"group"` (Wu & He, 2018,
            https://arxiv.org/abs/1803.08494): groups of 8 channels where 8 divides
            them, else one group.
    """

    def __init__(
        self,
        channels: int,
        activation: str | None,
        normalization: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                padding="same",
                kernel_initializer=initializer,
                name=f"conv_{i}",
                data_format="channels_last",
            )
            for i, initializer in ((1, "he_normal"), (2, "zeros"))
        ]
        self.norms = _normalizations(normalization, channels)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the layers for feature maps `(batch, h, w, channels)`."""
        for layer in (*self.norms, *self.convs):
            layer.build(tuple(input_shape))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Add the block's change to its input, `(batch, h, w, channels)`."""
        x = inputs
        for i, conv in enumerate(self.convs):
            if self.norms:
                x = self.norms[i](x, training=training)
            x = conv(self.activation(x))
        return inputs + x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)


def _normalizations(kind: str | None, channels: int) -> list[keras.layers.Layer]:
    names = ("norm_1", "norm_2")
    if kind == "batch":
        return [keras.layers.BatchNormalization(momentum=0.9, name=n) for n in names]
    if kind == "group":
        groups = channels // 8 if channels % 8 == 0 else 1
        return [keras.layers.GroupNormalization(groups, name=n) for n in names]
    return []


class ResidualConvolutions(keras.layers.Layer):
    """`x + conv(activation(conv(x)))`, of Lim et al. (2017), figure 2.

    Args:
        channels: Channels.
        activation: Keras activation.
        is_identity: Whether the untrained block is the identity.
    """

    def __init__(
        self, channels: int, activation: str, is_identity: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.first = convolution(channels, activation=activation, name="conv_1")
        start = "zeros" if is_identity else "glorot_uniform"
        self.second = convolution(channels, kernel_initializer=start, name="conv_2")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build both convolutions for feature maps `(batch, h, w, channels)`."""
        self.first.build(tuple(input_shape))
        self.second.build(tuple(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps, of the same shape."""
        return inputs + self.second(self.first(inputs))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)
