"""Convolutions to two maps of quantised vectors, one of half the size, and back."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent
from aezoo.networks.conv import Conv, ConvMapDecoder, ConvMapEncoder, map_sizes
from aezoo.networks.stages import Stage
from aezoo.nn.layers.quantizers import VectorQuantizer
from aezoo.nn.layers.upsampling import upsampling_layer

Tensor = Any
TOP_STRIDE = 2
Levels = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class TwoLevel(Conv):
    """`Conv` to a bottom map, and on to a top map of half its height and width.

    The network between the maps has the last of `filters` channels and as many
    `residual_blocks`. For quantised latents alone, by a `TwoLevelQuantizer`.

    Args:
        filters: As in `Conv`.
        strides: As in `Conv`.
        hidden_units: Unused.
        activation: As in `Conv`.
        upsampling: As in `Conv`.
        residual_blocks: As in `Conv`.
        normalization: As in `Conv`.
    """

    kind: ClassVar[str] = "two_level"

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images, for maps of codes."""
        super().check(modality, latent)
        if not latent.is_map:
            raise self.cannot_carry(modality, latent)

    def level_shapes(self, modality: Modality) -> Levels:
        """Height and width of the top and of the bottom map."""
        bottom = self.grid(modality)
        return (map_sizes(*bottom, [TOP_STRIDE])[-1], bottom)

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(top positions + bottom positions, units)`."""
        self.check(modality, latent)
        return (sum(map(math.prod, self.level_shapes(modality))), latent.units)

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],  # noqa: ARG002
        latent: Latent,
    ) -> "TwoLevelEncoder":
        """A `TwoLevelEncoder`."""
        if not isinstance(latent.quantizer, TwoLevelQuantizer):
            raise self.cannot_carry(modality, latent)
        channels = self.filters[-1]
        top = ([channels], [TOP_STRIDE], self.activation)
        shape = (*self.grid(modality), channels)
        return TwoLevelEncoder(
            self.filters,
            self.strides,
            self.activation,
            latent.units,
            latent.quantizer,
            top_encoder=ConvMapEncoder(
                *top, latent.units, latent.quantizer.top, **self._blocks
            ),
            top_decoder=ConvMapDecoder(*top, shape, self.upsampling, **self._blocks),
            **self._blocks,
        )

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> "TwoLevelDecoder":
        """A `TwoLevelDecoder`."""
        return TwoLevelDecoder(
            upsampling_layer(self.upsampling, latent.units, None, "upsample"),
            super().decoder(modality, width, latent),
            self.level_shapes(modality),
        )


class TwoLevelQuantizer(keras.layers.Layer):
    """Two codebooks, for sequences of top vectors and then bottom vectors.

    Args:
        top: Quantiser of the first vectors.
        bottom: Quantiser of the others; its indices follow those of `top`.
        num_top_positions: How many vectors are of the top.
    """

    def __init__(
        self,
        top: VectorQuantizer,
        bottom: VectorQuantizer,
        num_top_positions: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.top = top
        self.bottom = bottom
        self.num_top_positions = num_top_positions
        self.num_codes = top.num_codes + bottom.num_codes
        self.has_usage = top.has_usage

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the codebooks for vectors `(..., code_dim)`."""
        for level in (self.top, self.bottom):
            if not level.built:  # the top one, within its encoder
                level.build(input_shape)

    def bound(self, z: Tensor) -> Tensor:
        """The vectors as they are: codes can be anywhere."""
        return z

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code of each vector's level. int32.

        Args:
            z: Vectors, float32, `(batch, positions, code_dim)`.
        """
        top, bottom = self._levels(z)
        found = self.bottom.nearest(bottom) + self.top.num_codes
        return ops.concatenate([self.top.nearest(top), found], axis=1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes of indices of both levels: `(...)` to float32 `(..., code_dim)`."""
        levels = (self.top, self.bottom)
        codes = [ops.convert_to_tensor(level.codebook) for level in levels]
        return ops.take(ops.concatenate(codes), indices, axis=0)

    def update(
        self,
        z: Tensor,
        indices: Tensor,
        decay: float,
        restart_below: float = 0.0,
        draws: Tensor | None = None,
    ) -> None:
        """As in `VectorQuantizer`, each level by its vectors."""
        count = self.top.num_codes
        top_z, bottom_z = self._levels(z)
        top, bottom = self._levels(indices)
        top_draws, bottom_draws = (
            (None, None) if draws is None else (draws[:count], draws[count:])
        )
        self.top.update(top_z, top, decay, restart_below, top_draws)
        self.bottom.update(bottom_z, bottom - count, decay, restart_below, bottom_draws)

    def _levels(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values[:, : self.num_top_positions], values[:, self.num_top_positions :]


class TwoLevelVectors(keras.layers.Layer):
    """From the bottom map to the vectors of both levels, before they are quantised.

    Args:
        top_encoder: From the bottom map to top vectors and their codes.
        top_decoder: From top codes to what joins the bottom map.
        to_code: From the joined maps to bottom vectors.
    """

    def __init__(
        self,
        top_encoder: ConvMapEncoder,
        top_decoder: ConvMapDecoder,
        to_code: keras.layers.Layer,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.top_encoder = top_encoder
        self.top_decoder = top_decoder
        self.to_code = to_code

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for maps `(batch, h, w, channels)`."""
        *start, channels = input_shape
        self.top_encoder.build(tuple(input_shape))
        self.top_decoder.build((None, None, None, self.to_code.filters))
        self.to_code.build((*start, 2 * channels))  # type: ignore[operator]

    def call(self, inputs: Tensor) -> Tensor:
        """Vectors of top and bottom, float32, `(batch, positions, code_dim)`."""
        top = self.top_encoder(inputs)
        vectors = top["z_encoded"]
        codes = self.top_encoder.quantizer.lookup(top["indices"])
        # the code, with the gradient of the vector
        codes = vectors + ops.stop_gradient(codes - vectors)
        context = self.top_decoder(ops.cast(codes, inputs.dtype))
        bottom = self.to_code(ops.concatenate([inputs, context], axis=-1))
        levels = [vectors, ops.cast(bottom, "float32")]
        return ops.concatenate([_as_sequence(level) for level in levels], axis=1)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, positions, code_dim)`."""
        batch, height, width, _ = input_shape
        sizes = map_sizes(height, width, [TOP_STRIDE])  # type: ignore[arg-type]
        return batch, sum(map(math.prod, sizes)), self.to_code.filters


class TwoLevelEncoder(ConvMapEncoder):
    """A `ConvMapEncoder` whose vectors are those of two maps, in one sequence.

    Args:
        *args: As in `ConvMapEncoder`.
        top_encoder: As in `TwoLevelVectors`.
        top_decoder: As there.
        **kwargs: As in `ConvMapEncoder`.
    """

    keeps_positions: bool = False

    def __init__(
        self,
        *args: Any,
        top_encoder: ConvMapEncoder,
        top_decoder: ConvMapDecoder,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.vectors = TwoLevelVectors(top_encoder, top_decoder, self.to_code)

    def stages(self) -> list[Stage]:
        """The convolutions, then the vectors, `(batch, positions, code_dim)`."""
        *convolutions, encoded = super().stages()
        # a sequence, which has no stride
        encoded = dataclasses.replace(encoded, layers=(self.vectors,), stride=None)
        return [*convolutions, encoded]


class TwoLevelDecoder(keras.layers.Layer):
    """From codes of both levels to parameters of a likelihood.

    Args:
        upsample: Doubles the top map.
        decoder: From the joined maps to these parameters.
        level_shapes: Height and width of the top and of the bottom map.
    """

    def __init__(
        self,
        upsample: keras.layers.Layer,
        decoder: ConvMapDecoder,
        level_shapes: Levels,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.upsample = upsample
        self.decoder = decoder
        self.level_shapes = level_shapes

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, positions, code_dim)`."""
        width = input_shape[-1]
        top, bottom = self.level_shapes
        self.upsample.build((None, *top, width))
        self.decoder.build((None, *bottom, 2 * width))  # type: ignore[operator]

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to parameters of a likelihood."""
        top, bottom = split_sequence(inputs, self.level_shapes)
        height, width = self.level_shapes[1]
        top = self.upsample(top)[:, :height, :width]
        return self.decoder(ops.concatenate([top, bottom], axis=-1))


def _as_sequence(values: Tensor) -> Tensor:
    """`(batch, h, w, code_dim)` to `(batch, h * w, code_dim)`."""
    return ops.reshape(values, (-1, math.prod(values.shape[1:3]), values.shape[-1]))


def split_sequence(values: Tensor, level_shapes: Levels) -> tuple[Tensor, Tensor]:
    """The maps of a sequence: `(n, positions, ...)` to two of `(n, h, w, ...)`."""
    top, bottom = level_shapes
    count, rest = math.prod(top), tuple(values.shape[2:])
    return (
        ops.reshape(values[:, :count], (-1, *top, *rest)),
        ops.reshape(values[:, count:], (-1, *bottom, *rest)),
    )
