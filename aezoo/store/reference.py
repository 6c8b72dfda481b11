"""What a name means: a model of the zoo and its place, a folder. Imports no Keras."""

import os
from pathlib import Path
from typing import Any

from aezoo import manifest
from aezoo.errors import ChecksumError, HubError
from aezoo.manifest import WeightsEntry
from aezoo.store import remote
from aezoo.store.remote import Place
from aezoo.utils.files import is_folder

# What `aezoo.load(source=...)` takes.
SOURCES = ("auto", "bundled", "hub")
CACHE_REMEDY = "Load it again: it is then fetched anew."
# Names in a repository, as in a folder that `aezoo.save` wrote.
WEIGHTS, GOLDEN = "model.weights.h5", "golden.npz"
SAMPLER = "sampler_{kind}.npz"


def as_folder(name: str | os.PathLike[str]) -> Path | None:
    """The folder that `load(name)` reads, or None if `name` is another kind of name."""
    if isinstance(name, os.PathLike):
        return Path(name)
    if not isinstance(name, str) or not name or name in manifest.entries():
        return None
    if is_address(name):
        return None
    is_path = any(separator in name for separator in {"/", os.sep})
    return Path(name) if is_path or is_folder(Path(name)) else None


def is_address(name: str | os.PathLike[str]) -> bool:
    """Whether a name is an address of the Hub, `hf://organisation/name`."""
    return isinstance(name, str) and name.startswith(remote.SCHEME)


def is_published(entry: WeightsEntry) -> bool:
    """Whether the manifest says where on the Hub a model is."""
    return entry.weights.hub is not None


def place_of(
    entry: WeightsEntry, *, revision: str | None = None, **options: Any
) -> Place:
    """A model's place on the Hub, at the commit that the manifest pins.

    Args:
        entry: The model's entry in the manifest.
        revision: Another branch, tag or commit; None for the pinned commit.
        **options: Other fields of `Place`.

    Raises:
        HubError: If the model is not on the Hub.
    """
    location = entry.weights.hub
    if location is None:
        raise HubError(
            f"The model {entry.name!r} is not on the Hub: the manifest names no "
            "repository for it. Load the file of the package, with "
            f"`aezoo.load({entry.name!r}, source='bundled')`."
        )
    return Place(location.repo_id, revision or location.revision, **options)


def fetch_sampler(entry: WeightsEntry, kind: str, place: Place) -> Path:
    """The file of a model's sampler from the cache or the Hub, with its hash.

    Args:
        entry: The model's entry in the manifest.
        kind: Which sampler.
        place: The model's place on the Hub.

    Raises:
        HubError: As in `remote.fetch`.
        ChecksumError: If the file there is another one.
    """
    file = entry.samplers[kind]
    return remote.fetch(place, SAMPLER.format(kind=kind), file.sha256, file.bytes)


def fetch_weights(entry: WeightsEntry, place: Place) -> Path:
    """A model's weights file from the cache or the Hub, with the manifest's hash.

    Args:
        entry: The model's entry in the manifest.
        place: Its place on the Hub, as `place_of` returns it.

    Raises:
        HubError: As in `remote.fetch`.
        ChecksumError: If the file there is another one.
    """
    try:
        return remote.fetch(place, WEIGHTS, entry.weights.sha256, entry.weights.bytes)
    except ChecksumError as error:
        pinned = entry.weights.hub
        if pinned is None or place.revision == pinned.revision:
            raise
        raise ChecksumError(
            f"{error} The manifest promises the weights of revision "
            f"{pinned.revision}; to load what is at {place.revision!r} "
            f"instead, call `aezoo.load({place.address!r})`."
        ) from error
