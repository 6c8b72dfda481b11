"""A Gaussian mixture over codes, fitted by scikit-learn."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aezoo.samplers.base import (
    COUNT,
    Sampler,
    drawn_codes,
    log_normal,
    log_sum_exp,
    moments,
)
from aezoo.utils.extras import require
from aezoo.utils.validation import check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.nn.distributions import Posterior


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianMixtureSampler(Sampler):
    """A Gaussian mixture with full covariances.

    Fitted to codes of training examples it gives deterministic autoencoders samples, as
    in Ghosh et al. (2020, https://arxiv.org/abs/1903.12436), section 4.

    Attributes:
        weights: Weights of the components, `(k,)`, of sum 1.
        means: `(k, units)`.
        scale_tril: Cholesky factors of the covariances, `(k, units, units)`.
    """

    kind: ClassVar[str] = "gmm"

    weights: np.ndarray
    means: np.ndarray
    scale_tril: np.ndarray

    def check_shapes(self) -> None:
        """Also that the weights have sum 1, and the factors are such."""
        k = self.weights.size
        self._expect(
            weights=(k,), means=(k, self.units), scale_tril=(k, self.units, self.units)
        )
        if not (np.all(self.weights >= 0) and abs(self.weights.sum() - 1.0) < 1e-3):
            raise ValueError("`weights` must not be negative, and have sum 1.")
        diagonals = np.diagonal(self.scale_tril, axis1=1, axis2=2)
        if np.any(np.triu(self.scale_tril, 1)) or not np.all(diagonals > 0):
            raise ValueError(
                "`scale_tril` must be lower triangular, with positive diagonals."
            )

    def describe(self, nouns: str = "examples") -> str:
        """What it is and what it was fitted to."""
        return (
            f"Gaussian mixture of {len(self.weights)} components with full covariances "
            f"on codes of {self.num_fitted:,} {nouns}"
        )

    def sample_codes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """As in `Sampler`: a component by its weight, then a code from it."""
        choice, source = generator.spawn(2)
        which = _choose(self.weights, check_positive_int("n", n), choice)
        noise = source.standard_normal((n, self.units))
        z = self.means[which].astype("float64")
        for k in np.unique(which):
            z[which == k] += noise[which == k] @ self.scale_tril[k].T.astype("float64")
        return self._as_codes(z)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Log of the weighted sum of the components' densities."""
        log_densities = []
        for mean, factor in zip(self.means, self.scale_tril, strict=True):
            factor = factor.astype("float64")
            noise = np.linalg.solve(factor, (z - mean).T)  # (units, n)
            log_det = np.log(np.diagonal(factor)).sum()
            log_densities.append(log_normal(noise.T) - log_det)
        with np.errstate(divide="ignore"):  # weight 0
            log_weights = np.log(self.weights.astype("float64"))
        return log_sum_exp(np.stack(log_densities, axis=1) + log_weights)


def _choose(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    bounds = np.cumsum(weights, dtype="float64")
    which = np.searchsorted(bounds, generator.random(n) * bounds[-1], side="right")
    return np.minimum(which, np.flatnonzero(weights)[-1])


def fit_gaussian_mixture(
    model: "Autoencoder", posterior: "Posterior", seed: int, num_components: int = 10
) -> GaussianMixtureSampler:
    """Expectation maximisation by scikit-learn, on codes scaled to unit variance."""
    purpose = "Fitting a Gaussian mixture"
    mixture = require("sklearn.mixture", "evaluation", purpose)
    exceptions = require("sklearn.exceptions", "evaluation", purpose)
    threads = require("threadpoolctl", "evaluation", purpose)
    check_positive_int("num_components", num_components)
    codes = drawn_codes(posterior, seed)
    if len(codes) < max(2, num_components):
        raise ValueError(
            "`x` must hold at least 2 examples, and as many as `num_components`. "
            f"Received: {len(codes)} examples, num_components={num_components}."
        )
    centre, scale = moments(codes)
    estimate = mixture.GaussianMixture(num_components, max_iter=500, random_state=seed)
    # Threads of OpenMP add in any order; those of the matrix products do not.
    with (
        threads.threadpool_limits(1, user_api="openmp"),
        _ignored(exceptions.ConvergenceWarning),
    ):
        estimate.fit((codes - centre) / scale)
    factors = np.linalg.cholesky(estimate.covariances_) * scale[:, None]
    return GaussianMixtureSampler(
        model.latent_shape,
        {COUNT: len(codes), "seed": seed, "num_components": num_components},
        estimate.weights_.astype("float32"),
        (centre + scale * estimate.means_).astype("float32"),
        factors.astype("float32"),
    )


def _ignored(category: type[Warning]) -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore", category=category)
