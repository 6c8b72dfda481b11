"""Files that are whole or absent, read once and within bounds: bytes, hashes, paths."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from aezoo.errors import ChecksumError, DiskError, UnsafeFileError
from aezoo.utils.text import did_you_mean

try:
    import fcntl
except ImportError:  # Windows: no locks; the steps are still atomic
    fcntl = None  # type: ignore[assignment]

# Of a file that is read into memory, whatever an entry states.
MAX_FILE_BYTES = 1 << 33
SCRATCH = ".aezoo-file-"
# What says that a system or file system has no such step, or no locks on folders.
NO_SUCH_STEP = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF)
# What a file system says when it takes no more, or nothing at all.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (*_FULL, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


# --- Writing -------------------------------------------------------------------------


@contextlib.contextmanager
def disk_errors(folder: str | Path) -> Iterator[None]:
    """Turn what a disk refuses inside this context into an error that names it.

    Args:
        folder: Where is written.

    Raises:
        DiskError: If the disk is full or broken, or may not be written.
    """
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        remedy = "Free some space" if error.errno in _FULL else "Make it writable"
        raise DiskError(
            f"The folder {folder} cannot be written: {error.strerror}. {remedy}, or "
            "choose another; nothing half-written was left.",
        ) from error


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary file to write; it takes the place of `path` only when complete.

    Where writing fails (a full disk, an interrupt), `path` keeps its old content and
    nothing half-written stays. Whatever writes it must be Python: HDF5 ends the
    process on a full disk (`write_file` takes bytes that were made in memory).

    Args:
        path: The file to create or replace.

    Yields:
        A path in the same folder, with the same suffixes.

    Raises:
        FileNotFoundError: If the folder does not exist.
        DiskError: If the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    folder = path.parent
    if not is_folder(folder):
        raise FileNotFoundError(
            f"The output folder {folder} does not exist. Create it with "
            f"`mkdir -p {folder}`."
        )
    with disk_errors(folder), contextlib.ExitStack() as stack:
        with locked(folder):
            scratch = stack.enter_context(
                tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder)
            )
            stack.enter_context(locked(Path(scratch)))  # alive, and not to be swept
        temporary = Path(scratch) / path.name
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


def sweep(folder: Path) -> None:
    """Remove what `atomic_path` left in a folder when a process was killed."""
    with contextlib.suppress(OSError), locked(folder):
        for scratch in folder.glob(f"{SCRATCH}*"):
            with contextlib.suppress(OSError), locked(scratch, waits=False):
                shutil.rmtree(scratch)


def write_file(path: str | Path, content: bytes) -> None:
    """Create or replace a file in one step; raises as `atomic_path` does."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def locked(folder: Path, waits: bool = True) -> Iterator[None]:
    """Be the only process in here with a folder; its lock ends with the process.

    Args:
        folder: The folder. Where its file system has no locks, nothing is locked.
        waits: Wait for another process, and go on where there are no locks.

    Raises:
        OSError: If another process has it or there are no locks, and `waits` is off.
    """
    if fcntl is None:
        if not waits:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        yield
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except OSError as error:
            if not waits or error.errno not in NO_SUCH_STEP:
                raise
        yield
    finally:
        os.close(file)


# --- Reading -------------------------------------------------------------------------


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False also where it cannot even be a path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, NUL, surrogates
        return False


def read_file(path: Path, max_bytes: int) -> bytes | None:
    """The content of a regular file, which is opened once.

    Args:
        path: The file.
        max_bytes: Most bytes that are read.

    Returns:
        Its bytes, one more than `max_bytes` if it is larger; None if there is no such
        file, or it is a folder, a pipe or a device.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with open_regular(path) as file:
            pieces, left = [], max_bytes + 1
            while left and (piece := file.read(min(1 << 24, left))):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnsafeFileError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return None
        raise


def read_verified(
    path: Path,
    sha256: str,
    remedy: str,
    size: int | None = None,
    max_bytes: int = MAX_FILE_BYTES,
) -> bytes:
    """The content of a file, once its size and hash are as stated.

    The bytes that are hashed are those that are returned, whatever happens to the
    file meanwhile.

    Args:
        path: The file.
        sha256: Hexadecimal hash that it must have.
        remedy: What to do about a mismatch; ends the message.
        size: Bytes that it must have; None for any number.
        max_bytes: Most bytes that it may have.

    Raises:
        ChecksumError: If it is missing, cannot be read or is too large, or its size
            or bytes differ.
    """
    if size is not None and not 0 <= size <= max_bytes:
        raise ChecksumError(
            f"The file {path} may have at most {max_bytes:,} bytes. Received: a stated "
            f"size of {size!s:.40}. {remedy}"
        )
    try:
        content = read_file(path, max_bytes if size is None else size)
    except OSError as error:
        raise ChecksumError(
            f"The file {path} cannot be read: {error.strerror}. {remedy}"
        ) from error
    if content is None:
        raise ChecksumError(f"The file {path} is missing. {remedy}")
    if size is None and len(content) > max_bytes:
        raise ChecksumError(
            f"The file {path} may have at most {max_bytes:,} bytes. Received: more. "
            f"{remedy}"
        )
    received = sha256_hex(content)
    if received != sha256 or len(content) != (size or len(content)):
        raise _mismatch(path, sha256, received, len(content), size, remedy)
    return content


def _mismatch(
    path: Path, expected: str, received: str, count: int, size: int | None, remedy: str
) -> ChecksumError:
    if size is not None and count != size:
        larger = "more" if count > size else f"{count:,} bytes"
        return ChecksumError(
            f"The file {path} does not match what is stated: expected {size:,} bytes, "
            f"received {larger}. {remedy}"
        )
    return ChecksumError(
        f"The file {path} does not match its hash: expected sha256 "
        f"{expected[:12]}…, received {received[:12]}… ({count:,} bytes). {remedy}"
    )


def sha256_hex(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; raises as `open_regular` does."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


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
        UnsafeFileError: If `name` is absolute or climbs out of the folder, a link
            leads out of `root` or to itself, or it cannot be a name at all.
    """
    try:
        path = (folder / name).resolve()
        written = Path(os.path.normpath(folder / name))
        inside = (root or folder).resolve()
        path.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, a circle
        reason = getattr(error, "strerror", None) or str(error).partition(":")[0]
        raise UnsafeFileError(
            f"A file name in the folder {folder} cannot be used: {reason}. Received: "
            f"{name!r:.80}."
        ) from error
    if (
        not path.is_relative_to(inside)
        or not written.is_relative_to(os.path.normpath(folder))
        or path in (inside, folder.resolve())
    ):
        raise UnsafeFileError(
            f"A file name must stay inside its folder {folder}. Received: {name!r:.80}."
        )
    return path


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


def check_output(path: str | Path, suffixes: Sequence[str]) -> Path:
    """Check, before any work is done, that an output file could be written.

    Args:
        path: The file; may exist, and is then replaced.
        suffixes: What it may end in; with the dot, lower case.

    Returns:
        The path.

    Raises:
        ValueError: If it ends in something else.
        FileNotFoundError: If its folder does not exist.
        IsADirectoryError: If it is a folder itself.
        PermissionError: If its folder may not be written.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"The output file must end in {', '.join(suffixes)}. Received: {path}."
            f"{did_you_mean(path.suffix.lower(), suffixes)}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The output folder {path.parent} does not exist. Create it with "
            f"`mkdir -p {path.parent}`."
        )
    if path.is_dir():
        raise IsADirectoryError(f"The output {path} is a folder. Name a file in it.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"The output folder {path.parent} may not be written.")
    return path
