"""A trained model as a folder: what Keras reads, and what aezoo checks before it does.

`config.json`, `metadata.json` and `model.weights.h5` are Keras's own layout.
`aezoo.json` adds the model's entry, with the hashes of weights and golden tensors;
`README.md` is its model card, with pictures drawn from the golden tensors.
Folders may come from others: they are data, never code.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import h5py
import keras
import numpy as np

from aezoo.errors import ChecksumError, ManifestError
from aezoo.manifest import (
    NO_FILES,
    BundledFile,
    DataInfo,
    GoldenFile,
    Metric,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.registry import find_family, list_families
from aezoo.samplers import KINDS, Sampler, read_sampler, write_sampler
from aezoo.store.card import ADDRESS, RECONSTRUCTION, SAMPLES, model_card, pictures
from aezoo.store.golden import golden_inputs, golden_tensors
from aezoo.utils.extras import installed_versions
from aezoo.utils.files import path_inside, sha256_of, verify_sha256

if TYPE_CHECKING:
    from aezoo.evaluation.report import Report

Metrics: TypeAlias = "Report | Mapping[str, Mapping[str, Metric]] | None"
SCHEMA_VERSION = 1
ENTRY, WEIGHTS, GOLDEN = "aezoo.json", "model.weights.h5", "golden.npz"
CONFIG, METADATA, CARD = "config.json", "metadata.json", "README.md"
REQUIRED = frozenset({ENTRY, WEIGHTS, GOLDEN, CONFIG, METADATA})
# Names of sampler files, by kind.
SAMPLERS = {kind: f"sampler_{kind}.npz" for kind in KINDS}
OPTIONAL = frozenset({SAMPLES, RECONSTRUCTION, *SAMPLERS.values()})
WRITTEN = REQUIRED | {CARD} | OPTIONAL
MAX_ENTRY_BYTES = 1_000_000
_FLOATS = ("float32", "float64", "float16", "bfloat16")
DTYPES = (*_FLOATS, "mixed_float16", "mixed_bfloat16")
REMEDY = "Copy the folder again, or save the model again with `aezoo.save`."
_PACKAGES = ("aezoo", "keras", "tensorflow", "jax")


@dataclasses.dataclass(frozen=True)
class FolderEntry:
    """What a folder's `aezoo.json` must state; the same words as in the manifest.

    Attributes:
        name: Name of the model.
        family: Family, as in `aezoo.create(family)`.
        config: The family's arguments, and the model's `dtype`.
        input_shape: Image shape `(height, width, channels)`.
        latent_shape: Shape of one code.
        num_params: Number of weights.
        weights: Weights file.
        golden: Golden tensors.
        samplers: Files of fitted samplers, by kind.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    input_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    num_params: int
    weights: BundledFile
    golden: GoldenFile
    samplers: Mapping[str, BundledFile] = dataclasses.field(
        default_factory=lambda: NO_FILES
    )


# --- Writing -------------------------------------------------------------------


def save(
    model: Autoencoder,
    folder: str | Path,
    *,
    overwrite: bool = False,
    description: str | None = None,
    license: str | None = None,
    metrics: Metrics = None,
    data: DataInfo | Mapping[str, str] | None = None,
) -> Path:
    """Save a trained model as a folder that `aezoo.load` and Keras read.

    The folder holds the weights without the optimiser, the configuration with the
    model's `dtype`, golden tensors by which `aezoo.verify` tells that the model still
    computes the same, the samplers that the model carries, and a model card with
    pictures. After `import aezoo`, plain
    `keras.saving.load_model(folder)` returns the same model. The folder appears only
    when it is complete; saving a model twice gives the same bytes.

    Args:
        model: A model of a registered family, trained or not.
        folder: The folder to create; its parent must exist.
        overwrite: Replace a folder that `save` wrote before. It keeps its old content
            if anything fails.
        description: One sentence about the model.
        license: Licence of the weights, e.g. `"Apache-2.0"`.
        metrics: What `aezoo.evaluate` returned, or metrics by `dataset/split`, then
            by name.
        data: The training data: its name, version, split and license.

    Returns:
        The folder.

    Raises:
        TypeError: If `model` is not a model of a registered family, or `metrics`
            holds something other than metrics.
        ValueError: If its weights or a metric are not finite, its configuration holds
            something other than JSON values, or `data` lacks a field.
        FileExistsError: If `folder` exists, and is not to be overwritten or holds
            files that `save` did not write.
        FileNotFoundError: If the parent folder does not exist.
        PermissionError: If the parent folder cannot be written.

    Example:
        >>> model = aezoo.create("dense_vae", latent_dim=2)
        >>> model = aezoo.load(aezoo.save(model, "my_vae"))
    """
    _check_model(model)
    target = Path(folder).resolve()
    _check_target(target, overwrite)
    config = {**model.config, "dtype": model.dtype_policy.name}
    check_config_values(config)
    stated = _metrics_fields(metrics), _data_fields(data)
    samplers = dict(model.samplers)  # read before a folder is replaced
    # A fresh copy has no optimiser, whose moments would treble the file.
    copy = new_model(model.family, **config, name=model.name)
    copy.build((None, *copy.input_shape))
    copy.set_weights(model.get_weights())

    with _replaced_folder(target) as path:
        write_keras_files(copy, path)
        np.savez_compressed(path / GOLDEN, **_golden(copy))
        entry = {
            "schema_version": SCHEMA_VERSION,
            "name": copy.name,
            "family": copy.family,
            "config": config,
            "description": description,
            "license": license,
            "input_shape": list(copy.input_shape),
            "value_range": [0.0, 1.0],
            "latent_shape": list(copy.latent_shape),
            "num_params": copy.count_params(),
            "tasks": list(copy.TASKS),
            "data": stated[1],
            "weights": {
                "file": WEIGHTS,
                "bytes": (path / WEIGHTS).stat().st_size,
                "sha256": sha256_of(path / WEIGHTS),
            },
            "golden": {"file": GOLDEN, "sha256": sha256_of(path / GOLDEN)},
            "metrics": stated[0],
            "backend": keras.backend.backend(),
            "versions": installed_versions(_PACKAGES),
        }
        for kind, sampler in samplers.items():
            write_sampler(sampler, path / SAMPLERS[kind])
            entry.setdefault("samplers", {})[kind] = sampler_fields(
                path / SAMPLERS[kind]
            )
        write_json(entry, path / ENTRY)
        write_card(path)
    return Path(folder)


def sampler_fields(path: Path) -> dict[str, Any]:
    """What an entry states of a sampler file."""
    size = path.stat().st_size
    return {"file": path.name, "bytes": size, "sha256": sha256_of(path)}


def write_keras_files(model: Autoencoder, folder: Path) -> None:
    """Write Keras's own files of a model, the same bytes each time.

    Keras writes the time as well, which it shows and never reads, and names of layers
    that it counts up within a process and never compares.

    Args:
        model: A model without an optimiser.
        folder: An existing folder.
    """
    with tempfile.TemporaryDirectory(prefix=".keras-", dir=folder) as scratch:
        path = Path(scratch)
        keras.saving.save_model(model, path, zipped=False)
        shutil.copy(path / CONFIG, folder / CONFIG)
        write_json({"keras_version": keras.__version__}, folder / METADATA)
        with (
            h5py.File(path / WEIGHTS, "r") as named,
            h5py.File(folder / WEIGHTS, "w") as unnamed,
        ):

            def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if isinstance(item, h5py.Dataset):
                    named.copy(item, unnamed, name)
                else:
                    unnamed.require_group(name)

            named.visititems(copy)


def write_card(folder: Path, address: str = ADDRESS) -> None:
    """Write the model card and its pictures, from entry and golden tensors.

    Args:
        folder: A folder with both files.
        address: What `aezoo.load` takes to load the model, for the card.
    """
    fields = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
    with np.load(folder / fields["golden"]["file"], allow_pickle=False) as golden:
        images = pictures(fields, golden)
    for name, content in images.items():
        (folder / name).write_bytes(content)
    text = str(model_card(fields, address))
    (folder / CARD).write_text(text, encoding="utf-8", newline="\n")


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file as all of a folder's are: one field a line, text as it is."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _metrics_fields(metrics: Any) -> dict[str, dict[str, Any]]:
    dataset = getattr(metrics, "dataset", None)
    if dataset is not None:  # one report of `aezoo.evaluate`
        metrics = {f"{dataset}/{metrics.split}": metrics}
    fields: dict[str, dict[str, Any]] = {}
    for key, group in (metrics or {}).items():
        for name, metric in group.items() if isinstance(group, Mapping) else [("", 0)]:
            if not isinstance(metric, Metric):
                raise TypeError(
                    "`metrics` must be what `aezoo.evaluate` returned, or `Metric`s by "
                    f"`dataset/split`, then by name. Received: {key}={group!r:.80}."
                )
            if not math.isfinite(metric.value):
                raise ValueError(
                    f"`metrics` must be finite. Received: {key}, {name}="
                    f"{metric.value}. Leave it out."
                )
            fields.setdefault(key, {})[name] = metric.to_dict()
    return fields


def _data_fields(data: DataInfo | Mapping[str, str] | None) -> dict[str, str] | None:
    if data is None:
        return None
    values = data.to_dict() if isinstance(data, DataInfo) else dict(data)
    names = DataInfo.__struct_fields__
    if set(values) != set(names) or not all(type(v) is str for v in values.values()):
        raise ValueError(
            f"`data` must have {', '.join(f'`{name}`' for name in names)} as text. "
            f"Received: data={values!r:.200}."
        )
    return {name: values[name] for name in names}


def _check_model(model: Any) -> None:
    is_ours = isinstance(model, Autoencoder) and model.family in list_families()
    if not is_ours or find_family(model.family).objective is not type(model):
        raise TypeError(
            "`model` must be a model of a registered family, not of a class of its "
            f"own. Received: model of type {type(model).__name__}. Save any other "
            "Keras model with `model.save('model.keras')`."
        )
    model.ensure_built()
    for weight in model.weights:
        if not np.isfinite(np.asarray(weight, "float32")).all():
            raise ValueError(
                f"`model` holds NaN or infinity. Received: weight {weight.path!r}. "
                "Its training has diverged: train again with a lower learning rate."
            )


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The folder {target.parent}, in which to save, does not exist. Create it "
            f"with `mkdir -p {target.parent}`."
        )
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(
            f"`folder` must be a folder, new or empty. Received: the file {target}. "
            "Choose another name."
        )
    found = {path.name for path in target.iterdir()}
    if found and not overwrite:
        raise FileExistsError(
            f"`folder` must be new or empty. Received: {target}, which holds "
            f"{len(found)} files. Choose another, or pass `overwrite=True`."
        )
    if found - WRITTEN:
        raise FileExistsError(
            f"`overwrite=True` replaces only what `aezoo.save` wrote. Received: "
            f"{target}, which also holds {', '.join(sorted(found - WRITTEN)[:3])}. "
            "Move them, or choose another folder."
        )


@contextlib.contextmanager
def _replaced_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `target` only when complete."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".aezoo-", dir=target.parent)
    except OSError as error:
        raise PermissionError(
            f"The folder {target.parent}, in which to save, cannot be written: "
            f"{error}. Choose another."
        ) from error
    with scratch:
        new = Path(scratch.name) / target.name
        new.mkdir()
        yield new
        for path in new.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        # Outside `scratch`, so that no failure between the two steps removes it.
        old = target.parent / f"{Path(scratch.name).name}-old"
        try:
            if target.exists():
                target.rename(old)
            new.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _golden(model: Autoencoder) -> dict[str, Any]:
    return golden_tensors(model, golden_inputs(model))


# --- Reading -------------------------------------------------------------------


def read_entry(folder: Path, root: Path | None = None) -> FolderEntry:
    """A folder's `aezoo.json`, checked; nothing else of the folder is opened.

    Fields that a `FolderEntry` does not have are ignored.

    Args:
        folder: The folder.
        root: What links in it must not leave; None for the folder itself. The cache
            of the Hub's client links from a snapshot to the files beside it.

    Raises:
        FileNotFoundError: If there is no such folder.
        ManifestError: If there is no `aezoo.json`, or it is too large, not JSON, of
            another schema version, lacks a field or has a value of the wrong type.
        UnsafeFileError: If it is a link out of the folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. Pass a folder that `aezoo.save` wrote, or "
            "a name from `aezoo.list_models()`."
        )
    path = path_inside(folder, ENTRY, root)
    if not path.is_file():
        raise ManifestError(
            f"The folder {folder} has no {ENTRY}. Pass a folder that `aezoo.save` "
            "wrote; other Keras models are read by `keras.saving.load_model`."
        )
    size = path.stat().st_size
    if size > MAX_ENTRY_BYTES:
        raise ManifestError(
            f"{path} must have at most {MAX_ENTRY_BYTES:,} bytes. Received: "
            f"{size:,} bytes. {REMEDY}"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON: {error}. {REMEDY}") from error
    if not isinstance(document, dict):
        raise ManifestError(
            f"{path} must be a JSON object. Received: {type(document).__name__}. "
            f"{REMEDY}"
        )
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ManifestError(
            f"{path} must have `schema_version` {SCHEMA_VERSION}. Received: "
            f"schema_version={version!r}. Upgrade aezoo if the folder is newer."
        )
    try:
        return _parse(document)
    except ValueError as error:
        raise ManifestError(f"{path} is not a valid entry: {error} {REMEDY}") from error


def weights_path(folder: Path, entry: FolderEntry, root: Path | None = None) -> Path:
    """The weights file of a folder, once its size and hash are as stated.

    Raises:
        UnsafeFileError: If its name leaves the folder.
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is too small to hold the stated number of weights.
    """
    path_inside(folder, entry.weights.file, root)
    path = folder / entry.weights.file  # unresolved: Keras wants the name's suffix
    weights = entry.weights
    if path.is_file() and path.stat().st_size != weights.bytes:
        raise ChecksumError(
            f"The file {path} does not match {ENTRY}: expected {weights.bytes:,} "
            f"bytes, received {path.stat().st_size:,}. {REMEDY}"
        )
    verify_sha256(path, weights.sha256, REMEDY)
    if entry.num_params > weights.bytes:
        raise ManifestError(
            f"`num_params` must fit the weights file {path} of {weights.bytes:,} "
            f"bytes. Received: num_params={entry.num_params}. {REMEDY}"
        )
    return path


def sampler_of(
    folder: Path, entry: FolderEntry, kind: str, root: Path | None = None
) -> Sampler:
    """A sampler of a folder, once its size and hash are as stated.

    Raises:
        UnsafeFileError: If its name leaves the folder.
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is no sampler of that kind for the model's codes.
    """
    file = entry.samplers[kind]
    path = path_inside(folder, file.file, root)
    return read_sampler(path, kind, entry.latent_shape, file, REMEDY)


# Arguments that are descriptions: `aezoo.modalities.from_config` builds the first from
# known kinds, and Keras the others in its safe mode.
_DESCRIBED = ("modality", "encoder", "decoder")


def check_config_values(config: Mapping[str, Any]) -> None:
    """Refuse arguments from which Keras could build more than a family does.

    Activations and dtypes may be names; as objects they could name any class.

    Raises:
        ValueError: If a value is not a number, text, null, a list of these or a list
            of such lists, or `dtype` is not the name of a floating-point policy.
    """
    for name, value in config.items():
        if name in _DESCRIBED and isinstance(value, Mapping):
            continue  # built from its own checked kinds alone
        if not _is_plain(value):
            raise ValueError(
                f"`config` must hold numbers, text, null, or lists of these. "
                f"Received: {name}={value!r}."
            )
    if config.get("dtype", DTYPES[0]) not in DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(map(repr, DTYPES))}. "
            f"Received: dtype={config['dtype']!r}."
        )


def _parse(fields: Mapping[str, Any]) -> FolderEntry:
    weights, golden = _field(fields, "weights", dict), _field(fields, "golden", dict)
    config = _field(fields, "config", dict)
    check_config_values(config)
    return FolderEntry(
        name=_field(fields, "name", str),
        family=_field(fields, "family", str),
        config=config,
        input_shape=_shape(fields, "input_shape"),
        latent_shape=_shape(fields, "latent_shape"),
        num_params=_field(fields, "num_params", int),
        weights=BundledFile(
            file=_field(weights, "file", str, "weights."),
            bytes=_field(weights, "bytes", int, "weights."),
            sha256=_sha256(weights, "weights."),
        ),
        golden=GoldenFile(
            file=_field(golden, "file", str, "golden."),
            sha256=_sha256(golden, "golden."),
        ),
        samplers=_sampler_files(fields),
    )


def _sampler_files(fields: Mapping[str, Any]) -> dict[str, BundledFile]:
    if "samplers" not in fields:
        return {}
    files = {}
    for kind in _field(fields, "samplers", dict):
        if kind not in KINDS:
            raise ValueError(
                f"`samplers` must be of the kinds {', '.join(map(repr, KINDS))}. "
                f"Received: {kind!r:.80}. Upgrade aezoo if the folder is newer."
            )
        group = f"samplers.{kind}."
        file = _field(fields["samplers"], kind, dict, "samplers.")
        files[kind] = BundledFile(
            file=_field(file, "file", str, group),
            bytes=_field(file, "bytes", int, group),
            sha256=_sha256(file, group),
        )
    return files


def _field(fields: Mapping[str, Any], name: str, kind: type, group: str = "") -> Any:
    if name not in fields:
        raise ValueError(f"`{group}{name}` is missing.")
    if type(fields[name]) is not kind:  # not isinstance: True is no size
        raise ValueError(
            f"`{group}{name}` must be of type {kind.__name__}. "
            f"Received: {fields[name]!r:.80}."
        )
    return fields[name]


def _shape(fields: Mapping[str, Any], name: str) -> tuple[int, ...]:
    values = _field(fields, name, list)
    if not all(type(value) is int for value in values):
        raise ValueError(f"`{name}` must be a list of int. Received: {values!r:.80}.")
    return tuple(values)


def _sha256(fields: Mapping[str, Any], group: str) -> str:
    value: str = _field(fields, "sha256", str, group)
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(
            f"`{group}sha256` must be 64 hexadecimal digits. Received: {value!r:.80}."
        )
    return value


def _is_plain(value: Any, depth: int = 2) -> bool:
    """Whether a value is a number, text, null, or lists of these so deep."""
    if isinstance(value, list) and depth:
        return all(_is_plain(part, depth - 1) for part in value)
    return value is None or isinstance(value, bool | int | float | str)
