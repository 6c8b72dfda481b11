"""Files that are whole or absent: atomic writes, hashes, safe paths, safe reading."""

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aezoo.errors import ChecksumError, ManifestError, UnsafeFileError


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


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes; a pipe, a socket or a device is none.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file, or the path cannot be one.
        IsADirectoryError: If it is a folder.
        UnsafeFileError: If it is no regular file.
        OSError: If it may not be read.
    """
    try:
        # Opening a pipe would wait for its other end.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # NUL, surrogates
        raise FileNotFoundError(
            errno.ENOENT, os.strerror(errno.ENOENT), str(path)
        ) from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise UnsafeFileError(f"{path} is a socket, not a file.") from error
        raise
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(file, "rb")
    os.close(file)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise UnsafeFileError(f"{path} is a pipe or a device, not a file.")
