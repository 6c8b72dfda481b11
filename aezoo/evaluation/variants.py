"""The variant that a metric takes from a dataset, unless its name says another."""

from aezoo.evaluation.metrics.representation import default_unfamiliar
from aezoo.metrics import MetricDefinition
from aezoo.modalities.image.extractors import default_extractor

_DEFAULTS = {"extractor": default_extractor, "dataset": default_unfamiliar}


def default_variant(definition: MetricDefinition, dataset: str) -> str | None:
    """The usual variant of a metric on a dataset; None if it has no variants.

    Args:
        definition: The metric.
        dataset: Name of the dataset.

    Raises:
        DatasetError: If the dataset has no usual one.
        UnknownModelError: If no network of features was trained on it.
    """
    if definition.variant is None:
        return None
    return _DEFAULTS[definition.variant](dataset)
