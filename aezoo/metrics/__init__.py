"""Every metric, declared once: its unit, direction, heading, format and protocol.

Tables, commands, model cards and measurements take it from here. The computations are
in `aezoo.evaluation`; this package imports the standard library alone, so that a table
of published figures costs neither NumPy nor Keras.

To add a metric, declare it in the module of its kind and write its computation.
"""

from types import MappingProxyType

from aezoo.metrics import (
    disentanglement,
    image,
    latent,
    likelihood,
    motion,
    music,
    reconstruction,
    representation,
    shapes,
    text,
)
from aezoo.metrics.definition import PRIOR, MetricDefinition
from aezoo.utils.text import did_you_mean

# By name, the most telling first. Those of fitted samplers are `of_sampler` of these.
METRICS = MappingProxyType(
    {
        definition.name: definition
        for definition in (
            *reconstruction.METRICS,
            *image.SIMILARITY,
            *text.RECONSTRUCTION,
            *music.RECONSTRUCTION,
            *motion.RECONSTRUCTION,
            *shapes.RECONSTRUCTION,
            *likelihood.METRICS,
            *text.LIKELIHOOD,
            *latent.METRICS,
            *image.SAMPLES,
            *text.SAMPLES,
            *music.SAMPLES,
            *motion.SAMPLES,
            *shapes.SAMPLES,
            *representation.METRICS,
            *disentanglement.METRICS,
        )
    }
)
# Words that users may ask with; tables and reports have the metric's own name.
ALIASES = MappingProxyType({"fid": "frechet", "kid": "kernel_distance"})

__all__ = [
    "ALIASES",
    "METRICS",
    "PRIOR",
    "MetricDefinition",
    "canonical_name",
    "definition_of",
    "format_figure",
    "heading",
    "higher_is_better",
    "unknown_metric",
]


def canonical_name(name: str) -> str:
    """A name with the metric's own word in the place of an alias."""
    base, slash, rest = name.partition("/")
    return f"{ALIASES.get(base, base)}{slash}{rest}"


def definition_of(name: str) -> MetricDefinition | None:
    """The declaration that a published figure's name belongs to, if there is one.

    Args:
        name: With or without sampler and variant: `"frechet/gmm/lenet_mnist_v1"`
            belongs to `frechet`, `"elbo/binarised"` is declared itself.
    """
    while name not in METRICS:
        name, slash, _ = name.rpartition("/")
        if not slash:
            return None
    return METRICS[name]


def higher_is_better(name: str) -> bool | None:
    """Which way a figure is better; None where neither is, or it is not known.

    Args:
        name: As in `definition_of`.
    """
    definition = definition_of(name)
    return None if definition is None else definition.higher_is_better


def format_figure(name: str, value: float) -> str:
    """A figure as tables show it.

    Args:
        name: As in `definition_of`.
        value: The figure.
    """
    definition = definition_of(name)
    return format(value, ".4g" if definition is None else definition.format)


def heading(name: str) -> str:
    """A figure's name as the heading of a column.

    Args:
        name: As in `definition_of`.
    """
    definition = definition_of(name)
    base = name.partition("/")[0] if definition is None else definition.name
    title = base.replace("_", " ") if definition is None else definition.title
    *middle, last = name.removeprefix(base).split("/")
    return f"{title}{' '.join(middle)} ({last})" if last else title


def unknown_metric(name: str, known: list[str]) -> ValueError:
    """The error for a name that is no metric's; offers the closest."""
    return ValueError(
        f"Unknown metric {name!r}.{did_you_mean(name, [*known, *ALIASES])} "
        f"Metrics: {', '.join(known)}."
    )
