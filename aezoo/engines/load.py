"""`aezoo.load`: a model by its name, in Keras or as exported graphs.

Imports no Keras before a model needs it.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from aezoo.engines.entry import (
    PARTS,
    SCHEMA_VERSION,
    ExportEntry,
    is_export,
    is_only_exported,
)
from aezoo.engines.entry import read_entry as read_export
from aezoo.errors import ManifestError
from aezoo.manifest import WeightsEntry
from aezoo.store import reference
from aezoo.store.entry import OwnEntry
from aezoo.utils.extras import check_installed
from aezoo.utils.validation import check_choice

if TYPE_CHECKING:
    from aezoo.engines.model import ExportedModel
    from aezoo.models.autoencoder import Autoencoder

ENGINES = ("keras", "onnx")
# Of the graphs in the cache: another number where they are made in another way.
GRAPHS = 2


@overload
def load(
    name: str | os.PathLike[str],
    *,
    engine: Literal["keras"] = "keras",
    source: str = "auto",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> "Autoencoder": ...
@overload
def load(
    name: str | os.PathLike[str],
    *,
    engine: Literal["onnx"],
    source: str = "auto",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> "ExportedModel": ...
def load(
    name: str | os.PathLike[str],
    *,
    engine: str = "keras",
    source: str = "auto",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> Any:
    """A pretrained model, or one from a folder or the Hugging Face Hub, ready to use.

    The models in `aezoo.list_models()` are the same from all three places: bundled in
    the package, in the Hub's cache, on the Hub. Their SHA-256 in the manifest is
    checked on every load, and a pinned revision that is cached needs no request.
    Folders and repositories of others are data, never code: configuration and files
    are checked before anything is built, and only registered families are built. What
    diffusers and transformers saved is converted in memory, as docs/imports.md says.

    With `engine="onnx"` the model runs in ONNX Runtime and imports neither TensorFlow
    nor Keras, once it has been exported: the first call does that by Keras, and keeps
    the graphs by the hash of the weights in `$XDG_CACHE_HOME/aezoo/onnx`, by default
    in `~/.cache`. Folders of `aezoo.export` need no Keras at all.

    Args:
        name: A name from `aezoo.list_models()`, e.g. `"conv_vae_mnist_z16"`; or a
            folder that `aezoo.save` or `aezoo.export` wrote, or of diffusers or
            transformers: a `Path`, or text with a `/` or that names an existing
            folder; or such a folder on the Hub, `"hf://organisation/name"`,
            `"hf://organisation/name@revision"` or
            `"hf://organisation/name/subfolder"`.
        engine: What computes: `"keras"`, which also trains, or `"onnx"`.
        source: Where the weights of a name come from. `"bundled"`: the package.
            `"hub"`: the cache or the Hub, at the revision that the manifest pins.
            `"auto"`: the package if it has the file, else the Hub.
        revision: Branch, tag or commit on the Hub; of a name, one that holds the
            weights of the manifest.
        cache_dir: Cache of the Hub's client; None for its default.
        local_files_only: Take from the cache alone.
        token: Access token for private repositories; None for the one that
            `hf auth login` stored.

    Returns:
        A `keras.Model` with `reconstruct`, `encode`, `posterior`, `decode`, `sample`,
        `interpolate` and `traverse`; of another engine, an object with these methods.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        FileNotFoundError: If there is no such folder.
        HubError: If the Hub cannot give a file, or does not have the model; says what
            to do.
        ValueError: If `engine` or `source` is none of the above, or options contradict
            it or the kind of name.
        ChecksumError: If the weights file is corrupted, truncated, missing or another.
        ExportError: If the engine cannot hold the model; says why. A ValueError.
        ManifestError: If the manifest's or folder's entry is invalid, or does not fit
            the file.
        MissingDependencyError: If the engine is not installed.
        UnsafeFileError: If a file refers to data outside itself, or its name leaves
            its folder.

    Samplers that were fitted to the model are read, and their files checked, when
    `sample` first needs them.
    """
    check_choice("engine", engine, ENGINES)
    options: dict[str, Any] = {
        "revision": revision,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "token": token,
    }
    if engine == "onnx":
        return _load_exported(name, source, options)
    folder = reference.as_folder(name)
    if folder is not None and is_only_exported(folder):
        raise ManifestError(
            f"The folder {folder} holds exported graphs, which Keras does not read. "
            "Load it with `engine='onnx'`."
        )
    from aezoo.store.load import load as load_keras

    return load_keras(name, source=source, **options)


def _load_exported(
    name: str | os.PathLike[str], source: str, options: dict[str, Any]
) -> "ExportedModel":
    from aezoo.engines.folder import open_export

    check_installed("onnxruntime", "onnx", "The engine 'onnx'")
    folder = reference.as_folder(name)
    if folder is not None and is_export(folder):
        reference.refuse_hub_options(options, f"name={str(name)!r}")
        return open_export(folder)
    cache_dir = options["cache_dir"]
    places = {**options, "cache_dir": None if cache_dir is None else Path(cache_dir)}
    entry = reference.resolve(name, source, **places).entry()
    cached = cached_folder(entry)
    if not _is_whole(cached):
        from aezoo.engines.export import export_to_cache  # Keras
        from aezoo.store.load import load as load_keras

        model = load_keras(name, source=source, **options)
        export_to_cache(model, cached, entry.weights.sha256)
    return open_export(cached)


def cached_folder(entry: WeightsEntry | OwnEntry) -> Path:
    """Where the graphs of a model are kept: by its weights and configuration.

    Args:
        entry: What is known of the model.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    stated = [SCHEMA_VERSION, GRAPHS, list(PARTS), entry.family, entry.arguments]
    key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    weights = entry.weights.sha256
    return root / "aezoo" / "onnx" / f"{weights[:32]}-{key[:8]}"


def _is_whole(folder: Path) -> bool:
    """Whether there is a folder of graphs whose files have their sizes."""
    if not is_export(folder):
        return False
    try:
        entry: ExportEntry = read_export(folder)
        files = (*entry.files, *entry.samplers.values())
        return all((folder / f.file).stat().st_size == f.bytes for f in files)
    except (ManifestError, OSError):
        return False
