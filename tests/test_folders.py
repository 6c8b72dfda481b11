"""Folders are whole or absent: whoever writes, reads or is killed at the same time."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aezoo.errors import DiskError
from aezoo.utils import files, folders

FILES = {"a": b"first", "b": b"second"}
ROOT = Path(__file__).parent.parent


def write(target: Path, content: dict[str, bytes] = FILES) -> None:
    folders.write_folder(target, content, {"a", "b", "c"}, lambda: None)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(params=["exchanged", "set aside"])
def replacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which an old folder is replaced."""
    if request.param == "set aside":

        def unknown(*_: object) -> None:
            raise OSError(errno.ENOSYS, "")

        monkeypatch.setattr(folders, "_exchange", unknown)
    return request.param


@pytest.mark.usefixtures("replacing")
def test_a_folder_is_replaced_with_its_modes_and_the_files_of_others(
    tmp_path: Path,
) -> None:
    target = tmp_path / "model"
    write(target)
    target.chmod(0o2750)
    (target / "b").chmod(0o600)

    def notes_appear() -> None:  # at the last moment
        (target / "notes.txt").write_text("mine")

    folders.write_folder(target, {"b": b"new", "c": b""}, {*"abc"}, notes_appear)
    assert content(target) == {"b": b"new", "c": b"", "notes.txt": b"mine"}
    assert target.stat().st_mode & 0o7777 == 0o2750
    assert (target / "b").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_folder_is_filled_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir(mode=0o700)
    write(tmp_path / "model")
    assert content(tmp_path / "model") == FILES
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o700


def test_what_a_check_refuses_leaves_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise FileExistsError("refused")

    with pytest.raises(FileExistsError, match="refused"):
        folders.write_folder(tmp_path / "model", FILES, FILES, refuse)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_set_aside_comes_back(tmp_path: Path) -> None:
    """A process was killed between the two steps that stand for an exchange."""
    target = tmp_path / "model"
    write(target)
    target.rename(tmp_path / ".model.aezoo-old")
    folders.restore(target)
    assert content(target) == FILES
    folders.restore(target)  # nothing is left to do
    assert list(tmp_path.iterdir()) == [target]


def test_scratch_folders_of_the_living_and_files_of_others_stay(tmp_path: Path) -> None:
    living, dead, odd = (tmp_path / f"{folders.SCRATCH}{i}" for i in range(3))
    for folder in (living, dead, odd):
        (folder / "new").mkdir(parents=True)
        (folder / "new" / "a").touch()
    (odd / "new" / "notes.txt").touch()
    with files.locked(living):
        write(tmp_path / "model")
    assert living.is_dir()
    assert not dead.exists()
    assert [path.name for path in odd.rglob("*")] == ["new", "notes.txt"]


def test_killed_at_any_moment_a_folder_is_the_old_or_the_new_one(
    tmp_path: Path,
) -> None:
    killed = json.loads(run("tests.kill_saves", tmp_path / "scratch"))
    assert set(killed) == {
        *("new", "into an empty folder", "exchanged", "set aside", "export")
    }
    assert min(killed.values()) > 10, "as many steps as there are were killed"


def test_of_many_processes_one_makes_a_new_folder(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        assert run("tests.race_saves", "new", tmp_path / str(i)) == "1"


# --- Full disks ------------------------------------------------------------------


@pytest.fixture
def full() -> Iterator[None]:
    """The kernel lets this process write no file above 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, previous)


@pytest.mark.usefixtures("full")
def test_a_refused_write_is_named_and_leaves_the_old_folder(tmp_path: Path) -> None:
    write(tmp_path / "model")
    with pytest.raises(DiskError, match=r"cannot be written: File too large. Free"):
        write(tmp_path / "model", {"a": bytes(100_000)})
    assert content(tmp_path / "model") == FILES
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    write(tmp_path / "model", {"a": b"smaller"})


CODE = """
import sys
from pathlib import Path
from aezoo.errors import DiskError
from aezoo.utils.files import write_file
from aezoo.utils.folders import write_folder

place = Path(sys.argv[1])
large = {"a": bytes(150_000)}
def save():
    write_folder(place / "model", large, {"a"}, lambda: None)
save()
for action in (save, lambda: write_file(place / "model" / "a", large["a"])):
    try:
        action()
    except DiskError as error:
        assert f"{place}" in str(error), error
        assert "No space left on device. Free some space" in str(error), error
    else:
        raise SystemExit("It had room.")
    assert [p.name for p in place.rglob("*")] == ["model", "a"], list(place.rglob("*"))
    assert (place / "model" / "a").read_bytes() == large["a"]
"""


def on_a_tiny_disk(place: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a file system of 256 KiB at a place; skips without the right."""
    place.mkdir()
    mount = 'mount -t tmpfs -o size=256k aezoo "$1" || exit 77; exec "$2" -c "$3" "$1"'
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1)")
    namespaces = "-m" if os.geteuid() == 0 else "-rm"
    command = [unshare, namespaces, "sh", "-c", mount, "sh", str(place)]
    result = subprocess.run(
        [*command, sys.executable, code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 77 or "unshare failed" in result.stderr:
        pytest.skip("may not mount a file system")
    return result


def test_a_full_disk_is_named_and_leaves_the_old_folder(tmp_path: Path) -> None:
    result = on_a_tiny_disk(tmp_path / "disk", CODE)
    assert result.returncode == 0, result.stderr
