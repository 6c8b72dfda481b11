"""HDF5 files of weights, read from memory and within bounds; they may be hostile.

HDF5 itself is never let near a path: it would follow links to other files, and ends the
process where a disk is full.
"""

import io
import math
from collections.abc import Iterator

import h5py
import ml_dtypes
import numpy as np

from aezoo.errors import AezooError, ManifestError, UnsafeFileError

# Of an element, as weights are stored.
FLOATS = ("float16", "float32", "float64")
BFLOAT16 = "bfloat16"
# Names of groups within groups; those of the deepest families are ten levels deep.
MAX_DEPTH = 64


def read_arrays(content: bytes, owner: str) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file of weights.

    Nothing is read before it is known that the file itself stores every value: there
    are no links, no filters, no fill values and no strings, and an array takes as many
    bytes of memory as of the file.

    Args:
        content: The file.
        owner: What file it is, for the messages.

    Returns:
        Finite floating-point arrays by their path in the file.

    Raises:
        UnsafeFileError: If it refers to data outside itself, or holds something twice.
        ManifestError: If it is not HDF5, is damaged, or holds anything but stored
            floating-point numbers that are finite.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            found = dict(_datasets(file, owner))
            size = sum(dataset.nbytes for dataset, _ in found.values())
            if size > len(content):
                raise ManifestError(
                    f"The {owner} must store every value: it has {len(content):,} "
                    f"bytes and declares {size:,}."
                )
            arrays = {path: _read(*item) for path, item in found.items()}
    except AezooError:
        raise
    # HDF5 raises whatever its damaged part makes of it: TypeError, KeyError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ManifestError(
            f"The {owner} is not a readable HDF5 file: {reason:.200}"
        ) from error
    for path, array in arrays.items():
        if not np.isfinite(array).all():
            raise ManifestError(
                f"The {owner} must hold finite numbers. Received: NaN or infinity at "
                f"{path!r:.80}."
            )
    return arrays


def _datasets(
    file: h5py.File, owner: str
) -> Iterator[tuple[str, tuple[h5py.Dataset, np.dtype]]]:
    """Every dataset by its path, with its type; headers and links only."""
    # Whatever has two places may be followed for ever, or read twice.
    seen = {h5py.h5o.get_info(file.id).addr}
    groups: list[tuple[h5py.Group, str]] = [(file, "")]
    while groups:
        group, place = groups.pop()
        if place.count("/") > MAX_DEPTH:
            raise UnsafeFileError(f"The {owner} holds groups in groups without end.")
        for key in group:
            path = f"{place}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UnsafeFileError(
                    f"The {owner} holds {type(link).__name__} at {path!r:.80}; only "
                    "data inside the file itself is read."
                )
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise UnsafeFileError(
                    f"The {owner} holds {path!r:.80} twice; everything must have one "
                    "place."
                )
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((item, path))
            else:
                yield path, (item, _checked_type(item, path, owner))


def _checked_type(item: h5py.Dataset, path: str, owner: str) -> np.dtype:
    """The type of a dataset's elements, once it is known that all are stored."""
    if not isinstance(item, h5py.Dataset):
        raise ManifestError(
            f"The {owner} must hold arrays. Received: {type(item).__name__} at "
            f"{path!r:.80}."
        )
    if item.external or item.is_virtual:
        raise UnsafeFileError(
            f"The {owner} keeps {path!r:.80} in another file; only data inside the "
            "file itself is read."
        )
    dtype = item.dtype
    stated = item.attrs.get("dtype")
    if dtype == "V2" and isinstance(stated, str) and stated == BFLOAT16:
        dtype = np.dtype(ml_dtypes.bfloat16)  # which HDF5 has no name for
    elif dtype.name not in FLOATS:
        raise ManifestError(
            f"The {owner} must hold numbers of type {', '.join(FLOATS)} or {BFLOAT16}. "
            f"Received: {dtype.name:.40} at {path!r:.80}."
        )
    shape = item.shape
    if shape is None or math.prod(shape) * dtype.itemsize > item.id.get_storage_size():
        raise ManifestError(
            f"The {owner} must store every value. Received: shape {shape} of which "
            f"{item.id.get_storage_size():,} bytes are stored, at {path!r:.80}."
        )
    if item.chunks is not None or item.compression is not None:
        raise ManifestError(
            f"The {owner} must store its values as they are. Received: filters or "
            f"chunks at {path!r:.80}."
        )
    return dtype


def _read(item: h5py.Dataset, dtype: np.dtype) -> np.ndarray:
    array = np.asarray(item[()])
    return array.view(dtype) if array.dtype.kind == "V" else array
