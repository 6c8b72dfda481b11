"""Priors and posteriors beyond one Gaussian: what such families share."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from keras import ops

from aezoo.inference.priors import GaussianMixture, Prior
from aezoo.models.vae import VAE
from aezoo.nn.distributions import (
    GaussianUnderPrior,
    Posterior,
    gaussian_mixture_log_prob,
)

Tensor = Any


class SampledKL(VAE):
    """A KL term without closed form, estimated from the code that is decoded.

    `kl` is `log q(z|x) - log p(z)` of that code. `posterior(x).kl()` and evaluation
    average it over `KL_DRAWS` codes.
    """

    KL_DRAWS: ClassVar[int] = 100

    def draw_code(self, posterior: Posterior, sample_seed: Any) -> dict[str, Tensor]:
        """The code `z` that `call` decodes, and its `log_q`, `(batch,)`."""
        if sample_seed is None:
            z = posterior.mode()
            return {"z": z, "log_q": posterior.log_prob(z)}
        z, log_q = posterior.sample_with_log_prob(sample_seed)
        return {"z": z, "log_q": log_q}

    def kl_term(self, outputs: dict[str, Tensor]) -> Tensor:
        """`log q(z|x) - log p(z)` of the code that `call` decoded, `(batch,)`."""
        return outputs["log_q"] - self.log_prior(outputs["z"])


class MixturePrior(SampledKL):
    """A VAE whose prior is a mixture of Gaussians; an objective says which."""

    has_standard_prior: ClassVar[bool] = False

    def prior_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights `(components,)`, means and log variances of the components.

        The latter are `(components, latent_dim)`; all are float32.
        """
        raise NotImplementedError

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A diagonal Gaussian, with its KL to the learned prior."""
        return GaussianUnderPrior(
            parameters["z_mean"],
            parameters["z_log_var"],
            self.prior_density,
            self.KL_DRAWS,
        )

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(z) of codes `(batch, latent_dim)` under the mixture, `(batch,)`."""
        return self.prior_density()(z)

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """`log_prior`, with the components computed."""
        log_weights, means, log_vars = self.prior_components()
        return partial(
            gaussian_mixture_log_prob,
            log_weights=log_weights,
            means=means,
            log_vars=log_vars,
        )

    def make_prior(self) -> Prior:
        """The mixture."""
        self.ensure_built()
        return GaussianMixture(*map(ops.convert_to_numpy, self.prior_components()))
