"""The one measurement of every figure that the project shows."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

import aezoo
from aezoo.data.datasets import Dataset, DatasetError, open_dataset
from aezoo.errors import AezooError, UnsupportedOperationError
from aezoo.evaluation.context import Evaluation, Settings, checked
from aezoo.evaluation.definition import (
    METRICS,
    MeaninglessFigureError,
    Result,
    check_size,
    computation_of,
    find_metric,
    is_density,
    is_possible,
    mean_with_error,
)
from aezoo.evaluation.image import baselines as baseline_models
from aezoo.evaluation.report import Report
from aezoo.evaluation.variants import default_variant
from aezoo.manifest import Metric
from aezoo.metrics import MetricDefinition
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import check_seed
from aezoo.utils.extras import check_installed
from aezoo.utils.validation import check_positive_int


def evaluate(
    model: str | os.PathLike[str] | Autoencoder,
    dataset: Any,
    split: str = "test",
    metrics: Sequence[str] | Literal["all"] | None = None,
    seed: int = 0,
    *,
    limit: int | None = None,
    data_dir: Any = None,
    train: Any = None,
    importance_samples: int = 500,
    num_samples: int | None = None,
    baselines: bool = False,
) -> Report:
    """Measure a model; every figure says how it was made.

    No result depends on any batch size, and the same seed gives the same figures.

    Args:
        model: A name, folder or address, as in `aezoo.load`; or a model.
        dataset: A TFDS name, e.g. `"mnist"`; the path of a folder of images or of an
            `.npz` file with `images` and, if any, `labels`; an array of images; a
            pair `(images, labels)`.
        split: Split of a named dataset, used whole.
        metrics: Names from `list_metrics(model)`; None measures the quick ones. A
            name such as `"frechet"` takes its variant from the dataset; `"fid"` is
            another word for it. `"all"` measures every one that the model can have;
            `left_out` then also says why others cannot be measured here.
        seed: Seed of sampled codes, noise and subsets of labels.
        limit: Measure only the first so many examples (and fit on as many of the
            training data); the protocol says so.
        data_dir: Where named datasets are: a TFDS data directory, or a folder of
            `<name>/<split>.npz`. None takes TFDS's own.
        train: Training data for metrics that are fitted, in any form of `dataset`;
            None takes the split `train` of the dataset.
        importance_samples: Codes per example in `iwae_nll` and `bits_per_dim`.
        num_samples: Generated examples in the metrics of samples; None takes as many
            as are measured on.
        baselines: Also measure PCA with as many components as the model has code
            units, and where they mean something the raw examples as codes and
            training data as samples.

    Returns:
        A report: a mapping from metric to its record, with `.value`, `.unit`,
        `.protocol` and `.standard_error`. Its `left_out` says of which metric the
        data leave no figure that means anything, and why.

    Raises:
        UnknownModelError: If there is no such model.
        DatasetError: If there is no such dataset, or it lacks labels, factors or
            training data that a metric needs.
        ValueError: If a metric is unknown, or examples have a wrong shape or range.
        UnsupportedOperationError: If the family cannot have a metric; says which it
            has.
        MissingDependencyError: If a metric needs the extra `aezoo[evaluation]`.

    Example:
        >>> report = aezoo.evaluate("conv_vae_mnist_z16", "mnist", metrics=["elbo"])
        >>> report["elbo"].value
    """
    if isinstance(model, str | os.PathLike):
        model = aezoo.load(model)
    if not isinstance(model, Autoencoder):
        raise ValueError(
            "`model` must be a name from `aezoo.list_models()`, a folder, an address "
            f"or a model of aezoo. Received: {type(model).__name__}."
        )
    settings = Settings(
        seed=check_seed(seed) or 0,
        importance_samples=check_positive_int("importance_samples", importance_samples),
        num_samples=_positive_or_none("num_samples", num_samples),
        data_dir=data_dir,
        train=train,
        limit=_positive_or_none("limit", limit),
    )
    is_strict = metrics != "all"
    if metrics == "all":
        metrics = list_metrics(model)
    elif metrics is None:
        metrics = [m for m in list_metrics(model) if METRICS[m].is_quick]
    wanted = [_possible(model, name) for name in _unique(metrics)]
    data = open_dataset(dataset, split, data_dir, model.modality)
    source = data.name if isinstance(dataset, Dataset) else dataset
    total = len(data.examples)
    nouns = model.modality.nouns
    data = checked(data.take(settings.limit), model.modality, nouns)
    evaluation = Evaluation(model, data, settings, total, source)
    left_out = LeftOut(is_strict)
    ready = []  # what can fail early does so before anything is measured
    for definition, variant in wanted:
        with left_out.unless_measured(definition):
            _check_needs(definition, evaluation)
            variant = variant or default_variant(definition, data.name)
            ready.append((definition, variant))

    records = measure(evaluation, ready, left_out)
    rows: dict[str, Report] = {}
    if baselines:
        for baseline in baseline_models.fit(evaluation):
            possible = [
                (definition, variant)
                for definition, variant in ready
                if baseline.has_metric(definition)
                and definition.name not in left_out.reasons
            ]
            if possible:
                row = evaluation.with_model(baseline.model)
                left_out_of_row = LeftOut()
                found = measure(row, possible, left_out_of_row)
                rows[baseline.name] = _report(
                    row, baseline.name, found, left_out=left_out_of_row
                )
    return _report(evaluation, model.name, records, rows, left_out)


def list_metrics(model: Autoencoder | None = None) -> list[str]:
    """Names of all metrics, or of those that a model can have.

    Args:
        model: A model of the zoo.
    """
    return [
        name
        for name, definition in METRICS.items()
        if model is None or is_possible(definition, model)
    ]


class LeftOut:
    """Why metrics were not measured, by metric.

    Args:
        is_strict: Whether what cannot be measured is an error, rather than left out;
            what the data leave without a meaning is left out in any case.
    """

    def __init__(self, is_strict: bool = True) -> None:
        self.is_strict = is_strict
        self.reasons: dict[str, str] = {}

    @contextlib.contextmanager
    def unless_measured(self, definition: MetricDefinition) -> Iterator[None]:
        """Note why a metric cannot be measured, or raise it."""
        try:
            yield
        except (AezooError, ValueError) as error:
            if self.is_strict and not isinstance(error, MeaninglessFigureError):
                raise
            self.reasons[definition.name] = str(error)


def measure(
    evaluation: Evaluation,
    wanted: Sequence[tuple[MetricDefinition, str | None]],
    left_out: LeftOut,
) -> dict[str, Metric]:
    """Records of metrics by name; those per example in one pass over the examples.

    Args:
        evaluation: What to measure.
        wanted: Definitions with the variant of those that have one.
        left_out: Takes the reasons why metrics cannot be measured.
    """
    results = {
        **_per_example(evaluation, [d for d, _ in wanted if d.is_per_example], left_out)
    }
    for definition, variant in wanted:
        if not definition.is_per_example:
            arguments = dict(definition.arguments)
            if definition.variant is not None:
                arguments[definition.variant] = variant
            with left_out.unless_measured(definition):
                result = computation_of(definition)(evaluation, **arguments)
                results[definition.name] = _result(result)
    return {
        definition.name if variant is None else f"{definition.name}/{variant}": _record(
            evaluation, definition, variant, results[definition.name]
        )
        for definition, variant in wanted
        if definition.name in results
    }


def _per_example(
    evaluation: Evaluation, wanted: Sequence[MetricDefinition], left_out: LeftOut
) -> dict[str, Result]:
    """Means over examples by metric, in one pass."""
    values: dict[str, list[np.ndarray]] = {d.name: [] for d in wanted}
    if not values:
        return {}
    for chunk in evaluation.chunks("measuring"):
        for definition in wanted:
            if definition.name in left_out.reasons:
                continue
            seen = chunk if definition.view is None else chunk.view(definition.view)
            with left_out.unless_measured(definition):
                values[definition.name].append(computation_of(definition)(seen))
    return {
        name: mean_with_error(np.concatenate(parts))
        for name, parts in values.items()
        if name not in left_out.reasons
    }


def _record(
    evaluation: Evaluation,
    definition: MetricDefinition,
    variant: str | None,
    result: Result,
) -> Metric:
    fields = evaluation.protocol_fields(definition, variant)
    unit = definition.unit.format(**fields)
    protocol = (result.protocol or definition.protocol).format(**fields)
    is_of_density = is_density(definition, evaluation.model)
    return Metric(
        value=result.value,
        unit=f"{unit}, density" if is_of_density else unit,
        protocol=f"{_which_examples(evaluation)}; {protocol}{result.note}",
        standard_error=result.standard_error,
        values=result.values,
    )


def _result(value: Any) -> Result:
    return value if isinstance(value, Result) else Result(float(value))


def _positive_or_none(name: str, value: Any) -> int | None:
    return None if value is None else check_positive_int(name, value)


def _which_examples(evaluation: Evaluation) -> str:
    n, total = len(evaluation), evaluation.total
    which = f"all {n:,}" if n == total else f"the first {n:,} of {total:,}"
    return f"{evaluation.data.key}, {which} {evaluation.modality.nouns}"


def _unique(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str) or not metrics:
        raise ValueError(
            "`metrics` must be a sequence of at least one metric's name. "
            f"Received: metrics={metrics!r}."
        )
    return list(dict.fromkeys(metrics))


def _possible(model: Autoencoder, name: str) -> tuple[MetricDefinition, str | None]:
    definition, variant = find_metric(name)
    if not is_possible(definition, model):
        raise UnsupportedOperationError(
            f"{model.family!r} has no metric {name!r}. "
            f"It has: {', '.join(list_metrics(model))}."
        )
    return definition, variant


def _check_needs(definition: MetricDefinition, evaluation: Evaluation) -> None:
    if definition.package is not None:
        purpose = f"The metric {definition.name!r}"
        check_installed(definition.package, "evaluation", purpose)
    for need in definition.needs:
        if getattr(evaluation.data, need) is None:
            raise DatasetError(
                f"The metric {definition.name!r} needs {need}, and the dataset "
                f"{evaluation.data.key!r} has none."
            )
    check_size(definition, len(evaluation), evaluation.modality.noun)
    if "sampler" in definition.arguments:
        check_size(definition, evaluation.num_samples, "sample")


def _report(
    evaluation: Evaluation,
    name: str,
    records: dict[str, Metric],
    baselines: dict[str, Report] | None = None,
    left_out: LeftOut | None = None,
) -> Report:
    return Report(
        model=name,
        dataset=evaluation.data.name,
        split=evaluation.data.split,
        num_examples=len(evaluation),
        seed=evaluation.seed,
        metrics=MappingProxyType(records),
        baselines=MappingProxyType(baselines or {}),
        left_out=MappingProxyType(left_out.reasons if left_out else {}),
    )
