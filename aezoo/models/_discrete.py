"""What families with a map of finitely many codes share: indices in and out."""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models.ae import AE
from aezoo.networks import Latent
from aezoo.nn.distributions import QuantizedCode
from aezoo.utils.arrays import to_numpy

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Codebook:
    """A set of codes, and where in a sequence or map of indices it is used.

    Attributes:
        name: What to call it, where there are several.
        num_codes: Number of codes.
        first_index: Index of its first code.
        positions: Which of the positions, in raster order, have its codes.
    """

    name: str
    num_codes: int
    first_index: int
    positions: slice


class QuantizedAE(AE):
    """An autoencoder whose code is one of finitely many vectors at each position.

    An objective says of which with `new_quantizer`, a layer that has `bound`,
    `nearest` and `lookup`. No family itself.

    Args:
        **kwargs: As in `AE`, without `latent_dim` and `code_activation`.
    """

    code_activation = "linear"
    CODES: ClassVar[str] = "discrete"

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Number of units of a code, at all positions."""
        return math.prod(self.latent_shape)

    @property
    def code_dim(self) -> int:
        """Width of the vector at a position."""
        raise NotImplementedError

    def new_quantizer(self) -> Any:
        """A layer with the codes."""
        raise NotImplementedError

    @property
    def latent(self) -> Latent:
        """A map of vectors."""
        return Latent(self.code_dim, is_map=True)

    @property
    def heads(self) -> dict[str, int]:
        """`z_encoded`, the vectors before they are quantised."""
        return {"z_encoded": self.code_dim}

    def create_layers(self) -> None:
        """Create encoder, with the codes, and decoder."""
        quantizer = self.new_quantizer()
        latent = dataclasses.replace(self.latent, quantizer=quantizer)
        self.encoder = self.network.encoder(self.modality, self.heads, latent)
        self.decoder = self.network.decoder(self.modality, self.output_width, latent)

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """Its codebooks: here one."""
        count = math.prod(self.latent_shape[:-1])
        return (Codebook("codes", self.quantizer.num_codes, 0, slice(0, count)),)

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
        """Indices of the codes of examples.

        Args:
            x: Examples `(n, *input_shape)`.
            batch_size: Examples per compiled call; does not change the result.

        Returns:
            Integers from 0 to `num_codes - 1`, int32, shape `(n, h, w)`: that of the
            codes, less their last axis.
        """
        return self.run("encode_indices", self.modality.check(x), batch_size)

    def decode_indices(self, indices: Any, batch_size: int = 256) -> np.ndarray:
        """Examples of codes by index: `decode` of what the indices stand for.

        Args:
            indices: What `encode_indices` returns, or other such integers.
            batch_size: Codes per compiled call; does not change the result.

        Returns:
            As `decode`, shape `(n, *input_shape)`.

        Raises:
            ValueError: If the shape, dtype or range is wrong.
        """
        values = to_numpy(indices)
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
        return self.run("decode_indices", values, batch_size)

    def _graph_encode_indices(self, x: Tensor) -> Tensor:
        return self._graph_encode_parameters(x)["indices"]

    def _graph_decode_indices(self, indices: Tensor) -> Tensor:
        return self._graph_decode(ops.cast(self.quantizer.lookup(indices), "float32"))
