"""Autoencoder of pooled patches: one wide layer that features for a classifier want."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.modalities import Image
from aezoo.models.ae import AE
from aezoo.models.arguments import choice
from aezoo.networks import Latent, NetworkError
from aezoo.networks.patches import VARIANCE_FLOOR, Patches
from aezoo.registry import register_family

Tensor = Any
# Of the whitening, in units of the normalised patches' variance.
WHITENING_FLOOR = 0.1
# Of the decoder: its penalty, in units of its inputs' mean square, and its images.
RIDGE, SOLVED, BATCH_SIZE = 1e-4, 10_000, 500
# Start of the filters: patches drawn, rounds of spherical k-means, first threshold.
PATCHES, ROUNDS, THRESHOLD = 100_000, 10, 0.5


@register_family(
    "patch_ae",
    network=Patches(),
    modality=Image(32, 32, 3),
    tiny={"input_shape": (8, 8, 1), "num_filters": 6, "patch_size": 3, "grid": 2},
)
class PatchAE(AE):
    """Single-layer autoencoder of normalised patches, pooled over a grid.

    The network of Coates, Lee & Ng (2011), "An analysis of single-layer networks in
    unsupervised feature learning" (https://proceedings.mlr.press/v15/coates11a.html):
    each patch of the image, less its mean and over its standard deviation, is compared
    with many filters; what exceeds a threshold is averaged over the cells of a grid.
    Beside these features a cell of the code holds its contrast and its mean colour.
    The decoder is linear in features times contrast, and in colour: one convolution
    draws each cell from its code and those around it.

    `adapt` sets the filters to the centres of spherical k-means over
    whitened patches (Coates & Ng, 2012, https://doi.org/10.1007/978-3-642-35289-8_30).
    `fit_closed_form` then solves for the decoder; with `corruption` that of a
    denoising autoencoder, which sees corrupted images and draws clean ones. `fit`
    trains both by gradient descent.

    Args:
        output_activation: `"linear"`, or `"sigmoid"`, which has no closed form.
        **kwargs: As in `AE`, without `latent_dim`.
    """

    output_activation: str = choice("linear", ("linear", "sigmoid"), is_fixed=True)
    code_activation = "linear"

    def check_arguments(self) -> None:
        """Refuse other networks."""
        super().check_arguments()
        if not isinstance(self.network, Patches):
            raise NetworkError(
                f"{self.family!r} needs the network 'patches'. "
                f"Received: network={self.network.kind!r}."
            )

    @property
    def filters(self) -> Patches:
        """The network, which says how many filters there are, and their size."""
        return self.network  # type: ignore[return-value]

    @property
    def latent(self) -> Latent:
        """A map, of the network's own width."""
        return Latent(0, is_map=True)

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of units of a code."""
        return math.prod(self.latent_shape)

    @property
    def heads(self) -> dict[str, int]:
        """`z`, the code."""
        return {"z": self.latent_shape[-1]}

    def adapt(self, x: np.ndarray, seed: int = 0) -> None:
        """Set the filters to directions that whitened patches of images cluster in.

        Args:
            x: Training examples, `(n, *input_shape)`.
            seed: Of the patches that are drawn, and of the first centres.

        Raises:
            ValueError: If there are fewer patches than filters.
        """
        patches = self._draw_patches(x, seed)
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
        scales = np.sqrt(np.maximum(values, 0.0) + WHITENING_FLOOR)
        whitening = ((vectors / scales) @ vectors.T).astype("float32")
        centres = _spherical_kmeans(
            (patches - mean) @ whitening, self.filters.num_filters
        )
        filters = whitening @ centres.T  # (size * size * channels, num_filters)
        self.ensure_built()
        kernel = self.encoder.patches.kernel
        kernel.assign(filters.reshape(kernel.shape))
        self.encoder.patches.bias.assign(-mean @ filters - THRESHOLD)

    def fit_closed_form(self, x: np.ndarray, seed: int = 0) -> "PatchAE":
        """Set the filters by `adapt`, and the decoder by ridge regression.

        Args:
            x: As in `adapt`. The decoder is solved for `SOLVED` of
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
        self.adapt(x, seed)
        noise = keras.random.SeedGenerator(seed)
        rows = np.random.default_rng(seed).permutation(len(x))[:SOLVED]
        gram = moments = np.zeros(())
        for i in range(0, len(rows), BATCH_SIZE):
            clean = self.modality.to_model(
                ops.convert_to_tensor(x[rows[i : i + BATCH_SIZE]])
            )
            seen = clean
            if self.corruption is not None:
                seen = self.modality.corrupt(
                    clean, self.corruption, self.corruption_level, noise
                )
            z = self.encode_parameters(seen)["z"]
            inputs = self.decoder.neighbourhoods(z)
            gram = gram + inputs.T @ inputs
            moments = moments + inputs.T @ self.decoder.cells(clean)
        penalty = RIDGE * np.trace(gram) / len(gram)
        solution = np.linalg.solve(gram + penalty * np.eye(len(gram)), moments)
        self.decoder.set_solution(solution.astype("float32"))
        return self

    def _draw_patches(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Normalised patches that are not flat, `(n, size * size * channels)`."""
        generator = np.random.default_rng(seed)
        height, width = self.modality.positions
        size = self.filters.patch_size
        rows = generator.integers(len(x), size=PATCHES)
        tops = generator.integers(height - size + 1, size=PATCHES)
        lefts = generator.integers(width - size + 1, size=PATCHES)
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
        drawn = windows[rows, tops, lefts]  # (n, channels, size, size)
        drawn = ops.convert_to_numpy(
            self.modality.to_model(drawn.transpose(0, 2, 3, 1))
        )
        patches = drawn.reshape(PATCHES, -1)
        patches = patches - patches.mean(axis=1, keepdims=True)
        variances = patches.var(axis=1, keepdims=True)
        patches = patches / np.sqrt(variances + VARIANCE_FLOOR)
        patches = patches[variances[:, 0] > VARIANCE_FLOOR / 10]
        if len(patches) < self.filters.num_filters:
            raise ValueError(
                f"`x` must hold at least {self.filters.num_filters} patches that are "
                f"not flat. Received: {len(patches)} of {PATCHES} drawn."
            )
        return patches


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
