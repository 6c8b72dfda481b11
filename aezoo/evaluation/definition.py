"""The declared metrics bound to models: which has which, and what computes it."""

import dataclasses
from collections.abc import Callable, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np

from aezoo import metrics
from aezoo.data.datasets import DatasetError
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation.abilities import can
from aezoo.metrics import MetricDefinition
from aezoo.models.autoencoder import Autoencoder
from aezoo.samplers import KINDS
from aezoo.utils.text import plural

# All metrics by name, those of fitted samplers behind that of the prior.
METRICS = MappingProxyType(
    {
        each.name: each
        for declared in metrics.METRICS.values()
        for each in (
            declared,
            *map(declared.of_sampler, KINDS if declared.has_samplers else ()),
        )
    }
)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a metric computes beside its value.

    Attributes:
        value: The figure.
        standard_error: Standard error of the figure, if it is a mean.
        values: Its parts, e.g. one per code unit.
        protocol: In place of the definition's, where it depends on the model.
        note: What the protocol must add of this measurement.
    """

    value: float
    standard_error: float | None = None
    values: tuple[float, ...] | None = None
    protocol: str | None = None
    note: str = ""


class MeaninglessFigureError(UnsupportedOperationError):
    """The data leave a metric without a meaning; reports say so in `left_out`."""


def mean_with_error(values: Sequence[float] | np.ndarray) -> Result:
    """The mean of values `(n,)`, with its standard error where n is above 1."""
    error = None
    if len(values) > 1:
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Result(float(np.mean(values, dtype="float64")), error)


def find_metric(name: str) -> tuple[MetricDefinition, str | None]:
    """The definition that a name asks for, and the variant it names, if any.

    Args:
        name: A name of `METRICS`, or one of its aliases; of an open variant followed
            by it: `"frechet/inception_v3"`.

    Raises:
        ValueError: If there is none; offers the closest.
    """
    full = metrics.canonical_name(name)
    if full in METRICS:
        return METRICS[full], None
    base, _, variant = full.rpartition("/")
    if variant and base in METRICS and METRICS[base].variant is not None:
        return METRICS[base], variant
    raise metrics.unknown_metric(name, list(METRICS))


def is_possible(definition: MetricDefinition, model: Autoencoder) -> bool:
    """Whether a model has a metric; those of samples alone take no encoder."""
    return (
        (model.has_encoder or definition.kind == "samples")
        and (
            definition.modalities is None
            or model.modality.kind in definition.modalities
        )
        and all(can(model, ability) for ability in definition.requires)
        and (definition.view is None or can(model, f"view {definition.view}"))
    )


def check_size(definition: MetricDefinition, examples: int, noun: str) -> None:
    """Refuse to measure on fewer examples than a metric takes.

    Raises:
        DatasetError: If there are too few.
    """
    if examples < definition.fewest:
        raise DatasetError(
            f"The metric {definition.name!r} needs at least {definition.fewest} "
            f"{plural(noun)}. Received: {examples}."
        )


def is_density(definition: MetricDefinition, model: Autoencoder) -> bool:
    """Whether a figure is a density for a model, in another unit than a mass."""
    return definition.may_be_density and can(model, "density")


def computation_of(definition: MetricDefinition) -> Callable[..., Any]:
    """The function that computes a metric."""
    module, _, function = definition.computation.partition(":")
    computation: Callable[..., Any] = getattr(
        import_module(f"aezoo.evaluation.{module}"), function
    )
    return computation
