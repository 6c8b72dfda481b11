"""Distributions over codes that are fitted once and kept beside a model's weights.

With one, also a model without a prior can sample; and a model whose codes are not
spread as its prior samples better. What is fitted is plain arrays, and everything
after the fit is NumPy: the same seed gives the same codes on every backend. Only
`fit_sampler` imports Keras.
"""

from typing import TYPE_CHECKING, Any

from aezoo.samplers.autoregressive import AutoregressiveSampler
from aezoo.samplers.base import Sampler
from aezoo.samplers.collection import Samplers, how_to_fit
from aezoo.samplers.files import read_sampler, sampler_bytes, write_sampler
from aezoo.samplers.flow import FlowSampler
from aezoo.samplers.gaussian_mixture import GaussianMixtureSampler
from aezoo.samplers.kinds import KINDS
from aezoo.samplers.posterior_mixture import PosteriorMixtureSampler

if TYPE_CHECKING:
    from aezoo.samplers.fitting import fit_sampler

__all__ = [
    "KINDS",
    "AutoregressiveSampler",
    "FlowSampler",
    "GaussianMixtureSampler",
    "PosteriorMixtureSampler",
    "Sampler",
    "Samplers",
    "fit_sampler",
    "how_to_fit",
    "read_sampler",
    "sampler_bytes",
    "write_sampler",
]


def __getattr__(name: str) -> Any:
    if name != "fit_sampler":
        raise AttributeError(f"module 'aezoo.samplers' has no attribute {name!r}")
    from aezoo.samplers.fitting import fit_sampler

    return fit_sampler
