"""Weights files, which may come from others: what is stored and finite, or an error."""

import io
import itertools
from collections.abc import Callable

import h5py
import ml_dtypes
import numpy as np
import pytest

from aezoo.errors import AezooError, ManifestError, UnsafeFileError
from aezoo.utils.hdf5 import read_arrays

OWNER = "weights file w.h5"


def made(write: Callable[[h5py.File], object]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write(file)
    return content.getvalue()


def three(file: h5py.File) -> None:
    """A matrix, a number and an empty array."""
    file.create_group("layer/vars").create_dataset("0", data=np.eye(2, dtype="f4"))
    file["scale"] = np.float64(2.0)
    file["none"] = np.zeros((0, 3), "f2")


def test_stored_arrays_are_read_by_their_path() -> None:
    arrays = read_arrays(made(three), OWNER)
    assert {path: array.dtype.name for path, array in arrays.items()} == {
        "/layer/vars/0": "float32",
        "/scale": "float64",
        "/none": "float16",
    }
    np.testing.assert_array_equal(arrays["/layer/vars/0"], np.eye(2))
    assert arrays["/scale"] == 2.0


def test_bfloat16_is_what_keras_makes_of_it() -> None:
    values = np.array([1.0, -2.0], ml_dtypes.bfloat16)

    def write(file: h5py.File) -> None:
        file.create_dataset("0", data=values).attrs["dtype"] = "bfloat16"

    (found,) = read_arrays(made(write), OWNER).values()
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("other.h5", "/x"), h5py.SoftLink("/x")]
)
def test_links_are_refused(link: object) -> None:
    content = made(lambda file: file.create_group("layer").update({"0": link}))
    message = f"holds {type(link).__name__} at '/layer/0'"
    with pytest.raises(UnsafeFileError, match=message):
        read_arrays(content, OWNER)


def _external(file: h5py.File) -> None:
    file.create_dataset("0", (6,), "f8", external=[("/etc/passwd", 0, 48)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(6,))
    file.create_virtual_dataset("0", layout)


@pytest.mark.parametrize("write", [_external, _virtual])
def test_data_in_other_files_is_refused(write: Callable[[h5py.File], None]) -> None:
    with pytest.raises(UnsafeFileError, match=r"keeps '/0' in another file"):
        read_arrays(made(write), OWNER)


def _loop(file: h5py.File) -> None:
    group = file.create_group("layers")
    group["again"] = group


def _root(file: h5py.File) -> None:
    file.create_group("layers")["top"] = file


def _shared(file: h5py.File) -> None:
    file["a"] = np.zeros(100)
    file["b"] = file["a"]


@pytest.mark.parametrize("write", [_loop, _root, _shared])
def test_what_has_two_places_is_refused(write: Callable[[h5py.File], None]) -> None:
    """A circle would be followed for ever, and an array be read again and again."""
    with pytest.raises(UnsafeFileError, match=r"twice; everything must have one place"):
        read_arrays(made(write), OWNER)


def test_groups_without_end_are_refused() -> None:
    with pytest.raises(UnsafeFileError, match=r"groups in groups without end"):
        read_arrays(made(lambda file: file.create_group("/".join("g" * 80))), OWNER)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (15_000, 15_000), "chunks": (10, 10), "dtype": "f4"},
        {"shape": (15_000, 15_000), "dtype": "f4"},
        {"data": np.zeros(10**6, "f4"), "compression": "gzip"},
        {"data": np.zeros(10, "f4"), "chunks": (10,)},
        {"data": h5py.Empty("f4")},
    ],
    ids=["chunks", "unstored", "compressed", "whole chunks", "no shape"],
)
def test_values_that_are_not_stored_as_they_are_take_no_memory(options: dict) -> None:
    content = made(lambda file: file.create_dataset("0", **options))
    assert len(content) < 60_000
    with pytest.raises(ManifestError, match=r"must store (every value|its values as)"):
        read_arrays(content, OWNER)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.zeros(3, "S10000000"), "bytes"),
        (np.array(["text"], dtype=object), "object"),
        (np.zeros(3, "c8"), "complex64"),
        (np.zeros(3, "?"), "bool"),
        (np.zeros(3, "i4"), "int32"),
        (np.zeros(3, [("a", "f4")]), "void"),
        (np.zeros(3, "V2"), "void16"),
        (np.zeros(3, "g"), "longdouble|float128"),
    ],
)
def test_only_floating_point_numbers_are_read(values: np.ndarray, name: str) -> None:
    def write(file: h5py.File) -> None:
        text = h5py.string_dtype() if values.dtype == object else values.dtype
        file.create_dataset("0", data=values, dtype=text)

    with pytest.raises(ManifestError, match=f"float64 or bfloat16. Received: ({name})"):
        read_arrays(made(write), OWNER)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_finite_numbers_are_read(value: float) -> None:
    with pytest.raises(ManifestError, match=r"finite numbers. Received.*'/0'"):
        read_arrays(made(lambda file: file.update({"0": [0.0, value]})), OWNER)


@pytest.mark.parametrize("content", [b"", b"not hdf5", made(three)[:-100]])
def test_what_is_not_hdf5_is_named(content: bytes) -> None:
    message = r"weights file w\.h5 is not a readable HDF5 file: "
    with pytest.raises(ManifestError, match=message):
        read_arrays(content, OWNER)


def test_a_damaged_file_is_a_named_error_or_other_numbers() -> None:
    """Every bit of the headers, which HDF5 answers with errors of all kinds."""
    content = made(three)
    outcomes = {"named": 0, "read": 0}
    for byte, bit in itertools.product(range(0, len(content), 7), (0, 6)):
        damaged = bytearray(content)
        damaged[byte] ^= 1 << bit
        try:
            arrays = read_arrays(bytes(damaged), OWNER)
        except AezooError:
            outcomes["named"] += 1
        else:
            outcomes["read"] += 1
            assert all(np.isfinite(array).all() for array in arrays.values())
    assert min(outcomes.values()) > 50
