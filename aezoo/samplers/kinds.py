"""The kinds of samplers: a class and a function that fits it, each."""

from collections.abc import Callable

from aezoo.samplers.autoregressive import AutoregressiveSampler, fit_autoregressive
from aezoo.samplers.base import Sampler
from aezoo.samplers.flow import FlowSampler, fit_flow
from aezoo.samplers.gaussian_mixture import GaussianMixtureSampler, fit_gaussian_mixture
from aezoo.samplers.posterior_mixture import (
    PosteriorMixtureSampler,
    fit_posterior_mixture,
)

FITTERS: dict[type[Sampler], Callable[..., Sampler]] = {
    GaussianMixtureSampler: fit_gaussian_mixture,
    PosteriorMixtureSampler: fit_posterior_mixture,
    FlowSampler: fit_flow,
    AutoregressiveSampler: fit_autoregressive,
}
CLASSES = {cls.kind: cls for cls in FITTERS}
KINDS = tuple(CLASSES)
