"""Variational autoencoder with codes on the unit sphere."""

from typing import Any, ClassVar

from keras import ops

from aezoo.inference.priors import Prior, UniformSphere
from aezoo.models.ae import TINY_CONV
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn.distributions import Posterior, VonMisesFisher, log_sphere_area
from aezoo.registry import register_family

Tensor = Any


@register_family("hyperspherical_vae", network=Conv(), tiny=TINY_CONV)
class HypersphericalVAE(VAE):
    """Hyperspherical VAE of Davidson et al. (2018).

    "Hyperspherical variational auto-encoders" (https://arxiv.org/abs/1804.00891): the
    prior is uniform on the unit sphere in `latent_dim` dimensions and the posterior a
    von Mises-Fisher distribution. The encoder has the heads `z_direction`, scaled to
    length 1, and `z_concentration`, one number above 1 (`1 + softplus`). The KL term
    (equation 12) has a closed form. No code can hide at the prior's centre, but the
    KL grows with the one concentration for all directions alike.

    Args:
        **kwargs: As in `VAE`.
    """

    has_diagonal_posterior: ClassVar[bool] = False
    has_standard_prior: ClassVar[bool] = False

    def check_arguments(self) -> None:
        """Refuse a sphere without directions."""
        super().check_arguments()
        if self.latent_dim < 2:
            raise ValueError(
                "`latent_dim` must be at least 2: codes are on a sphere. "
                f"Received: latent_dim={self.latent_dim}."
            )

    @property
    def heads(self) -> dict[str, int]:
        """`z_direction`, and `z_concentration`, one number."""
        return {"z_direction": self.latent_dim, "z_concentration": 1}

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

    def make_prior(self) -> Prior:
        """Codes from everywhere on the sphere."""
        return UniformSphere(self.latent_shape)
