"""A trained model as a folder: what Keras reads, and what aezoo checks before it does.

`config.json`, `metadata.json` and `model.weights.h5` are Keras's own layout.
`aezoo.json` adds the model's entry, with the hashes of weights and golden tensors;
`README.md` is its model card, with pictures drawn from the golden tensors.
Folders may come from others: they are data, never code.
"""

import io
import json
import math
import numbers
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import keras
import numpy as np

from aezoo.errors import ChecksumError
from aezoo.manifest import (
    BundledFile,
    DataInfo,
    GoldenFile,
    Metric,
)
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.nn.weights import keras_files
from aezoo.registry import find_family, list_families
from aezoo.samplers import Sampler, read_sampler, sampler_bytes
from aezoo.store.card import ADDRESS, RECONSTRUCTION, SAMPLES, model_card, pictures
from aezoo.store.entry import (
    ENTRY,
    GOLDEN,
    REMEDY,
    SAMPLERS,
    SCHEMA_VERSION,
    WEIGHTS,
    FolderEntry,
    check_config_values,
    parse_entry,
    read_entry,
)
from aezoo.store.golden import golden_inputs, golden_tensors
from aezoo.utils.extras import installed_versions
from aezoo.utils.files import (
    path_inside,
    sha256_hex,
    write_file,
)
from aezoo.utils.folders import restore, write_folder

if TYPE_CHECKING:
    from aezoo.evaluation.report import Report

Metrics: TypeAlias = "Report | Mapping[str, Mapping[str, Metric]] | None"
CONFIG, METADATA, CARD = "config.json", "metadata.json", "README.md"
REQUIRED = frozenset({ENTRY, WEIGHTS, GOLDEN, CONFIG, METADATA})
OPTIONAL = frozenset({SAMPLES, RECONSTRUCTION, *SAMPLERS.values()})
WRITTEN = REQUIRED | {CARD} | OPTIONAL
# At reading a folder that others keep replacing.
ATTEMPTS = 20
_Result = TypeVar("_Result")
_PACKAGES = ("aezoo", "keras", "tensorflow", "jax", "torch")


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
            if anything fails, and its mode and the modes of its files in any case.
        description: One sentence about the model.
        license: Licence of the weights, e.g. `"Apache-2.0"`; None for that of the
            model which was loaded.
        metrics: What `aezoo.evaluate` returned, or metrics by `dataset/split`, then
            by name.
        data: The training data: its name, version, split and license.

    Returns:
        The folder.

    Raises:
        TypeError: If `model` is not a model of a registered family, `metrics` holds
            something other than metrics, or a text is none.
        ValueError: If its weights or a metric are not finite, its configuration holds
            something other than JSON values, `data` lacks a field, `folder` is the
            working folder, or this version of Keras does not write every weight.
        FileExistsError: If `folder` exists, and is not to be overwritten or holds
            files that `save` did not write.
        FileNotFoundError: If the parent folder does not exist.
        DiskError: If the disk is full or the parent folder cannot be written; the
            model and the old folder are as they were.

    Example:
        >>> model = aezoo.create("dense_vae", latent_dim=2)
        >>> model = aezoo.load(aezoo.save(model, "my_vae"))
    """
    _check_model(model)
    model.check_can_be_saved()
    target = target_of(folder)
    check_target(target, overwrite)
    _check_texts(description=description, license=license)
    config = {**model.config, "dtype": model.dtype_policy.name}
    check_config_values(config)
    stated = _metrics(metrics), _data(data)
    samplers = dict(model.samplers)  # read before a folder is replaced
    # A fresh copy has no optimiser, whose moments would treble the file.
    copy = new_model(model.family, **config, name=model.name)
    copy.build((None, *copy.input_shape))
    copy.set_weights(model.get_weights())

    files = keras_copy_files(copy)
    files[GOLDEN] = _golden(copy)
    files |= {SAMPLERS[kind]: sampler_bytes(s) for kind, s in samplers.items()}
    entry = FolderEntry(
        schema_version=SCHEMA_VERSION,
        name=copy.name,
        family=copy.family,
        config=config,
        description=description,
        license=model.license if license is None else license,
        origin=model.origin,
        input_shape=copy.input_shape,
        value_range=(0.0, 1.0),
        latent_shape=copy.latent_shape,
        num_params=copy.count_params(),
        tasks=copy.TASKS,
        given=stated_conditions(copy),
        data=stated[1],
        weights=file_record(WEIGHTS, files[WEIGHTS]),
        golden=GoldenFile(GOLDEN, sha256_hex(files[GOLDEN])),
        metrics=stated[0],
        backend=keras.backend.backend(),
        versions=installed_versions(_PACKAGES),
        samplers={
            kind: file_record(SAMPLERS[kind], files[SAMPLERS[kind]])
            for kind in samplers
        },
    )
    files[ENTRY] = entry_bytes(entry)
    files |= card_files(entry, files[GOLDEN])
    write_folder(target, files, WRITTEN, lambda: check_target(target, overwrite))
    return Path(folder)


def stated_conditions(model: Autoencoder) -> dict[str, Any]:
    """What entries state of what a model must be told."""
    return {name: model.given[name].to_config() for name in model.required_conditions}


def file_record(name: str, content: bytes) -> BundledFile:
    """What an entry states of a file."""
    return BundledFile(name, len(content), sha256_hex(content))


def entry_bytes(entry: FolderEntry) -> bytes:
    """An entry as `aezoo.json` holds it, once it is known to be read again.

    Raises:
        ManifestError: If it breaks a rule of its record; says which.
        ValueError: If a text is none, but half of a letter.
    """
    content = json_bytes(entry.to_dict())
    parse_entry(content, "What is to be saved", "Pass another.")
    return content


def keras_copy_files(model: Autoencoder) -> dict[str, bytes]:
    """Keras's own files of a model, the same bytes each time.

    Keras writes the time as well, which it shows and never reads.

    Args:
        model: A model without an optimiser.
    """
    metadata = json_bytes({"keras_version": keras.__version__})
    config, weights = keras_files(model)
    return {CONFIG: config, WEIGHTS: weights, METADATA: metadata}


def card_files(
    entry: FolderEntry, golden: bytes, address: str = ADDRESS
) -> dict[str, bytes]:
    """The model card and its pictures.

    Args:
        entry: The entry.
        golden: The golden file that it states.
        address: What `aezoo.load` takes to load the model.
    """
    with np.load(io.BytesIO(golden), allow_pickle=False) as tensors:
        files = dict(pictures(entry, tensors))
    return {**files, CARD: str(model_card(entry, address)).encode()}


def write_card(folder: Path, address: str = ADDRESS) -> None:
    """Write the model card and its pictures, from entry and golden tensors.

    Args:
        folder: A folder with both files.
        address: What `aezoo.load` takes to load the model, for the card.
    """
    entry = read_entry(folder)
    golden = (folder / entry.golden.file).read_bytes()
    for name, content in card_files(entry, golden, address).items():
        write_file(folder / name, content)


def json_bytes(value: Any) -> bytes:
    """A JSON file as all of a folder's are: one field a line, text as it is.

    Raises:
        ValueError: If a text is none, but half of a letter.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "Texts must be valid Unicode. Received: a lone surrogate in "
            f"{error.object[error.start : error.end]!a}. Decode them again, with "
            "the right encoding."
        ) from error


def _metrics(metrics: Any) -> dict[str, dict[str, Metric]]:
    dataset = getattr(metrics, "dataset", None)
    if dataset is not None:  # one report of `aezoo.evaluate`
        metrics = {f"{dataset}/{metrics.split}": metrics}
    found: dict[str, dict[str, Metric]] = {}
    for key, group in _items(metrics, f"metrics={metrics!r:.80}"):
        for name, metric in _items(group, f"{key}={group!r:.80}"):
            texts = (
                key,
                name,
                *(getattr(metric, n, None) for n in ("unit", "protocol")),
            )
            value = getattr(metric, "value", None)
            if (
                not isinstance(metric, Metric)
                or not all(isinstance(text, str) for text in texts)
                or not isinstance(value, numbers.Real)
            ):
                raise _no_metrics(f"{key}={group!r:.80}")
            if not math.isfinite(value):
                raise ValueError(
                    f"`metrics` must be finite. Received: {key}, {name}={value}. Leave "
                    "it out."
                )
            found.setdefault(key, {})[name] = metric
    return found


def _items(metrics: Any, received: str) -> Any:
    if metrics is not None and not isinstance(metrics, Mapping):
        raise _no_metrics(received)
    return (metrics or {}).items()


def _no_metrics(received: str) -> TypeError:
    return TypeError(
        "`metrics` must be what `aezoo.evaluate` returned, or `Metric`s by "
        f"`dataset/split`, then by name. Received: {received}."
    )


def _data(data: DataInfo | Mapping[str, str] | None) -> DataInfo | None:
    if data is None:
        return None
    values = data.to_dict() if isinstance(data, DataInfo) else data
    names = DataInfo.__struct_fields__
    if (
        not isinstance(values, Mapping)
        or set(values) != set(names)
        or not all(type(value) is str for value in values.values())
    ):
        raise ValueError(
            f"`data` must have {', '.join(f'`{name}`' for name in names)} as text. "
            f"Received: data={values!r:.200}."
        )
    return DataInfo(**values)


def _check_texts(**texts: Any) -> None:
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"`{name}` must be text or None. Received: {name}={value!r:.80}."
            )


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


def target_of(folder: str | Path) -> Path:
    """Where to save, without links; raises ValueError if that cannot be."""
    try:
        target = Path(folder).resolve()
        is_working_folder = target.exists() and target.samefile(Path.cwd())
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle, NUL
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"`folder` must be a path. Received: folder={str(folder)!r:.80}: {reason}. "
            "Choose another."
        ) from error
    if is_working_folder:
        raise ValueError(
            "`folder` must not be the working folder, which would be replaced under "
            f"this process. Received: folder={str(folder)!r}. Choose one in it, e.g. "
            "'model'."
        )
    restore(target)
    return target


def check_target(
    target: Path,
    overwrite: bool,
    written: Collection[str] = WRITTEN,
    writer: str = "aezoo.save",
) -> None:
    """Refuse a folder that must not be written.

    Args:
        target: What `target_of` gave.
        overwrite: Whether a folder that `writer` wrote may be replaced.
        written: Names of all files that may be in such a folder.
        writer: Which function writes it.

    Raises:
        FileExistsError: If it exists, and is not to be overwritten or holds others.
        FileNotFoundError: If the folder above does not exist.
    """
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
    others = sorted(found.difference(written))
    if others:
        raise FileExistsError(
            f"`overwrite=True` replaces only what `{writer}` wrote. Received: "
            f"{target}, which also holds {', '.join(others[:3])}. "
            "Move them, or choose another folder."
        )


def _golden(model: Autoencoder) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **golden_tensors(model, golden_inputs(model)))  # type: ignore[arg-type]
    return file.getvalue()


# --- Reading -------------------------------------------------------------------


def of_one_state(
    folder: Path, root: Path | None, read: Callable[[FolderEntry], _Result]
) -> tuple[FolderEntry, _Result]:
    """The entry of a folder, and what is read by it, although others may save into it.

    Args:
        folder: The folder.
        root: As in `read_entry`.
        read: Reads files of the folder, and raises ChecksumError if one is not what
            the entry states.

    Raises:
        ChecksumError: If a file is not what the entry states, and the entry stays.
        ManifestError: As in `read_entry`, and whatever else `read` raises.
    """
    entry = read_entry(folder, root)
    for _ in range(ATTEMPTS):
        try:
            return entry, read(entry)
        except ChecksumError:
            before, entry = entry, read_entry(folder, root)
            if before == entry:
                raise
    return entry, read(entry)


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
