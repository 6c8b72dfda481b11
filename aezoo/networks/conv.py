"""Convolutions to a latent, flat or a map, and back."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.dense import dense_heads, dense_stages
from aezoo.networks.stages import Encoder, Stage, identity
from aezoo.nn.layers.dense import build_dense
from aezoo.nn.layers.residual import NORMALIZATIONS, ResidualBlock
from aezoo.nn.layers.upsampling import UPSAMPLING, upsampling_layer
from aezoo.utils.validation import (
    check_choice,
    check_count,
    check_positive_ints,
    check_strides,
)

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Conv(Network):
    """Strided 3x3 convolutions and dense layers to the latent, and their mirror back.

    With `residual_blocks` it is a ResNet (He et al., 2016,
    https://arxiv.org/abs/1603.05027): so many pre-activation blocks of two 3x3
    convolutions follow each strided convolution, and precede it on the way back.
    Latents that are maps keep the two axes; there are no dense layers then.

    Args:
        filters: Channels of each convolution of the encoder.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer between feature map and flat latent;
            unused for maps.
        activation: Keras activation of the hidden layers.
        upsampling: How the decoder doubles sizes: `"resize_conv"` (the default: free
            of checkerboard, at the speed of a transposed convolution),
            `"transposed_conv"` or `"subpixel"`.
        residual_blocks: Residual blocks after each convolution.
        normalization: In the residual blocks: None, `"batch"` or `"group"`.
    """

    filters: tuple[int, ...] = (32, 64)
    strides: tuple[int, ...] = (2, 2)
    hidden_units: tuple[int, ...] = (256,)
    activation: str = "relu"
    upsampling: str = "resize_conv"
    residual_blocks: int = 0
    normalization: str | None = None

    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        filters = check_positive_ints("filters", self.filters, minimum=1)
        for name, value in (
            ("filters", filters),
            ("strides", check_strides(self.strides, filters)),
            ("hidden_units", check_positive_ints("hidden_units", self.hidden_units)),
            ("residual_blocks", check_count("residual_blocks", self.residual_blocks)),
        ):
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)
        check_choice("upsampling", self.upsampling, UPSAMPLING)
        check_choice("normalization", self.normalization, (None, *NORMALIZATIONS))

    def check(self, modality: Modality, latent: Latent) -> None:  # noqa: ARG002
        """Images and other continuous values on two axes."""
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)

    def grid(self, modality: Modality) -> tuple[int, int]:
        """Height and width of the last feature map."""
        height, width = modality.positions
        return map_sizes(height, width, self.strides)[-1]

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(units,)`, or of a map `(h, w, units)`."""
        self.check(modality, latent)
        return (
            (*self.grid(modality), latent.units) if latent.is_map else (latent.units,)
        )

    def unused(self, latent: Latent) -> tuple[str, ...]:
        """Maps have no dense layers."""
        return ("hidden_units",) if latent.is_map else ()

    @property
    def _blocks(self) -> dict[str, Any]:
        return {
            "residual_blocks": self.residual_blocks,
            "normalization": self.normalization,
        }

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> Encoder:
        """A `ConvEncoder`; for maps a `ConvMapHeadsEncoder` or a `ConvMapEncoder`."""
        self.check(modality, latent)
        shape = (self.filters, self.strides)
        if latent.quantizer is not None:
            return ConvMapEncoder(
                *shape, self.activation, latent.units, latent.quantizer, **self._blocks
            )
        if latent.is_map:
            return ConvMapHeadsEncoder(*shape, self.activation, heads, **self._blocks)
        return ConvEncoder(
            *shape,
            self.hidden_units,
            self.activation,
            heads,
            latent.activation,
            **self._blocks,
        )

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> "ConvDecoder | ConvMapDecoder":
        """A `ConvDecoder`, or for maps a `ConvMapDecoder`."""
        self.check(modality, latent)
        shape = (self.filters, self.strides)
        ends = ((*modality.positions, width), self.upsampling)
        if latent.is_map:
            return ConvMapDecoder(*shape, self.activation, *ends, **self._blocks)
        hidden = self.hidden_units[::-1]
        return ConvDecoder(*shape, hidden, self.activation, *ends, **self._blocks)


@dataclasses.dataclass(frozen=True)
class ResNet(Conv):
    """`Conv` with a normalised residual block a stage, for 32x32 RGB images.

    Args:
        filters: As in `Conv`.
        strides: As in `Conv`.
        hidden_units: As in `Conv`.
        activation: As in `Conv`.
        upsampling: As in `Conv`.
        residual_blocks: As in `Conv`.
        normalization: As in `Conv`.
    """

    filters: tuple[int, ...] = (32, 64, 128)
    strides: tuple[int, ...] = (2, 2, 2)
    hidden_units: tuple[int, ...] = ()
    residual_blocks: int = 1
    normalization: str | None = "group"

    kind: ClassVar[str] = "resnet"


class _Convolutions(Encoder):
    """Strided convolutions, each followed by its residual blocks: `stage1` and so on.

    The last stage ends with the activation that follows all of them, if there is one.
    """

    def _add_convolutions(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        residual_blocks: int,
        normalization: str | None,
    ) -> None:
        is_plain = residual_blocks == 0
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                strides=stride,
                padding="same",
                activation=activation if is_plain else None,
                name=f"conv_{i}",
                data_format="channels_last",
            )
            for i, (channels, stride) in enumerate(
                zip(filters, strides, strict=True), start=1
            )
        ]
        self.blocks = [
            [
                ResidualBlock(
                    channels, activation, normalization, name=f"block_{i}_{j}"
                )
                for j in range(1, residual_blocks + 1)
            ]
            for i, channels in enumerate(filters, start=1)
        ]
        self.final_activation = keras.activations.get(None if is_plain else activation)

    def stages(self) -> list[Stage]:
        """A stage per convolution."""
        last = len(self.convs)
        return [
            Stage(
                f"stage{i}",
                (conv, *blocks),
                stride=conv.strides[0],
                is_pooled=i == last,
                after=self.final_activation if i == last else identity,
            )
            for i, (conv, blocks) in enumerate(
                zip(self.convs, self.blocks, strict=True), start=1
            )
        ]


class ConvEncoder(_Convolutions):
    """Strided convolutions, dense layers, then one linear head per output.

    Layers by name: `stage1` and so on, `pool`, `hidden1` and so on, and `latent`. With
    residual blocks, the convolutions are linear and the blocks activate.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer.
        activation: Activation of the hidden layers.
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        hidden_units: Sequence[int],
        activation: str,
        heads: Mapping[str, int],
        head_activation: str = "linear",
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.flatten = keras.layers.Flatten(name="flatten", data_format="channels_last")
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """The convolutions, then the dense layers."""
        return [*super().stages(), *dense_stages(self.hidden, self.flatten)]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, latent_dim)` tensor per head."""
        return super().outputs(x if self.hidden else self.flatten(x))

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        super().build_outputs(self.flatten.compute_output_shape(shape))


class ConvMapHeadsEncoder(_Convolutions):
    """Strided convolutions to a map, then one 1x1 convolution per output.

    Layers by name: `stage1` and so on, `pool` and `latent`.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        activation: Activation of the hidden layers.
        heads: Channels of each output, by its name.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    keeps_positions: bool = True

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        heads: Mapping[str, int],
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.heads = {
            name: keras.layers.Conv2D(
                channels, 1, name=name, data_format="channels_last"
            )
            for name, channels in heads.items()
        }


class ConvMapEncoder(_Convolutions):
    """Strided convolutions to a map of vectors, each of which is then quantised.

    Layers by name: `stage1` and so on, `pool`, `encoded` (the vectors before they are
    quantised) and `latent`.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        activation: Activation of the hidden layers.
        code_dim: Width of a vector.
        quantizer: Layer whose `bound` and `nearest` give a vector's code.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    keeps_positions: bool = True

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        code_dim: int,
        quantizer: keras.layers.Layer,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.to_code = keras.layers.Conv2D(
            code_dim, 1, name="to_code", data_format="channels_last"
        )
        self.quantizer = quantizer

    def stages(self) -> list[Stage]:
        """The convolutions, then the vectors, `(batch, h, w, code_dim)`."""
        encoded = Stage("encoded", (self.to_code,), after=self._bound)
        return [*super().stages(), encoded]

    def _bound(self, z: Tensor) -> Tensor:
        return self.quantizer.bound(ops.cast(z, "float32"))

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Vectors `z_encoded` and the `indices` of their codes, `(batch, h, w)`."""
        return {"z_encoded": x, "indices": self.quantizer.nearest(x)}

    def build_outputs(self, shape: tuple) -> None:
        """Build the quantiser."""
        self.quantizer.build((None, shape[-1]))

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """None: a code's gradient goes straight to the vector that was quantised."""
        return ()


class _Upsampling(keras.layers.Layer):
    """The mirror of `_Convolutions`: each convolution preceded by residual blocks.

    A size that strides do not divide (28 -> 14 -> 7 -> 4) is met by cropping the
    doubled feature map (4 -> 8, cropped to 7).
    """

    start_shape: tuple[int, int, int]

    def _set_sizes(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        output_shape: Sequence[int],
    ) -> None:
        """The feature map to start from, and the size after each convolution."""
        height, width, _ = output_shape
        sizes = map_sizes(height, width, strides)
        self.start_shape = (*sizes[-1], filters[-1])
        self.sizes = sizes[-2::-1]

    def _add_convolutions(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        output_channels: int,
        upsampling: str,
        residual_blocks: int,
        normalization: str | None,
    ) -> None:
        is_plain = residual_blocks == 0
        self.blocks = [
            [
                ResidualBlock(
                    channels, activation, normalization, name=f"block_{i}_{j}"
                )
                for j in range(1, residual_blocks + 1)
            ]
            for i, channels in enumerate(reversed(filters), start=1)
        ]
        self.before_conv = keras.activations.get(None if is_plain else activation)
        self.convs: list[keras.layers.Layer] = []
        outputs = [output_channels, *filters[:-1]][::-1]
        for i, (channels, stride) in enumerate(
            zip(outputs, reversed(strides), strict=True), start=1
        ):
            is_last = i == len(outputs)
            layer_activation = activation if is_plain and not is_last else None
            name = f"conv_{i}"
            self.convs.append(
                upsampling_layer(upsampling, channels, layer_activation, name)
                if stride == 2
                else keras.layers.Conv2D(
                    channels,
                    3,
                    padding="same",
                    activation=layer_activation,
                    name=name,
                    data_format="channels_last",
                )
            )

    def _build_convolutions(self) -> None:
        height, width, channels = self.start_shape
        for conv, blocks, size in zip(self.convs, self.blocks, self.sizes, strict=True):
            for block in blocks:
                block.build((None, height, width, channels))
            conv.build((None, height, width, channels))
            channels = conv.compute_output_shape((None, height, width, channels))[-1]
            height, width = size

    def _pixels(self, inputs: Tensor) -> Tensor:
        x = inputs
        for conv, blocks, (height, width) in zip(
            self.convs, self.blocks, self.sizes, strict=True
        ):
            for block in blocks:
                x = block(x)
            x = conv(self.before_conv(x))
            if x.shape[1:3] != (height, width):
                x = x[:, :height, :width]
        return x


class ConvDecoder(_Upsampling):
    """Mirror of `ConvEncoder`: dense layers, then upsampling convolutions.

    Args:
        filters: Channels of the encoder's convolutions, in the encoder's order.
        strides: Strides of the encoder's convolutions, in the encoder's order.
        hidden_units: Width of each dense layer, from the code to the pixels.
        activation: Activation of the hidden layers.
        output_shape: Shape `(height, width, channels)` of one image.
        upsampling: One of `UPSAMPLING`.
        residual_blocks: Residual blocks before each convolution.
        normalization: Of the residual blocks.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        hidden_units: Sequence[int],
        activation: str,
        output_shape: Sequence[int],
        upsampling: str,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_sizes(filters, strides, output_shape)
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.to_map = keras.layers.Dense(
            math.prod(self.start_shape),
            activation=activation if residual_blocks == 0 else None,
            name="to_map",
        )
        self._add_convolutions(
            filters,
            strides,
            activation,
            output_shape[-1],
            upsampling,
            residual_blocks,
            normalization,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, latent_dim)`."""
        build_dense([*self.hidden], [self.to_map], input_shape[-1])
        self._build_convolutions()

    def call(self, inputs: Tensor) -> Tensor:
        """Map latents to parameters of a likelihood, `(batch, *output_shape)`."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return self._pixels(ops.reshape(self.to_map(x), (-1, *self.start_shape)))


class ConvMapDecoder(_Upsampling):
    """Mirror of `ConvMapEncoder`: a 3x3 convolution, then upsampling convolutions.

    Args:
        filters: Channels of the encoder's convolutions, in the encoder's order.
        strides: Strides of the encoder's convolutions, in the encoder's order.
        activation: Activation of the hidden layers.
        output_shape: Shape `(height, width, channels)` of one image.
        upsampling: One of `UPSAMPLING`.
        residual_blocks: Residual blocks before each convolution.
        normalization: Of the residual blocks.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        output_shape: Sequence[int],
        upsampling: str,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_sizes(filters, strides, output_shape)
        self.to_map = keras.layers.Conv2D(
            filters[-1],
            3,
            padding="same",
            activation=activation if residual_blocks == 0 else None,
            name="to_map",
            data_format="channels_last",
        )
        self._add_convolutions(
            filters,
            strides,
            activation,
            output_shape[-1],
            upsampling,
            residual_blocks,
            normalization,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, h, w, code_dim)`."""
        self.to_map.build(tuple(input_shape))
        self._build_convolutions()

    def call(self, inputs: Tensor) -> Tensor:
        """Map latents to parameters of a likelihood, `(batch, *output_shape)`."""
        return self._pixels(self.to_map(inputs))


def map_sizes(height: int, width: int, strides: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of an image and of its feature map after each stride."""
    sizes = [(height, width)]
    for stride in strides:
        height, width = -(-height // stride), -(-width // stride)
        sizes.append((height, width))
    return sizes
