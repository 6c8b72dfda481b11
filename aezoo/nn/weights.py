"""A model's weights as bytes, by Keras's own code, and the proof that none is missing.

Which layer's weights stand where in a file is Keras's business and differs between its
versions, some of which leave out layers in nested lists without a word. So what it
writes and reads is counted here. Nothing touches a disk: the caller does.
"""

import io
import json
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import h5py
import keras
import numpy as np

from aezoo.errors import ManifestError
from aezoo.manifest import BundledFile
from aezoo.nn.backend import OWN_NAMES
from aezoo.utils.files import read_verified
from aezoo.utils.hdf5 import read_arrays


class _NamedBuffer(io.BytesIO):
    """A file in memory, with a name whose suffix Keras looks at."""

    def __str__(self) -> str:
        return "model.weights.h5"


def _renamed(content: bytes, names: Mapping[str, str]) -> bytes:
    """A weights file with groups of some names called otherwise."""
    if not names:
        return content
    found: list[str] = []
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        file.visit(found.append)
        for path in reversed(found):  # what is within another first
            parent, _, name = path.rpartition("/")
            if name in names:
                file.move(path, f"{parent}/{names[name]}")
    return buffer.getvalue()


# --- Writing -------------------------------------------------------------------------


def unproven_weights(model: keras.Model) -> bytes:
    """What `model.save_weights` writes, the optimiser's variables included."""
    file = _NamedBuffer()
    model.save_weights(file)
    return _renamed(file.getvalue(), {own: name for name, own in OWN_NAMES.items()})


def weights_bytes(model: keras.Model) -> bytes:
    """The content of a weights file, with every weight of a model and nothing else.

    Args:
        model: A model that is built, with finite weights and without an optimiser.

    Raises:
        ValueError: If this version of Keras leaves out a weight.
    """
    content = unproven_weights(model)
    _prove(model, content)
    return content


def keras_files(model: keras.Model) -> tuple[bytes, bytes]:
    """Configuration and weights as `model.save` writes them, the same bytes each time.

    Keras also writes names of layers, which it counts up within a process and never
    compares; these are left out.

    Args:
        model: As in `weights_bytes`.

    Raises:
        ValueError: As in `weights_bytes`.
    """
    config = json.dumps(keras.saving.serialize_keras_object(model)).encode()
    named, unnamed = io.BytesIO(unproven_weights(model)), io.BytesIO()
    with h5py.File(named, "r") as source, h5py.File(unnamed, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                source.copy(item, target, name)
            else:
                target.require_group(name)

        source.visititems(copy)
    _prove(model, unnamed.getvalue())
    return config, unnamed.getvalue()


def _prove(model: keras.Model, content: bytes) -> None:
    """Compare the arrays of a weights file with the model's, one to one."""
    written = Counter(map(_facts, read_arrays(content, "weights file").values()))
    held = Counter(_facts(keras.ops.convert_to_numpy(w)) for w in model.weights)
    if written != held:
        raise ValueError(
            f"Keras {keras.__version__} does not write the weights of all layers of "
            f"{model.name!r}: {(held - written).total()} of {held.total()} arrays are "
            f"missing, {(written - held).total()} are others. Install another version, "
            "e.g. `pip install --upgrade keras`."
        )


def _facts(values: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return values.shape, values.tobytes()


# --- Reading -------------------------------------------------------------------------


class Entry(Protocol):
    """What is stated of a model, or a classifier, that has a weights file."""

    @property
    def weights(self) -> BundledFile:
        """Name, size and hash of the file."""

    @property
    def num_params(self) -> int:
        """How many weights the model has."""


def read_weights_file(entry: Entry, path: Path, remedy: str) -> bytes:
    """The content of a weights file, once its size and hash are the entry's.

    Args:
        entry: The entry of a model or a classifier.
        path: The file.
        remedy: What to do about a damaged one; ends messages.

    Raises:
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is too small to hold the stated number of weights.
    """
    weights = entry.weights
    content = read_verified(path, weights.sha256, remedy, weights.bytes)
    if 2 * entry.num_params > weights.bytes:  # float16
        raise ManifestError(
            f"`num_params` must fit the weights file {path} of {weights.bytes:,} "
            f"bytes. Received: num_params={entry.num_params}. {remedy}"
        )
    return content


class StoredWeights:
    """The content of a weights file, which may be hostile, once it has been checked.

    Args:
        content: The file.
        num_params: How many numbers it must hold.
        owner: What file it is, for the messages.

    Raises:
        UnsafeFileError: If it refers to data outside itself.
        ManifestError: If it is damaged, holds anything but finite floating-point
            numbers, or another number of them.
    """

    def __init__(self, content: bytes, num_params: int, owner: str) -> None:
        arrays = read_arrays(content, owner)
        values = sum(array.size for array in arrays.values())
        if values != num_params:
            raise ManifestError(
                f"The {owner} does not fit its entry: expected {num_params:,} values, "
                f"received {values:,}."
            )
        self._content, self._owner, self._num_arrays = content, owner, len(arrays)

    def read_into(self, model: keras.Model, whose: str) -> None:
        """Give a model that is built these weights in place of its own.

        Args:
            model: The model.
            whose: Whose weights they must be, for the messages.

        Raises:
            ManifestError: If the file holds other weights, or this version of Keras
                does not read all of them.
        """
        if self._num_arrays != len(model.weights):
            raise ManifestError(
                f"The {self._owner} does not fit {whose}: expected "
                f"{len(model.weights)} arrays, received {self._num_arrays}."
            )
        for weight in model.weights:  # what stays so was not read
            weight.assign(np.full(weight.shape, np.nan, "float32"))
        try:
            with warnings.catch_warnings(), np.errstate(over="ignore"):
                # Keras would leave such layers as they were.
                warnings.filterwarnings("error", "Skipping nested container")
                model.load_weights(_NamedBuffer(_renamed(self._content, OWN_NAMES)))
        except Exception as error:  # whatever Keras makes of other names and shapes
            raise ManifestError(
                f"The {self._owner} does not fit {whose}: {error}"
            ) from error
        for weight in model.weights:
            values = keras.ops.convert_to_numpy(weight)
            if np.isnan(values).any():
                raise ManifestError(
                    f"Keras {keras.__version__} does not read the weights of all "
                    f"layers of {whose}: {weight.path!r} is missing. Install another "
                    "version, e.g. `pip install --upgrade keras`."
                )
            if not np.isfinite(values).all():
                raise ManifestError(
                    f"The {self._owner} holds numbers that are too large for "
                    f"{weight.path!r} of type {weight.dtype}."
                )
