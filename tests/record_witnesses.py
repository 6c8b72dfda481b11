"""Record what may never change, for `test_witnesses.py`.

    python -m tests.record_witnesses

New files and figures are added to `witnesses.json`. What is recorded already stays: a
file with other bytes, a figure with another protocol, or one that has vanished is an
error. Where that was meant, e.g. because a figure was measured again by a better
protocol, take its line out of `witnesses.json` first.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aezoo
from aezoo import manifest
from aezoo.manifest import Metric
from aezoo.utils.files import sha256_of

ROOT = Path(__file__).parent.parent
MANIFEST = ROOT / "weights_manifest.json"
WEIGHTS = ROOT / "aezoo" / "weights"
WITNESSES = Path(__file__).with_name("witnesses.json")


def recorded() -> dict[str, Any]:
    """What `witnesses.json` holds."""
    return json.loads(WITNESSES.read_text(encoding="utf-8"))


def observed() -> dict[str, Any]:
    """The same of the checkout as it is.

    Returns:
        `public_names`; `files`, the SHA-256 of each file of the weights folder; and
        `protocols`: by subject and dataset, the protocol of each metric as the first
        12 digits of the SHA-256 of its UTF-8 text.
    """
    return {
        "public_names": sorted(aezoo.__all__),
        "files": {path.name: sha256_of(path) for path in sorted(WEIGHTS.iterdir())},
        "protocols": {
            subject: {name: digest(metric.protocol) for name, metric in figures.items()}
            for subject, figures in sorted(figures_by_subject())
        },
    }


def figures_by_subject() -> Iterator[tuple[str, Mapping[str, Metric]]]:
    """All figures of the manifest, e.g. of `model conv_vae_mnist on mnist/test`."""
    document = manifest.read_manifest(MANIFEST)
    for name, entry in document.models.items():
        for dataset, metrics in entry.metrics.items():
            yield f"model {name} on {dataset}", metrics
    for name, extractor in document.extractors.items():
        yield f"extractor {name}", {"accuracy": extractor.accuracy}
    for dataset, rows in document.baselines.items():
        for name, metrics in rows.items():
            yield f"baseline {name} on {dataset}", metrics


def digest(protocol: str) -> str:
    """What stands for a protocol in `witnesses.json`."""
    return hashlib.sha256(protocol.encode()).hexdigest()[:12]


def changes(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """What is recorded and is no longer so, one line each."""
    if isinstance(old, list):
        old, new = dict.fromkeys(old, "there"), dict.fromkeys(new, "there")
    if not isinstance(old, dict):
        if old != new:
            yield f"{where.strip()}: recorded {old}, now {new}"
        return
    for key, value in old.items():
        here = f"{where} {key}"
        if key in new:
            yield from changes(value, new[key], here)
        else:
            yield f"{here.strip()}: recorded, now gone"


def record() -> None:
    """Write what is observed, unless something recorded would change."""
    now = observed()
    found = list(changes(recorded(), now)) if WITNESSES.exists() else []
    if found:
        sys.exit("\n".join([f"{WITNESSES} stays as it is:", *found]))
    # One subject a line: short enough to read, and to merge.
    sections = []
    for section, values in now.items():
        items = (
            values.items() if isinstance(values, dict) else [("", v) for v in values]
        )
        lines = [
            f"  {json.dumps(key)}: {json.dumps(value)}"
            if key
            else f"  {json.dumps(value)}"
            for key, value in items
        ]
        left, right = "{}" if isinstance(values, dict) else "[]"
        body = ",\n".join(lines)
        sections.append(f" {json.dumps(section)}: {left}\n{body}\n {right}")
    text = "{\n" + ",\n".join(sections) + "\n}\n"
    WITNESSES.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    record()
