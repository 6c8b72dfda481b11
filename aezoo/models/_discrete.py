"""What families with a map of finitely many codes share: indices in and out."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models._networks import ConvMapNetwork
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.nn.distributions import QuantizedCode

Tensor = Any


class QuantizedAutoencoder(ConvMapNetwork, DeterministicAutoencoder):
    """An autoencoder whose code is one of `num_codes` vectors at each position.

    A family sets its encoder and decoder with `add_networks`, with a quantiser that
    has `bound`, `nearest` and `lookup`. Not a family itself.

    Args:
        *args: `input_shape`.
        **kwargs: As in `ConvMapNetwork` and `DeterministicAutoencoder`.
    """

    HEADS: ClassVar[tuple[str, ...]] = ("z_encoded",)
    CODES: ClassVar[str] = "discrete"

    @property
    def quantizer(self) -> Any:
        """The layer that knows the codes; part of the encoder."""
        return self.encoder.quantizer

    @property
    def index_bounds(self) -> tuple[Any, Any]:
        """The lowest index that a position can have, and the one above its highest.

        Integers, or arrays with one for each position.
        """
        return 0, self.quantizer.num_codes

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """`z_encoded`, float32, and the `indices` of its codes, int32."""
        return outputs

    def make_posterior(self, parameters: dict[str, Tensor]) -> QuantizedCode:
        """A point mass on the codes, with their indices."""
        low, stop = self.index_bounds
        return QuantizedCode(
            parameters["z_encoded"],
            self.quantizer.lookup(parameters["indices"]),
            parameters["indices"],
            stop - low,
        )

    def encode_indices(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Indices of the codes of images.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            Integers from 0 to `num_codes - 1`, int32, shape `(n, h, w)`: that of the
            codes, less their last axis.
        """
        return self._run("encode_indices", self._check_images(x), batch_size)

    def decode_indices(self, indices: Any, batch_size: int = 256) -> np.ndarray:
        """Images of codes by index: `decode` of what the indices stand for.

        Args:
            indices: What `encode_indices` returns, or other such integers.
            batch_size: Codes per compiled call; does not change the result.

        Returns:
            Float32 in [0, 1], shape `(n, *input_shape)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong.
        """
        values = np.asarray(indices)
        low, stop = self.index_bounds
        if (
            values.shape[1:] != self.latent_shape[:-1]
            or values.size == 0
            or values.dtype.kind not in "iu"
            or np.any((values < low) | (values >= stop))
        ):
            span = f", {values.min()} to {values.max()}" if values.size else ""
            own = ", each within `index_bounds`," if np.ndim(low) else ""
            raise ValueError(
                f"`indices` must be integers from 0 to {np.max(stop) - 1}{own} of "
                f"shape (n, {', '.join(map(str, self.latent_shape[:-1]))}), as "
                "`encode_indices` returns them. Received: "
                f"indices.shape={values.shape}, dtype={values.dtype}{span}."
            )
        values = np.ascontiguousarray(values, "int32")
        return self._run("decode_indices", values, batch_size)

    def _graph_encode_indices(self, x: Tensor) -> Tensor:
        return self._graph_encode_parameters(x)["indices"]

    def _graph_decode_indices(self, indices: Tensor) -> Tensor:
        return self._graph_decode(ops.cast(self.quantizer.lookup(indices), "float32"))
