"""Weights, hash, golden tensors and manifest entry, written in one go."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aezoo import manifest
from aezoo.data.datasets import LICENSES, Dataset
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.manifest import (
    Metric,
    TrainingInfo,
    WeightsEntry,
    WeightsFile,
    ZooData,
    ZooFile,
    ZooGolden,
    as_stated,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.nn.weights import weights_bytes
from aezoo.store.folder import stated_conditions
from aezoo.store.golden import golden_inputs, golden_tensors
from aezoo.store.load import load_entry
from aezoo.training.recipe import Recipe
from aezoo.utils.text import did_you_mean
from training.files import edited_manifest, put_files, remove_unused
from training.half import halved, is_half

ROOT = Path(__file__).parent.parent
# A bundled weight is at most this large.
MAX_BYTES = 8_000_000
WEIGHTS_SUFFIX, GOLDEN_SUFFIX = "weights.h5", "golden.npz"


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

    The manifest is written last. Killed at any moment, the folder is the zoo that it
    was or the one that it becomes.

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
    content = model_files(copy)
    with edited_manifest(manifest_file) as document:
        weights, golden = stated(put_files(name, content, folder, document), copy)
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
            given=stated_conditions(copy),
            data=data_info(data),
            license=recipe.license,
            seed=recipe.seed,
            recipe=f"training/recipes/{name}.py",
            training=TrainingInfo(**training),
            weights=weights,
            golden=golden,
            metrics={
                key: {metric: as_stated(value) for metric, value in figures.items()}
                for key, figures in metrics.items()
            },
        )
        document.models[name] = entry
    remove_unused(name, folder, document)
    load_entry(entry, folder / entry.weights.file)
    return entry


# --- Files of an entry ---------------------------------------------------------------


def model_files(model: Autoencoder) -> dict[str, bytes]:
    """Weights and golden tensors of a model that has no optimiser, by suffix."""
    weights = weights_bytes(model)
    golden = io.BytesIO()
    np.savez_compressed(golden, **golden_tensors(model, golden_inputs(model)))  # type: ignore[arg-type]
    return {
        WEIGHTS_SUFFIX: halved(weights) if is_half(model) else weights,
        GOLDEN_SUFFIX: golden.getvalue(),
    }


def stated(
    files: Mapping[str, ZooFile], model: Autoencoder
) -> tuple[WeightsFile, ZooGolden]:
    """The fields `weights` and `golden` of the entry of files that were put."""
    weights, golden = files[WEIGHTS_SUFFIX], files[GOLDEN_SUFFIX]
    dtype = "float16" if is_half(model) else None
    return (
        WeightsFile(weights.file, weights.bytes, weights.sha256, dtype),
        ZooGolden(golden.file, golden.sha256),
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


def data_info(data: Dataset) -> ZooData:
    """What the manifest says of training data."""
    license = LICENSES.get(data.name, "unknown")
    return ZooData(data.name, data.version, data.split, license)


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
