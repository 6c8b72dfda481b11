"""Where weights come from, and how they become a model that can be trusted."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aezoo.errors import ManifestError
from aezoo.manifest import REINSTALL, WeightsEntry
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import check_config
from aezoo.nn.weights import StoredWeights, read_weights_file
from aezoo.samplers import Sampler, read_sampler
from aezoo.store import folder
from aezoo.store.empty import empty, unbuilt
from aezoo.store.entry import REMEDY, FolderEntry, OwnEntry, weights_path
from aezoo.store.foreign import reading
from aezoo.store.foreign.build import build
from aezoo.store.reference import (
    find_entry,
    remedy,
    resolve,
    sampler_file,
    weights_file,
)
from aezoo.store.remote import Place

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
    """The Keras model of a name: `aezoo.load` with `engine="keras"`.

    Args:
        name: As there.
        source: As there.
        revision: As there.
        cache_dir: As there.
        local_files_only: As there.
        token: As there.

    Raises:
        AezooError: As there.
    """
    reference = resolve(
        name,
        source,
        revision=revision,
        cache_dir=None if cache_dir is None else Path(cache_dir),
        local_files_only=local_files_only,
        token=token,
    )
    if reference.zoo is None:
        return load_folder(*reference.model_folder())
    entry, place = reference.zoo, reference.place
    model = load_entry(entry, weights_file(entry, place), remedy(entry, place))
    _attach_samplers(model, entry, lambda kind: zoo_sampler(entry, kind, place))
    return model


def zoo_sampler(entry: WeightsEntry, kind: str, place: Place | None = None) -> Sampler:
    """A sampler of a model of the zoo.

    Args:
        entry: The model's entry.
        kind: Which.
        place: As in the model's `Reference`.

    Raises:
        ChecksumError: If the file is missing or another.
        HubError: If the Hub cannot give it.
        ManifestError: If it is no such sampler.
        UnsafeFileError: If its name leaves the folder.
    """
    path, file = sampler_file(entry, kind, place), entry.samplers[kind]
    return read_sampler(path, kind, entry.latent_shape, file, REINSTALL)


def _attach_samplers(
    model: Autoencoder,
    entry: WeightsEntry | FolderEntry,
    read: Callable[[str], Sampler],
) -> None:
    readers = {kind: functools.partial(read, kind) for kind in entry.samplers}
    model.samplers.read_later(readers)


def load_folder(path: Path, root: Path | None = None) -> Autoencoder:
    """The model of a folder, ours or of another library; raises as `load` does.

    Entry and weights are those of one save, also where others save into the folder
    meanwhile: the entry states the hash of the bytes that are read.

    Args:
        path: The folder.
        root: What links in it must not leave; None for the folder itself.
    """
    if reading.is_foreign(path):
        return build(reading.read(path, root))
    entry, model = folder.of_one_state(path, root, lambda e: _build(e, path, root))
    model.origin, model.license = entry.origin, entry.license
    absolute = path.absolute()  # read later, perhaps from another working folder
    _attach_samplers(
        model, entry, lambda kind: folder.sampler_of(absolute, entry, kind, root)
    )
    return model


def _build(entry: FolderEntry, path: Path, root: Path | None) -> Autoencoder:
    check_entry(entry)  # refused before the weights are even looked for
    return load_entry(entry, weights_path(path, entry, root), REMEDY)


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
        model = empty(entry)
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


def unbuilt_model(name: str | os.PathLike[str], **options: Any) -> Autoencoder:
    """The model of a name, folder or address as configured, without any weights.

    Args:
        name: As in `reference.find_entry`.
        **options: As in `reference.find_entry`.

    Raises:
        UnknownModelError: As in `load`; and so for the other errors of an entry.
        TypeError: If an option is none of the above.
    """
    entry = find_entry(name, **options)
    check_entry(entry)
    try:
        return unbuilt(entry)
    except Exception as error:  # as in `build_entry`
        raise _invalid(entry, error) from error


def check_entry(entry: WeightsEntry | OwnEntry) -> None:
    """Refuse an entry whose family is unknown, or does not know its `config`.

    Raises:
        ManifestError: If the family or an argument is unknown; names the closest.
    """
    try:
        check_config(entry.family, entry.config)
    except ValueError as error:
        raise _invalid(entry, error) from error


def _invalid(entry: WeightsEntry | OwnEntry, error: Exception) -> ManifestError:
    return ManifestError(
        f"The {_kind(entry)} {entry.name!r} does not describe a valid "
        f"{entry.family!r} model: {error}"
    )


def _kind(entry: WeightsEntry | OwnEntry) -> str:
    return "manifest entry" if isinstance(entry, WeightsEntry) else "folder's entry"
