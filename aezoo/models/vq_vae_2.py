"""Vector-quantised autoencoder with two levels of codes."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.models.vq_vae import VQVAE
from aezoo.nn.layers import (
    ConvMapDecoder,
    ConvMapEncoder,
    Stage,
    VectorQuantizer,
    map_sizes,
    upsampling_layer,
)
from aezoo.registry import register_family
from aezoo.utils.validation import check_positive_int

Tensor = Any
TOP_STRIDE = 2


@register_family("vq_vae_2")
class VQVAE2(VQVAE):
    """Hierarchical vector-quantised autoencoder of Razavi et al. (2019).

    "Generating diverse high-fidelity images with VQ-VAE-2"
    (https://arxiv.org/abs/1906.00446), algorithm 1, with two levels. The encoder's
    map, the bottom one, goes on to a top map of half its height and width. The top
    vectors are quantised first; decoded to the bottom's size, they join the bottom map
    before that is quantised in turn, so that the bottom codes tell what the top codes
    do not. The decoder sees both. Each level has a codebook of its own; the terms are
    those of `VQVAE`, means over the positions of both.

    A code is one sequence of vectors, `(positions, code_dim)`: the top map in raster
    order, then the bottom map. In indices the bottom codes follow the top ones: they
    are 0 to `num_top_codes - 1`, and `num_top_codes` to
    `num_top_codes + num_codes - 1`. `split_levels` gives the two maps of either. An
    image takes `posterior(x).kl() / log(2)` bits.

    It learns no prior, so it cannot sample by itself. The sampler `"autoregressive"`
    goes over the sequence in its order, and so is a prior of the top codes and one of
    the bottom codes given the top.

    Args:
        *args: `input_shape`, as in `Autoencoder`.
        num_top_codes: Codes in the codebook of the top map; `num_codes` are in that of
            the bottom map.
        **kwargs: As in `VQVAE`. The network between the maps has the last of `filters`
            channels and as many `residual_blocks`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**VQVAE.TINY_CONFIG, "num_top_codes": 5}

    def __init__(self, *args: Any, num_top_codes: int = 512, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_top_codes = check_positive_int("num_top_codes", num_top_codes)
        bottom = self.map_shape[:2]
        top = map_sizes(*bottom, [TOP_STRIDE])[-1]
        self.level_shapes = (top, bottom)
        self.latent_dim = sum(map(math.prod, self.level_shapes)) * self.code_dim
        channels = self.filters[-1]
        options: dict[str, Any] = {
            "residual_blocks": self.residual_blocks,
            "normalization": self.normalization,
        }
        bottom_quantizer, decoder = self.quantizer, self.decoder
        del self.encoder, self.decoder
        top_encoder = ConvMapEncoder(
            [channels],
            [TOP_STRIDE],
            self.activation,
            self.code_dim,
            self.new_quantizer(self.num_top_codes),
            **options,
        )
        top_decoder = ConvMapDecoder(
            [channels],
            [TOP_STRIDE],
            self.activation,
            (*bottom, channels),
            self.upsampling,
            **options,
        )
        self.encoder = TwoLevelEncoder(
            self.filters,
            self.strides,
            self.activation,
            self.code_dim,
            TwoLevelQuantizer(top_encoder.quantizer, bottom_quantizer, math.prod(top)),
            top_encoder=top_encoder,
            top_decoder=top_decoder,
            **options,
        )
        self.decoder = TwoLevelDecoder(
            upsampling_layer(self.upsampling, self.code_dim, None, "upsample"),
            decoder,
            self.level_shapes,
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(top positions + bottom positions, code_dim)`."""
        return (sum(map(math.prod, self.level_shapes)), self.code_dim)

    @property
    def index_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """As in `QuantizedAutoencoder`: those of the level of each position."""
        sizes = [math.prod(shape) for shape in self.level_shapes]
        top, both = self.num_top_codes, self.quantizer.num_codes
        return np.repeat([0, top], sizes), np.repeat([top, both], sizes)

    def split_levels(self, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """The top and the bottom map of codes, or of their indices.

        Args:
            values: Codes `(n, positions, code_dim)`, as `encode` returns them, or
                indices `(n, positions)`, as `encode_indices` does.

        Returns:
            Top, `(n, h, w, code_dim)` or `(n, h, w)`, and bottom, of twice the height
            and width. Indices start at 0 in both.

        Raises:
            ValueError: If the shape is another.
        """
        values = np.asarray(values)
        if values.shape[1:] not in (self.latent_shape, self.latent_shape[:-1]):
            positions, width = self.latent_shape
            raise ValueError(
                f"`values` must be codes of shape (n, {positions}, {width}) or indices "
                f"of shape (n, {positions}). Received: values.shape={values.shape}."
            )
        if values.ndim == 2:
            values = values - self.index_bounds[0]
        top, bottom = _split(values, self.level_shapes)
        return np.asarray(top), np.asarray(bottom)

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "num_top_codes": self.num_top_codes}


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

    KEEPS_POSITIONS: ClassVar[bool] = False

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
    """From codes of both levels to pixels.

    Args:
        upsample: Doubles the top map.
        decoder: From the joined maps to pixels.
        level_shapes: Height and width of the top and of the bottom map.
    """

    def __init__(
        self,
        upsample: keras.layers.Layer,
        decoder: ConvMapDecoder,
        level_shapes: tuple[tuple[int, int], tuple[int, int]],
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
        """Map codes to pixels before the output activation."""
        top, bottom = _split(inputs, self.level_shapes)
        height, width = self.level_shapes[1]
        top = self.upsample(top)[:, :height, :width]
        return self.decoder(ops.concatenate([top, bottom], axis=-1))


def _as_sequence(values: Tensor) -> Tensor:
    """`(batch, h, w, code_dim)` to `(batch, h * w, code_dim)`."""
    return ops.reshape(values, (-1, math.prod(values.shape[1:3]), values.shape[-1]))


def _split(
    values: Tensor, level_shapes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """The maps of a sequence: `(n, positions, ...)` to two of `(n, h, w, ...)`."""
    top, bottom = level_shapes
    count, rest = math.prod(top), tuple(values.shape[2:])
    return (
        ops.reshape(values[:, :count], (-1, *top, *rest)),
        ops.reshape(values[:, count:], (-1, *bottom, *rest)),
    )
