"""The kinds of samplers."""

from aezoo.samplers.autoregressive import AutoregressiveSampler
from aezoo.samplers.base import Sampler
from aezoo.samplers.flow import FlowSampler
from aezoo.samplers.gaussian_mixture import GaussianMixtureSampler
from aezoo.samplers.posterior_mixture import PosteriorMixtureSampler

CLASSES: dict[str, type[Sampler]] = {
    cls.kind: cls
    for cls in (
        GaussianMixtureSampler,
        PosteriorMixtureSampler,
        FlowSampler,
        AutoregressiveSampler,
    )
}
KINDS = tuple(CLASSES)
