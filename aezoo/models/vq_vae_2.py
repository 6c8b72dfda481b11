"""Vector-quantised autoencoder with two levels of codes."""

import math
from typing import Any

import numpy as np
from keras import ops

from aezoo.models._discrete import Codebook
from aezoo.models.arguments import units
from aezoo.models.vq_vae import TINY, VQVAE
from aezoo.networks import NetworkError
from aezoo.networks.two_level import Levels, TwoLevel, TwoLevelQuantizer, split_sequence
from aezoo.registry import register_family
from aezoo.utils.arrays import to_numpy


@register_family("vq_vae_2", network=TwoLevel(), tiny={**TINY, "num_top_codes": 5})
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
    example takes `posterior(x).kl() / log(2)` bits.

    It learns no prior, so it cannot sample by itself. The sampler `"autoregressive"`
    goes over the sequence in its order, and so is a prior of the top codes and one of
    the bottom codes given the top.

    Args:
        num_top_codes: Codes in the codebook of the top map; `num_codes` are in that of
            the bottom map.
        **kwargs: As in `VQVAE`.
    """

    num_top_codes: int = units(512)

    def new_quantizer(self, num_codes: int | None = None) -> TwoLevelQuantizer:
        """A codebook for each level."""
        return TwoLevelQuantizer(
            super().new_quantizer(self.num_top_codes),
            super().new_quantizer(num_codes),
            math.prod(self.level_shapes[0]),
        )

    @property
    def level_shapes(self) -> Levels:
        """Height and width of the top and of the bottom map."""
        shapes: Levels = self.network.level_shapes(self.modality)  # type: ignore[attr-defined]
        return shapes

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """That of the top codes, and that of the bottom codes."""
        top, bottom = map(math.prod, self.level_shapes)
        return (
            Codebook("top codes", self.num_top_codes, 0, slice(0, top)),
            Codebook(
                "bottom codes",
                self.num_codes,
                self.num_top_codes,
                slice(top, top + bottom),
            ),
        )

    def check_arguments(self) -> None:
        """Refuse networks without two levels."""
        super().check_arguments()
        if not isinstance(self.network, TwoLevel):
            raise NetworkError(
                f"{self.family!r} needs the network 'two_level'. "
                f"Received: network={self.network.kind!r}."
            )

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
        values = to_numpy(values)
        if values.shape[1:] not in (self.latent_shape, self.latent_shape[:-1]):
            positions, width = self.latent_shape
            raise ValueError(
                f"`values` must be codes of shape (n, {positions}, {width}) or indices "
                f"of shape (n, {positions}). Received: values.shape={values.shape}."
            )
        if values.ndim == 2:
            values = values - self.index_bounds[0]
        top, bottom = split_sequence(values, self.level_shapes)
        return ops.convert_to_numpy(top), ops.convert_to_numpy(bottom)
