"""Codes that are maps: their shape, and the moments of their channels."""

import math
from typing import Any

import numpy as np
from keras import ops

from aezoo.models._tiles import Tiles
from aezoo.networks import Latent
from aezoo.utils.arrays import to_numpy


class CodeMaps(Tiles):
    """Methods of an autoencoder whose codes are maps of `code_dim` channels.

    No model itself. The moments are weights, which `finish` sets.
    """

    @property
    def latent_dim(self: Any) -> int:
        """Number of units of a code, at all positions."""
        return math.prod(self.latent_shape)

    @property
    def latent(self: Any) -> Latent:
        """A map."""
        return Latent(self.code_dim, is_map=True)

    def build_layers(self: Any) -> None:
        """Create all weights, those of the codes' moments among them."""
        super().build_layers()  # type: ignore[misc]
        self.code_mean, self.code_std = (
            self.add_weight(
                shape=(self.code_dim,),
                initializer=initializer,
                dtype="float32",
                trainable=False,
                name=name,
            )
            for name, initializer in (("code_mean", "zeros"), ("code_std", "ones"))
        )

    def finish(self: Any, x: np.ndarray, told: Any = None) -> None:  # noqa: ARG002
        """Set the mean and standard deviation of each channel of the codes.

        Weights of the model, which `scale_codes` uses; `training.train` sets them on
        the training examples.

        Args:
            x: `(n, *input_shape)`.
            told: Not used.
        """
        codes = self.encode(x).reshape(-1, self.code_dim)
        self.code_mean.assign(codes.mean(axis=0, dtype="float64"))
        self.code_std.assign(codes.std(axis=0, dtype="float64"))

    def scale_codes(self: Any, z: Any) -> np.ndarray:
        """Codes with mean 0 and variance 1 in each channel over the training examples.

        As they are, until `finish` was called.

        Args:
            z: Codes, `(..., code_dim)`.

        Returns:
            Float32, of the same shape.

        Raises:
            ValueError: If there are more or fewer channels.
        """
        codes, mean, std = self._codes_and_moments(z)
        return (codes - mean) / std

    def unscale_codes(self: Any, z: Any) -> np.ndarray:
        """The inverse of `scale_codes`: what `decode` takes."""
        codes, mean, std = self._codes_and_moments(z)
        return codes * std + mean

    def _codes_and_moments(
        self: Any, z: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = to_numpy(z, "float32")
        if codes.shape[-1:] != (self.code_dim,):
            raise ValueError(
                f"`z` must have shape (..., {self.code_dim}), one value per channel. "
                f"Received: z.shape={codes.shape}."
            )
        self.ensure_built()
        mean, std = map(ops.convert_to_numpy, (self.code_mean, self.code_std))
        return codes, mean, std
