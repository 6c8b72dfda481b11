"""Every published protocol is what the declarations say, word by word."""

import re

import aezoo
from aezoo import manifest
from aezoo.evaluation.context import words_of
from aezoo.evaluation.definition import find_metric
from aezoo.metrics.definition import Placeholders

# What the measurement adds to a protocol by itself.
_NOTES = (
    r"(: [\d,]+)?(; \d of \d fits ended short of the tolerance)?"
    r"(; mean over \d codebooks, whose figures are the values)?"
)


# A family of each modality.
FAMILIES = {
    "image": "dense_vae",
    "music": "music_vae",
    "text": "sentence_vae",
    "trajectory": "motion_vae",
    "voxels": "occupancy_vae",
}


def stated() -> list[tuple[str, str, str, str]]:
    """Modality, name, unit and protocol of every published figure, without how many."""
    measured = [(entry.kind, entry.metrics) for entry in manifest.entries().values()]
    measured += [
        ("image", {key: figures})
        for key, rows in manifest.baselines().items()
        for figures in rows.values()
    ]
    found = {
        (kind, name, figure.unit, figure.protocol.partition("; ")[2])
        for kind, metrics in measured
        for figures in metrics.values()
        for name, figure in figures.items()
    }
    return sorted(found)


def test_published_protocols_are_those_of_the_declarations() -> None:
    assert len(stated()) > 100
    models = {
        kind: aezoo.create(family, latent_dim=2) for kind, family in FAMILIES.items()
    }
    for kind, name, unit, protocol in stated():
        definition, _ = find_metric(name)
        fields = Placeholders(words_of(models[kind], definition.view, "<seed>"))
        template = definition.protocol.format_map(fields)
        pattern = re.sub(r"<\w+>", "(.+?)", re.escape(template)) + _NOTES
        if name == "active_units":  # without a prior, of codes
            nouns = "images|pieces|sentences"
            pattern += f"|number of code units whose code .* ({nouns}) above 0.01"
        assert re.fullmatch(pattern, protocol), (name, protocol, pattern)
        assert unit.removesuffix(", density") == definition.unit.format_map(
            fields
        ).removesuffix(", density")
