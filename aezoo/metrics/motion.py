"""Metrics declared of trajectories alone: how near they come, and what they cover."""

from types import MappingProxyType
from typing import Any

from aezoo.metrics.definition import PRIOR, MetricDefinition

# Samples for each scene, and metres within which two trajectories are one future.
SAMPLES_OF_SCENE, RADIUS = 20, 2.0
_MOTION: dict[str, Any] = {"modalities": ("trajectory",)}
_RECONSTRUCTION: dict[str, Any] = {
    "kind": "reconstruction",
    "is_per_example": True,
    "unit": "m",
    "format": ".2f",
    "reference": "https://arxiv.org/abs/1803.10892",
    **_MOTION,
}
_OF_SAMPLES: dict[str, Any] = {
    "kind": "samples",
    "arguments": MappingProxyType({"sampler": PRIOR}),
    "requires": (PRIOR,),
    "is_quick": True,
    **_MOTION,
}
_SCENES = (
    "examples that were told the same are the true futures of one scene, of which the "
    f"model draws {SAMPLES_OF_SCENE} ({{samples}}, seed {{seed}}); "
)
_APART = {
    "ade": "the distance between two trajectories is the mean over steps",
    "fde": "the distance between two trajectories is that at the last step",
}

RECONSTRUCTION = (
    MetricDefinition(
        "ade",
        protocol="average displacement error: mean over {examples} and steps of the "
        "distance to the reconstruction of the posterior's mode",
        computation="metrics.motion:ade",
        heading="ADE",
        **_RECONSTRUCTION,
    ),
    MetricDefinition(
        "fde",
        protocol="final displacement error: mean over {examples} of the distance of "
        "the last step to that of the reconstruction of the posterior's mode",
        computation="metrics.motion:fde",
        heading="FDE",
        **_RECONSTRUCTION,
    ),
)


def _best(name: str) -> MetricDefinition:
    return MetricDefinition(
        f"best_of_{SAMPLES_OF_SCENE}_{name}",
        unit="m",
        protocol=f"{_SCENES}{_APART[name]}; mean over true futures of the distance to "
        "the nearest sample",
        computation=f"metrics.motion:best_{name}",
        heading=f"best-of-{SAMPLES_OF_SCENE} {name.upper()}",
        format=".2f",
        is_headline=True,
        reference="https://arxiv.org/abs/1803.10892",
        **_OF_SAMPLES,
    )


def _coverage(of: str, by: str, name: str) -> MetricDefinition:
    at = "" if name == "ade" else "_at_the_end"
    return MetricDefinition(
        f"{of}_covered{at}",
        unit=f"share of {of}",
        protocol=f"{_SCENES}{_APART[name]}; share of {of} within {RADIUS:g} m of one "
        f"of the {by} of their scene",
        computation=f"metrics.motion:{of}_covered{at}",
        higher_is_better=True,
        format=".1%",
        is_headline=name == "ade",
        **_OF_SAMPLES,
    )


SAMPLES = (
    _best("ade"),
    _best("fde"),
    *(
        _coverage(of, by, name)
        for name in ("ade", "fde")
        for of, by in (("futures", "samples"), ("samples", "futures"))
    ),
)
