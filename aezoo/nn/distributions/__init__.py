"""Distributions: posteriors over codes, likelihoods over examples, and their noise."""

from aezoo.nn.codes import check_codes, interpolate_codes
from aezoo.nn.distributions.categorical import Categorical
from aezoo.nn.distributions.flow import FlowPosterior
from aezoo.nn.distributions.gaussian import (
    DiagonalGaussian,
    FullGaussian,
    GaussianUnderPrior,
    gaussian_mixture_log_prob,
)
from aezoo.nn.distributions.hierarchical import HierarchicalGaussian
from aezoo.nn.distributions.likelihood import (
    Bernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    Laplace,
    Likelihood,
)
from aezoo.nn.distributions.noise import (
    IndexedNoise,
    gumbel,
    standard_normal,
    uniform,
)
from aezoo.nn.distributions.posterior import (
    EstimatedKL,
    PointMass,
    Posterior,
    QuantizedCode,
    SampledThenMeasured,
)
from aezoo.nn.distributions.von_mises_fisher import (
    VonMisesFisher,
    bessel_ratio,
    log_bessel_scaled,
    log_sphere_area,
)
from aezoo.utils.validation import check_seed

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiagonalGaussian",
    "DiscretizedLogisticMixture",
    "EstimatedKL",
    "FlowPosterior",
    "FullGaussian",
    "Gaussian",
    "GaussianUnderPrior",
    "HierarchicalGaussian",
    "IndexedNoise",
    "Laplace",
    "Likelihood",
    "PointMass",
    "Posterior",
    "QuantizedCode",
    "SampledThenMeasured",
    "VonMisesFisher",
    "bessel_ratio",
    "check_codes",
    "check_seed",
    "gaussian_mixture_log_prob",
    "gumbel",
    "interpolate_codes",
    "log_bessel_scaled",
    "log_sphere_area",
    "standard_normal",
    "uniform",
]
