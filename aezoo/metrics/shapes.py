"""What is measured of solid shapes alone: volumes in common, distances of surfaces."""

from types import MappingProxyType
from typing import Any

from aezoo.metrics.definition import PRIOR, MetricDefinition

_SHAPES: dict[str, Any] = {"modalities": ("voxels",)}
_RECONSTRUCTION: dict[str, Any] = {
    "kind": "reconstruction",
    "is_per_example": True,
    "is_quick": True,
    "is_headline": True,
    **_SHAPES,
}
_SAMPLES: dict[str, Any] = {
    "kind": "samples",
    "arguments": MappingProxyType({"sampler": PRIOR}),
    "requires": (PRIOR,),
    "has_samplers": True,
    "package": "scipy",
    "reference": "https://arxiv.org/abs/1707.02392",
    **_SHAPES,
}
# Of two shapes: the distance that all three metrics are of.
_CHAMFER = (
    "the mean of both shapes' mean distance from a surface voxel, one of whose six "
    "neighbours is empty, to the nearest of the other shape, in voxels between "
    "centres, occupied from 1/2 on; the grid's diagonal where one shape is empty, 0 "
    "where both are"
)

RECONSTRUCTION = (
    MetricDefinition(
        "iou",
        unit="share of voxels",
        protocol="mean over shapes of the voxels that both the shape and the "
        "reconstruction of the posterior's mode occupy, over those that one of them "
        "does, occupied from 1/2 on; 1 where neither occupies any",
        computation="metrics.shapes:iou",
        higher_is_better=True,
        heading="IoU",
        format=".3f",
        **_RECONSTRUCTION,
    ),
    MetricDefinition(
        "chamfer",
        unit="voxels",
        protocol="mean over shapes of the Chamfer distance to the reconstruction of "
        f"the posterior's mode: {_CHAMFER}",
        computation="metrics.shapes:chamfer",
        heading="Chamfer",
        format=".3f",
        package="scipy",
        reference="https://arxiv.org/abs/1612.00603",
        **_RECONSTRUCTION,
    ),
)
SAMPLES = (
    MetricDefinition(
        "minimum_matching_distance",
        unit="voxels",
        protocol="mean over shapes of the Chamfer distance to the nearest of "
        "{num_samples} samples, seed {seed}: {samples}; the distance is " + _CHAMFER,
        computation="metrics.shapes:minimum_matching_distance",
        heading="MMD (Chamfer)",
        format=".3f",
        **_SAMPLES,
    ),
    MetricDefinition(
        "sample_coverage",
        unit="share of shapes",
        protocol="share of the shapes that are the nearest of all, by Chamfer "
        "distance, to one of {num_samples} samples, seed {seed}: {samples}; the "
        "distance is " + _CHAMFER,
        computation="metrics.shapes:sample_coverage",
        higher_is_better=True,
        heading="coverage",
        format=".3f",
        **_SAMPLES,
    ),
)
