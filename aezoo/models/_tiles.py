"""Codes of images of any size, from an autoencoder of images of one size."""

from typing import Any

import numpy as np

from aezoo.modalities.image.tiling import apply_in_tiles
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_number


class Tiles:
    """Methods of an autoencoder of images whose codes are maps; no model itself."""

    def encode_tiled(
        self: Any, x: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Codes of images larger than `input_shape`, tile by tile of that size.

        Where tiles overlap, one turns linearly into the next.

        Args:
            x: Images `(n, height, width, channels)`: uint8, or floats in [0, 1]. Both
                sides are multiples of the strides, and at least those of a tile.
            overlap: Share of a tile that the next one covers too, from 0 to 0.5.
            batch_size: Tiles per compiled call; does not change the result.

        Returns:
            Float32, `(n, h, w, code_dim)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong, or the strides do not
                divide `input_shape`.
        """
        images = to_numpy(x)
        tile, stride = self._check_tiles("x", images.shape, self.input_shape, overlap)
        return apply_in_tiles(
            lambda tiles: self.encode(tiles, batch_size),
            images,
            tile,
            overlap,
            shrink=stride,
        )

    def decode_tiled(
        self: Any, z: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Images of codes larger than `latent_shape`, tile by tile of that size.

        Args:
            z: Codes `(n, h, w, code_dim)`, float; at least as large as a tile.
            overlap: As in `encode_tiled`.
            batch_size: As in `encode_tiled`.

        Returns:
            Float32 in [0, 1], `(n, height, width, channels)`.

        Raises:
            ValueError: As in `encode_tiled`.
        """
        codes = to_numpy(z)
        tile, stride = self._check_tiles("z", codes.shape, self.latent_shape, overlap)
        return apply_in_tiles(
            lambda tiles: self.decode(tiles, batch_size),
            codes,
            tile,
            overlap,
            grow=stride,
        )

    def _check_tiles(
        self: Any,
        name: str,
        shape: tuple[int, ...],
        part: tuple[int, ...],
        overlap: float,
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Positions of a tile, and pixels of a position: `(height, width)` each.

        Args:
            name: Of the argument.
            shape: Its shape.
            part: Shape of what it is cut into.
            overlap: As in `encode_tiled`.

        Raises:
            ValueError: If tiles cannot cover it.
        """
        check_number("overlap", overlap, low=0.0, high=0.5)
        (height, width), (h, w) = self.input_shape[:2], self.latent_shape[:2]
        stride = height // h, width // w
        if (h * stride[0], w * stride[1]) != (height, width):
            raise ValueError(
                "Tiles need an `input_shape` of multiples of the strides. Received: "
                f"input_shape={self.input_shape}, latent_shape={self.latent_shape}."
            )
        unit = part[0] // h, part[1] // w
        if (
            len(shape) != 4
            or shape[3] != part[2]
            or shape[1] < part[0]
            or shape[2] < part[1]
            or shape[1] % unit[0]
            or shape[2] % unit[1]
        ):
            raise ValueError(
                f"`{name}` must have shape (n, height, width, {part[2]}), at least "
                f"{part[0]} x {part[1]}, in multiples of {unit[0]} x {unit[1]}. "
                f"Received: {name}.shape={shape}."
            )
        return (h, w), stride
