"""Files that are whole or absent: atomic writes, hashes, safe paths, safe reading."""

import contextlib
import hashlib
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from aezoo.errors import ChecksumError, ManifestError, UnsafeFileError

if TYPE_CHECKING:
    import numpy as np


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file to write; it takes the place of `path` only when complete.

    Where writing fails (a full disk, an interrupt), `path` keeps its old content and
    nothing half-written stays.

    Args:
        path: The file to create or replace.

    Yields:
        A path in the same folder, with the same suffixes.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The output folder {folder} does not exist. Create it with "
            f"`mkdir -p {folder}`."
        )
    with tempfile.TemporaryDirectory(prefix=".aezoo-", dir=folder) as scratch:
        temporary = Path(scratch) / path.name
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_sha256(path: Path, expected: str, remedy: str) -> None:
    """Check a file's hash.

    Args:
        path: The file.
        expected: Hexadecimal SHA-256.
        remedy: What to do about a mismatch; ends the message.

    Raises:
        ChecksumError: If the bytes differ, or the file is missing.
    """
    if not path.is_file():
        raise ChecksumError(f"The file {path} is missing. {remedy}")
    received = sha256_of(path)
    if received != expected:
        raise ChecksumError(
            f"The file {path} does not match its hash: expected sha256 "
            f"{expected[:12]}…, received {received[:12]}… "
            f"({path.stat().st_size:,} bytes). {remedy}"
        )


def path_inside(folder: Path, name: str, root: Path | None = None) -> Path:
    """The path of `name` in `folder`, which it must not leave.

    Args:
        folder: The folder.
        name: A relative path in it.
        root: A folder above that links may lead into; None for `folder` itself.

    Raises:
        UnsafeFileError: If `name` is absolute or climbs out of the folder, or a link
            leads out of `root`.
    """
    path = (folder / name).resolve()
    written = Path(os.path.normpath(folder / name))
    inside = (root or folder).resolve()
    if (
        not path.is_relative_to(inside)
        or not written.is_relative_to(os.path.normpath(folder))
        or path in (inside, folder.resolve())
    ):
        raise UnsafeFileError(
            f"A file name must stay inside its folder {folder}. Received: {name!r}."
        )
    return path


def check_hdf5(path: Path, num_params: int) -> None:
    """Refuse a weights file that reaches outside itself or has another size.

    Looks at links and headers only, before any tensor is read.

    Args:
        path: A `.weights.h5` file.
        num_params: How many numbers it must hold.

    Raises:
        UnsafeFileError: If it holds external or soft links, external storage or
            virtual datasets.
        ManifestError: If it is not HDF5 or holds another number of values.
    """
    import h5py

    values = 0
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ManifestError(f"{path} is not a readable HDF5 file: {error}") from error
    with file:
        groups: list[h5py.Group] = [file]
        seen = set()  # a group may hold itself by a hard link
        while groups:
            group = groups.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen:
                raise UnsafeFileError(
                    f"The weights file {path} holds the group {group.name} twice; "
                    "every group must have one place."
                )
            seen.add(address)
            for key in group:
                place = f"{group.name.rstrip('/')}/{key}"
                link = group.get(key, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise UnsafeFileError(
                        f"The weights file {path} holds {type(link).__name__} at "
                        f"{place}; only data inside the file itself is read."
                    )
                item = group[key]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                if item.external or item.is_virtual:
                    raise UnsafeFileError(
                        f"The weights file {path} keeps {place} in another file; only "
                        "data inside the file itself is read."
                    )
                values += item.size
    if values != num_params:
        raise ManifestError(
            f"The weights file {path} does not fit its entry: expected "
            f"{num_params:,} values, received {values:,}."
        )


def read_npz(
    file: Path | BinaryIO, max_bytes: int, owner: str
) -> dict[str, "np.ndarray"]:
    """The arrays of an `.npz` file, which may come from others.

    Nothing is unpacked before its size is known to be bounded, and no object is read.

    Args:
        file: The file.
        max_bytes: Most bytes that all arrays together may take.
        owner: What file it is, for the message.

    Raises:
        ManifestError: If the file is unreadable or too large, or an array is not as
            large as it says.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > max_bytes:
                raise ManifestError(
                    f"The {owner} must unpack to at most {max_bytes:,} bytes. "
                    f"Received: {size:,} bytes."
                )
            for member in members:
                with archive.open(member) as stream:
                    np.lib.format.read_magic(stream)
                    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                    stated = math.prod(shape) * dtype.itemsize
                    if stated != member.file_size - stream.tell():
                        raise ManifestError(
                            f"The {owner} holds {member.file_size:,} bytes of "
                            f"{member.filename!r}, which says that it has {stated:,}."
                        )
        if not isinstance(file, Path):
            file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except ManifestError:
        raise
    except (
        *(OSError, ValueError, EOFError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ManifestError(
            f"The {owner} is not a readable .npz archive: {error}"
        ) from error
