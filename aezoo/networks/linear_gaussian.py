"""The linear Gaussian network of probabilistic PCA."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.backend import OWN_NAMES

Tensor = Any


@dataclasses.dataclass(frozen=True)
class LinearGaussian(Network):
    """A linear map with Gaussian noise, and its exact posterior back.

    Tipping & Bishop (1999), https://doi.org/10.1111/1467-9868.00196.
    """

    kind: ClassVar[str] = "linear_gaussian"

    def check(self, modality: Modality, latent: Latent) -> None:
        """Flat latents of continuous values alone."""
        if not modality.is_continuous:
            raise self.cannot_carry(modality)
        if latent.is_map or latent.is_hierarchical:
            raise self.cannot_carry(modality, latent)

    def encoder(
        self,
        modality: Modality,
        heads: Mapping[str, int],
        latent: Latent,
    ) -> "_LinearGaussian":
        """A `_LinearGaussian`, with the heads `z_mean` and `z_scale_tril`."""
        self.check(modality, latent)
        if tuple(heads) != ("z_mean", "z_scale_tril"):
            raise self.cannot_carry(modality, latent)
        return _LinearGaussian(modality.tensor_shape, latent.units)

    def decoder(
        self,
        modality: Modality,
        width: int,  # noqa: ARG002
        latent: Latent,
    ) -> Any:
        """Refused: the decoder is made from the encoder, `LinearMean(encoder)`."""
        raise self.cannot_carry(modality, latent)


class _LinearGaussian(Encoder):
    """Parameters of probabilistic PCA, and examples to their posterior.

    Its name is a part of the paths in weights files.
    """

    def __init__(self, input_shape: Sequence[int], latent_dim: int) -> None:
        super().__init__(name="encoder")
        self.pixels = int(np.prod(input_shape))
        self.example_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self.weight_initializer = keras.initializers.RandomNormal(stddev=0.05)

    def build(self, input_shape: Sequence[int | None]) -> None:  # noqa: ARG002
        """Create the weights."""
        # Mixed precision must not lower them: no solver takes less than float32.
        exact = {"dtype": "float32", "autocast": False}
        self.weight = self.add_weight(
            shape=(self.pixels, self.latent_dim),
            initializer=self.weight_initializer,
            name="weight",
            **exact,
        )
        self.loc = self.add_weight(
            shape=(self.pixels,), initializer="zeros", name="loc", **exact
        )
        self.log_noise_var = self.add_weight(
            shape=(), initializer="zeros", name="log_noise_var", **exact
        )

    def stages(self) -> list[Stage]:
        """None: one linear map to the code."""
        return []

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """Itself."""
        return (self,)

    def outputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """Mean and scale of the posterior."""
        x = ops.cast(ops.reshape(inputs, (-1, self.pixels)), "float32")
        weight = ops.convert_to_tensor(self.weight)
        eye = ops.eye(self.latent_dim, dtype="float32")
        noise_var = ops.exp(self.log_noise_var)
        inner = ops.matmul(ops.transpose(weight), weight) + noise_var * eye  # M
        projected = ops.matmul(x - self.loc, weight)  # (batch, latent_dim)
        z_mean = ops.transpose(ops.solve(inner, ops.transpose(projected)))
        # covariance = sigma**2 M^-1, which no example enters
        scale_tril = ops.cholesky(noise_var * ops.inv(inner))
        batch = ops.shape(x)[0]
        shape = (batch, self.latent_dim, self.latent_dim)
        return {
            "z_mean": z_mean,
            "z_scale_tril": ops.broadcast_to(scale_tril[None], shape),
        }


class LinearMean(keras.layers.Layer):
    """Codes to the mean, with the encoder's parameters."""

    def __init__(self, parameters: _LinearGaussian) -> None:
        super().__init__(name="decoder")
        # In a list of one owner: not saved twice. Files call it `parameters`.
        self._name_of_list = OWN_NAMES.get("parameters", "parameters")
        setattr(self, self._name_of_list, [parameters])

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes `(batch, units)` to means, `(batch, *tensor_shape)`."""
        (linear,) = getattr(self, self._name_of_list)
        z = ops.cast(inputs, "float32")
        mean = ops.matmul(z, ops.transpose(linear.weight)) + linear.loc
        return ops.reshape(mean, (-1, *linear.example_shape))
