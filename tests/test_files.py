"""Files are whole or absent; hashes, paths and HDF5 files are checked."""

import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from aezoo.errors import ChecksumError, UnsafeFileError
from aezoo.utils.files import (
    atomic_path,
    path_inside,
    sha256_of,
    verify_sha256,
)


def test_atomic_path_replaces_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with atomic_path(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_running_out_of_space_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A real refusal of the kernel: the process may write no more than 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    target = tmp_path / "big.npz"

    def write() -> None:
        with atomic_path(target) as path, path.open("wb") as file:
            np.savez(file, z=np.zeros(100_000))

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
        with pytest.raises(OSError, match=r"File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_output_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"does not exist. Create it with"),
        atomic_path(tmp_path / "no" / "out.txt"),
    ):
        pass


def test_verify_sha256_accepts_the_right_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    verify_sha256(path, sha256_of(path), "")
    assert sha256_of(path).startswith("ba7816bf")  # of "abc", FIPS 180-2


def test_one_flipped_bit_is_a_checksum_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    expected = sha256_of(path)
    path.write_bytes(b"abb")
    with pytest.raises(ChecksumError, match=r"expected sha256 ba7816bf.*Do this."):
        verify_sha256(path, expected, "Do this.")


def test_a_missing_file_is_a_checksum_error(tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match=r"is missing"):
        verify_sha256(tmp_path / "f", "0" * 64, "")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ".", ""])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeFileError, match=r"must stay inside its folder"):
        path_inside(tmp_path, name)


def test_a_link_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "link.h5").symlink_to(tmp_path / "outside.h5")
    with pytest.raises(UnsafeFileError, match=r"must stay inside its folder"):
        path_inside(folder, "link.h5")


def test_links_may_lead_into_the_root_and_no_further(tmp_path: Path) -> None:
    """As in the cache of the Hub's client: a snapshot links to the blobs beside it."""
    snapshot, blobs = tmp_path / "repo" / "snapshot", tmp_path / "repo" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "a").write_text("inside")
    (tmp_path / "b").write_text("outside")
    (snapshot / "good").symlink_to(blobs / "a")
    (snapshot / "bad").symlink_to(tmp_path / "b")
    root = tmp_path / "repo"
    assert path_inside(snapshot, "good", root) == (blobs / "a").resolve()
    for name, base in (("bad", root), ("good", None), ("../blobs/a", root)):
        with pytest.raises(UnsafeFileError, match=r"must stay inside its folder"):
            path_inside(snapshot, name, base)
