"""Files are whole or absent; hashes, paths and HDF5 files are checked."""

import resource
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from aezoo.errors import ChecksumError, ManifestError, UnsafeFileError
from aezoo.utils.files import (
    atomic_path,
    check_hdf5,
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


def test_a_plain_file_passes_the_hdf5_check(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("layer/vars").create_dataset("0", data=np.zeros((2, 3)))
    check_hdf5(tmp_path / "w.h5", 6)
    with pytest.raises(ManifestError, match=r"expected 7 values, received 6"):
        check_hdf5(tmp_path / "w.h5", 7)


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/x")]
)
def test_links_are_refused(tmp_path: Path, link: object) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("layer")["0"] = link
    with pytest.raises(UnsafeFileError, match=f"holds {type(link).__name__} at /layer"):
        check_hdf5(tmp_path / "w.h5", 6)


def test_external_storage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(48))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        external = [(str(tmp_path / "raw"), 0, 48)]
        file.create_dataset("0", (6,), "f8", external=external)
    with pytest.raises(UnsafeFileError, match=r"keeps /0 in another file"):
        check_hdf5(tmp_path / "w.h5", 6)


def test_virtual_datasets_are_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", shape=(6,))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_virtual_dataset("0", layout)
    with pytest.raises(UnsafeFileError, match=r"keeps /0 in another file"):
        check_hdf5(tmp_path / "w.h5", 6)


def test_a_file_that_is_not_hdf5_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"not hdf5")
    with pytest.raises(ManifestError, match=r"is not a readable HDF5 file"):
        check_hdf5(tmp_path / "w.h5", 6)


def test_a_group_that_holds_itself_is_refused(tmp_path: Path) -> None:
    """A hard link in a circle would be followed for ever."""
    path = tmp_path / "loop.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers")
        group["again"] = group
    with pytest.raises(UnsafeFileError, match=r"holds the group .* twice"):
        check_hdf5(path, 0)


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
