"""The tiny autoencoder of the codes of diffusion models, as diffusers lays it out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import HalvingNetwork, Latent, check_activation
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.diffusion import convolution
from aezoo.nn.layers.upsampling import ResizeConv2D
from aezoo.utils.validation import check_positive_int, check_positive_ints

Tensor = Any
# Codes are bent into this range before they are decoded.
BOUND = 3.0


@dataclasses.dataclass(frozen=True)
class TAESD(HalvingNetwork):
    """Plain residual blocks of one width to a map and back: small and fast.

    The network of `AutoencoderTiny` in diffusers, whose weights fit: distilled from
    the autoencoder of a diffusion model, whose codes it reads and makes. Each stage of
    the encoder but the first halves the image, whose sides must be multiples of that.
    No normalisation, no attention; values in [0, 1] throughout.

    Args:
        width: Channels.
        encoder_blocks: Residual blocks of each stage of the encoder.
        decoder_blocks: Residual blocks of each stage of the decoder; as many stages.
        activation: Keras activation within the blocks.
    """

    width: int = 64
    encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    activation: str = "relu"

    kind: ClassVar[str] = "taesd"
    stages_argument: ClassVar[str] = "encoder_blocks"
    takes_any_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        object.__setattr__(self, "width", check_positive_int("width", self.width))
        for name in ("encoder_blocks", "decoder_blocks"):
            value = check_positive_ints(name, getattr(self, name), minimum=1)
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)
        if len(self.encoder_blocks) != len(self.decoder_blocks):
            raise ValueError(
                "`decoder_blocks` must have as many stages as `encoder_blocks`. "
                f"Received: encoder_blocks={self.encoder_blocks}, "
                f"decoder_blocks={self.decoder_blocks}."
            )

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "TAESDEncoder":
        """A `TAESDEncoder`."""
        self.check(modality, latent)
        return TAESDEncoder(self, heads, name="encoder")

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "TAESDDecoder":
        """A `TAESDDecoder`."""
        self.check(modality, latent)
        return TAESDDecoder(self, width, name="decoder")


class TinyBlock(keras.layers.Layer):
    """`relu(x + conv(activation(conv(activation(conv(x))))))`.

    Args:
        channels: Channels.
        activation: Keras activation.
    """

    def __init__(self, channels: int, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.convs = [convolution(channels, name=f"conv_{i}") for i in (0, 2, 4)]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the layers for feature maps `(batch, h, w, channels)`."""
        for conv in self.convs:
            conv.build(tuple(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps, of the same shape."""
        x = self.convs[0](inputs)
        for conv in self.convs[1:]:
            x = conv(self.activation(x))
        return ops.relu(x + inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)


class TAESDEncoder(Encoder):
    """Residual blocks, then a convolution to all outputs.

    Layers by name: `stage1` and so on, `pool` and `latent`.

    Args:
        network: Its arguments.
        heads: Channels of each output, by its name.
    """

    keeps_positions: bool = True

    def __init__(self, network: TAESD, heads: Mapping[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widths = dict(heads)
        self.parts: list[list[keras.layers.Layer]] = []
        index = 0  # as diffusers counts layers
        for stage, blocks in enumerate(network.encoder_blocks):
            name = f"layer_{index}"
            first = (
                _Halving(network.width, name=name)
                if stage
                else convolution(network.width, name=name)
            )
            names = [f"layer_{index + i}" for i in range(1, blocks + 1)]
            self.parts.append(
                [
                    first,
                    *(
                        TinyBlock(network.width, network.activation, name=n)
                        for n in names
                    ),
                ]
            )
            index += blocks + 1
        self.conv_out = convolution(sum(heads.values()), name=f"layer_{index}")

    def stages(self) -> list[Stage]:
        """A stage per halving."""
        last = len(self.parts) - 1
        return [
            Stage(
                f"stage{i + 1}",
                tuple(layers),
                stride=2 if i else 1,
                is_pooled=i == last,
            )
            for i, layers in enumerate(self.parts)
        ]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, h, w, channels)` tensor per head."""
        x, found, start = self.conv_out(x), {}, 0
        for name, width in self.widths.items():
            found[name] = x[..., start : start + width]
            start += width
        return found

    def build_outputs(self, shape: tuple) -> None:
        """Build the last convolution."""
        self.conv_out.build(shape)

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """The last convolution."""
        return (self.conv_out,)


class _Halving(keras.layers.Conv2D):
    """A convolution of stride 2 with zeros on all sides, without bias.

    Keras's own padding of even sizes is below and to the right alone.

    Args:
        channels: Channels.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(
            channels,
            3,
            strides=2,
            padding="valid",
            use_bias=False,
            data_format="channels_last",
            **kwargs,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Feature maps of half the height and width."""
        return super().call(ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0))))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, h / 2, w / 2, channels)`, rounded up."""
        batch, height, width, _ = input_shape
        sides = (side and -(-side // 2) for side in (height, width))
        return batch, *sides, self.filters


class TAESDDecoder(keras.layers.Layer):
    """Codes within bounds, then residual blocks, each stage but the last one doubled.

    Args:
        network: Its arguments.
        width: Parameters of the likelihood per position.
    """

    def __init__(self, network: TAESD, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv_in = convolution(network.width, name="layer_0")
        self.activation = keras.activations.get(network.activation)
        self.blocks: list[keras.layers.Layer] = []
        index = 2  # as diffusers counts layers, activations and resizings among them
        for stage, blocks in enumerate(network.decoder_blocks, start=1):
            for _ in range(blocks):
                name = f"layer_{index}"
                block = TinyBlock(network.width, network.activation, name=name)
                self.blocks.append(block)
                index += 1
            if stage < len(network.decoder_blocks):
                name = f"layer_{index + 1}"
                self.blocks.append(
                    ResizeConv2D(network.width, use_bias=False, name=name)
                )
                index += 2
        self.blocks.append(convolution(width, name=f"layer_{index}"))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, h, w, units)`."""
        shape = tuple(input_shape)
        for layer in (self.conv_in, *self.blocks):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Codes to parameters of a likelihood, `(batch, height, width, width)`."""
        x = BOUND * ops.tanh(inputs / BOUND)
        x = self.activation(self.conv_in(x))
        for layer in self.blocks:
            x = layer(x)
        return x
