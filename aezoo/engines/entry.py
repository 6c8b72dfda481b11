"""`export.json`: what a folder that `aezoo.export` wrote says of its model and graphs.

It may come from others: it is data of bounded size, checked before anything is opened.
Imports no Keras.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from aezoo import modalities
from aezoo.errors import ManifestError
from aezoo.manifest import (
    NO_FILES,
    SAMPLER_KINDS,
    BundledFile,
    FamilyName,
    SamplerKind,
    Task,
)
from aezoo.modalities import Modality
from aezoo.store.entry import ENTRY as MODEL_ENTRY
from aezoo.store.entry import MAX_ENTRY_BYTES
from aezoo.utils.files import is_folder, path_inside, read_file
from aezoo.utils.folders import restore
from aezoo.utils.records import (
    Natural,
    Record,
    Sha256,
    Shape,
    Text,
    decode,
    matching,
)

ENTRY, PRIOR, SAVED_MODEL = "export.json", "prior.npz", "saved_model"
SAMPLERS = {kind: f"sampler_{kind}.npz" for kind in SAMPLER_KINDS}
SCHEMA_VERSION = 1
# Of formats with a file for each graph.
SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
REMEDY = "Export the model again with `aezoo.export`."
# What people ask for, and the graphs that it takes; those after the first one of a part
# are left out where they cannot be made.
PARTS: dict[str, tuple[str, ...]] = {
    "encode": ("encode", "encode_parameters", "sample_posterior", "log_prob"),
    "decode": ("decode",),
    "reconstruct": ("reconstruct",),
    "sample": ("decode", "draw_elements", "write"),
}
NEEDED = tuple(graphs[0] for graphs in PARTS.values())
# Begins the names of a posterior's parameters in graphs.
PARAMETER = "posterior_"
# Of noise that a graph takes as an input, by the name of the input.
NORMAL, UNIFORM = "normal_noise", "uniform_noise"
GraphName = Annotated[str, matching("[a-z_]+")]


class Port(Record, frozen=True):
    """An input or an output of a graph, whose first axis is always the batch.

    Attributes:
        name: Its name in the graph.
        dtype: Of its numbers.
        shape: Of one row.
    """

    name: Annotated[str, matching("[a-z_]+")]
    dtype: Annotated[str, matching("float32|int32|float16")]
    shape: tuple[Natural, ...]


class GraphRecord(Record, frozen=True):
    """One function of a model.

    Attributes:
        inputs: What it takes, in this order.
        outputs: What it gives.
        description: In words.
    """

    inputs: Annotated[tuple[Port, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[Port, ...], Meta(min_length=1)]
    description: Text


class ExportEntry(Record, frozen=True, kw_only=True):
    """What `export.json` states.

    Attributes:
        schema_version: Version of the format.
        name: Name of the model.
        family: Its family.
        format: Of the graphs: `"onnx"`, `"litert"` or `"saved_model"`.
        parts: What people can ask of it.
        modality: What an example is, as `aezoo.modalities.from_config` takes it.
        given: What the model is told besides, modalities by name.
        required: Names in `given` without which nothing can be computed.
        latent_shape: Shape of one code.
        tasks: As in `aezoo.describe`.
        codes: `"continuous"`, `"discrete"` or `"mixed"`.
        network: Kind of the network.
        has_levels: Whether a code holds latents that depend on those before.
        is_autoregressive: Whether the decoder writes one element after another.
        graphs: The functions, by name.
        left_out: Why a function is not there, by name.
        prior: The prior's kind and numbers; None if the model has none.
        samplers: Files of fitted samplers, by kind.
        files: All other files.
        tolerance: Largest deviation from the golden tensors that was let pass.
        deviation: The largest that was found.
        source: SHA-256 of the weights file that it was made of; None if of a model in
            memory.
        license: Licence of the weights.
        versions: Versions of the libraries that wrote it.
    """

    VERSION: ClassVar[int | None] = SCHEMA_VERSION

    schema_version: int
    name: Text
    family: FamilyName
    format: Annotated[str, matching("onnx|litert|saved_model")]
    parts: Annotated[tuple[Text, ...], Meta(min_length=1)]
    modality: Mapping[str, Any]
    given: Mapping[GraphName, Mapping[str, Any]]
    latent_shape: Shape
    tasks: Annotated[tuple[Task, ...], Meta(min_length=1)]
    codes: Annotated[str, matching("continuous|discrete|mixed")]
    network: Text
    has_levels: bool
    is_autoregressive: bool
    graphs: Annotated[Mapping[GraphName, GraphRecord], Meta(min_length=1)]
    left_out: Mapping[GraphName, Text]
    files: tuple[BundledFile, ...]
    tolerance: float
    deviation: float
    required: tuple[GraphName, ...] = ()
    prior: Mapping[str, Any] | None = None
    samplers: Mapping[SamplerKind, BundledFile] = msgspec.field(
        default_factory=lambda: NO_FILES
    )
    source: Sha256 | None = None
    license: str | None = None
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)

    def example_modality(self) -> Modality:
        """What an example is.

        Raises:
            ManifestError: If it is no known modality.
        """
        return _modality(self.modality)

    def given_modalities(self) -> dict[str, Modality]:
        """What the model is told besides; raises as `example_modality` does."""
        return {name: _modality(config) for name, config in self.given.items()}


def _modality(config: Mapping[str, Any]) -> Modality:
    try:
        return modalities.from_config(dict(config))
    except ValueError as error:
        raise ManifestError(f"{ENTRY} is not valid: {error} {REMEDY}") from error


def graph_file(name: str, format: str = "onnx") -> str:
    """The file of a graph, in a format that has one for each."""
    return f"{name}{SUFFIXES[format]}"


def is_export(folder: Path) -> bool:
    """Whether a folder is one that `aezoo.export` wrote."""
    restore(folder)
    return is_folder(folder) and (folder / ENTRY).is_file()


def is_only_exported(folder: Path) -> bool:
    """Whether a folder holds exported graphs, and no model that Keras reads."""
    return is_export(folder) and not (folder / MODEL_ENTRY).is_file()


def read_entry(folder: Path) -> ExportEntry:
    """A folder's `export.json`, checked; nothing else of the folder is opened.

    Args:
        folder: The folder.

    Raises:
        ManifestError: If it is missing, too large, no JSON, or breaks a rule.
        UnsafeFileError: If it is a link out of the folder.
    """
    path = path_inside(folder, ENTRY)
    content = read_file(path, MAX_ENTRY_BYTES)
    if content is None or len(content) > MAX_ENTRY_BYTES:
        raise ManifestError(
            f"The folder {folder} has no {ENTRY} of at most {MAX_ENTRY_BYTES:,} bytes. "
            f"Pass a folder that `aezoo.export` wrote. {REMEDY}"
        )
    return parse_entry(content, str(path))


def parse_entry(content: bytes, what: str = ENTRY) -> ExportEntry:
    """An entry from the content of its file; raises as `read_entry` does."""
    return decode(content, ExportEntry, what, REMEDY)
