"""Variational autoencoder with codes on the unit sphere."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.models.conv_vae import ConvVAE
from aezoo.nn.distributions import Posterior, VonMisesFisher, log_sphere_area
from aezoo.registry import register_family

Tensor = Any


@register_family("hyperspherical_vae")
class HypersphericalVAE(ConvVAE):
    """Hyperspherical VAE of Davidson et al. (2018).

    "Hyperspherical variational auto-encoders" (https://arxiv.org/abs/1804.00891): the
    prior is uniform on the unit sphere in `latent_dim` dimensions and the posterior a
    von Mises-Fisher distribution. The encoder has the heads `z_direction`, scaled to
    length 1, and `z_concentration`, one number above 1 (`1 + softplus`). The KL term
    (equation 12) has a closed form. No code can hide at the prior's centre, but the
    KL grows with the one concentration for all directions alike.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`; at least 2 units.
        **kwargs: As in `ConvVAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**ConvVAE.TINY_CONFIG}
    HEADS: ClassVar[tuple[str, ...]] = ("z_direction",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.latent_dim < 2:
            raise ValueError(
                "`latent_dim` must be at least 2: codes are on a sphere. "
                f"Received: latent_dim={self.latent_dim}."
            )
        name = "z_concentration"
        self.encoder.heads[name] = keras.layers.Dense(1, name=name)

    def to_parameters(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Directions of length 1 and concentrations above 1; float32."""
        parameters = super().to_parameters(outputs)
        direction = parameters["z_direction"]
        square = ops.sum(ops.square(direction), axis=-1, keepdims=True)
        return {
            "z_direction": direction * ops.rsqrt(ops.maximum(square, 1e-12)),
            "z_concentration": 1.0 + ops.softplus(parameters["z_concentration"]),
        }

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A von Mises-Fisher distribution; its KL is that to the uniform prior."""
        return VonMisesFisher(parameters["z_direction"], parameters["z_concentration"])

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(z) on the sphere: the same everywhere, `(batch,)`."""
        return ops.zeros_like(z[:, 0]) - log_sphere_area(self.latent_dim)

    def sample_prior(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Codes from everywhere on the sphere, float32, `(n, latent_dim)`."""
        codes = super().sample_prior(n, generator)
        lengths: np.ndarray = np.linalg.norm(codes, axis=1, keepdims=True)
        return codes / np.maximum(lengths, 1e-12)
