"""How near reconstructions come to the examples."""

from aezoo.metrics.definition import MetricDefinition

_FROM_THE_MODE = ", from the mode of the posterior{clipped}"

METRICS = (
    MetricDefinition(
        "mse",
        kind="reconstruction",
        unit="squared error per {element}{scale}",
        protocol="mean over {examples} and {elements} of (x - reconstruct(x))^2"
        + _FROM_THE_MODE,
        computation="metrics.reconstruction:mse",
        is_per_example=True,
        heading="MSE",
        format=".5f",
        requires=("numeric",),
        is_quick=True,
        is_headline=True,
    ),
    MetricDefinition(
        "mae",
        kind="reconstruction",
        unit="absolute error per {element}{scale}",
        protocol="mean over {examples} and {elements} of |x - reconstruct(x)|"
        + _FROM_THE_MODE,
        computation="metrics.reconstruction:mae",
        is_per_example=True,
        heading="MAE",
        format=".5f",
        requires=("numeric",),
        is_quick=True,
    ),
)
