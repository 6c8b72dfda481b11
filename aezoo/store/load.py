"""Where weights come from, and how they become a model that can be trusted."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aezoo import manifest
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.manifest import ExtractorEntry, WeightsEntry
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import check_config, new_model
from aezoo.nn.backend import without_initialisation
from aezoo.samplers import Sampler, read_sampler
from aezoo.store import folder, remote
from aezoo.store import reference as sources
from aezoo.store.bounds import bounded
from aezoo.store.entry import ENTRY, MAX_ENTRY_BYTES, REMEDY, FolderEntry, read_entry
from aezoo.store.reference import as_folder, is_address
from aezoo.store.weights import StoredWeights
from aezoo.utils.files import path_inside, read_verified
from aezoo.utils.text import did_you_mean

WEIGHTS_FOLDER = manifest.PACKAGE / "weights"
_COPY_AGAIN = "Copy the file again."


def load(
    name: str | os.PathLike[str],
    *,
    source: str = "auto",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> Autoencoder:
    """A pretrained model, or one from a folder or the Hugging Face Hub, ready to use.

    The models in `aezoo.list_models()` are the same from all three places: bundled in
    the package, in the Hub's cache, on the Hub. Their SHA-256 in the manifest is
    checked on every load, and a pinned revision that is cached needs no request.
    Folders and repositories of others are data, never code: configuration and files
    are checked before anything is built, and only registered families are built.

    Args:
        name: A name from `aezoo.list_models()`, e.g. `"conv_vae_mnist_z16"`; or a
            folder that `aezoo.save` wrote: a `Path`, or text with a `/` or that names
            an existing folder; or such a folder on the Hub,
            `"hf://organisation/name"` or `"hf://organisation/name@revision"`.
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
        `interpolate` and `traverse`.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        FileNotFoundError: If there is no such folder.
        HubError: If the Hub cannot give a file, or does not have the model; says what
            to do.
        ValueError: If `source` is none of the above, or options contradict it or the
            kind of name.
        ChecksumError: If the weights file is corrupted, truncated, missing or another.
        ManifestError: If the manifest's or folder's entry is invalid, or does not fit
            the file.
        UnsafeFileError: If a file refers to data outside itself, or its name leaves
            its folder.

    Samplers that were fitted to the model are read, and their files checked, when
    `sample` first needs them.
    """
    if source not in sources.SOURCES:
        raise ValueError(
            f"`source` must be one of {', '.join(map(repr, sources.SOURCES))}. "
            f"Received: source={source!r}."
        )
    options = {
        "revision": revision,
        "cache_dir": None if cache_dir is None else Path(cache_dir),
        "local_files_only": local_files_only,
        "token": token,
    }
    found = find_folder(name, source, **options)
    if found is not None:
        return load_folder(*found)
    if name not in manifest.entries():
        raise UnknownModelError(
            f"Unknown model {name!r}."
            f"{did_you_mean(str(name), manifest.entries())} "
            "Call `aezoo.list_models()` for all names, or pass a folder that "
            f"`aezoo.save` wrote, e.g. {f'./{name}'!r}."
        )
    entry = manifest.describe(str(name))
    place = find_place(entry, source, **options)
    if place is None:
        model = load_entry(entry, bundled_weights(entry), bundle_remedy(entry))
    else:
        path = sources.fetch_weights(entry, place)
        model = load_entry(entry, path, sources.CACHE_REMEDY)
    _attach_samplers(model, entry, lambda kind: zoo_sampler(entry, kind, place))
    return model


def find_folder(
    name: str | os.PathLike[str], source: str = "auto", **options: Any
) -> tuple[Path, Path | None] | None:
    """The folder that `load(name)` reads, fetched if it is on the Hub.

    Args:
        name: As in `load`.
        source: As in `load`; must be `"auto"` for anything but a name of the zoo.
        **options: The other options of `load`.

    Returns:
        The folder, and what links in it must not leave, as `load_folder` takes them;
        None if `name` is of the zoo.

    Raises:
        ValueError: If options contradict the kind of name.
        HubError: As in `load`.
        ChecksumError: As in `load`.
        ManifestError: As in `load`.
        UnsafeFileError: As in `load`.
    """
    path = as_folder(name)
    if path is None and not is_address(name):
        return None
    if source != "auto":
        raise ValueError(
            "`source` belongs to names from `aezoo.list_models()`. Received: "
            f"source={source!r}, name={str(name)!r}."
        )
    if path is None:
        return remote.fetch_model(remote.parse_address(str(name), **options))
    _refuse_hub_options(options, f"name={str(name)!r}")
    return path, None


def find_place(
    entry: WeightsEntry, source: str = "auto", **options: Any
) -> remote.Place | None:
    """The place on the Hub from which a model of the zoo is loaded; None: the package.

    Args:
        entry: The model's entry.
        source: As in `load`.
        **options: The other options of `load`.

    Raises:
        ValueError: If `source` is `"bundled"` and an option of the Hub is given.
        HubError: If the model is not on the Hub.
        UnsafeFileError: If the entry names a file outside the package's folder.
    """
    if source == "bundled":
        _refuse_hub_options(options, f"source={source!r}")
        return None
    is_bundled = path_inside(WEIGHTS_FOLDER, entry.weights.file).is_file()
    is_needed = options.get("revision") or (
        sources.is_published(entry) and not is_bundled
    )
    if source == "auto" and not is_needed:
        return None
    return sources.place_of(entry, **options)


def _refuse_hub_options(options: dict[str, Any], received: str) -> None:
    for option, value in options.items():
        if value:
            raise ValueError(
                f"`{option}` belongs to models on the Hub: a name with `source='hub'`, "
                f"or 'hf://organisation/name'. Received: {received}."
            )


def bundled_weights(entry: WeightsEntry) -> Path:
    """Where the package has the weights file of a model.

    Raises:
        UnsafeFileError: If its name leaves the folder.
    """
    return path_inside(WEIGHTS_FOLDER, entry.weights.file)


def bundle_remedy(entry: WeightsEntry) -> str:
    """What to do about a weights file of the package that is damaged."""
    if sources.is_published(entry):
        return "Reinstall aezoo to restore it, or load with `source='hub'`."
    return "Reinstall aezoo to restore it."


def zoo_sampler(
    entry: WeightsEntry, kind: str, place: remote.Place | None = None
) -> Sampler:
    """A sampler of a model of the zoo: the package's file, or the Hub's.

    Args:
        entry: The model's entry.
        kind: Which.
        place: The model's place on the Hub, if it is loaded from there.

    Raises:
        ChecksumError: If the file is missing or another.
        HubError: If the Hub cannot give it.
        ManifestError: If it is no such sampler.
        UnsafeFileError: If its name leaves the folder.
    """
    file = entry.samplers[kind]
    path = path_inside(WEIGHTS_FOLDER, file.file)
    if place is not None and not path.is_file():
        path = sources.fetch_sampler(entry, kind, place)
    return read_sampler(
        path, kind, entry.latent_shape, file, "Reinstall aezoo to restore it."
    )


def _attach_samplers(
    model: Autoencoder,
    entry: WeightsEntry | FolderEntry,
    read: Callable[[str], Sampler],
) -> None:
    readers = {kind: functools.partial(read, kind) for kind in entry.samplers}
    model.samplers.read_later(readers)


def load_folder(path: Path, root: Path | None = None) -> Autoencoder:
    """The model of a folder that `aezoo.save` wrote; raises as `load` does.

    Entry and weights are those of one save, also where others save into the folder
    meanwhile: the entry states the hash of the bytes that are read.

    Args:
        path: The folder.
        root: What links in it must not leave; None for the folder itself.
    """
    entry, model = folder.of_one_state(path, root, lambda e: _build(e, path, root))
    absolute = path.absolute()  # read later, perhaps from another working folder
    _attach_samplers(
        model, entry, lambda kind: folder.sampler_of(absolute, entry, kind, root)
    )
    return model


def _build(entry: FolderEntry, path: Path, root: Path | None) -> Autoencoder:
    check_entry(entry)  # refused before the weights are even looked for
    return load_entry(entry, folder.weights_file(path, entry, root), REMEDY)


def load_entry(
    entry: WeightsEntry | FolderEntry, path: Path, remedy: str = _COPY_AGAIN
) -> Autoencoder:
    """Build the model of an entry and read its weights; the same checks for all.

    Args:
        entry: The entry.
        path: Its weights file, which is read once.
        remedy: What to do about a file that is damaged; ends the message.

    Raises:
        ChecksumError: If the file is missing, or its size or bytes are not the entry's.
        ManifestError: If the configuration is invalid, or entry and file disagree.
        UnsafeFileError: If the file refers to data outside itself.
    """
    return build_entry(entry, read_weights_file(entry, path, remedy), path)


def read_weights_file(
    entry: WeightsEntry | ExtractorEntry | FolderEntry, path: Path, remedy: str
) -> bytes:
    """The content of a weights file, once its size and hash are the entry's.

    Raises:
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is too small to hold the stated number of weights.
    """
    weights = entry.weights
    content = read_verified(path, weights.sha256, remedy, weights.bytes)
    if 2 * entry.num_params > weights.bytes:  # float16
        raise ManifestError(
            f"`num_params` must fit the weights file {path} of {weights.bytes:,} "
            f"bytes. Received: num_params={entry.num_params}. {remedy}"
        )
    return content


def build_entry(
    entry: WeightsEntry | FolderEntry, content: bytes, path: Path
) -> Autoencoder:
    """Build the model of an entry with the weights of a file whose hash is right.

    Args:
        entry: The entry.
        content: The file.
        path: Its path, for the messages.

    Raises:
        ManifestError: If the configuration is invalid, or entry and file disagree.
        UnsafeFileError: If the file refers to data outside itself.
    """
    weights = StoredWeights(content, entry.num_params, f"weights file {path}")
    check_entry(entry)
    try:
        with bounded(entry.arguments, entry.num_params):
            model = new_model(entry.family, **entry.arguments, name=entry.name)
            with without_initialisation(model, entry.num_params):
                model.build((None, *model.input_shape))
    except Exception as error:  # a hostile configuration may raise anything
        raise _invalid(entry, error) from error
    stated = (entry.input_shape, entry.latent_shape, entry.num_params)
    actual = (model.input_shape, model.latent_shape, model.count_params())
    if stated != actual:
        raise ManifestError(
            f"The {_kind(entry)} {entry.name!r} does not fit its configuration: "
            "expected (input_shape, latent_shape, num_params) = "
            f"{actual}, received {stated}."
        )
    weights.read_into(model, f"the {_kind(entry)} {entry.name!r}")
    return model


def find_entry(
    name: str | os.PathLike[str], **options: Any
) -> WeightsEntry | FolderEntry:
    """What is known of a model before it is loaded.

    Args:
        name: As in `load`. Of a repository, only its `aezoo.json` is fetched.
        **options: `revision`, `cache_dir`, `local_files_only` and `token` of `load`,
            for an address.

    Raises:
        UnknownModelError: As in `load`; and so for the other errors of an entry.
        TypeError: If an option is none of the above.
    """
    path = as_folder(name)
    if path is None and is_address(name):
        place = remote.parse_address(str(name), **options)
        file = remote.fetch(place, ENTRY, max_bytes=MAX_ENTRY_BYTES)
        return read_entry(file.parent, file.parents[2])
    _refuse_hub_options(options, f"name={str(name)!r}")
    return manifest.describe(str(name)) if path is None else read_entry(path)


def unbuilt_model(name: str | os.PathLike[str], **options: Any) -> Autoencoder:
    """The model of a name, folder or address as configured, without any weights.

    Args:
        name: As in `find_entry`.
        **options: As in `find_entry`.

    Raises:
        UnknownModelError: As in `load`; and so for the other errors of an entry.
        TypeError: If an option is none of the above.
    """
    entry = find_entry(name, **options)
    check_entry(entry)
    try:
        with bounded(entry.arguments, entry.num_params):
            return new_model(entry.family, **entry.arguments, name=entry.name)
    except Exception as error:  # as in `build_entry`
        raise _invalid(entry, error) from error


def check_entry(entry: WeightsEntry | FolderEntry) -> None:
    """Refuse an entry whose family is unknown, or does not know its `config`.

    Raises:
        ManifestError: If the family or an argument is unknown; names the closest.
    """
    try:
        check_config(entry.family, entry.config)
    except ValueError as error:
        raise _invalid(entry, error) from error


def _invalid(entry: WeightsEntry | FolderEntry, error: Exception) -> ManifestError:
    return ManifestError(
        f"The {_kind(entry)} {entry.name!r} does not describe a valid "
        f"{entry.family!r} model: {error}"
    )


def _kind(entry: WeightsEntry | FolderEntry) -> str:
    return "manifest entry" if isinstance(entry, WeightsEntry) else "folder's entry"
