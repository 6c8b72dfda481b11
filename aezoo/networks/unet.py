"""A network that restores a degraded example: convolutions with skips."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.modalities.image.resampling import resize
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.diffusion import convolution
from aezoo.nn.layers.residual import ResidualConvolutions
from aezoo.nn.layers.upsampling import depth_to_space
from aezoo.utils.validation import check_positive_int, check_positive_ints

Tensor = Any


@dataclasses.dataclass(frozen=True)
class UNet(Network):
    """Feature maps at several sizes, each passed on to its twin on the way back.

    Ronneberger et al. (2015, https://arxiv.org/abs/1505.04597), with residual blocks
    without normalisation and a residual over the whole network, as super-resolution
    has them (Lim et al., 2017, https://arxiv.org/abs/1707.02921): what the network
    computes is added to its input, which is enlarged by cubic convolution where the
    output is larger. All layers are convolutions, so that examples of any size go
    through. Untrained it gives its input.

    It carries what the objective `restoration` degrades, and no other latent.

    Args:
        filters: Channels at each size; each but the first halves height and width.
        blocks: Residual blocks at each size, on the way there and on the way back.
        activation: Keras activation within the blocks.
    """

    filters: tuple[int, ...] = (32, 64)
    blocks: int = 2
    activation: str = "relu"

    kind: ClassVar[str] = "unet"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        filters = check_positive_ints("filters", self.filters, minimum=1)
        object.__setattr__(self, "filters", filters)
        object.__setattr__(self, "blocks", check_positive_int("blocks", self.blocks))
        check_activation("activation", self.activation)

    @property
    def grain(self) -> int:
        """Positions along an axis that become one at the smallest size."""
        return 1 << (len(self.filters) - 1)

    @property
    def reach(self) -> int:
        """Positions of the input, to each side, on which one of the output depends."""
        blocks = [2 * self.blocks << size for size in range(len(self.filters))]
        # the first and last convolution or cubic interpolation, and what halves
        return 2 * sum(blocks[:-1]) + blocks[-1] + 2 * self.grain + 2

    def check(self, modality: Modality, latent: Latent) -> None:
        """Degraded examples on two axes.

        Raises:
            NetworkError: If it is another modality or latent.
        """
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if not latent.is_degraded:
            raise self.cannot_carry(modality, latent)

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],  # noqa: ARG002
        latent: Latent,
    ) -> "NoStages":
        """A `NoStages`: the objective degrades examples, and nothing is learnt."""
        self.check(modality, latent)
        return NoStages(name="encoder")

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "UNetDecoder":
        """A `UNetDecoder`."""
        self.check(modality, latent)
        return UNetDecoder(self, modality.positions, width, name="decoder")

    def recognition(self, width: int) -> keras.Sequential:
        """A new layer: tensors of examples to a vector.

        Args:
            width: Its size.
        """
        return keras.Sequential(
            [
                *(
                    convolution(
                        channels,
                        strides=2,
                        activation=self.activation,
                        name=f"conv_{i}",
                    )
                    for i, channels in enumerate(self.filters, start=1)
                ),
                keras.layers.Flatten(data_format="channels_last", name="flatten"),
                keras.layers.Dense(width, name="vector"),
            ],
            name="recognition",
        )


class NoStages(Encoder):
    """In the place of an encoder, where codes are made by rule."""

    def stages(self) -> list[Stage]:
        """None: there are no features."""
        return []

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Nothing to build."""


class UNetDecoder(keras.layers.Layer):
    """Degraded examples to what is to be seen.

    Args:
        network: Its arguments.
        positions: Height and width of an example.
        width: Channels of the output.
    """

    def __init__(
        self, network: UNet, positions: Sequence[int], width: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.positions = tuple(positions)
        self.width = width
        self.grain = network.grain
        self.factor = 1  # until it is built
        depth = len(network.filters)

        def blocks(size: int, way: str) -> list[keras.layers.Layer]:
            return [
                ResidualConvolutions(
                    network.filters[size],
                    network.activation,
                    name=f"{way}_{size}_{i}",
                )
                for i in range(network.blocks)
            ]

        self.head = convolution(network.filters[0], name="head")
        self.down = [layer for size in range(depth) for layer in blocks(size, "down")]
        self.up = [layer for size in range(depth - 1) for layer in blocks(size, "up")]
        self.halving = [
            keras.layers.Conv2D(
                filters, 2, strides=2, data_format="channels_last", name=f"halve_{i}"
            )
            for i, filters in enumerate(network.filters[1:])
        ]
        self.doubling = [
            keras.layers.Conv2DTranspose(
                filters, 2, strides=2, data_format="channels_last", name=f"double_{i}"
            )
            for i, filters in enumerate(network.filters[:-1])
        ]
        self.blocks = network.blocks
        self.filters = network.filters
        self.tail: keras.layers.Layer | None = None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for degraded examples `(batch, h, w, channels)`."""
        _, height, _, channels = input_shape
        self.factor = self.positions[0] // int(height or 1)
        self.head.build((None, None, None, channels))
        for layers, widths in (
            (self.down, self.filters),
            (self.up, self.filters[:-1]),
        ):
            for i, layer in enumerate(layers):
                layer.build((None, None, None, widths[i // self.blocks]))
        for size, (halving, doubling) in enumerate(
            zip(self.halving, self.doubling, strict=True)
        ):
            halving.build((None, None, None, self.filters[size]))
            doubling.build((None, None, None, self.filters[size + 1]))
        self.tail = convolution(
            self.width * self.factor**2,
            kernel_initializer="zeros",
            name="tail",
            dtype=self.dtype_policy,
        )
        self.tail.build((None, None, None, self.filters[0]))

    def call(self, inputs: Tensor, guide: Sequence[Tensor] | None = None) -> Tensor:
        """`(batch, h, w, channels)` to `(batch, factor * h, factor * w, width)`.

        Args:
            inputs: Degraded examples.
            guide: What is added to the maps of each size on the way back, `(batch,
                channels)` each; None for nothing.
        """
        _, height, width, channels = inputs.shape
        x = self.head(_mirrored(inputs, self.grain))
        passed = []
        for size in range(len(self.halving)):
            x = self._run(self.down, size, x)
            passed.append(x)
            x = self.halving[size](x)
        last = len(self.halving)
        x = self._run(self.down, last, _guided(x, guide, last))
        for size in reversed(range(last)):
            x = _guided(passed[size] + self.doubling[size](x), guide, size)
            x = self._run(self.up, size, x)
        assert self.tail is not None  # noqa: S101
        found = depth_to_space(self.tail(x), self.factor)
        tall, wide = self.factor * height, self.factor * width
        shown = inputs if self.factor == 1 else resize(inputs, tall, wide)
        if channels != self.width:  # grey
            shown = ops.repeat(shown, self.width, axis=-1)
        return shown + found[:, :tall, :wide]

    def _run(self, layers: list[keras.layers.Layer], size: int, x: Tensor) -> Tensor:
        for layer in layers[size * self.blocks : (size + 1) * self.blocks]:
            x = layer(x)
        return x


def _guided(x: Tensor, guide: Sequence[Tensor] | None, size: int) -> Tensor:
    return x if guide is None else x + guide[size][:, None, None, :]


def _mirrored(x: Tensor, multiple: int) -> Tensor:
    """Maps with mirrored rows and columns after the last, up to a multiple."""
    missing = [-side % multiple for side in x.shape[1:3]]
    if not any(missing):
        return x
    return ops.pad(x, ((0, 0), *((0, n) for n in missing), (0, 0)), mode="symmetric")
