"""Probabilistic principal component analysis."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.models.autoencoder import Autoencoder
from aezoo.nn import losses
from aezoo.nn.distributions import FullGaussian, Gaussian, Posterior
from aezoo.nn.layers import Encoder, Stage
from aezoo.nn.pca import principal_components
from aezoo.registry import register_family

Tensor = Any


@register_family("ppca")
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
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of components.
        **kwargs: `sparsity`, `corruption` and the rest as in `Autoencoder`. The
            output is linear.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {"input_shape": (8, 8, 1), "latent_dim": 3}
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        **kwargs: Any,
    ) -> None:
        if kwargs.setdefault("output_activation", "linear") != "linear":
            raise ValueError(
                "`output_activation` must be 'linear' for 'ppca'. "
                f"Received: output_activation={kwargs['output_activation']!r}."
            )
        super().__init__(input_shape, latent_dim, **kwargs)
        self.encoder = _LinearGaussian(self.input_shape, latent_dim)
        self.decoder = _Mean(self.encoder)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`: 1, so that it is `-log p(x)`."""
        return {**super().loss_weights, "kl": 1.0}

    def make_posterior(self, parameters: dict[str, Tensor]) -> Posterior:
        """A Gaussian with full covariance."""
        return FullGaussian(parameters["z_mean"], parameters["z_scale_tril"])

    def observation(self, decoder_output: Tensor) -> Gaussian:
        """The distribution p(x|z) over pixels for a decoder output."""
        return Gaussian(decoder_output, 0.5 * self.encoder.log_noise_var)

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Exact terms: the expectation over the posterior is in closed form."""
        terms = super().compute_terms(x, outputs, step)
        terms["kl"] = self.make_posterior(outputs).kl()
        return terms

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """`-E_q[log p(x|z)]`: at the posterior mean, plus the spread's part."""
        at_mean = self.observation(self.decode_parameters(outputs["z_mean"]))
        weight = ops.cast(self.encoder.weight, "float32")
        spread = ops.matmul(weight, outputs["z_scale_tril"])  # (batch, pixels, dim)
        noise_var = ops.exp(self.encoder.log_noise_var)
        return 0.5 * losses.sum_per_example(
            ops.square(spread)
        ) / noise_var - at_mean.log_prob(x)

    def log_likelihood(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """Exact log-density of images, `log N(x; loc, W W' + sigma**2 I)`.

        Args:
            x: Images `(n, *input_shape)`: uint8, or floats in [0, 1].
            batch_size: Images per compiled call; does not change the result.

        Returns:
            Nats per image, float32, shape `(n,)`.
        """
        return self._run("log_likelihood", self._check_images(x), batch_size)

    def _graph_log_likelihood(self, inputs: Tensor) -> Tensor:
        x = self.to_unit_range(inputs)
        terms = self.compute_terms(x, self(x, training=False))
        return -(terms["reconstruction"] + terms["kl"])

    def fit_closed_form(self, images: Any, batch_size: int = 4096) -> "PPCA":
        """Set the maximum-likelihood weights, in one pass over `images`.

        `W = U (L - sigma**2 I)^(1/2)` from the top eigenvectors `U` and eigenvalues
        `L` of the covariance, and `sigma**2` the mean of the other eigenvalues
        (equations 7 and 8, with the rotation R = I).

        Args:
            images: Array `(n, *input_shape)`, uint8 or floats in [0, 1], or an
                iterable of such batches; memory does not grow with `n`.
            batch_size: Images per step where `images` is an array.

        Returns:
            The model itself.

        Raises:
            ValueError: If `images` vary in no more than `latent_dim` directions, so
                that the noise variance would be zero.
        """
        self._ensure_built()
        pca = principal_components(self, images, batch_size)
        top, rest = np.split(pca.eigenvalues, [self.latent_dim])
        noise_var = rest.mean() if rest.size else 0.0
        if noise_var <= 1e-12:
            raise ValueError(
                f"`images` vary in no more than latent_dim={self.latent_dim} "
                "directions, so the noise variance of PPCA would be zero. Use more "
                "images or a smaller `latent_dim`."
            )
        weight = pca.components.T * np.sqrt(np.maximum(top - noise_var, 0.0))
        self.encoder.weight.assign(weight)
        self.encoder.loc.assign(pca.mean)
        self.encoder.log_noise_var.assign(np.log(noise_var))
        return self


class _LinearGaussian(Encoder):
    """Parameters of PPCA, and images to their posterior."""

    def __init__(self, input_shape: Sequence[int], latent_dim: int) -> None:
        super().__init__(name="encoder")
        self.pixels = int(np.prod(input_shape))
        self.image_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self.weight_initializer = keras.initializers.RandomNormal(stddev=0.05)

    def build(self, input_shape: Sequence[int | None]) -> None:  # noqa: ARG002
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
        eye = ops.eye(self.latent_dim)
        noise_var = ops.exp(self.log_noise_var)
        inner = ops.matmul(ops.transpose(weight), weight) + noise_var * eye  # M
        projected = ops.matmul(x - self.loc, weight)  # (batch, latent_dim)
        z_mean = ops.transpose(ops.solve(inner, ops.transpose(projected)))
        # covariance = sigma**2 M^-1, which no image enters
        scale_tril = ops.cholesky(noise_var * ops.inv(inner))
        batch = ops.shape(x)[0]
        shape = (batch, self.latent_dim, self.latent_dim)
        return {
            "z_mean": z_mean,
            "z_scale_tril": ops.broadcast_to(scale_tril[None], shape),
        }


class _Mean(keras.layers.Layer):
    """Codes to the mean image, with the encoder's parameters."""

    def __init__(self, parameters: _LinearGaussian) -> None:
        super().__init__(name="decoder")
        self.parameters = [parameters]  # in a list of one owner: not saved twice

    def call(self, inputs: Tensor) -> Tensor:
        linear = self.parameters[0]
        z = ops.cast(inputs, "float32")
        mean = ops.matmul(z, ops.transpose(linear.weight)) + linear.loc
        return ops.reshape(mean, (-1, *linear.image_shape))
