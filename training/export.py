"""Weights, hash, golden tensors and manifest entry, written in one go."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import jsonschema
import numpy as np

from aezoo import manifest
from aezoo.data.datasets import LICENSES, Dataset
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.manifest import Metric
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.store import load as hub
from aezoo.store.golden import golden_inputs, golden_tensors
from aezoo.utils.files import atomic_path, sha256_of
from aezoo.utils.text import did_you_mean
from training.half import halve_file, is_half
from training.recipe import Recipe

SCHEMA = manifest.PACKAGE / "weights_manifest.schema.json"
ROOT = Path(__file__).parent.parent
# A bundled weight is at most this large.
MAX_BYTES = 8_000_000


def export(
    name: str,
    model: Autoencoder,
    recipe: Recipe,
    data: Dataset,
    metrics: Mapping[str, Mapping[str, Metric]],
    training: Mapping[str, Any],
    folder: Path,
    manifest_file: Path,
) -> manifest.WeightsEntry:
    """Write a trained model as a member of a zoo, and check that it loads.

    Args:
        name: Name of the weights.
        model: The trained model; its optimiser is not written. Stored as float16 if
            that loses nothing (`training.half.round_weights`).
        recipe: What made it.
        data: The training split.
        metrics: Metrics by `dataset/split`, then by name.
        training: `hardware`, `seconds`, `backend` and `versions`.
        folder: Where weights and golden tensors go.
        manifest_file: The manifest to extend; created where it does not exist.

    Returns:
        The new entry.

    Raises:
        ManifestError: If weights of that name are published already, or the entry
            breaks the schema.
    """
    refuse_published(name, manifest_file)
    folder.mkdir(parents=True, exist_ok=True)

    # A fresh copy has no optimiser, whose moments would treble the file.
    copy = create(recipe.family, **{**model.config, "name": name})
    copy.set_weights(model.get_weights())
    files = write_files(name, copy, folder)
    entry = {
        "family": recipe.family,
        "config": copy.config,
        "description": recipe.description,
        "paper": recipe.paper,
        "input_shape": list(copy.input_shape),
        "value_range": [0.0, 1.0],
        "latent_shape": list(copy.latent_shape),
        "num_params": copy.count_params(),
        "tasks": list(copy.TASKS),
        "data": data_fields(data),
        "license": recipe.license,
        "seed": recipe.seed,
        "recipe": f"training/recipes/{name}.py",
        "training": dict(training),
        **files,
        "metrics": {
            key: {metric: value.to_dict() for metric, value in values.items()}
            for key, values in metrics.items()
        },
    }
    with edited_manifest(manifest_file) as document:
        document["models"][name] = entry
        document["models"] = dict(sorted(document["models"].items()))
    parsed = manifest.parse_entry(name, entry)
    hub.load_entry(parsed, folder / parsed.weights.file)
    return parsed


def write_files(name: str, model: Autoencoder, folder: Path) -> dict[str, Any]:
    """Write weights and golden tensors of a model that has no optimiser.

    Returns:
        The fields `weights` and `golden` of its entry.
    """
    dtype = {"dtype": "float16"} if is_half(model) else {}
    weights = folder / f"{name}.weights.h5"
    with atomic_path(weights) as path:
        model.save_weights(path)
        if dtype:
            halve_file(path)
    golden = folder / f"{name}.golden.npz"
    tensors = golden_tensors(model, golden_inputs(model))
    with atomic_path(golden) as path, path.open("wb") as file:
        np.savez_compressed(file, **tensors)  # type: ignore[arg-type]
    return {
        "weights": {
            "file": weights.name,
            "bytes": weights.stat().st_size,
            "sha256": sha256_of(weights),
            "hub": {"repo_id": None, "revision": None},
            **dtype,
        },
        "golden": {"file": golden.name, "sha256": sha256_of(golden)},
    }


def read_entry(name: str, manifest_file: Path) -> manifest.WeightsEntry:
    """A model's entry in a manifest.

    Raises:
        UnknownModelError: If there is none; names the closest.
    """
    entries = manifest.read_manifest(manifest_file)
    if name not in entries:
        raise UnknownModelError(
            f"There is no model {name!r} in {manifest_file}."
            f"{did_you_mean(name, entries)} Train it first: "
            f"`python -m training.train {name}`."
        )
    return entries[name]


@contextlib.contextmanager
def edited_manifest(manifest_file: Path) -> Iterator[dict[str, Any]]:
    """A manifest to change, as JSON values; written where nothing was raised.

    Trainings side by side so lose no entry: the others wait.
    """
    place = hashlib.sha256(str(manifest_file.resolve()).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"aezoo-manifest-{place}.lock"
    with filelock.FileLock(lock):
        document = read_document(manifest_file)
        yield document
        write_manifest(document, manifest_file)


def read_document(manifest_file: Path) -> dict[str, Any]:
    """A manifest as JSON values, to be extended; an empty one if there is none."""
    if manifest_file.is_file():
        document: dict[str, Any] = json.loads(manifest_file.read_text(encoding="utf-8"))
        return document
    return {"schema_version": manifest.SCHEMA_VERSION, "models": {}}


def data_fields(data: Dataset) -> dict[str, str]:
    """What the manifest says of training data."""
    return {
        "name": data.name,
        "version": data.version,
        "split": data.split,
        "license": LICENSES.get(data.name, "unknown"),
    }


def refuse_published(name: str, manifest_file: Path) -> None:
    """Published weights are immutable: new bytes need a new name.

    Raises:
        ManifestError: If `name` has a revision on the Hub, or the manifest cannot be
            parsed.
    """
    if not manifest_file.is_file():
        return
    entry = manifest.read_manifest(manifest_file).get(name)
    if entry is not None and entry.weights.hub.revision is not None:
        raise ManifestError(
            f"The weights {name!r} are published (revision "
            f"{entry.weights.hub.revision[:12]}…) and so immutable. Export under a "
            f"new name, e.g. {name + '_v2'!r}."
        )


def check_bundle_size(name: str, model: Autoencoder) -> None:
    """Refuse, before training, to bundle what would be too large to ship.

    Raises:
        ManifestError: If the weights would exceed `MAX_BYTES`.
    """
    size = 2 * model.count_params()
    if size > MAX_BYTES:
        raise ManifestError(
            f"The weights {name!r} would take {size / 1e6:.1f} MB; at most "
            f"{MAX_BYTES / 1e6:.0f} MB are bundled. Make the network smaller, or "
            "train without `--bundle`."
        )


def write_manifest(document: Mapping[str, Any], path: Path) -> None:
    """Validate a manifest against its schema, and replace the file in one step.

    Raises:
        ManifestError: If it breaks the schema; says where.
    """
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    try:
        jsonschema.validate(document, schema)
    except jsonschema.ValidationError as error:
        raise ManifestError(
            f"The manifest would break its schema at {error.json_path}: {error.message}"
        ) from error
    with atomic_path(path) as temporary:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def check_writable(folder: Path) -> None:
    """Fail now, not after the last epoch, if a folder cannot be written.

    Raises:
        PermissionError: If it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermissionError(
            f"The output folder {folder} cannot be written: {error}. "
            "Choose another with `--out`."
        ) from error
