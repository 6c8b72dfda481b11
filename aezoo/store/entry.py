"""`aezoo.json`: what a folder, or a repository on the Hub, says of its model.

It may come from others: it is data of bounded size, checked before anything is built.
Imports no Keras.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from aezoo.errors import ManifestError
from aezoo.manifest import (
    NO_FILES,
    SAMPLER_KINDS,
    BundledFile,
    DataInfo,
    GoldenFile,
    Metrics,
    ModelRecord,
    SamplerKind,
    TrainingInfo,
    WeightsEntry,
)
from aezoo.utils.files import is_folder, path_inside, read_file
from aezoo.utils.folders import restore
from aezoo.utils.records import Natural, Text, decode, plain, recast

if TYPE_CHECKING:
    from aezoo.modalities import Modality

# Names of files, in a folder as in a repository.
ENTRY, WEIGHTS, GOLDEN = "aezoo.json", "model.weights.h5", "golden.npz"
SAMPLERS = {kind: f"sampler_{kind}.npz" for kind in SAMPLER_KINDS}
SCHEMA_VERSION = 1
MAX_ENTRY_BYTES = 1_000_000
REMEDY = "Copy the folder again, or save the model again with `aezoo.save`."
_FLOATS = ("float32", "float64", "float16", "bfloat16")
DTYPES = (*_FLOATS, "mixed_float16", "mixed_bfloat16")
# Arguments that are descriptions: `aezoo.modalities.from_config` builds the first three
# from known kinds, and Keras the others in its safe mode.
_DESCRIBED = ("modality", "given", "actions", "encoder", "decoder")


def modality_of(entry: ModelRecord) -> "Modality":
    """What an example of a model is.

    Args:
        entry: The model's entry.

    Raises:
        ValueError: If it names no modality that there is.
    """
    from aezoo import modalities  # NumPy, which an entry alone does not need

    described = entry.arguments.get("modality")
    if described is None:
        return modalities.Image(*entry.input_shape)
    return modalities.from_config(described)


def given_of(entry: ModelRecord) -> "dict[str, Modality]":
    """What a model must be told beside examples; raises as `modality_of` does."""
    from aezoo import modalities

    return {
        name: modalities.from_config(config)
        for name, config in plain(entry.given).items()
    }


class FolderEntry(ModelRecord, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a folder's `aezoo.json` states, in the same words as the manifest.

    Fields that it does not have are ignored.

    Attributes:
        schema_version: Version of the format.
        name: Name of the model.
        weights: Weights file.
        golden: Golden tensors.
        samplers: Files of fitted samplers, by kind.
        metrics: Metrics by `dataset/split`, then by name.
        description: One sentence.
        license: Licence of the weights.
        data: Training data.
        backend: Keras backend that saved it.
        versions: Versions of libraries that saved it, by name.
        training: How the weights were made; of the zoo's.
        seed: Seed of the training; of the zoo's.
        recipe: Path of the recipe; of the zoo's.
        paper: URL of the paper behind the family; of the zoo's.
        origin: Where the model was converted from; None if it was not.
    """

    VERSION: ClassVar[int | None] = SCHEMA_VERSION

    schema_version: int
    name: Text
    weights: BundledFile
    golden: GoldenFile
    samplers: Mapping[SamplerKind, BundledFile] = msgspec.field(
        default_factory=lambda: NO_FILES
    )
    metrics: Metrics = msgspec.field(default_factory=dict)
    description: str | None = None
    license: str | None = None
    data: DataInfo | None = None
    backend: str | None = None
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)
    training: TrainingInfo | None = None
    seed: Natural | None = None
    recipe: str | None = None
    paper: str | None = None
    origin: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry as `aezoo.json` holds it."""
        fields = super().to_dict()
        head = {key: fields.pop(key) for key in ("schema_version", "name")}
        return {**head, **fields}


class ForeignEntry(ModelRecord, frozen=True, kw_only=True):
    """What is known of a model of another library, from its own files.

    Attributes:
        name: Name of the model.
        origin: Its class and library, and where it is from.
        weights: Its weights: the only file; or of several, the one that lists them,
            with their size and hash together.
        files: The files of weights.
        license: Licence of the weights, from the model's card.
        description: None: the file does not say.
        data: None: the file does not say.
        metrics: None of aezoo's.
        samplers: None.
    """

    name: Text
    origin: Text
    weights: BundledFile
    files: tuple[BundledFile, ...]
    license: str | None = None
    description: str | None = None
    data: DataInfo | None = None
    metrics: Metrics = msgspec.field(default_factory=dict)
    samplers: Mapping[SamplerKind, BundledFile] = msgspec.field(
        default_factory=lambda: NO_FILES
    )


# Of a model that is not of the zoo.
OwnEntry = FolderEntry | ForeignEntry


def published_entry(entry: WeightsEntry, **files: Any) -> FolderEntry:
    """A zoo's entry as its published folder states it: without its place on the Hub.

    Args:
        entry: The entry in the manifest.
        **files: `weights`, `golden` and `samplers`, with their names in the folder.
    """
    return recast(entry, FolderEntry, schema_version=SCHEMA_VERSION, **files)


def read_entry(folder: Path, root: Path | None = None) -> FolderEntry:
    """A folder's `aezoo.json`, checked; nothing else of the folder is opened.

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
    restore(folder)
    if not is_folder(folder):
        raise FileNotFoundError(
            f"There is no folder {folder}. Pass a folder that `aezoo.save` "
            "wrote, or a name from `aezoo.list_models()`."
        )
    path = path_inside(folder, ENTRY, root)
    try:
        content = read_file(path, MAX_ENTRY_BYTES)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}. {REMEDY}") from error
    if content is None:
        raise ManifestError(
            f"The folder {folder} has no {ENTRY}. Pass a folder that `aezoo.save` "
            "wrote; other Keras models are read by `keras.saving.load_model`."
        )
    if len(content) > MAX_ENTRY_BYTES:
        raise ManifestError(
            f"{path} must have at most {MAX_ENTRY_BYTES:,} bytes. Received: "
            f"more. {REMEDY}"
        )
    return parse_entry(content, str(path))


def weights_path(folder: Path, entry: "OwnEntry", root: Path | None = None) -> Path:
    """Where the weights of a folder are; they are checked when they are read.

    Args:
        folder: The folder.
        entry: Its entry.
        root: As in `read_entry`.

    Returns:
        The path under its own name, which a cache links to one that is a hash.

    Raises:
        UnsafeFileError: If the name leaves the folder.
    """
    path_inside(folder, entry.weights.file, root)
    return folder / entry.weights.file


def parse_entry(content: bytes, what: str, remedy: str = REMEDY) -> FolderEntry:
    """An entry from the content of its file.

    Args:
        content: The content.
        what: Where it is from; begins messages.
        remedy: What to do about it; ends messages.

    Raises:
        ManifestError: As `read_entry` does.
    """
    entry = decode(content, FolderEntry, what, remedy)
    try:
        check_config_values(entry.config)
    except ValueError as error:
        raise ManifestError(f"{what} is not valid: {error} {remedy}") from error
    return entry


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
                f"Received: {name}={value!r:.200}."
            )
    if config.get("dtype", DTYPES[0]) not in DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(map(repr, DTYPES))}. "
            f"Received: dtype={config['dtype']!r:.80}."
        )


def _is_plain(value: Any, depth: int = 2) -> bool:
    """Whether a value is a number, text, null, or lists of these so deep."""
    if isinstance(value, list | tuple) and depth:
        return all(_is_plain(part, depth - 1) for part in value)
    return value is None or isinstance(value, bool | int | float | str)
