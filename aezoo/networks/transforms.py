"""Analysis and synthesis: the network of learned compression, and its side channel."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network
from aezoo.networks.stages import Encoder, Stage, identity
from aezoo.nn.layers.gdn import DivisiveNormalization
from aezoo.utils.validation import check_positive_int

Tensor = Any
SIZE = 5
# Of the side channel's hidden layers; it has exact arithmetic.
ACTIVATION = "leaky_relu"
# Of the variance of kernels whose outputs are rounded, so that untrained ones are not
# all rounded to 0.
SPREAD = 25.0


@dataclasses.dataclass(frozen=True)
class Transforms(Network):
    """Strided convolutions with divisive normalisation to a map, and back.

    Balle et al. (2018, https://arxiv.org/abs/1802.01436), figure 4: four 5x5
    convolutions of stride 2 between which channels are divided by each other's sizes,
    and the same transposed. Beside them a smaller pair makes the map's own code, the
    hyperlatent, at a quarter of its size, and from that what is expected of the map:
    mean and scale of each unit (Minnen et al., 2018,
    https://arxiv.org/abs/1809.02736, without the autoregressive part).

    All layers are convolutions, so that images of any size go through: the sides of
    maps are those of the image over 16, and of hyperlatents over 64, rounded up.

    It carries the map of the objective `hyperprior`, and no other latent.

    Args:
        filters: Channels of the convolutions.
        hyper_filters: Channels of the side channel, and of the hyperlatent.
    """

    filters: int = 64
    hyper_filters: int = 64

    kind: ClassVar[str] = "transforms"
    takes_any_size: ClassVar[bool] = True
    # Pixels along an axis for a position of the map, and of the hyperlatent.
    stride: ClassVar[int] = 16
    hyper_stride: ClassVar[int] = 64

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in ("filters", "hyper_filters"):
            value = check_positive_int(name, getattr(self, name))
            object.__setattr__(self, name, value)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Continuous values on two axes.

        Raises:
            NetworkError: If it is another modality or latent.
        """
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if not latent.has_hyperlatent:
            raise self.cannot_carry(modality, latent)

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(h, w, units)`, sides of the image over 16, rounded up."""
        self.check(modality, latent)
        return (*(-(-side // self.stride) for side in modality.positions), latent.units)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "Analysis":
        """An `Analysis`."""
        self.check(modality, latent)
        return Analysis(self, heads, name="encoder")

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "Synthesis":
        """A `Synthesis`."""
        self.check(modality, latent)
        return Synthesis(self, modality.positions, width, name="decoder")

    def hyper_encoder(self) -> keras.Sequential:
        """A new layer: maps to hyperlatents before rounding."""
        return keras.Sequential(
            [
                _conv(self.hyper_filters, 3, 1, "conv_1", ACTIVATION),
                _conv(self.hyper_filters, SIZE, 2, "conv_2", ACTIVATION),
                _conv(self.hyper_filters, SIZE, 2, "conv_3", spread=SPREAD),
            ],
            name="hyper_encoder",
        )

    def hyper_decoder(self, units: int) -> keras.Sequential:
        """A new layer: rounded hyperlatents to mean and log scale of each unit.

        Args:
            units: Channels of the map.
        """
        return keras.Sequential(
            [
                _transposed(self.hyper_filters, "conv_1", ACTIVATION),
                _transposed(3 * self.hyper_filters // 2, "conv_2", ACTIVATION),
                _conv(2 * units, 3, 1, "conv_3"),
            ],
            name="hyper_decoder",
        )


def _conv(
    channels: int,
    size: int,
    stride: int,
    name: str,
    activation: str | None = None,
    spread: float = 1.0,
) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.VarianceScaling(
            spread, "fan_avg", "uniform"
        ),
        data_format="channels_last",
        name=name,
    )


def _transposed(
    channels: int, name: str, activation: str | None = None
) -> keras.layers.Conv2DTranspose:
    return keras.layers.Conv2DTranspose(
        channels,
        SIZE,
        strides=2,
        padding="same",
        activation=activation,
        data_format="channels_last",
        name=name,
    )


class Analysis(Encoder):
    """Images to maps, before rounding.

    Layers by name: `analysis1` to `analysis3`, `pool` and `latent`.

    Args:
        network: Its arguments.
        heads: Channels of the one output, by its name.
    """

    keeps_positions: bool = True

    def __init__(
        self, network: Transforms, heads: Mapping[str, int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.convs = [_conv(network.filters, SIZE, 2, f"conv_{i}") for i in (1, 2, 3)]
        self.norms = [DivisiveNormalization(name=f"gdn_{i}") for i in (1, 2, 3)]
        self.heads = {
            name: _conv(width, SIZE, 2, name, spread=SPREAD)
            for name, width in heads.items()
        }

    def stages(self) -> list[Stage]:
        """A stage per convolution but the last."""
        last = len(self.convs) - 1
        return [
            Stage(
                f"analysis{i + 1}",
                (conv, norm),
                stride=2,
                is_pooled=i == last,
                before=identity if i else _centred,
            )
            for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True))
        ]


def _centred(x: Tensor) -> Tensor:
    return 2.0 * x - 1.0


class Synthesis(keras.layers.Layer):
    """Maps to images.

    Args:
        network: Its arguments.
        positions: Height and width of an image, to which `call` cuts.
        width: Channels of an image.
    """

    def __init__(
        self, network: Transforms, positions: Sequence[int], width: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.positions = tuple(positions)
        self.parts: list[keras.layers.Layer] = []
        for i in (1, 2, 3):
            self.parts.append(_transposed(network.filters, f"conv_{i}"))
            self.parts.append(DivisiveNormalization(is_inverse=True, name=f"gdn_{i}"))
        self.parts.append(_transposed(width, "conv_4"))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for maps `(batch, h, w, units)`."""
        shape = tuple(input_shape)
        for layer in self.parts:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Maps to images, `(batch, *positions, width)`."""
        height, width = self.positions
        return self.whole(inputs)[:, :height, :width]

    def whole(self, inputs: Tensor) -> Tensor:
        """Maps of any size to images, `(batch, 16 * h, 16 * w, width)`."""
        x = inputs
        for layer in self.parts:
            x = layer(x)
        return 0.5 * (x + 1.0)
