"""One wide layer of filters over patches, pooled over a grid."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.backend import mean_pool
from aezoo.utils.validation import check_positive_int

Tensor = Any
# Added to a patch's variance, in units of [0, 1] squared: flat patches stay flat.
VARIANCE_FLOOR = 0.01


@dataclasses.dataclass(frozen=True)
class Patches(Network):
    """Filters over normalised patches, pooled over a grid; and a convolution back.

    Coates, Lee & Ng (2011), https://proceedings.mlr.press/v15/coates11a.html.

    Args:
        num_filters: Number of filters: features of a cell.
        patch_size: Height and width of a patch.
        grid: Cells along each axis.
    """

    num_filters: int = 400
    patch_size: int = 6
    grid: int = 4

    kind: ClassVar[str] = "patches"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in self.argument_names():
            value = check_positive_int(name, getattr(self, name))
            object.__setattr__(self, name, value)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images whose patches fill the grid, for its own map."""
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if not latent.is_map or latent.quantizer is not None:
            raise self.cannot_carry(modality, latent)
        self._cell(modality)

    def _cell(self, modality: Modality) -> tuple[int, int]:
        """Places of a patch in a cell, along both axes."""
        cells = []
        for size in modality.positions:
            places = size - self.patch_size + 1
            cell = -(-places // self.grid)
            if places < 1 or -(-places // cell) != self.grid:
                raise ValueError(
                    f"The {max(places, 0)} places of a patch along {size} pixels must "
                    f"fill `grid` cells of {max(cell, 0)}. Received: grid={self.grid}, "
                    f"patch_size={self.patch_size}."
                )
            cells.append(cell)
        return cells[0], cells[1]

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(grid, grid, num_filters + 1 + channels)`."""
        self.check(modality, latent)
        return (self.grid, self.grid, self.num_filters + 1 + modality.channels)

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],
        latent: Latent,
    ) -> "GridEncoder":
        """A `GridEncoder`."""
        self.check(modality, latent)
        if tuple(heads) != ("z",):
            raise self.cannot_carry(modality, latent)
        return GridEncoder(self.num_filters, self.patch_size, self._cell(modality))

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "PatchDecoder":
        """A `PatchDecoder`."""
        self.check(modality, latent)
        shape = (*modality.positions, width)
        return PatchDecoder(self.num_filters, self.grid, shape)


class GridEncoder(Encoder):
    """Compare each normalised patch with filters, and pool over a grid.

    Layers by name: `stage1` (features, contrast and colour of each patch), `pool` and
    `latent`.

    Args:
        num_filters: Number of filters.
        patch_size: Height and width of a patch.
        cell: Height and width of a cell of the grid, in places of a patch.
    """

    def __init__(
        self, num_filters: int, patch_size: int, cell: tuple[int, int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.patches = PatchFeatures(num_filters, patch_size, name="patches")
        self.cell = cell

    def stages(self) -> list[Stage]:
        """The patches."""
        return [Stage("stage1", (self.patches,), is_pooled=True)]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Codes `z`: the means of each cell."""
        return {"z": mean_pool(x, self.cell)}

    def build_outputs(self, shape: tuple) -> None:
        """Nothing: means have no weights."""

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """None: means have no weights."""
        return ()


class PatchFeatures(keras.layers.Layer):
    """Features, contrast and mean colour of the patch at each place.

    Args:
        num_filters: Number of filters.
        patch_size: Height and width of a patch.
    """

    def __init__(self, num_filters: int, patch_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_filters = num_filters
        self.patch_size = patch_size

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the filters for images `(batch, height, width, channels)`."""
        shape = (self.patch_size, self.patch_size, input_shape[-1], self.num_filters)
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.bias = self.add_weight(
            name="bias", shape=(self.num_filters,), initializer="zeros"
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """`(batch, height', width', num_filters + 1 + channels)`."""
        batch, height, width, channels = input_shape
        less = self.patch_size - 1
        width_of_code = self.num_filters + 1 + channels
        return (batch, height - less, width - less, width_of_code)

    def call(self, inputs: Tensor) -> Tensor:
        """What each patch holds, `(batch, height', width', num_filters + 1 + c)`."""
        # Sums of squares of many pixels: half precision would lose the contrast.
        x = ops.cast(inputs, "float32")
        colour = self._mean(x)  # (batch, height', width', channels)
        mean = ops.mean(colour, axis=-1, keepdims=True)
        square = ops.mean(self._mean(ops.square(x)), axis=-1, keepdims=True)
        variance = ops.maximum(square - ops.square(mean), 0.0)
        contrast = ops.sqrt(variance + VARIANCE_FLOOR)
        kernel = ops.cast(self.kernel, inputs.dtype)
        response = ops.cast(
            ops.conv(inputs, kernel, padding="valid", data_format="channels_last"),
            "float32",
        )
        of_mean = ops.cast(ops.sum(self.kernel, axis=(0, 1, 2)), "float32")
        response = (response - mean * of_mean) / contrast
        features = ops.relu(response + ops.cast(self.bias, "float32"))
        return ops.concatenate([features, contrast, colour], axis=-1)

    def _mean(self, x: Tensor) -> Tensor:
        return ops.average_pool(
            x, self.patch_size, 1, padding="valid", data_format="channels_last"
        )


class PatchDecoder(keras.layers.Layer):
    """Draw each cell from its features, contrast and colour, and those around it.

    Args:
        num_filters: Number of features of a cell.
        grid: Cells along each axis.
        output_shape: Shape `(height, width, channels)` of one image.
    """

    def __init__(
        self, num_filters: int, grid: int, output_shape: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_filters = num_filters
        self.grid = grid
        self.image_shape = tuple(output_shape)
        height, width, channels = self.image_shape
        self.cell = (-(-height // grid), -(-width // grid))
        self.to_cells = keras.layers.Conv2D(
            math.prod(self.cell) * channels,
            3,
            padding="same",
            name="to_cells",
            data_format="channels_last",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build for codes `(batch, grid, grid, num_filters + 1 + channels)`."""
        self.to_cells.build(tuple(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Codes to parameters of a likelihood, `(batch, height, width, channels)`."""
        cells = self.to_cells(self.amplitudes(inputs))
        (h, w), grid = self.cell, self.grid
        height, width, channels = self.image_shape
        # (batch, grid, grid, h * w * channels) -> (batch, grid * h, grid * w, channels)
        cells = ops.reshape(cells, (-1, grid, grid, h, w, channels))
        cells = ops.transpose(cells, (0, 1, 3, 2, 4, 5))
        pixels = ops.reshape(cells, (-1, grid * h, grid * w, channels))
        return pixels[:, :height, :width]

    def amplitudes(self, codes: Tensor) -> Tensor:
        """What pixels are linear in: features times contrast, contrast, and colour."""
        count = self.num_filters
        features, rest = codes[..., :count], codes[..., count:]
        return ops.concatenate([features * rest[..., :1], rest], axis=-1)

    def neighbourhoods(self, codes: Tensor) -> np.ndarray:
        """The inputs of `to_cells` by cell, and a one: `(cells, 9 * width + 1)`."""
        maps = ops.convert_to_numpy(self.amplitudes(codes))
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        # (batch, grid, grid, width, 3, 3) -> (cells, 3 * 3 * width)
        rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * maps.shape[-1])
        return np.concatenate([rows, np.ones((len(rows), 1), "float32")], axis=1)

    def cells(self, images: Tensor) -> np.ndarray:
        """The pixels by cell, `(cells, h * w * channels)`; those of the rim padded."""
        (h, w), grid = self.cell, self.grid
        height, width, channels = self.image_shape
        missing = [(0, 0), (0, grid * h - height), (0, grid * w - width), (0, 0)]
        pixels = np.pad(ops.convert_to_numpy(images), missing, mode="edge")
        split = pixels.reshape(-1, grid, h, grid, w, channels)
        return split.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h * w * channels)

    def set_solution(self, solution: np.ndarray) -> None:
        """Set the weights: `neighbourhoods @ solution` is to be `cells`."""
        kernel = solution[:-1].reshape(self.to_cells.kernel.shape)
        self.to_cells.set_weights([kernel, solution[-1]])
