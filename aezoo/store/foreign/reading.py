"""A model of another library as files: what they say, before anything is built."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path

from aezoo.errors import ConversionError, HubError
from aezoo.manifest import BundledFile
from aezoo.store import remote
from aezoo.store.entry import ENTRY, ForeignEntry
from aezoo.store.foreign.files import (
    CARD,
    CONFIG,
    MAX_CONFIG_BYTES,
    MAX_INDEX_BYTES,
    PIPELINE,
    PREPROCESSOR,
    SUFFIX,
    find_parts,
    find_weights,
    has_pickles,
    no_config,
)
from aezoo.store.foreign.preprocessor import with_preprocessor
from aezoo.store.foreign.sources import (
    LIBRARIES,
    Conversion,
    convert_config,
    read_config,
    reads_preprocessor,
    source_class,
)
from aezoo.store.remote import Listing, Place
from aezoo.utils.files import (
    MAX_FILE_BYTES,
    is_folder,
    path_inside,
    read_file,
    sha256_of,
)

FLOATS = ("F64", "F32", "F16", "BF16")
Facts = Mapping[str, tuple[str, tuple[int, ...]]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A model of another library in a folder.

    Attributes:
        entry: What is known of it.
        conversion: What its configuration makes.
        files: Its weights.
    """

    entry: ForeignEntry
    conversion: Conversion
    files: tuple[Path, ...]


# --- In a folder ---------------------------------------------------------------------


def is_foreign(folder: Path) -> bool:
    """Whether a folder has a model of another library, or looks as if it should."""
    if not is_folder(folder) or (folder / ENTRY).exists():
        return False
    names = {path.name for path in folder.iterdir()}
    if names & {PIPELINE} or has_pickles(names):
        return True
    if CONFIG not in names:
        return any(name.endswith(SUFFIX) for name in names)
    try:
        content = read_file(folder / CONFIG, MAX_CONFIG_BYTES) or b""
    except OSError:
        return False
    values = read_config(content[:MAX_CONFIG_BYTES])
    return values is not None and source_class(values) is not None


def read(folder: Path, root: Path | None = None) -> Source:
    """What the files of a folder say; of the weights, names and shapes alone.

    Args:
        folder: The folder.
        root: What links in it must not leave; None for the folder itself. Of the cache
            of the Hub's client, it is the cache.

    Raises:
        ConversionError: If they are of a class that is not known here, ask for what
            there is not here, or are damaged.
        UnsafeFileError: If there are pickles alone, or a name leaves the folder.
    """
    place = None if root is None else _place_of(folder)
    where = f"The folder {folder}" if place is None else place.address
    names = {path.name for path in folder.iterdir()}
    if CONFIG not in names:
        inner = {f"{p.parent.name}/{CONFIG}" for p in folder.glob(f"*/{CONFIG}")}
        if not inner:
            find_weights(names, where)  # pickles come first
        raise no_config(names | inner, str(folder) if place is None else where)
    content = _bounded(folder, CONFIG, MAX_CONFIG_BYTES, root)
    preprocessor = None
    if PREPROCESSOR in names and reads_preprocessor(content):
        preprocessor = _bounded(folder, PREPROCESSOR, MAX_CONFIG_BYTES, root)
    kind, conversion = convert_config(content, where)
    if preprocessor is not None:
        conversion = with_preprocessor(conversion, preprocessor, kind, where)
    main = find_weights(names, where)
    parts: tuple[str, ...] = (main,)
    if not main.endswith(SUFFIX):
        listed = _bounded(folder, main, MAX_INDEX_BYTES, root)
        parts = find_parts(listed, f"{where}: {main}")
    paths = tuple(path_inside(folder, name, root) for name in parts)
    for path, name in zip(paths, parts, strict=True):
        if not path.is_file():
            raise ConversionError(f"{where} has no file {name}, which {main} names.")
    files = tuple(
        BundledFile(name, path.stat().st_size, sha256_of(path))
        for name, path in zip(parts, paths, strict=True)
    )
    entry = _entry(
        _name_of(folder, place),
        kind,
        conversion,
        facts_of(paths),
        main,
        files,
        None if place is None else place.address,
        _license(folder, place),
    )
    return Source(entry, conversion, paths)


def _bounded(folder: Path, name: str, limit: int, root: Path | None) -> bytes:
    content = read_file(path_inside(folder, name, root), limit) or b""
    if len(content) > limit:
        raise ConversionError(
            f"{folder / name} must have at most {limit:,} bytes. Received: more."
        )
    return content


def facts_of(paths: tuple[Path, ...]) -> Facts:
    """Dtype and shape of each tensor of some files.

    Raises:
        ConversionError: If one is no safetensors file, or a tensor is in two.
    """
    from safetensors import SafetensorError, safe_open

    facts: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in paths:
        try:
            with safe_open(path, "numpy") as file:
                for name in file.keys():  # noqa: SIM118
                    part = file.get_slice(name)
                    if name in facts:
                        raise ConversionError(f"The tensor {name!r} is in two files.")
                    facts[name] = (part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise ConversionError(
                f"The file {path} is no safetensors file, or is damaged: {error}. "
                "Copy it again."
            ) from error
    return facts


def _entry(
    name: str,
    kind: str,
    conversion: Conversion,
    facts: Facts,
    main: str,
    files: tuple[BundledFile, ...],
    address: str | None,
    license: str | None,
) -> ForeignEntry:
    for tensor, (dtype, _) in facts.items():
        if dtype not in FLOATS:
            raise ConversionError(
                f"Weights must be floating-point numbers, one of {', '.join(FLOATS)}. "
                f"Received: {tensor!r:.120} of type {dtype}."
            )
    stored = sum(math.prod(shape) for _, shape in facts.values())
    stated = sum(map(len, conversion.constants.values()))
    whole = files[0]
    if len(files) > 1 or main != whole.file:
        together = hashlib.sha256("".join(f.sha256 for f in files).encode())
        whole = BundledFile(main, sum(f.bytes for f in files), together.hexdigest())
    origin = f"{kind} of {LIBRARIES[kind]}"
    if address is not None:
        origin += f", {address}"
    return ForeignEntry(
        family=conversion.family,
        config=conversion.config,
        input_shape=conversion.input_shape,
        value_range=(0.0, 1.0),
        latent_shape=conversion.latent_shape,
        num_params=stored + stated,
        tasks=conversion.tasks,
        name=name,
        origin=origin + conversion.remark,
        weights=whole,
        files=files,
        license=license,
    )


def _name_of(folder: Path, place: Place | None) -> str:
    """The name of a folder or repository, as Keras allows one."""
    name = folder.absolute().name if place is None else place.repo_id.split("/")[-1]
    return re.sub(r"[^\w.-]|^[^A-Za-z0-9]+", "_", name).strip("_") or "imported"


def _snapshot(folder: Path) -> Path | None:
    """The snapshot of the Hub's cache that a folder is in."""
    for path in (folder, *folder.parents):
        if path.parent.name == "snapshots":
            return path
    return None


def _place_of(folder: Path) -> Place | None:
    """The repository and commit of a folder in the cache of the Hub's client."""
    snapshot = _snapshot(folder)
    if snapshot is None:
        return None
    _, *parts = snapshot.parent.parent.name.split("--")
    subfolder = folder.relative_to(snapshot).as_posix()
    return Place("/".join(parts), snapshot.name, subfolder=subfolder.strip("."))


def _license(folder: Path, place: Place | None) -> str | None:
    """The licence that a model's card names; that of a repository is at its root."""
    root = folder if place is None else _snapshot(folder) or folder
    try:
        content = read_file(root / CARD, MAX_CONFIG_BYTES) or b""
    except OSError:
        return None
    return license_of(content[:MAX_CONFIG_BYTES].decode(errors="replace"))


def license_of(card: str) -> str | None:
    """The licence in the head of a model card; None if it names none."""
    from huggingface_hub import ModelCard

    if not card.startswith("---"):
        return None
    try:
        data = ModelCard(card, ignore_metadata_errors=True).data
    except Exception:  # whatever a card of others holds
        return None
    license = data.get("license")
    if license == "other":
        license = data.get("license_name") or license
    return license if isinstance(license, str) and len(license) < 200 else None


# --- On the Hub ----------------------------------------------------------------------


def is_listed(place: Place) -> bool:
    """Whether a repository has a model of another library, or looks as if it should.

    Raises:
        HubError: If the Hub cannot say.
    """
    names = remote.list_files(place).files
    ends = (CONFIG, PIPELINE, SUFFIX)
    return ENTRY not in names and (
        any(name.endswith(ends) for name in names) or bool(has_pickles(names))
    )


def is_cached(place: Place) -> bool:
    """Whether a model of another library is in the cache and may be taken from there.

    That is, at a certain commit, which no request could change, or where none is
    allowed.
    """
    if not (
        remote.is_offline(place) or re.fullmatch("[0-9a-f]{40}", str(place.revision))
    ):
        return False
    try:
        return is_listed(dataclasses.replace(place, local_files_only=True))
    except HubError:
        return False


def fetch(place: Place) -> tuple[Path, Path]:
    """The files of a model of another library, from the cache or the Hub.

    The configuration is read, and refused, before any weights are fetched.

    Args:
        place: The repository.

    Returns:
        As `remote.fetch_model`.

    Raises:
        HubError: As in `remote.fetch`.
        ConversionError: As in `read`.
        UnsafeFileError: As in `read`.
    """
    if is_cached(place):
        try:
            return _fetch(dataclasses.replace(place, local_files_only=True))
        except (ConversionError, HubError):  # a part of it may be
            if remote.is_offline(place):
                raise
    return _fetch(place)


def _fetch(place: Place) -> tuple[Path, Path]:
    config, place, listing = _fetch_config(place)
    _convert(place, config, listing)
    _, parts = _parts(place, listing)
    for name in parts:
        remote.fetch(place, name, listing.files[name].sha256, MAX_FILE_BYTES)
    _fetch_card(place)
    return place.folders(config, CONFIG)


def _fetch_config(place: Place) -> tuple[Path, Place, Listing]:
    """The configuration, the place at its commit, and what else there is.

    Asked for by the branch, so that the cache knows to which commit it leads.
    """
    try:
        config = remote.fetch(place, CONFIG, max_bytes=MAX_CONFIG_BYTES)
    except remote.NoSuchFileError:
        names = remote.list_files(place).files
        if not any(name.endswith(f"/{CONFIG}") for name in names):
            find_weights(names, place.address)  # pickles come first
        raise no_config(names, place.address) from None
    place = place.pinned(config, CONFIG)
    return config, place, remote.list_files(place)


def _convert(place: Place, config: Path, listing: Listing) -> tuple[str, Conversion]:
    """As `convert_config`, with the preprocessor's file, which is fetched."""
    content, preprocessor = config.read_bytes(), None
    if PREPROCESSOR in listing.files and reads_preprocessor(content):
        path = remote.fetch(place, PREPROCESSOR, max_bytes=MAX_CONFIG_BYTES)
        preprocessor = path.read_bytes()
    kind, conversion = convert_config(content, place.address)
    if preprocessor is not None:
        conversion = with_preprocessor(conversion, preprocessor, kind, place.address)
    return kind, conversion


def fetch_entry(place: Place) -> ForeignEntry:
    """What is known of a model of another library on the Hub, without its weights.

    Args:
        place: The repository.

    Raises:
        HubError: As in `remote.fetch`.
        ConversionError: As in `read`.
        UnsafeFileError: As in `read`.
    """
    config, place, listing = _fetch_config(place)
    if not all(file.sha256 for n, file in listing.files.items() if n.endswith(SUFFIX)):
        folder, cache = fetch(place)  # small files, or what is in the cache
        return read(folder, cache).entry
    kind, conversion = _convert(place, config, listing)
    main, parts = _parts(place, listing)
    facts = {
        name: fact
        for part in parts
        for name, fact in remote.read_tensor_facts(place, part).items()
    }
    files = tuple(
        BundledFile(
            part, listing.files[part].bytes or 0, str(listing.files[part].sha256)
        )
        for part in parts
    )
    card = _fetch_card(place)
    license = None if card is None else license_of(card.read_text(errors="replace"))
    name = _name_of(config.parent, place)
    return _entry(name, kind, conversion, facts, main, files, place.address, license)


def _parts(place: Place, listing: Listing) -> tuple[str, tuple[str, ...]]:
    """The main file of the weights, and all of them."""
    main = find_weights(listing.files, place.address)
    if main.endswith(SUFFIX):
        return main, (main,)
    index = remote.fetch(place, main, max_bytes=MAX_INDEX_BYTES)
    parts = find_parts(index.read_bytes(), f"{place.address}: {main}")
    for name in parts:
        if name not in listing.files:
            raise ConversionError(
                f"{place.address} has no file {name}, which {main} names."
            )
    return main, parts


def _fetch_card(place: Place) -> Path | None:
    """The card of a repository, if it has one."""
    place = dataclasses.replace(place, subfolder="")
    try:
        return remote.fetch(place, CARD, max_bytes=MAX_CONFIG_BYTES)
    except (remote.NoSuchFileError, OSError):
        return None
