"""Networks that tell what is real from what is not: adversaries of models."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from aezoo.nn.layers.dense import build_dense

Tensor = Any


class Discriminator(keras.layers.Layer):
    """Dense layers from codes to one logit each: positive for what it takes as real.

    Args:
        hidden_units: Width of each hidden layer.
    """

    def __init__(self, hidden_units: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten(name="flatten", data_format="channels_last")
        self.hidden = [
            keras.layers.Dense(units, activation="leaky_relu", name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.logit = keras.layers.Dense(1, name="logit")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, *latent_shape)`."""
        width = math.prod(input_shape[1:])  # type: ignore[arg-type]
        build_dense([*self.hidden], [self.logit], width)

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to logits, float32, `(batch,)`."""
        x = self.flatten(inputs)
        for layer in self.hidden:
            x = layer(x)
        return ops.cast(self.logit(x)[:, 0], "float32")


class ImageDiscriminator(keras.layers.Layer):
    """Strided convolutions from images to features, and on to one logit each.

    Each is normalised over the image, where the paper does so over the batch: features
    then have the scale for a Gaussian of unit variance, and no image sees another.

    Args:
        filters: Channels of each convolution.
        feature_layer: Number of the convolution that gives the features, from 1.
    """

    def __init__(
        self, filters: Sequence[int], feature_layer: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.feature_layer = feature_layer
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                strides=2,
                padding="same",
                name=f"conv_{i}",
                data_format="channels_last",
            )
            for i, channels in enumerate(filters, start=1)
        ]
        self.norms = [
            keras.layers.GroupNormalization(1, name=f"norm_{i}")
            for i in range(1, len(filters) + 1)
        ]
        self.logit = keras.layers.Dense(1, name="logit")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        shape = tuple(input_shape)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        self.logit.build((None, math.prod(shape[1:])))  # type: ignore[arg-type]

    def call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(images, units)` and logits `(images,)`; float32.

        A logit is positive for what it takes as real.
        """
        x = inputs
        layers = zip(self.convs, self.norms, strict=True)
        for i, (conv, norm) in enumerate(layers, start=1):
            x = ops.leaky_relu(norm(conv(x)))
            if i == self.feature_layer:
                features = _flat(x)
        logits = self.logit(_flat(x))[:, 0]
        return ops.cast(features, "float32"), ops.cast(logits, "float32")


class PatchDiscriminator(keras.layers.Layer):
    """Strided convolutions from images to a logit for each patch.

    The PatchGAN of Isola et al. (2017), https://arxiv.org/abs/1611.07004, section 3.2.
    Normalised over the image, where the paper does so over the batch: no image sees
    another.

    Args:
        filters: Channels of each convolution, which halves the image.
    """

    def __init__(self, filters: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convs = [
            keras.layers.Conv2D(
                n,
                4,
                strides=2,
                padding="same",
                name=f"conv_{i}",
                data_format="channels_last",
            )
            for i, n in enumerate(filters, start=1)
        ]
        self.norms = [
            keras.layers.GroupNormalization(1, name=f"norm_{i}")
            for i in range(2, len(filters) + 1)  # as in the paper, not after the first
        ]
        # While no error of the hinge loss is 0, those of both kinds of image cancel in
        # a bias.
        self.logit = keras.layers.Conv2D(
            1,
            4,
            padding="same",
            use_bias=False,
            name="logit",
            data_format="channels_last",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        shape = tuple(input_shape)
        for i, conv in enumerate(self.convs):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            if i > 0:
                self.norms[i - 1].build(shape)
        self.logit.build(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Logits `(images, patches)`, float32; positive for what it takes as real."""
        x = inputs
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = ops.leaky_relu(self.norms[i - 1](x) if i > 0 else x)
        logits = self.logit(x)
        patches = math.prod(logits.shape[1:])
        return ops.cast(ops.reshape(logits, (-1, patches)), "float32")


def _flat(x: Tensor) -> Tensor:
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))
