"""Codes of images of any size, from an autoencoder of images of one size."""

import functools
from typing import Any

import numpy as np

from aezoo.modalities.image.check import check_levels
from aezoo.modalities.image.tiling import apply_in_tiles, smallest_tile
from aezoo.nn.codes import check_codes
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_number


class Tiles:
    """Methods of an autoencoder of images whose codes are maps; no model itself."""

    def encode_tiled(
        self: Any, x: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Codes of images larger than `input_shape`, tile by tile.

        Where tiles overlap, one turns linearly into the next. They have the size of
        `input_shape`, or less where the network takes any size and as many smaller
        ones cover the image.

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
        images = check_levels(to_numpy(x), "x")
        tile, stride = self._check_tiles("x", images.shape, self.input_shape, overlap)
        return apply_in_tiles(
            lambda tiles: self.run("encode", tiles, batch_size),
            images,
            tile,
            overlap,
            shrink=stride,
        )

    def decode_tiled(
        self: Any, z: Any, overlap: float = 0.25, batch_size: int = 256
    ) -> np.ndarray:
        """Images of codes larger than `latent_shape`, tile by tile.

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
            lambda tiles: self.run("decode", tiles, batch_size),
            check_codes(codes, codes.shape[1:]),
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
        if not self.network.takes_any_size:
            return (h, w), stride
        sides = (n // one for n, one in zip(shape[1:3], unit, strict=True))
        rows, columns = map(
            functools.partial(smallest_tile, overlap=overlap), sides, (h, w)
        )
        return (rows, columns), stride
