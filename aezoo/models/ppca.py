"""Probabilistic principal component analysis."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.models.ae import SMALL_IMAGE
from aezoo.models.arguments import choice, units
from aezoo.models.autoencoder import Autoencoder
from aezoo.networks import NetworkError
from aezoo.networks.linear_gaussian import LinearGaussian, LinearMean
from aezoo.nn import losses
from aezoo.nn.distributions import FullGaussian, Gaussian, Posterior
from aezoo.nn.pca import principal_components
from aezoo.registry import register_family

Tensor = Any


@register_family("ppca", network=LinearGaussian(), tiny=SMALL_IMAGE)
class PPCA(Autoencoder):
    """Probabilistic PCA of Tipping & Bishop (1999).

    "Probabilistic principal component analysis"
    (https://doi.org/10.1111/1467-9868.00196): `z ~ N(0, I)`,
    `x | z ~ N(W z + loc, sigma**2 I)`. The linear VAE whose posterior is exact:
    `q(z|x) = N(M^-1 W' (x - loc), sigma**2 M^-1)` with `M = W'W + sigma**2 I`
    (equation 6), so its evidence lower bound *is* the log-likelihood.
    `fit_closed_form` sets the maximum-likelihood solution (equations 7 and 8); `fit`
    climbs to it by gradient. Losses are exact, in nats per example: `reconstruction`
    is the expected negative log-likelihood under the posterior and `loss` is
    `-log p(x)`.

    Args:
        latent_dim: Number of components.
        **kwargs: `sparsity`, `corruption` and the rest as in `Autoencoder`. The
            output is linear.
    """

    latent_dim: int = units(32)
    output_activation: str = choice("linear", ("linear",), is_fixed=True)

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    has_likelihood = True
    likelihood_name = "gaussian"
    has_exact_likelihood: ClassVar[bool] = True

    def check_arguments(self) -> None:
        """Refuse other networks."""
        super().check_arguments()
        if not isinstance(self.network, LinearGaussian):
            raise NetworkError(
                f"{self.family!r} needs the network 'linear_gaussian'. "
                f"Received: network={self.network.kind!r}."
            )

    @property
    def heads(self) -> dict[str, int]:
        """`z_mean`, and `z_scale_tril`, the Cholesky factor of the covariance."""
        return {"z_mean": self.latent_dim, "z_scale_tril": self.latent_dim**2}

    def create_layers(self) -> None:
        """Create encoder and decoder, which have the same weights."""
        self.encoder = self.network.encoder(self.modality, self.heads, self.latent)
        self.decoder = LinearMean(self.encoder)

    def point(self, parameters: Tensor) -> Tensor:
        """The mean."""
        return parameters

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`: 1, so that it is `-log p(x)`."""
        return {**super().loss_weights, "kl": 1.0}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A Gaussian with full covariance."""
        return FullGaussian(parameters["z_mean"], parameters["z_scale_tril"])

    def make_likelihood(self, parameters: Tensor) -> Gaussian:
        """The distribution p(x|z) over elements for decoder outputs."""
        return Gaussian(parameters, 0.5 * self.encoder.log_noise_var)

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Exact terms: the expectation over the posterior is in closed form."""
        terms = super().compute_terms(x, outputs, step)
        terms["kl"] = self.make_posterior(outputs).kl()
        return terms

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """`-E_q[log p(x|z)]`: at the posterior mean, plus the spread's part."""
        at_mean = self.make_likelihood(self.decode_parameters(outputs["z_mean"]))
        weight = ops.cast(self.encoder.weight, "float32")
        spread = ops.matmul(weight, outputs["z_scale_tril"])  # (batch, elements, dim)
        noise_var = ops.exp(self.encoder.log_noise_var)
        return 0.5 * losses.sum_per_example(
            ops.square(spread)
        ) / noise_var - at_mean.log_prob(x)

    def log_likelihood(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Exact log-density of examples, `log N(x; loc, W W' + sigma**2 I)`.

        Args:
            x: Examples `(n, *input_shape)`.
            batch_size: Examples per compiled call; does not change the result.

        Returns:
            Nats per example, float32, shape `(n,)`.
        """
        return self.run("log_likelihood", self.modality.check(x), batch_size)

    def _graph_log_likelihood(self, inputs: Tensor) -> Tensor:
        x = self.to_tensors(inputs)
        terms = self.compute_terms(x, self(x, training=False))
        return -(terms["reconstruction"] + terms["kl"])

    def fit_closed_form(self, x: Any, batch_size: int = 4096) -> "PPCA":
        """Set the maximum-likelihood weights, in one pass over `x`.

        `W = U (L - sigma**2 I)^(1/2)` from the top eigenvectors `U` and eigenvalues
        `L` of the covariance, and `sigma**2` the mean of the other eigenvalues
        (equations 7 and 8, with the rotation R = I).

        Args:
            x: Array `(n, *input_shape)`, or an iterable of such batches; memory does
                not grow with `n`.
            batch_size: Examples per step where `x` is an array.

        Returns:
            The model itself.

        Raises:
            ValueError: If `x` varies in no more than `latent_dim` directions, so
                that the noise variance would be zero.
        """
        self.ensure_built()
        pca = principal_components(self, x, batch_size)
        top, rest = np.split(pca.eigenvalues, [self.latent_dim])
        noise_var = rest.mean() if rest.size else 0.0
        if noise_var <= 1e-12:
            raise ValueError(
                f"`x` varies in no more than latent_dim={self.latent_dim} "
                "directions, so the noise variance of PPCA would be zero. Use more "
                "examples or a smaller `latent_dim`."
            )
        weight = pca.components.T * np.sqrt(np.maximum(top - noise_var, 0.0))
        self.encoder.weight.assign(weight)
        self.encoder.loc.assign(pca.mean)
        self.encoder.log_noise_var.assign(np.log(noise_var))
        return self
