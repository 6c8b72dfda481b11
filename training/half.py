"""Weights in half precision: half the bytes, and rounded before anything is measured.

Models of the zoo compute in float32; only their files hold float16.
"""

import io

import h5py
import keras
import numpy as np


def round_weights(model: keras.Model) -> None:
    """Round a model's weights to the closest numbers that float16 can hold.

    Raises:
        ValueError: If a weight is not finite, or too large for float16 (65,504).
    """
    for weight in model.weights:
        if not keras.backend.is_float_dtype(weight.dtype):
            continue
        value = keras.ops.convert_to_numpy(weight)
        with np.errstate(over="ignore"):
            rounded = value.astype("float16")
        if not np.isfinite(rounded).all():
            raise ValueError(
                f"The weight {weight.path!r} holds numbers that float16 cannot. "
                f"Received: {float(value[~np.isfinite(rounded)].flat[0])}."
            )
        weight.assign(rounded.astype(value.dtype))


def is_half(model: keras.Model) -> bool:
    """Whether float16 holds each of a model's weights exactly."""
    values = (
        keras.ops.convert_to_numpy(weight)
        for weight in model.weights
        if keras.backend.is_float_dtype(weight.dtype)
    )
    with np.errstate(over="ignore"):
        return all((value == value.astype("float16")).all() for value in values)


def halved(content: bytes) -> bytes:
    """A weights file with its floating-point numbers as float16."""
    half = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as source, h5py.File(half, "w") as target:
        _copy(source, target)
    return half.getvalue()


def _copy(source: h5py.Group, target: h5py.Group) -> None:
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
            continue
        values = item[()]
        if values.dtype.kind == "f":
            values = values.astype("float16")
        target.create_dataset(name, data=values).attrs.update(item.attrs)
