"""Checks of what `fit` and its like are given, before the first step."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def with_targets(x: np.ndarray, y: Any, weights: Any) -> tuple[Any, Any]:
    """Targets and weights such that Keras does not drop weights without targets.

    Args:
        x: Examples.
        y: Targets, or what else the model is told; or None.
        weights: Weights of examples, or None.

    Returns:
        `y`, `x` itself where there are weights alone; and weights `(n,)`, float32.

    Raises:
        ValueError: If the weights are of another number, negative or not finite.
    """
    if weights is None:
        return y, None
    values = np.asarray(weights)
    if values.dtype.kind not in "fiub" or values.shape not in (
        (len(x),),
        (len(x), 1),
    ):
        raise ValueError(
            f"`sample_weight` must hold one number for each of the {len(x)} examples. "
            f"Received: sample_weight.shape={values.shape}, dtype={values.dtype}."
        )
    values = values.reshape(-1).astype("float32")
    if not np.isfinite(values).all() or values.min() < 0.0:
        raise ValueError(
            "`sample_weight` must hold finite numbers of at least 0. Received: "
            f"min={values.min()}, max={values.max()}."
        )
    return (x if y is None else y), values


def check_first_batch(model: Any, data: Any) -> Any:
    """Check the first batch of a dataset or an iterable; later ones are as fast.

    Args:
        model: The model, whose `unpack` and modality say what is right.
        data: A `tf.data.Dataset`, a `PyDataset`, a loader, or an iterator of batches.

    Returns:
        The same data; an iterator that gives the batch that was looked at, too.

    Raises:
        ValueError: If the batch does not fit; as `encode` says it.
    """
    if data is None:
        return data
    if isinstance(data, keras.utils.PyDataset):
        _check_batch(model, data[0])
        return data
    if isinstance(data, Iterator):
        first = next(data, None)
        if first is None:
            return data
        _check_batch(model, first)
        return itertools.chain([first], data)
    if hasattr(data, "take"):  # a `tf.data.Dataset`
        for batch in data.take(1):
            _check_batch(model, batch)
        return data
    if hasattr(data, "__iter__"):
        for batch in data:
            _check_batch(model, batch)
            break
    return data


def _check_batch(model: Any, batch: Any) -> None:
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    examples = model.modality.check(_as_array(x))
    if weights is not None:
        with_targets(examples, examples, _as_array(weights))
    model.unpack(batch)
    if model.given and y is not None:
        names = tuple(model.given)
        given = y if isinstance(y, dict) else {names[0]: y}
        for name, value in given.items():
            model.check_given(name, _as_array(value), len(examples))


def _as_array(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
