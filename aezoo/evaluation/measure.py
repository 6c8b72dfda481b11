"""The one measurement of every figure that the project shows."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from aezoo.data.datasets import Dataset, DatasetError, open_dataset
from aezoo.errors import AezooError, UnsupportedOperationError
from aezoo.evaluation import baselines as baseline_models
from aezoo.evaluation.context import Evaluation, Settings
from aezoo.evaluation.definition import (
    METRICS,
    MetricDefinition,
    Result,
    find_metric,
    mean_with_error,
)
from aezoo.evaluation.report import Report
from aezoo.manifest import Metric
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import check_seed
from aezoo.store import load as hub
from aezoo.utils.extras import check_installed
from aezoo.utils.validation import check_positive_int

# What is measured unless metrics are named: seconds for 10,000 images, no fitting.
DEFAULT_METRICS = (
    *("mse", "mae", "psnr", "elbo", "reconstruction_nll", "kl"),
    *("log_likelihood", "active_units"),
)


def evaluate(
    model: str | Autoencoder,
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
        model: A name from `aezoo.list_models()`, or any model of the zoo.
        dataset: A TFDS name, e.g. `"mnist"`; the path of a folder of images or of an
            `.npz` file with `images` and, if any, `labels`; an array of images; a
            pair `(images, labels)`.
        split: Split of a named dataset, used whole.
        metrics: Names from `list_metrics(model)`; None measures the quick ones. A
            name such as `"frechet"` takes its variant from the dataset; `"fid"` is
            another word for it. `"all"` measures every one that the model can have;
            the report's `left_out` says why others cannot be measured here.
        seed: Seed of sampled codes, noise and subsets of labels.
        limit: Measure only the first so many images (and fit on as many training
            images); the protocol says so.
        data_dir: Where named datasets are: a TFDS data directory, or a folder of
            `<name>/<split>.npz`. None takes TFDS's own.
        train: Training data for metrics that are fitted, in any form of `dataset`;
            None takes the split `train` of the dataset.
        importance_samples: Codes per image in `iwae_nll` and `bits_per_dim`.
        num_samples: Generated images in the metrics of samples; None takes as many as
            there are images.
        baselines: Also measure PCA with as many components as the model has code
            units, and where they mean something the raw pixels as codes and training
            images as samples.

    Returns:
        A report: a mapping from metric to its record, with `.value`, `.unit`,
        `.protocol` and `.standard_error`.

    Raises:
        UnknownModelError: If there is no such model.
        DatasetError: If there is no such dataset, or it lacks labels, factors or
            training data that a metric needs.
        ValueError: If a metric is unknown, or images have a wrong shape or range.
        UnsupportedOperationError: If the family cannot have a metric; says which it
            has.
        MissingDependencyError: If a metric needs the extra `aezoo[evaluation]`.

    Example:
        >>> report = aezoo.evaluate("conv_vae_mnist_z16", "mnist", metrics=["elbo"])
        >>> report["elbo"].value
    """
    model = hub.load(model) if isinstance(model, str) else model
    if not isinstance(model, Autoencoder):
        raise ValueError(
            "`model` must be a name from `aezoo.list_models()` or a model of aezoo. "
            f"Received: {type(model).__name__}."
        )
    settings = Settings(
        seed=check_seed(seed) or 0,
        importance_samples=check_positive_int("importance_samples", importance_samples),
        num_samples=_positive_or_none("num_samples", num_samples),
        data_dir=data_dir,
        train=train,
        limit=_positive_or_none("limit", limit),
    )
    left_out: dict[str, str] | None = {} if metrics == "all" else None
    if metrics == "all":
        metrics = list_metrics(model)
    elif metrics is None:
        metrics = [m for m in DEFAULT_METRICS if METRICS[m].is_possible(model)]
    wanted = [_possible(model, name) for name in _unique(metrics)]
    data = open_dataset(dataset, split, data_dir, model.input_shape)
    source = data.name if isinstance(dataset, Dataset) else dataset
    total = len(data.images)
    data = data.take(settings.limit)
    images = model.modality.check(data.images, "images")
    data = dataclasses.replace(data, images=images)
    evaluation = Evaluation(model, data, settings, total, source)
    ready = []  # what can fail early does so before anything is measured
    for definition, variant in wanted:
        with _leaving_out(definition, left_out):
            _check_needs(definition, data)
            if definition.variant is not None:
                variant = variant or definition.variant(evaluation)
            ready.append((definition, variant))

    records = measure(evaluation, ready, left_out)
    rows: dict[str, Report] = {}
    if baselines:
        for baseline in baseline_models.fit(evaluation):
            possible = [
                (definition, variant)
                for definition, variant in ready
                if baseline.has_metric(definition)
                and definition.name not in (left_out or {})
            ]
            if possible:
                row = evaluation.with_model(baseline.model)
                rows[baseline.name] = _report(
                    row, baseline.name, measure(row, possible)
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
        if model is None or definition.is_possible(model)
    ]


def measure(
    evaluation: Evaluation,
    wanted: Sequence[tuple[MetricDefinition, str | None]],
    left_out: dict[str, str] | None = None,
) -> dict[str, Metric]:
    """Records of metrics by name; those per image in one pass over the images.

    Args:
        evaluation: What to measure.
        wanted: Definitions with the variant of those that have one.
        left_out: Takes the reason why a metric cannot be measured; None raises it.
    """
    results: dict[str, Result] = {}
    values: dict[str, list[np.ndarray]] = {
        definition.name: [] for definition, _ in wanted if definition.is_per_image
    }
    if values:
        for chunk in evaluation.chunks("measuring"):
            for name in list(values):
                with _leaving_out(METRICS[name], left_out):
                    values[name].append(METRICS[name].compute(chunk))
                if left_out and name in left_out:
                    del values[name]
    for definition, variant in wanted:
        if definition.is_per_image:
            if definition.name in values:
                whole = np.concatenate(values[definition.name])
                results[definition.name] = mean_with_error(whole)
            continue
        arguments = [evaluation] if variant is None else [evaluation, variant]
        with _leaving_out(definition, left_out):
            results[definition.name] = _result(definition.compute(*arguments))
    records = {}
    for definition, variant in wanted:
        if definition.name not in results:
            continue
        result = results[definition.name]
        protocol = result.protocol or definition.protocol
        stated = {**evaluation.stated, "variant": variant}
        name = definition.name if variant is None else f"{definition.name}/{variant}"
        records[name] = Metric(
            value=result.value,
            unit=definition.unit_of(evaluation.model),
            protocol=f"{_which_images(evaluation)}; {protocol.format(**stated)}",
            standard_error=result.standard_error,
            values=result.values,
        )
    return records


@contextlib.contextmanager
def _leaving_out(
    definition: MetricDefinition, left_out: dict[str, str] | None
) -> Iterator[None]:
    """Note why a metric cannot be measured, or raise it if `left_out` is None."""
    try:
        yield
    except (AezooError, ValueError) as error:
        if left_out is None:
            raise
        left_out[definition.name] = str(error)


def _result(value: Any) -> Result:
    return value if isinstance(value, Result) else Result(float(value))


def _positive_or_none(name: str, value: Any) -> int | None:
    return None if value is None else check_positive_int(name, value)


def _which_images(evaluation: Evaluation) -> str:
    n, total = len(evaluation), evaluation.total
    which = f"all {n:,}" if n == total else f"the first {n:,} of {total:,}"
    return f"{evaluation.data.key}, {which} images"


def _unique(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str) or not metrics:
        raise ValueError(
            "`metrics` must be a sequence of at least one metric's name. "
            f"Received: metrics={metrics!r}."
        )
    return list(dict.fromkeys(metrics))


def _possible(model: Autoencoder, name: str) -> tuple[MetricDefinition, str | None]:
    definition, variant = find_metric(name)
    if not definition.is_possible(model):
        raise UnsupportedOperationError(
            f"{model.family!r} has no metric {name!r}. "
            f"It has: {', '.join(list_metrics(model))}."
        )
    return definition, variant


def _check_needs(definition: MetricDefinition, data: Dataset) -> None:
    if definition.package is not None:
        purpose = f"The metric {definition.name!r}"
        check_installed(definition.package, "evaluation", purpose)
    for need in definition.needs:
        if getattr(data, need) is None:
            raise DatasetError(
                f"The metric {definition.name!r} needs {need}, and the dataset "
                f"{data.key!r} has none."
            )


def _report(
    evaluation: Evaluation,
    name: str,
    records: dict[str, Metric],
    baselines: dict[str, Report] | None = None,
    left_out: dict[str, str] | None = None,
) -> Report:
    return Report(
        model=name,
        dataset=evaluation.data.name,
        split=evaluation.data.split,
        num_images=len(evaluation),
        seed=evaluation.seed,
        metrics=MappingProxyType(records),
        baselines=MappingProxyType(baselines or {}),
        left_out=MappingProxyType(left_out or {}),
    )
