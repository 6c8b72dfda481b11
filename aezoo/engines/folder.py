"""Opening a folder that `aezoo.export` wrote. Keras is for SavedModels alone."""

import functools
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from aezoo.engines.entry import (
    PRIOR,
    REMEDY,
    SAVED_MODEL,
    SUFFIXES,
    ExportEntry,
    graph_file,
    read_entry,
)
from aezoo.engines.model import ExportedModel, Function
from aezoo.errors import ManifestError
from aezoo.inference import priors
from aezoo.samplers import read_sampler
from aezoo.utils.archives import read_npz
from aezoo.utils.extras import check_installed
from aezoo.utils.files import path_inside, read_verified

MAX_PRIOR_BYTES = 50_000_000


class Functions(Mapping[str, Function]):
    """Functions by name, each of which is opened when it is first used.

    Args:
        open_graph: Opens the graph of a name.
        names: Names of all graphs.
    """

    def __init__(
        self, open_graph: Callable[[str], Function], names: tuple[str, ...]
    ) -> None:
        self._open_graph = open_graph
        self._names = names
        self._functions: dict[str, Function] = {}

    def __getitem__(self, name: str) -> Function:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._functions:
            self._functions[name] = self._open_graph(name)
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open_export(folder: Path) -> ExportedModel:
    """The model of a folder; files are read, and their hashes checked, on first use.

    Args:
        folder: The folder.

    Raises:
        ManifestError: If `export.json` is missing or invalid.
        ChecksumError: If a file is missing or another than it states.
        UnsafeFileError: If a name leaves the folder.
        MissingDependencyError: If the runtime of the format is not installed.
    """
    entry = read_entry(folder)
    absolute = folder.absolute()  # files are read later
    read = functools.partial(_read, absolute, entry)
    if entry.format in SUFFIXES:
        open_graph = runtime_of(entry.format)
        functions: Mapping[str, Function] = Functions(
            lambda name: open_graph(read(graph_file(name, entry.format)), name),
            tuple(entry.graphs),
        )
    else:
        from aezoo.engines.tensorflow_graphs import open_saved_model

        for file in entry.files:
            if file.file.startswith(f"{SAVED_MODEL}/"):
                read(file.file)
        functions = open_saved_model(absolute)
    prior = read(PRIOR) if any(f.file == PRIOR for f in entry.files) else None
    model = build(entry, functions, prior)
    model.samplers.read_later(
        {
            kind: functools.partial(
                read_sampler,
                path_inside(absolute, file.file),
                kind,
                model.latent_shape,
                file,
                REMEDY,
            )
            for kind, file in entry.samplers.items()
        }
    )
    return model


def runtime_of(format: str) -> Callable[[bytes, str], Function]:
    """What opens a graph of a format that has a file for each.

    Raises:
        MissingDependencyError: If its runtime is not installed.
    """
    if format == "onnx":
        check_installed("onnxruntime", "onnx", "The engine 'onnx'")
        from aezoo.engines.onnx_runtime import open_graph
    else:
        check_installed("ai_edge_litert", "litert", "What was exported to LiteRT")
        from aezoo.engines.litert_runtime import open_graph
    return open_graph


def build(
    entry: ExportEntry, functions: Mapping[str, Function], prior: bytes | None
) -> ExportedModel:
    """The model of an entry.

    Args:
        entry: The entry.
        functions: Its functions by name.
        prior: The file with the prior's arrays; None if it has none.

    Raises:
        ManifestError: If the prior is none.
    """
    if entry.prior is None:
        return ExportedModel(entry, functions)
    arrays = {}
    if prior is not None:
        arrays = read_npz(io.BytesIO(prior), MAX_PRIOR_BYTES, PRIOR, remedy=REMEDY)
    try:
        found = priors.from_parts(dict(entry.prior), arrays)
    except ValueError as error:
        raise ManifestError(f"{PRIOR} is not valid: {error} {REMEDY}") from error
    return ExportedModel(entry, functions, found)


def _read(folder: Path, entry: ExportEntry, name: str) -> bytes:
    for file in entry.files:
        if file.file == name:
            path = path_inside(folder, name)
            return read_verified(path, file.sha256, REMEDY, file.bytes)
    raise ManifestError(f"The folder {folder} states no file {name!r}. {REMEDY}")
