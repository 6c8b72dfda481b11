"""Weights, hash, golden tensors and manifest entry, written in one go."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from aezoo import manifest
from aezoo.data.datasets import LICENSES, Dataset
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.manifest import (
    DataInfo,
    Manifest,
    Metric,
    TrainingInfo,
    WeightsEntry,
    WeightsFile,
    ZooGolden,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.store import load as hub
from aezoo.store.golden import golden_inputs, golden_tensors
from aezoo.utils.files import atomic_path, sha256_of
from aezoo.utils.text import did_you_mean
from training.half import halve_file, is_half
from training.recipe import Recipe

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
) -> WeightsEntry:
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
    weights, golden = write_files(name, copy, folder)
    entry = WeightsEntry(
        name=name,
        family=recipe.family,
        config=copy.config,
        description=recipe.description,
        paper=recipe.paper,
        input_shape=copy.input_shape,
        value_range=(0.0, 1.0),
        latent_shape=copy.latent_shape,
        num_params=copy.count_params(),
        tasks=copy.TASKS,
        data=data_info(data),
        license=recipe.license,
        seed=recipe.seed,
        recipe=f"training/recipes/{name}.py",
        training=TrainingInfo(**training),
        weights=weights,
        golden=golden,
        metrics=metrics,
    )
    with edited_manifest(manifest_file) as document:
        document.models[name] = entry
    hub.load_entry(entry, folder / entry.weights.file)
    return entry


def write_files(
    name: str, model: Autoencoder, folder: Path
) -> tuple[WeightsFile, ZooGolden]:
    """Write weights and golden tensors of a model that has no optimiser.

    Returns:
        The fields `weights` and `golden` of its entry.
    """
    dtype = "float16" if is_half(model) else None
    weights = folder / f"{name}.weights.h5"
    with atomic_path(weights) as path:
        model.save_weights(path)
        if dtype is not None:
            halve_file(path)
    golden = folder / f"{name}.golden.npz"
    tensors = golden_tensors(model, golden_inputs(model))
    with atomic_path(golden) as path, path.open("wb") as file:
        np.savez_compressed(file, **tensors)  # type: ignore[arg-type]
    size = weights.stat().st_size
    return (
        WeightsFile(weights.name, size, sha256_of(weights), dtype),
        ZooGolden(golden.name, sha256_of(golden)),
    )


def read_entry(name: str, manifest_file: Path) -> WeightsEntry:
    """A model's entry in a manifest.

    Raises:
        UnknownModelError: If there is none; names the closest.
    """
    entries = manifest.read_manifest(manifest_file).models
    if name not in entries:
        raise UnknownModelError(
            f"There is no model {name!r} in {manifest_file}."
            f"{did_you_mean(name, entries)} Train it first: "
            f"`python -m training.train {name}`."
        )
    return entries[name]


@contextlib.contextmanager
def edited_manifest(manifest_file: Path) -> Iterator[Manifest]:
    """A manifest to change, empty if there is none; written where nothing was raised.

    Trainings side by side so lose no entry: the others wait.
    """
    place = hashlib.sha256(str(manifest_file.resolve()).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"aezoo-manifest-{place}.lock"
    with filelock.FileLock(lock):
        is_new = not manifest_file.is_file()
        document = Manifest() if is_new else manifest.read_manifest(manifest_file)
        yield document
        write_manifest(document, manifest_file)


def data_info(data: Dataset) -> DataInfo:
    """What the manifest says of training data."""
    license = LICENSES.get(data.name, "unknown")
    return DataInfo(data.name, data.version, data.split, license)


def refuse_published(name: str, manifest_file: Path) -> None:
    """Published weights are immutable: new bytes need a new name.

    Raises:
        ManifestError: If `name` has a revision on the Hub, or the manifest cannot be
            parsed.
    """
    if not manifest_file.is_file():
        return
    entry = manifest.read_manifest(manifest_file).models.get(name)
    if entry is not None and entry.weights.hub is not None:
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


def write_manifest(document: Manifest, path: Path) -> None:
    """Check a manifest against its records, and replace the file in one step.

    Raises:
        ManifestError: If it breaks a rule; says which.
    """
    text = manifest.manifest_text(document)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


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
