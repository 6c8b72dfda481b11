"""Autoencoder of pooled patches: one wide layer that features for a classifier want."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.image.corruption import apply_corruption
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.nn.layers import Encoder, Stage
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any
# Added to a patch's variance, in units of [0, 1] squared: flat patches stay flat.
VARIANCE_FLOOR = 0.01
# Of the whitening, in units of the normalised patches' variance.
WHITENING_FLOOR = 0.1
# Of the decoder: its penalty, in units of its inputs' mean square, and its images.
RIDGE, SOLVED, BATCH_SIZE = 1e-4, 10_000, 500
# Start of the filters: patches drawn, rounds of spherical k-means, first threshold.
PATCHES, ROUNDS, THRESHOLD = 100_000, 10, 0.5


@register_family("patch_ae")
class PatchAE(DeterministicAutoencoder):
    """Single-layer autoencoder of normalised patches, pooled over a grid.

    The network of Coates, Lee & Ng (2011), "An analysis of single-layer networks in
    unsupervised feature learning" (https://proceedings.mlr.press/v15/coates11a.html):
    each patch of the image, less its mean and over its standard deviation, is compared
    with many filters; what exceeds a threshold is averaged over the cells of a grid.
    Beside these features a cell of the code holds its contrast and its mean colour.
    The decoder is linear in features times contrast, and in colour: one convolution
    draws each cell from its code and those around it.

    `start_from_images` sets the filters to the centres of spherical k-means over
    whitened patches (Coates & Ng, 2012, https://doi.org/10.1007/978-3-642-35289-8_30).
    `fit_closed_form` then solves for the decoder; with `corruption` that of a
    denoising autoencoder, which sees corrupted images and draws clean ones. `fit`
    trains both by gradient descent.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        num_filters: Number of filters: features of a cell.
        patch_size: Height and width of a patch.
        grid: Cells along each axis.
        output_activation: `"linear"`, or `"sigmoid"`, which has no closed form.
        **kwargs: As in `DeterministicAutoencoder`, without `latent_dim`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "num_filters": 6,
        "patch_size": 3,
        "grid": 2,
    }
    DERIVED_ARGUMENTS: ClassVar[frozenset[str]] = frozenset({"latent_dim"})

    def __init__(
        self,
        input_shape: Sequence[int] = (32, 32, 3),
        *,
        num_filters: int = 400,
        patch_size: int = 6,
        grid: int = 4,
        output_activation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, output_activation=output_activation, **kwargs)
        self.num_filters = int(check_number("num_filters", num_filters, low=1))
        self.patch_size = int(check_number("patch_size", patch_size, low=1))
        self.grid = int(check_number("grid", grid, low=1))
        height, width, channels = self.input_shape
        cell = (self._cell(height), self._cell(width))
        self.latent_dim = self.grid**2 * (self.num_filters + 1 + channels)
        self.encoder = GridEncoder(self.num_filters, self.patch_size, cell)
        self.decoder = PatchDecoder(self.num_filters, self.grid, self.input_shape)

    def _cell(self, size: int) -> int:
        """Places of a patch in a cell, along so many pixels."""
        places = size - self.patch_size + 1
        cell = -(-places // self.grid)
        if places < 1 or -(-places // cell) != self.grid:
            raise ValueError(
                f"The {max(places, 0)} places of a patch along {size} pixels must "
                f"fill `grid` cells of {max(cell, 0)}. Received: grid={self.grid}, "
                f"patch_size={self.patch_size}."
            )
        return cell

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(grid, grid, num_filters + 1 + channels)`."""
        return (self.grid, self.grid, self.num_filters + 1 + self.input_shape[-1])

    def start_from_images(self, images: np.ndarray, seed: int = 0) -> None:
        """Set the filters to directions that whitened patches of images cluster in.

        Args:
            images: Training images, `(n, *input_shape)`: uint8, or floats in [0, 1].
            seed: Of the patches that are drawn, and of the first centres.

        Raises:
            ValueError: If there are fewer patches than filters.
        """
        patches = self._draw_patches(images, seed)
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
        scales = np.sqrt(np.maximum(values, 0.0) + WHITENING_FLOOR)
        whitening = ((vectors / scales) @ vectors.T).astype("float32")
        centres = _spherical_kmeans((patches - mean) @ whitening, self.num_filters)
        filters = whitening @ centres.T  # (size * size * channels, num_filters)
        self._ensure_built()
        size, channels = self.patch_size, self.input_shape[-1]
        self.encoder.patches.kernel.assign(
            filters.reshape(size, size, channels, self.num_filters)
        )
        self.encoder.patches.bias.assign(-mean @ filters - THRESHOLD)

    def fit_closed_form(self, images: np.ndarray, seed: int = 0) -> "PatchAE":
        """Set the filters by `start_from_images`, and the decoder by ridge regression.

        Args:
            images: As in `start_from_images`. The decoder is solved for `SOLVED` of
                them at most, drawn by seed.
            seed: Of all that is drawn.

        Returns:
            The model itself.

        Raises:
            ValueError: If there are fewer patches than filters, or the output is not
                linear.
        """
        if self.output_activation != "linear":
            raise ValueError(
                "`fit_closed_form` needs `output_activation='linear'`. "
                f"Received: output_activation={self.output_activation!r}."
            )
        self.start_from_images(images, seed)
        noise = keras.random.SeedGenerator(seed)
        rows = np.random.default_rng(seed).permutation(len(images))[:SOLVED]
        gram = moments = np.zeros(())
        for i in range(0, len(rows), BATCH_SIZE):
            x = self.to_unit_range(
                ops.convert_to_tensor(images[rows[i : i + BATCH_SIZE]])
            )
            seen = x
            if self.corruption is not None:
                seen = apply_corruption(
                    x, self.corruption, self.corruption_level, noise
                )
            z = self.encode_parameters(seen)["z"]
            inputs = self.decoder.neighbourhoods(z)
            gram = gram + inputs.T @ inputs
            moments = moments + inputs.T @ self.decoder.cells(x)
        penalty = RIDGE * np.trace(gram) / len(gram)
        solution = np.linalg.solve(gram + penalty * np.eye(len(gram)), moments)
        self.decoder.set_solution(solution.astype("float32"))
        return self

    def _draw_patches(self, images: np.ndarray, seed: int) -> np.ndarray:
        """Normalised patches that are not flat, `(n, size * size * channels)`."""
        generator = np.random.default_rng(seed)
        height, width, _ = self.input_shape
        size = self.patch_size
        rows = generator.integers(len(images), size=PATCHES)
        tops = generator.integers(height - size + 1, size=PATCHES)
        lefts = generator.integers(width - size + 1, size=PATCHES)
        windows = np.lib.stride_tricks.sliding_window_view(
            images, (size, size), axis=(1, 2)
        )
        drawn = windows[rows, tops, lefts]  # (n, channels, size, size)
        drawn = np.asarray(self.to_unit_range(drawn.transpose(0, 2, 3, 1)))
        patches = drawn.reshape(PATCHES, -1)
        patches = patches - patches.mean(axis=1, keepdims=True)
        variances = patches.var(axis=1, keepdims=True)
        patches = patches / np.sqrt(variances + VARIANCE_FLOOR)
        patches = patches[variances[:, 0] > VARIANCE_FLOOR / 10]
        if len(patches) < self.num_filters:
            raise ValueError(
                f"`images` must hold at least {self.num_filters} patches that are not "
                f"flat. Received: {len(patches)} of {PATCHES} drawn."
            )
        return patches

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "num_filters": self.num_filters,
            "patch_size": self.patch_size,
            "grid": self.grid,
        }


def _spherical_kmeans(points: np.ndarray, count: int) -> np.ndarray:
    """Unit vectors `(count, d)` that points cluster around, by their angles."""
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    centres = points[:count] / np.maximum(norms[:count], 1e-6)
    for _ in range(ROUNDS):
        scores = points @ centres.T
        nearest = np.abs(scores).argmax(axis=1)
        weights = np.zeros_like(scores)
        every = np.arange(len(points))
        weights[every, nearest] = scores[every, nearest]
        centres = weights.T @ points + centres
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres


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
        return {"z": ops.average_pool(x, self.cell, self.cell, padding="same")}

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
        response = ops.cast(ops.conv(inputs, kernel, padding="valid"), "float32")
        of_mean = ops.cast(ops.sum(self.kernel, axis=(0, 1, 2)), "float32")
        response = (response - mean * of_mean) / contrast
        features = ops.relu(response + ops.cast(self.bias, "float32"))
        return ops.concatenate([features, contrast, colour], axis=-1)

    def _mean(self, x: Tensor) -> Tensor:
        return ops.average_pool(x, self.patch_size, 1, padding="valid")


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
            math.prod(self.cell) * channels, 3, padding="same", name="to_cells"
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build for codes `(batch, grid, grid, num_filters + 1 + channels)`."""
        self.to_cells.build(tuple(input_shape))

    def call(self, inputs: Tensor) -> Tensor:
        """Pixels before the output activation, `(batch, height, width, channels)`."""
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
