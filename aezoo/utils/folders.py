"""Folders that are whole or absent, whoever else reads or writes them, or is killed.

A folder is written beside its place under another name, and put there in one step of
the file system. Linux exchanges two folders at once (`renameat2`). Where a system or
file system cannot, an old folder first steps aside as `.NAME.aezoo-old`; killed in
between, `restore` brings it back.
"""

import contextlib
import ctypes
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from aezoo.utils.files import NO_SUCH_STEP, disk_errors, locked

SCRATCH = ".aezoo-save-"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_folder(
    target: Path,
    files: Mapping[str, bytes],
    ours: Collection[str],
    check: Callable[[], Any],
) -> None:
    """Write a folder whole, or nothing at all.

    An old folder keeps its mode, the modes of its files, and files of others. Killed
    at any moment, the folder is the old or the new one, after `restore` where the file
    system cannot exchange two.

    Args:
        target: The folder, new or not, in a folder that exists.
        files: Content by name; a `/` in a name leads into a folder.
        ours: Names of all files that may be in such a folder, and are replaced or
            removed; no other file is ever removed. A folder in it is named, too.
        check: Raises if `target` must not be replaced. Called while no other process
            that uses this function may change it.

    Raises:
        DiskError: If the disk is full, or the folder above cannot be written.
    """
    parent = target.parent
    with disk_errors(parent), contextlib.ExitStack() as stack:
        with locked(parent):
            sweep(parent, ours)
            scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
            stack.callback(_remove, scratch / "new", ours)
            stack.enter_context(locked(scratch))  # alive, and not to be swept
        new = scratch / "new"
        new.mkdir()
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            with (new / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for inner in _folders_in(new, files):
            _fsync(inner)
        _fsync(new)
        with locked(parent):
            _restore(target)
            check()
            _copy_modes(target, new)
            _put(new, target)
            _bring_back(new, target, ours)
            _fsync(parent)


def restore(target: Path) -> None:
    """Bring back a folder whose replacement was killed between two steps, if any."""
    with contextlib.suppress(OSError, ValueError):  # e.g. where it can be no path
        if not os.path.lexists(target) and _aside(target).is_dir():
            with locked(target.parent):
                _restore(target)


def sweep(parent: Path, ours: Collection[str]) -> None:
    """Remove what killed processes left in a folder that is locked.

    Args:
        parent: The folder.
        ours: Names of the only files that are removed.
    """
    for scratch in parent.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError), locked(scratch, waits=False):
            _remove(scratch / "new", ours)
    for old in parent.glob(".*.aezoo-old"):
        target = old.with_name(old.name[1 : -len(".aezoo-old")])
        if target.is_dir():  # else it is all that there is, and `restore` needs it
            _bring_back(old, target, ours)
            _remove(old, ours)


# --- Steps ---------------------------------------------------------------------------


def _put(new: Path, target: Path) -> None:
    """Put a folder in its place; an old one that is not empty is then under `new`."""
    try:
        # Fails if something is there, unless it is an empty folder.
        new.rename(target)
        return
    except OSError as error:
        if not target.is_dir() or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    try:
        _exchange(new, target)
    except OSError as error:
        if error.errno not in NO_SUCH_STEP:
            raise
        aside = _aside(target)
        target.rename(aside)
        try:
            new.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        aside.rename(new)


def _exchange(a: Path, b: Path) -> None:
    """Exchange two folders in one step, on Linux and file systems that can."""
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    sys.audit("aezoo.exchange", str(a), str(b))
    paths = [os.fsencode(path) for path in (a, b)]
    if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(a), None, str(b))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.aezoo-old")


def _restore(target: Path) -> None:
    if not os.path.lexists(target) and _aside(target).is_dir():
        _aside(target).rename(target)


def _copy_modes(old: Path, new: Path) -> None:
    if not old.is_dir():
        return
    for path in new.iterdir():
        with contextlib.suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE((old / path.name).stat().st_mode))
    new.chmod(stat.S_IMODE(old.stat().st_mode))


def _bring_back(old: Path, target: Path, ours: Collection[str]) -> None:
    """Move what appeared in an old folder at the last moment to the new one."""
    with contextlib.suppress(OSError):
        for path in old.iterdir():
            if path.name not in ours and not os.path.lexists(target / path.name):
                path.rename(target / path.name)


def _remove(folder: Path, ours: Collection[str]) -> None:
    """Remove a folder, and its scratch folder, unless files of others are in it."""
    with contextlib.suppress(OSError):
        for name in ours:
            if not (folder / name).is_dir():
                (folder / name).unlink(missing_ok=True)
        for inner in _folders_in(folder, ours):
            with contextlib.suppress(OSError):
                inner.rmdir()
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        if folder.parent.name.startswith(SCRATCH):
            folder.parent.rmdir()


def _folders_in(folder: Path, names: Iterable[str]) -> list[Path]:
    """The folders in a folder that names lead into, the innermost first."""
    inner = {parent for name in names for parent in Path(name).parents}
    inner.discard(Path())
    deepest_first = sorted(inner, key=lambda path: len(path.parts), reverse=True)
    return [folder / path for path in deepest_first]


def _fsync(folder: Path) -> None:
    """Make names in a folder durable, where folders can be opened."""
    with contextlib.suppress(PermissionError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
