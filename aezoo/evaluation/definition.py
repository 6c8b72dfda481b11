"""What a metric is, and how a name such as `frechet/lenet_mnist_v1` finds one."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.models.autoencoder import Autoencoder
from aezoo.utils.text import did_you_mean

if TYPE_CHECKING:
    from aezoo.evaluation.context import Evaluation

# All metrics by name, in the order of their definition; the modules fill it.
METRICS: dict[str, "MetricDefinition"] = {}
# Words that users may ask with; the report has the metric's own name.
ALIASES = {"fid": "frechet", "kid": "kernel_distance"}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a metric computes beside its value.

    Attributes:
        value: The figure.
        standard_error: Standard error of the figure, if it is a mean.
        values: Its parts, e.g. one per code unit.
        protocol: In place of the definition's, where it depends on the model.
    """

    value: float
    standard_error: float | None = None
    values: tuple[float, ...] | None = None
    protocol: str | None = None


def mean_with_error(values: Sequence[float] | np.ndarray) -> Result:
    """The mean of values `(n,)`, with its standard error where n is above 1."""
    error = None
    if len(values) > 1:
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Result(float(np.mean(values, dtype="float64")), error)


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """How a metric is measured.

    Attributes:
        name: Name; a part after `/` is a variant.
        unit: Unit of the value.
        protocol: How it is measured, in words, with `{seed}` and the like to be
            filled in from `Evaluation.stated`.
        compute: The computation. Per image: a `Chunk` to an array `(n,)`. Else: an
            `Evaluation` (and the variant, for open ones) to a `Result`, or a number.
        is_per_image: Whether the value is a mean over images.
        is_possible: Whether a model has this metric.
        higher_is_better: None where neither direction is better.
        is_density: Whether it is a density for a model, and so in another unit than
            the mass that it is for others.
        needs: What the dataset must have: `"labels"`, `"factors"`.
        package: Optional package that must be installed.
        variant: Default of an open variant, from an evaluation; None if the metric
            has none.
        reference: URL of the paper that defines it.
    """

    name: str
    unit: str
    protocol: str
    compute: Callable[..., Any]
    is_per_image: bool
    is_possible: Callable[[Autoencoder], bool]
    higher_is_better: bool | None = False
    is_density: Callable[[Autoencoder], bool] = lambda model: False  # noqa: ARG005
    needs: tuple[str, ...] = ()
    package: str | None = None
    variant: Callable[["Evaluation"], str] | None = None
    reference: str | None = None

    def unit_of(self, model: Autoencoder) -> str:
        """The unit for a model; figures of different units cannot be compared."""
        return f"{self.unit}, density" if self.is_density(model) else self.unit


# --- Which models have a metric --------------------------------------------------


def any_model(model: Autoencoder) -> bool:  # noqa: ARG001
    """Every model."""
    return True


def has_likelihood(model: Autoencoder) -> bool:
    """Models with a distribution p(x|z) over pixels and a posterior density."""
    return model.has_likelihood


def is_bernoulli(model: Autoencoder) -> bool:
    """Models whose pixels are Bernoulli, so that binarised images have a mass."""
    return model.likelihood_name == "bernoulli"


def is_discretized(model: Autoencoder) -> bool:
    """Models whose pixels have 256 levels, each with its own probability."""
    return model.likelihood_name == "discretized_logistic"


def can_reconstruct(model: Autoencoder) -> bool:
    """Models that encode and decode; some baselines do not."""
    return "reconstruction" in model.TASKS


def has_prior(model: Autoencoder) -> bool:
    """Models that can sample from a prior."""
    return "sampling" in model.TASKS


def has_sampler(model: Autoencoder, kind: str) -> bool:
    """Models that carry a fitted sampler of a kind."""
    return kind in model.samplers


# --- Defining and finding ---------------------------------------------------------


def metric(
    name: str, **fields: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Define a metric of the whole dataset: a function of an `Evaluation`."""
    return _define(name, is_per_image=False, **fields)


def per_image_metric(
    name: str, **fields: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Define a mean over images: a function of a `Chunk`, to an array `(n,)`."""
    return _define(name, is_per_image=True, **fields)


def _define(
    name: str, **fields: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(compute: Callable[..., Any]) -> Callable[..., Any]:
        fields.setdefault("is_possible", any_model)
        METRICS[name] = MetricDefinition(name=name, compute=compute, **fields)
        return compute

    return register


def find_metric(name: str) -> tuple[MetricDefinition, str | None]:
    """The definition that a name asks for, and the variant it names, if any.

    Raises:
        ValueError: If there is none; offers the closest.
    """
    base, slash, rest = name.partition("/")
    full = f"{ALIASES.get(base, base)}{slash}{rest}"
    if full in METRICS:
        return METRICS[full], None
    base, _, variant = full.rpartition("/")
    if variant and base in METRICS and METRICS[base].variant is not None:
        return METRICS[base], variant
    raise ValueError(
        f"Unknown metric {name!r}.{did_you_mean(name, [*METRICS, *ALIASES])} "
        f"Metrics: {', '.join(METRICS)}."
    )
