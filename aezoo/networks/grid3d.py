"""Convolutions over three axes to a flat latent, and back."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.dense import dense_heads, dense_stages
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.conv3d import Conv3D, Conv3DTranspose
from aezoo.nn.layers.dense import build_dense
from aezoo.utils.validation import check_positive_ints, check_strides

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Grid3D(Network):
    """Strided 3x3x3 convolutions and dense layers to the latent, and their mirror.

    Args:
        filters: Channels of each convolution of the encoder.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer between feature map and latent.
        activation: Keras activation of the hidden layers.
    """

    filters: tuple[int, ...] = (16, 32, 64)
    strides: tuple[int, ...] = (2, 2, 2)
    hidden_units: tuple[int, ...] = (256,)
    activation: str = "relu"

    kind: ClassVar[str] = "grid3d"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        filters = check_positive_ints("filters", self.filters, minimum=1)
        for name, value in (
            ("filters", filters),
            ("strides", check_strides(self.strides, filters)),
            ("hidden_units", check_positive_ints("hidden_units", self.hidden_units)),
        ):
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Continuous values on three axes, and flat latents."""
        if len(modality.positions) != 3 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if latent.is_map or latent.is_hierarchical:
            raise self.cannot_carry(modality, latent)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "Grid3DEncoder":
        """A `Grid3DEncoder`."""
        self.check(modality, latent)
        return Grid3DEncoder(self, heads, latent.activation)

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> "Grid3DDecoder":
        """A `Grid3DDecoder`."""
        self.check(modality, latent)
        return Grid3DDecoder(self, (*modality.positions, width))


class Grid3DEncoder(Encoder):
    """Strided convolutions, dense layers, then one linear head per output.

    Layers by name: `stage1` and so on, `pool`, `hidden1` and so on, and `latent`.

    Args:
        network: Sizes and activation.
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
    """

    def __init__(
        self,
        network: Grid3D,
        heads: Mapping[str, int],
        head_activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [
            Conv3D(channels, stride, activation=network.activation, name=f"conv_{i}")
            for i, (channels, stride) in enumerate(
                zip(network.filters, network.strides, strict=True), start=1
            )
        ]
        self.flatten = keras.layers.Flatten(name="flatten", data_format="channels_last")
        self.hidden = [
            keras.layers.Dense(units, activation=network.activation, name=f"dense_{i}")
            for i, units in enumerate(network.hidden_units, start=1)
        ]
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """A stage per convolution, then the dense layers."""
        last = len(self.convs)
        convolutions = [
            Stage(f"stage{i}", (conv,), stride=conv.strides[0], is_pooled=i == last)
            for i, conv in enumerate(self.convs, start=1)
        ]
        return [*convolutions, *dense_stages(self.hidden, self.flatten)]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, width)` tensor per head."""
        return super().outputs(x if self.hidden else self.flatten(x))

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        super().build_outputs(self.flatten.compute_output_shape(shape))


class Grid3DDecoder(keras.layers.Layer):
    """Dense layers, then transposed convolutions; sizes are met by cropping.

    Args:
        network: Sizes and activation.
        output_shape: Shape `(depth, height, width, channels)` of one output.
    """

    def __init__(
        self, network: Grid3D, output_shape: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        sizes = [tuple(output_shape[:-1])]
        for stride in network.strides:
            sizes.append(tuple(math.ceil(side / stride) for side in sizes[-1]))
        self.start_shape = (*sizes[-1], network.filters[-1])
        self.sizes = sizes[-2::-1]
        self.hidden = [
            keras.layers.Dense(units, activation=network.activation, name=f"dense_{i}")
            for i, units in enumerate(network.hidden_units[::-1], start=1)
        ]
        self.to_map = keras.layers.Dense(
            math.prod(self.start_shape), activation=network.activation, name="to_map"
        )
        outputs = [output_shape[-1], *network.filters[:-1]][::-1]
        last = len(outputs)
        self.convs = [
            Conv3DTranspose(
                channels,
                stride,
                activation=None if i == last else network.activation,
                name=f"conv_{i}",
            )
            for i, (channels, stride) in enumerate(
                zip(outputs, reversed(network.strides), strict=True), start=1
            )
        ]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for latents `(batch, units)`."""
        build_dense([*self.hidden], [self.to_map], input_shape[-1])
        size, channels = self.start_shape[:-1], self.start_shape[-1]
        for conv, next_size in zip(self.convs, self.sizes, strict=True):
            conv.build((None, *size, channels))
            size, channels = next_size, conv.filters

    def call(self, inputs: Tensor) -> Tensor:
        """Map latents to parameters of a likelihood, `(batch, *output_shape)`."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        x = ops.reshape(self.to_map(x), (-1, *self.start_shape))
        for conv, (depth, height, width) in zip(self.convs, self.sizes, strict=True):
            x = conv(x)[:, :depth, :height, :width]
        return x
