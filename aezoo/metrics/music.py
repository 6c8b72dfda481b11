"""What is measured of music alone: notes that are right, and how samples sound."""

from types import MappingProxyType
from typing import Any

from aezoo.metrics.definition import PRIOR, MetricDefinition

_MUSIC: dict[str, Any] = {"modalities": ("music",)}
_RECONSTRUCTION: dict[str, Any] = {
    "kind": "reconstruction",
    "is_per_example": True,
    "higher_is_better": True,
    "format": ".3f",
    "is_quick": True,
    "is_headline": True,
    **_MUSIC,
}

RECONSTRUCTION = (
    MetricDefinition(
        "note_accuracy",
        unit="share of notes",
        protocol="mean over pieces of the share of their notes that the greedy "
        "reconstruction of the posterior's mode begins in the same voice, at the same "
        "step, at the same pitch; a pitch that is held is one note",
        computation="metrics.music:note_accuracy",
        **_RECONSTRUCTION,
    ),
    MetricDefinition(
        "frame_accuracy",
        unit="share of steps",
        protocol="mean over pieces of the share of steps and voices at which the "
        "greedy reconstruction of the posterior's mode has the same pitch or rest",
        computation="metrics.music:frame_accuracy",
        **_RECONSTRUCTION,
    ),
)
SAMPLES = (
    MetricDefinition(
        "pitch_class_entropy",
        kind="samples",
        unit="bits",
        protocol="mean over pieces of the entropy of the pitch classes of their notes, "
        "at most log2(12) = 3.585, of {num_samples} pieces, seed {seed}: {samples}",
        computation="metrics.music:pitch_class_entropy",
        arguments=MappingProxyType({"sampler": PRIOR}),
        requires=(PRIOR,),
        has_samplers=True,
        higher_is_better=None,
        heading="pitch-class entropy",
        format=".3f",
        reference="https://arxiv.org/abs/2008.01951",
        **_MUSIC,
    ),
)
