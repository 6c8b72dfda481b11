"""A mixture of the posteriors of a few examples."""

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.samplers.base import COUNT, Sampler, log_normal, log_sum_exp
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.nn.distributions import Posterior


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PosteriorMixtureSampler(Sampler):
    """The posteriors of a few training examples, as a mixture of equal weights.

    The estimate of the aggregate posterior that Tomczak & Welling (2018,
    https://arxiv.org/abs/1705.07120), section 2, call a mixture of posteriors on a
    subset of the data; their VampPrior learns the inputs instead. Holds parameters of
    posteriors and no examples, though codes tell much of the examples they are of.

    Attributes:
        z_mean: Means, `(k, units)`.
        z_log_var: Natural logs of the variances, `(k, units)`.
    """

    kind: ClassVar[str] = "vamp"

    z_mean: np.ndarray
    z_log_var: np.ndarray

    def check_shapes(self) -> None:
        """Also that the variances are representable."""
        shape = (len(np.atleast_1d(self.z_mean)), self.units)
        self._expect(z_mean=shape, z_log_var=shape)
        if np.any(np.abs(self.z_log_var) > 80.0):
            raise ValueError("`z_log_var` must be within -80 and 80.")

    def describe(self, nouns: str = "examples") -> str:
        """What it is and what it was fitted to."""
        return f"mixture of the posteriors of {len(self.z_mean):,} {nouns}"

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: a posterior by chance, then a code from it."""
        choice, source = generator.spawn(2)
        which = choice.integers(len(self.z_mean), size=check_positive_int("n", n))
        noise = source.standard_normal((n, self.units))
        return self._as_codes(
            self.z_mean[which] + np.exp(0.5 * self.z_log_var[which]) * noise
        )

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Log of the mean of the posteriors' densities."""
        log_densities = np.empty((len(z), len(self.z_mean)))
        for k, (mean, log_var) in enumerate(
            zip(self.z_mean, self.z_log_var.astype("float64"), strict=True)
        ):
            noise = (z - mean) * np.exp(-0.5 * log_var)
            log_densities[:, k] = log_normal(noise) - 0.5 * log_var.sum()
        return log_sum_exp(log_densities) - math.log(len(self.z_mean))


def fit_posterior_mixture(
    model: "Autoencoder",
    posterior: "Posterior",
    seed: int,
    num_pseudo_inputs: int = 500,
) -> PosteriorMixtureSampler:
    """Posteriors of random examples."""
    check_positive_int("num_pseudo_inputs", num_pseudo_inputs)
    from aezoo.nn.distributions import DiagonalGaussian  # Keras

    if not isinstance(posterior, DiagonalGaussian):
        raise UnsupportedOperationError(
            "The sampler 'vamp' is a mixture of diagonal Gaussian posteriors, and "
            f"{model.family!r} has none. Fit 'gmm' instead."
        )
    parameters = {
        name: to_numpy(value, "float32").reshape(len(value), -1)
        for name, value in posterior.parameters().items()
    }
    count = len(parameters["z_mean"])
    if count < num_pseudo_inputs:
        raise ValueError(
            "`x` must hold at least as many examples as `num_pseudo_inputs`. Received: "
            f"{count} examples, num_pseudo_inputs={num_pseudo_inputs}."
        )
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(count, num_pseudo_inputs, replace=False))
    return PosteriorMixtureSampler(
        model.latent_shape,
        {
            COUNT: count,
            "seed": seed,
            "num_pseudo_inputs": num_pseudo_inputs,
        },
        parameters["z_mean"][chosen],
        np.clip(parameters["z_log_var"][chosen], -80.0, 80.0),
    )
