"""Gaussian posteriors: diagonal, with full covariance, under a learned prior."""

from collections.abc import Callable
from typing import Any

from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.noise import standard_normal
from aezoo.nn.distributions.posterior import EstimatedKL, SampledThenMeasured

Tensor = Any


class DiagonalGaussian(SampledThenMeasured):
    """Gaussian with independent units: the posterior of a VAE.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
    """

    def __init__(self, z_mean: Tensor, z_log_var: Tensor) -> None:
        self.mean = ops.convert_to_tensor(z_mean)
        self.log_var = ops.convert_to_tensor(z_log_var)

    @property
    def std(self) -> Tensor:
        """Standard deviation, shape `(batch, latent_dim)`."""
        return ops.exp(0.5 * self.log_var)

    def mode(self) -> Tensor:
        """The mean, shape `(batch, latent_dim)`."""
        return self.mean

    def sample(self, seed: Any = None) -> Tensor:
        """`mean + std * noise`, differentiable in both (reparameterised)."""
        return self.mean + self.std * standard_normal(ops.shape(self.mean), seed)

    def kl(self) -> Tensor:
        """KL to the standard normal, in nats, shape `(batch,)`; non-negative."""
        return losses.gaussian_kl(self.mean, self.log_var)

    def log_density(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        return -losses.gaussian_nll(z, self.mean, 0.5 * self.log_var)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_log_var"}`."""
        return {"z_mean": self.mean, "z_log_var": self.log_var}


class GaussianUnderPrior(EstimatedKL, DiagonalGaussian):
    """Gaussian with independent units, where the prior is no standard normal.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
        prior: Called without arguments, gives log p(z) as a function of codes.
        draws: Codes from which `kl` is estimated.
    """

    def __init__(
        self,
        z_mean: Tensor,
        z_log_var: Tensor,
        prior: Callable[[], Callable[[Tensor], Tensor]],
        draws: int,
    ) -> None:
        super().__init__(z_mean, z_log_var)
        self.prior = prior
        self.draws = draws


class FullGaussian(SampledThenMeasured):
    """Gaussian with correlated units: the exact posterior of a linear model.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_scale_tril: Lower Cholesky factor of the covariance, shape
            `(batch, latent_dim, latent_dim)`, positive on the diagonal.
    """

    def __init__(self, z_mean: Tensor, z_scale_tril: Tensor) -> None:
        self.mean = ops.convert_to_tensor(z_mean)
        self.scale_tril = ops.convert_to_tensor(z_scale_tril)

    def mode(self) -> Tensor:
        """The mean, shape `(batch, latent_dim)`."""
        return self.mean

    def sample(self, seed: Any = None) -> Tensor:
        """`mean + scale_tril @ noise`, differentiable in both."""
        noise = standard_normal(ops.shape(self.mean), seed)
        return self.mean + ops.einsum("bij,bj->bi", self.scale_tril, noise)

    def kl(self) -> Tensor:
        """KL to the standard normal, in nats, shape `(batch,)`; non-negative."""
        # The diagonal's part as in `losses.gaussian_kl`, which cannot turn negative.
        diagonal = ops.diagonal(self.scale_tril, axis1=-2, axis2=-1)
        below = losses.sum_per_example(ops.square(ops.tril(self.scale_tril, k=-1)))
        return losses.gaussian_kl(self.mean, 2.0 * ops.log(diagonal)) + 0.5 * below

    def log_density(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        centred = (z - self.mean)[..., None]  # (batch, latent_dim, 1)
        noise = ops.solve_triangular(self.scale_tril, centred, lower=True)
        dim = self.mean.shape[-1]
        square = losses.sum_per_example(ops.square(noise))
        return -0.5 * (square + dim * losses.LOG_2PI) - self._half_log_det()

    def _half_log_det(self) -> Tensor:
        diagonal = ops.diagonal(self.scale_tril, axis1=-2, axis2=-1)
        return ops.sum(ops.log(diagonal), axis=-1)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_scale_tril"}`."""
        return {"z_mean": self.mean, "z_scale_tril": self.scale_tril}


def gaussian_mixture_log_prob(
    z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor
) -> Tensor:
    """Log density of a mixture of Gaussians with independent units.

    Args:
        z: Codes `(batch, latent_dim)`.
        log_weights: Logs of the components' weights, which sum to 1, `(components,)`.
        means: Means `(components, latent_dim)`.
        log_vars: Natural logs of the variances, same shape.

    Returns:
        Nats, `(batch,)`.
    """
    # (batch, components, latent_dim); squared after the difference, which keeps digits
    scaled = (z[:, None] - means) * ops.exp(-0.5 * log_vars)
    log_norms = -0.5 * ops.sum(log_vars + losses.LOG_2PI, axis=-1)
    log_probs = log_norms - 0.5 * ops.sum(ops.square(scaled), axis=-1)
    return ops.logsumexp(log_weights + log_probs, axis=-1)
