"""Blocks of the autoencoders of diffusion models, as diffusers defines them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from aezoo.nn.layers.normalization import GroupNormalization

Tensor = Any
# Of group normalisation.
EPSILON = 1e-6


def convolution(channels: int, size: int = 3, **kwargs: Any) -> keras.layers.Conv2D:
    """A convolution that keeps height and width."""
    kwargs = {"padding": "same", "data_format": "channels_last", **kwargs}
    return keras.layers.Conv2D(channels, size, **kwargs)


def group_norm(groups: int, name: str) -> GroupNormalization:
    """A group normalisation with the epsilon of diffusers."""
    return GroupNormalization(groups, epsilon=EPSILON, name=name)


class ResnetBlock(keras.layers.Layer):
    """`x + conv(activation(norm(conv(activation(norm(x))))))`.

    A 1x1 convolution of `x` where the number of channels changes.

    Args:
        channels: Channels of the output.
        groups: Groups of both normalisations.
        activation: Keras activation.
    """

    def __init__(
        self, channels: int, groups: int, activation: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.activation = keras.activations.get(activation)
        self.norms = [group_norm(groups, f"norm_{i}") for i in (1, 2)]
        self.convs = [convolution(channels, name=f"conv_{i}") for i in (1, 2)]
        self.shortcut: keras.layers.Layer | None = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the layers for feature maps `(batch, h, w, channels)`."""
        shape = tuple(input_shape)
        if shape[-1] != self.channels:
            self.shortcut = convolution(
                self.channels, 1, name="shortcut", dtype=self.dtype_policy
            )
            self.shortcut.build(shape)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            norm.build(shape)
            conv.build(shape)
            shape = (*shape[:-1], self.channels)

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps `(batch, h, w, channels)`."""
        x = inputs
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(self.activation(norm(x)))
        return x + (inputs if self.shortcut is None else self.shortcut(inputs))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input, with the block's channels."""
        return (*input_shape[:-1], self.channels)


class PositionAttention(keras.layers.Layer):
    """Each position of a map attends to all, with one head; added to the map.

    Args:
        groups: Groups of the normalisation before.
    """

    def __init__(self, groups: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = group_norm(groups, "norm")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the layers for feature maps `(batch, h, w, channels)`."""
        shape, dim = tuple(input_shape), input_shape[-1]
        self.norm.build(shape)
        self.query, self.key, self.value, self.merge = (
            keras.layers.Dense(dim, name=name, dtype=self.dtype_policy)
            for name in ("query", "key", "value", "merge")
        )
        for layer in (self.query, self.key, self.value, self.merge):
            layer.build((None, None, dim))

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps `(batch, h, w, channels)`, of the same shape."""
        height, width, dim = inputs.shape[1:]
        x = ops.reshape(self.norm(inputs), (-1, height * width, dim))
        query, key, value = self.query(x), self.key(x), self.value(x)
        scores = ops.matmul(query, ops.transpose(key, (0, 2, 1))) / dim**0.5
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), value.dtype)
        mixed = self.merge(ops.matmul(weights, value))  # (batch, h * w, dim)
        return inputs + ops.reshape(mixed, (-1, height, width, dim))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)
