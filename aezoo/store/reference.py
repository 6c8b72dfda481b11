"""What a name means: a model of the zoo, a folder, or a repository on the Hub.

Decided here alone, once for each name; and where the files of the zoo's models are: in
the package, in the cache of the Hub's client, on the Hub. Imports no Keras.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

from aezoo import manifest
from aezoo.errors import ChecksumError, HubError, UnknownModelError
from aezoo.manifest import WeightsEntry
from aezoo.store import remote
from aezoo.store.entry import (
    ENTRY,
    MAX_ENTRY_BYTES,
    SAMPLERS,
    WEIGHTS,
    OwnEntry,
    read_entry,
)
from aezoo.store.foreign import reading
from aezoo.store.remote import Place
from aezoo.utils.files import is_folder
from aezoo.utils.text import did_you_mean

# What `aezoo.load(source=...)` takes.
SOURCES = ("auto", "bundled", "hub")
CACHE_REMEDY = "Load it again: it is then fetched anew."


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a name means, as `resolve` found it: exactly one of the first three.

    Attributes:
        name: The name.
        zoo: The entry of a model of the zoo.
        folder: A folder on this machine.
        repository: A repository on the Hub.
        place: Of a model of the zoo, where on the Hub its files are taken from; None
            where the package has them.
    """

    name: str
    zoo: WeightsEntry | None = None
    folder: Path | None = None
    repository: Place | None = None
    place: Place | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is a folder or a repository, not a model of the zoo."""
        return self.zoo is None

    def entry(self) -> WeightsEntry | OwnEntry:
        """What is known of the model; of a repository, no weights are fetched.

        Raises:
            FileNotFoundError: If there is no such folder.
            HubError: If the Hub cannot give it.
            ManifestError: If it is no valid entry.
            ConversionError: If it is of another library, and cannot be converted.
            UnsafeFileError: If it is a link out of the folder.
        """
        return self.zoo or self.own_entry()

    def own_entry(self) -> OwnEntry:
        """What is known of a model that is not of the zoo; raises as `entry` does."""
        place = self.repository
        if place is None:
            return read_own_entry(self._own_folder())
        try:
            file = remote.fetch(place, ENTRY, max_bytes=MAX_ENTRY_BYTES)
        except remote.NoSuchFileError:
            if not reading.is_listed(place):
                raise
            return reading.fetch_entry(place)
        return read_entry(*place.folders(file, ENTRY))

    def model_folder(self) -> tuple[Path, Path | None]:
        """The folder of a model that is not of the zoo, fetched if it is on the Hub.

        Returns:
            The folder, and what links in it must not leave; None for the folder itself.

        Raises:
            HubError: If the Hub cannot give it; and whatever else `fetch_folder`
                raises.
        """
        if self.repository is not None:
            return fetch_folder(self.repository)
        return self._own_folder(), None

    def _own_folder(self) -> Path:
        if self.folder is None:
            raise ValueError(f"{self.name!r} is a model of the zoo, and no folder.")
        return self.folder


def fetch_folder(place: Place) -> tuple[Path, Path]:
    """The folder of a model on the Hub, ours or of another library.

    Args:
        place: The repository.

    Raises:
        HubError: If the Hub cannot give it.
        ConversionError: If it is of another library, and cannot be converted.
        ChecksumError: As in `remote.fetch`.
        ManifestError: As in `remote.fetch_model`.
        UnsafeFileError: As in `remote.fetch_model`.
    """
    if reading.is_cached(place):
        return reading.fetch(place)
    try:
        return remote.fetch_model(place)
    except remote.NoSuchFileError:
        if not reading.is_listed(place):
            raise
    return reading.fetch(place)


def read_own_entry(folder: Path, root: Path | None = None) -> OwnEntry:
    """What the files of a folder say, ours or of another library.

    Args:
        folder: The folder.
        root: What links in it must not leave; None for the folder itself.

    Raises:
        FileNotFoundError: If there is no such folder.
        ManifestError: If it is no valid entry.
        ConversionError: If it is of another library, and cannot be converted.
        UnsafeFileError: If a name or a link leaves the folder.
    """
    if reading.is_foreign(folder):
        return reading.read(folder, root).entry
    return read_entry(folder, root)


def resolve(
    name: str | os.PathLike[str], source: str = "auto", **options: Any
) -> Reference:
    """What a name means, and where its files are taken from.

    Args:
        name: As in `aezoo.load`.
        source: As in `aezoo.load`.
        **options: Fields of `Place`: the other options of `aezoo.load`.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ValueError: If `source` is none of `SOURCES`, or options contradict it or the
            kind of name.
        HubError: If a model of the zoo is not on the Hub, and should be taken from it.
        UnsafeFileError: If the manifest names a file outside the package's folder.
    """
    if source not in SOURCES:
        raise ValueError(
            f"`source` must be one of {', '.join(map(repr, SOURCES))}. "
            f"Received: source={source!r}."
        )
    path = as_folder(name)
    is_repository = path is None and is_address(name)
    if (path is not None or is_repository) and source != "auto":
        raise ValueError(
            "`source` belongs to names from `aezoo.list_models()`. Received: "
            f"source={source!r}, name={str(name)!r}."
        )
    if is_repository:
        place = remote.parse_address(str(name), **options)
        return Reference(str(name), repository=place)
    if path is not None:
        refuse_hub_options(options, f"name={str(name)!r}")
        return Reference(str(name), folder=path)
    if name not in manifest.entries():
        raise UnknownModelError(
            f"Unknown model {name!r}."
            f"{did_you_mean(str(name), manifest.entries())} "
            "Call `aezoo.list_models()` for all names, or pass a folder that "
            f"`aezoo.save` wrote, e.g. {f'./{name}'!r}."
        )
    entry = manifest.describe(str(name))
    return Reference(entry.name, entry, place=_place(entry, source, **options))


def _place(entry: WeightsEntry, source: str, **options: Any) -> Place | None:
    if source == "bundled":
        refuse_hub_options(options, f"source={source!r}")
        return None
    is_needed = options.get("revision") or (
        entry.weights.hub is not None
        and not manifest.bundled_file(entry.weights.file).is_file()
    )
    if source == "auto" and not is_needed:
        return None
    return place_of(entry, **options)


def find_entry(name: str | os.PathLike[str], **options: Any) -> WeightsEntry | OwnEntry:
    """What is known of a model before it is loaded.

    Args:
        name: As in `aezoo.load`. Of a repository, no weights are fetched.
        **options: `revision`, `cache_dir`, `local_files_only` and `token` of
            `aezoo.load`, for an address.

    Raises:
        UnknownModelError: As in `aezoo.load`; and so for the other errors of an entry.
        ValueError: If an option is given for anything but an address.
        TypeError: If an option is none of the above.
    """
    if not is_address(name):
        refuse_hub_options(options, f"name={str(name)!r}")
        options = {}
    return resolve(name, **options).entry()


def refuse_hub_options(options: dict[str, Any], received: str) -> None:
    """Refuse options of the Hub for what is not taken from it.

    Raises:
        ValueError: If one is given.
    """
    for option, value in options.items():
        if value:
            raise ValueError(
                f"`{option}` belongs to models on the Hub: a name with `source='hub'`, "
                f"or 'hf://organisation/name'. Received: {received}."
            )


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


def is_own(name: str | os.PathLike[str]) -> bool:
    """Whether a name means a folder or a repository, and not a model of the zoo."""
    return is_address(name) or as_folder(name) is not None


# --- Files of the zoo's models -------------------------------------------------------


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


def weights_file(entry: WeightsEntry, place: Place | None) -> Path:
    """A model's weights file: the package's, or from the cache or the Hub.

    Args:
        entry: The model's entry in the manifest.
        place: Its place on the Hub, as in its `Reference`; None for the package.

    Raises:
        HubError: As in `remote.fetch`.
        ChecksumError: If the file on the Hub is another one.
        UnsafeFileError: If its name leaves the package's folder.
    """
    if place is None:
        return manifest.bundled_file(entry.weights.file)
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


def sampler_file(entry: WeightsEntry, kind: str, place: Place | None) -> Path:
    """The file of a model's sampler: the package's if it has one, else the Hub's.

    Args:
        entry: The model's entry in the manifest.
        kind: Which sampler.
        place: As in `weights_file`.

    Raises:
        HubError: As in `remote.fetch`.
        ChecksumError: If the file on the Hub is another one.
        UnsafeFileError: If its name leaves the package's folder.
    """
    file = entry.samplers[kind]
    path = manifest.bundled_file(file.file)
    if place is None or path.is_file():
        return path
    return fetch_sampler(entry, kind, place)


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
    return remote.fetch(place, SAMPLERS[kind], file.sha256, file.bytes)


def remedy(entry: WeightsEntry, place: Place | None) -> str:
    """What to do about a damaged weights file of a model of the zoo."""
    if place is not None:
        return CACHE_REMEDY
    if entry.weights.hub is not None:
        return "Reinstall aezoo to restore it, or load with `source='hub'`."
    return manifest.REINSTALL
