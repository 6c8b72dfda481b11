"""The residual autoencoder of latent diffusion models, as diffusers lays it out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import HalvingNetwork, Latent, check_activation
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.diffusion import (
    PositionAttention,
    ResnetBlock,
    convolution,
    group_norm,
)
from aezoo.nn.layers.upsampling import ResizeConv2D
from aezoo.utils.validation import check_positive_int, check_positive_ints

Tensor = Any


@dataclasses.dataclass(frozen=True)
class LDM(HalvingNetwork):
    """Residual blocks to a map, with attention in the middle, and back.

    Rombach et al. (2022), "High-resolution image synthesis with latent diffusion
    models" (https://arxiv.org/abs/2112.10752), appendix E.1; the network of
    `AutoencoderKL` and `VQModel` in diffusers, whose weights fit. Each stage but the
    last halves the image, whose sides must be multiples of that.

    Values in [0, 1] are scaled to [-1, 1] before the first convolution, and back after
    the last one, as the published weights expect.

    Args:
        filters: Channels of each stage.
        blocks_per_stage: Residual blocks of a stage of the encoder; the decoder has
            one more.
        groups: Groups of each group normalisation; divides all `filters`.
        activation: Keras activation in the residual blocks; SiLU follows the last ones.
        mid_attention: Whether positions attend to each other in the middle.
        attention_stages: Stages, counted from 1 at the image, in which they also do
            after each block.
        quant_conv: Whether a 1x1 convolution follows the encoder.
        post_quant_conv: Whether a 1x1 convolution precedes the decoder.
        inner_channels: Channels between these and the rest; None for those of the
            posterior's parameters and of the code.
    """

    filters: tuple[int, ...] = (64, 128, 128)
    blocks_per_stage: int = 1
    groups: int = 32
    activation: str = "silu"
    mid_attention: bool = True
    attention_stages: tuple[int, ...] = ()
    quant_conv: bool = True
    post_quant_conv: bool = True
    inner_channels: int | None = None

    kind: ClassVar[str] = "ldm"
    stages_argument: ClassVar[str] = "filters"
    can_quantize: ClassVar[bool] = True
    takes_any_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        filters = check_positive_ints("filters", self.filters, minimum=1)
        stages = check_positive_ints("attention_stages", self.attention_stages)
        for name, value in (("filters", filters), ("attention_stages", stages)):
            object.__setattr__(self, name, value)
        for name in ("blocks_per_stage", "groups", "inner_channels"):
            value = getattr(self, name)
            if name != "inner_channels" or value is not None:
                object.__setattr__(self, name, check_positive_int(name, value))
        check_activation("activation", self.activation)
        if any(channels % self.groups for channels in filters):
            raise ValueError(
                "`groups` must divide all `filters`. Received: "
                f"groups={self.groups}, filters={filters}."
            )
        if any(stage > len(filters) for stage in stages):
            raise ValueError(
                f"`attention_stages` must be from 1 to {len(filters)}, one for each of "
                f"`filters`. Received: attention_stages={stages}."
            )

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "LDMEncoder":
        """An `LDMEncoder`."""
        self.check(modality, latent)
        return LDMEncoder(self, heads, latent.quantizer, name="encoder")

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "LDMDecoder":
        """An `LDMDecoder`."""
        self.check(modality, latent)
        return LDMDecoder(self, width, latent.units, name="decoder")

    # --- Parts of both --------------------------------------------------------------

    def block(self, channels: int, name: str) -> ResnetBlock:
        """A residual block to so many channels."""
        return ResnetBlock(channels, self.groups, self.activation, name=name)

    def stage(self, index: int, blocks: int, name: str) -> list[keras.layers.Layer]:
        """The blocks of a stage, each with its attention where the stage has it."""
        channels, has_attention = (
            self.filters[index],
            index + 1 in self.attention_stages,
        )
        layers: list[keras.layers.Layer] = []
        for i in range(blocks):
            layers.append(self.block(channels, f"{name}_resnet_{i}"))
            if has_attention:
                layers.append(
                    PositionAttention(self.groups, name=f"{name}_attention_{i}")
                )
        return layers

    def middle(self) -> list[keras.layers.Layer]:
        """Two blocks, with attention between them."""
        first, last = (self.block(self.filters[-1], f"mid_resnet_{i}") for i in (0, 1))
        if not self.mid_attention:
            return [first, last]
        return [first, PositionAttention(self.groups, name="mid_attention_0"), last]


class LDMEncoder(Encoder):
    """Stages of residual blocks, each but the last halved, to a map.

    Layers by name: `stage1` and so on, `mid`, `pool` and `latent`; with a quantiser
    also `encoded`, the vectors before they are quantised.

    Args:
        network: Its arguments.
        heads: Channels of each output, by its name.
        quantizer: Layer whose `bound` and `nearest` give a vector's code, or None.
    """

    keeps_positions: bool = True

    def __init__(
        self,
        network: LDM,
        heads: Mapping[str, int],
        quantizer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.widths = dict(heads)
        width = sum(heads.values())
        last = len(network.filters) - 1
        self.conv_in = convolution(network.filters[0], name="conv_in")
        self.down = [
            [
                *network.stage(i, network.blocks_per_stage, f"down_{i}"),
                # of even sizes, "same" is zeros below and to the right alone
                *(
                    []
                    if i == last
                    else [convolution(channels, strides=2, name=f"down_{i}_halve")]
                ),
            ]
            for i, channels in enumerate(network.filters)
        ]
        self.mid = network.middle()
        self.norm_out = group_norm(network.groups, "norm_out")
        inner = network.inner_channels or width
        self.conv_out = convolution(
            inner if network.quant_conv else width, name="conv_out"
        )
        self.quant_conv = (
            convolution(width, 1, name="quant_conv") if network.quant_conv else None
        )
        self.quantizer = quantizer

    def stages(self) -> list[Stage]:
        """A stage per width, then the middle."""
        last = len(self.down) - 1
        stages = [
            Stage(
                f"stage{i + 1}",
                (self.conv_in, *layers) if i == 0 else tuple(layers),
                stride=1 if i == last else 2,
                before=_to_signed if i == 0 else _same,
            )
            for i, layers in enumerate(self.down)
        ]
        middle = Stage(
            "mid", (*self.mid, self.norm_out), is_pooled=True, after=ops.silu
        )
        if self.quantizer is None:
            return [*stages, middle]
        return [*stages, middle, Stage("encoded", self._last, after=self._bound)]

    @property
    def _last(self) -> tuple[keras.layers.Layer, ...]:
        if self.quant_conv is None:
            return (self.conv_out,)
        return (self.conv_out, self.quant_conv)

    def _bound(self, z: Tensor) -> Tensor:
        return self.quantizer.bound(ops.cast(z, "float32"))

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, h, w, channels)` tensor per head.

        With a quantiser, the vectors and the `indices` of their codes, `(batch, h, w)`.
        """
        if self.quantizer is not None:
            (name,) = self.widths
            return {name: x, "indices": self.quantizer.nearest(x)}
        for layer in self._last:
            x = layer(x)
        found, start = {}, 0
        for name, width in self.widths.items():
            found[name] = x[..., start : start + width]
            start += width
        return found

    def build_outputs(self, shape: tuple) -> None:
        """Build the convolutions, or the quantiser."""
        if self.quantizer is not None:
            self.quantizer.build((None, shape[-1]))
            return
        for layer in self._last:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """The last convolutions; none where codes are quantised."""
        return () if self.quantizer is not None else self._last


class LDMDecoder(keras.layers.Layer):
    """The middle, then stages of residual blocks, each but the last one doubled.

    Args:
        network: Its arguments.
        width: Parameters of the likelihood per position.
        units: Channels of a code.
    """

    def __init__(self, network: LDM, width: int, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks = []
        if network.post_quant_conv:
            inner = network.inner_channels or units
            self.blocks.append(convolution(inner, 1, name="post_quant_conv"))
        self.blocks.append(convolution(network.filters[-1], name="conv_in"))
        self.blocks += network.middle()
        for i in range(len(network.filters)):  # as diffusers counts them
            stage = len(network.filters) - 1 - i
            blocks = network.blocks_per_stage + 1
            self.blocks += network.stage(stage, blocks, f"up_{i}")
            if stage:
                double = ResizeConv2D(network.filters[stage], name=f"up_{i}_double")
                self.blocks.append(double)
        self.norm_out = group_norm(network.groups, "norm_out")
        self.conv_out = convolution(width, name="conv_out")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, h, w, units)`."""
        shape = tuple(input_shape)
        for layer in (*self.blocks, self.norm_out, self.conv_out):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Codes to parameters of a likelihood, `(batch, height, width, width)`."""
        x = inputs
        for layer in self.blocks:
            x = layer(x)
        return 0.5 * self.conv_out(ops.silu(self.norm_out(x))) + 0.5


def _to_signed(x: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2.0 * x - 1.0


def _same(x: Tensor) -> Tensor:
    return x
