"""Analysis and synthesis: the network of learned compression, and its side channel."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.residual import ResidualConvolutions
from aezoo.utils.validation import check_positive_int, check_positive_ints

Tensor = Any
# Sides of the patches that become one position: of pixels, then of positions.
PATCHES = (4, 2, 2)
# Of the side channel's convolutions, and their activation; it has exact arithmetic.
SIZE, ACTIVATION = 5, "leaky_relu"
# Of the variance of kernels whose outputs are rounded, so that untrained ones are not
# all rounded to 0.
SPREAD = 25.0
# Patches that components are taken from.
PATCHES_SEEN = 200_000


@dataclasses.dataclass(frozen=True)
class Transforms(Network):
    """Patches of patches, with residual blocks between them, to a map; and back.

    The transforms of learned compression (Balle et al., 2018,
    https://arxiv.org/abs/1802.01436), with residual blocks in the place of divisive
    normalisation (He et al., 2022, https://arxiv.org/abs/2203.10886): 4x4
    pixels become a vector, then 2x2 vectors one, and 2x2 of these a position of the
    map, by linear maps that do not overlap; after the first two, blocks of 3x3
    convolutions see what is around. The way back mirrors them. Untrained blocks are
    the identity, so that `start_from_components` can begin with the principal
    components of patches, a linear transform code, instead of with nothing.

    Beside them a smaller pair makes the map's own code, the hyperlatent, at a quarter
    of its size, and from that what is expected of the map: mean and scale of each unit
    (Minnen et al., 2018, https://arxiv.org/abs/1809.02736, without the autoregressive
    part).

    All layers are convolutions, so that images of any size go through: the sides of
    maps are those of the image over 16, and of hyperlatents over 64, rounded up.

    It carries the map of the objective `hyperprior`, and no other latent.

    Args:
        filters: Channels at a quarter and at an eighth of the size.
        blocks: Residual blocks at each of the two sizes, on either way.
        hyper_filters: Channels of the side channel, and of the hyperlatent.
        activation: Keras activation within the residual blocks.
    """

    filters: tuple[int, ...] = (48, 64)
    blocks: int = 1
    hyper_filters: int = 32
    activation: str = "leaky_relu"

    kind: ClassVar[str] = "transforms"
    takes_any_size: ClassVar[bool] = True
    # Pixels along an axis for a position of the map, and of the hyperlatent.
    stride: ClassVar[int] = 16
    hyper_stride: ClassVar[int] = 64

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        filters = check_positive_ints("filters", self.filters)
        if len(filters) != len(PATCHES) - 1:
            raise ValueError(
                f"`filters` must hold {len(PATCHES) - 1} integers, for a quarter and "
                f"an eighth of the size. Received: filters={self.filters!r}."
            )
        object.__setattr__(self, "filters", filters)
        for name in ("blocks", "hyper_filters"):
            value = check_positive_int(name, getattr(self, name))
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)

    @property
    def reach(self) -> int:
        """Positions of a map, to each side, on which a pixel depends."""
        pixels = sum(2 * self.blocks * step for step in (4, 8))
        return -(-pixels // self.stride)

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

    def start_from_components(
        self, encoder: "Analysis", decoder: "Synthesis", x: np.ndarray, step: float
    ) -> np.ndarray:
        """Begin both ways with principal components, of patches and of their codes.

        Args:
            encoder: Built, and not trained.
            decoder: Likewise.
            x: Tensors of examples, `(n, height, width, channels)`, in [0, 1].
            step: How much of a component, of values from 0 to 255, is one unit of the
                map.

        Returns:
            Standard deviation of each unit of the map.
        """
        maps = 2.0 * np.asarray(x, "float32") - 1.0
        ways = zip(PATCHES, encoder.joining, decoder.parting[::-1], strict=True)
        for side, joined, parted in ways:
            unit = 2.0 * step / 255.0 if joined is encoder.joining[-1] else 1.0
            center = maps.mean(axis=(0, 1, 2))
            patches = _patches(maps - center, side)
            components = _components(patches, joined.filters)
            middle = np.tile(center, side * side) @ components
            kernel = components.reshape(joined.kernel.shape)
            joined.kernel.assign(kernel / unit)
            joined.bias.assign(-middle / unit)
            parted.kernel.assign(kernel * unit)
            parted.bias.assign(center)
            maps = patches @ components / unit
        return maps.std(axis=(0, 1, 2))

    def hyper_encoder(self) -> keras.Sequential:
        """A new layer: logs of both parts of maps to hyperlatents before rounding."""
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


def _patches(maps: np.ndarray, side: int) -> np.ndarray:
    """Whole patches without overlap, `(n, h / side, w / side, side * side * c)`."""
    n, height, width, channels = maps.shape
    h, w = height // side, width // side
    whole = maps[:, : h * side, : w * side].reshape(n, h, side, w, side, channels)
    return whole.swapaxes(2, 3).reshape(n, h, w, -1)


def _components(patches: np.ndarray, count: int) -> np.ndarray:
    """The first principal components as columns; 0 where there are no more."""
    size = patches.shape[-1]
    flat = patches.reshape(-1, size)
    flat = flat[:: max(1, len(flat) // PATCHES_SEEN)].astype("float64")
    _, vectors = np.linalg.eigh(flat.T @ flat)
    found = np.zeros((size, count), "float32")
    found[:, : min(size, count)] = vectors[:, ::-1][:, :count]
    return found


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
    channels: int,
    name: str,
    activation: str | None = None,
    size: int = SIZE,
    stride: int = 2,
) -> keras.layers.Conv2DTranspose:
    return keras.layers.Conv2DTranspose(
        channels,
        size,
        strides=stride,
        padding="same",
        activation=activation,
        data_format="channels_last",
        name=name,
    )


def _blocks(network: Transforms, size: int) -> list[keras.layers.Layer]:
    return [
        ResidualConvolutions(
            network.filters[size],
            network.activation,
            is_identity=True,
            name=f"block_{size}_{i}",
        )
        for i in range(network.blocks)
    ]


class Analysis(Encoder):
    """Images to maps, before rounding.

    Layers by name: `analysis1`, `analysis2`, `pool` and `latent`.

    Args:
        network: Its arguments.
        heads: Channels of the one output, by its name.
    """

    keeps_positions: bool = True

    def __init__(
        self, network: Transforms, heads: Mapping[str, int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        first, second, last = PATCHES
        self.conv_1 = _conv(network.filters[0], first, first, "conv_1")
        self.conv_2 = _conv(network.filters[1], second, second, "conv_2")
        self.blocks_1, self.blocks_2 = _blocks(network, 0), _blocks(network, 1)
        self.heads = {
            name: _conv(width, last, last, name, spread=SPREAD)
            for name, width in heads.items()
        }

    @property
    def joining(self) -> list[keras.layers.Layer]:
        """The convolutions that make one vector of a patch."""
        return [self.conv_1, self.conv_2, *self.heads.values()]

    def stages(self) -> list[Stage]:
        """A stage for each size but the map's own."""
        return [
            Stage(
                "analysis1",
                (self.conv_1, *self.blocks_1),
                stride=PATCHES[0],
                before=_prepared,
                shape_before=_prepared_shape,
            ),
            Stage(
                "analysis2",
                (self.conv_2, *self.blocks_2),
                stride=PATCHES[1],
                is_pooled=True,
            ),
        ]


def _prepared(x: Tensor) -> Tensor:
    """From -1 to 1, and mirrored after the last row and column to whole patches."""
    for axis, side in enumerate(x.shape[1:3], start=1):
        if missing := -side % Transforms.stride:
            # more than once, where an image is small
            places = np.pad(np.arange(side), (0, missing), mode="symmetric")
            x = ops.take(x, places, axis=axis)
    return 2.0 * x - 1.0


def _prepared_shape(shape: tuple) -> tuple:
    whole = (None if n is None else n + -n % Transforms.stride for n in shape[1:3])
    return (shape[0], *whole, shape[3])


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
        channels = (*network.filters[::-1], width)
        self.parting = [
            _transposed(n, f"conv_{i}", size=side, stride=side)
            for i, (n, side) in enumerate(
                zip(channels, reversed(PATCHES), strict=True), start=1
            )
        ]
        self.blocks_1, self.blocks_2 = _blocks(network, 1), _blocks(network, 0)

    @property
    def parts(self) -> list[keras.layers.Layer]:
        """Its layers, in order."""
        first, second, last = self.parting
        return [first, *self.blocks_1, second, *self.blocks_2, last]

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
