"""Checks of what `fit` and its like are given, before the first step."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from aezoo.models.inpainting import check_mask
from aezoo.utils.arrays import to_numpy

# In a dictionary beside examples: where elements are missing.
MASK = "mask"


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
    values = to_numpy(weights)
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


def split_mask(y: Any) -> tuple[Any, Any]:
    """What a model is told beside examples, and where these have holes.

    Args:
        y: What came beside the examples.

    Returns:
        `y` without its mask, None if nothing is left of it; and the mask, or None.
    """
    if not isinstance(y, Mapping) or MASK not in y:
        return y, None
    rest = {name: value for name, value in y.items() if name != MASK}
    return rest or None, y[MASK]


def with_holes(hidden: Any) -> dict[str, Any]:
    """What outputs say of holes: nothing where there are none."""
    return {} if hidden is None else {MASK: hidden}


def check_first_batch(model: Any, data: Any) -> Any:
    """Check the first batch of a dataset or an iterable; graphs check the others.

    Args:
        model: The model, whose `unpack` and modality say what is right.
        data: A `tf.data.Dataset`, a `PyDataset`, a loader, or an iterator of batches.

    Returns:
        The same data; of an iterator a generator that gives all batches.

    Raises:
        ValueError: If the batch does not fit; as `encode` says it.
    """
    if data is None:
        return data
    if isinstance(data, keras.utils.PyDataset):
        _check_batch(model, data[0])
        return data
    if isinstance(data, Iterator):
        return _checked(model, data)
    if hasattr(data, "take"):  # a `tf.data.Dataset`, which need not read ahead
        data_of_first = data.take(1)
    else:
        data_of_first = data if hasattr(data, "__iter__") else ()
    for batch in data_of_first:
        _check_batch(model, batch)
        break
    return data


def _checked(model: Any, batches: Iterator[Any]) -> Iterator[Any]:
    first = next(batches, None)
    if first is not None:
        _check_batch(model, first)

    def all_batches() -> Iterator[Any]:  # Keras knows iterators that are generators
        for batch in itertools.chain([] if first is None else [first], batches):
            yield batch if isinstance(batch, tuple) else (batch,)  # as Keras wants it

    return all_batches()


def _check_batch(model: Any, batch: Any) -> None:
    noun = model.modality.noun
    if isinstance(batch, Mapping):
        told = "".join(f", row[{name!r}]" for name in model.told_in_training)
        wanted = f"(row[{noun!r}]{told})" if told else f"row[{noun!r}]"
        raise ValueError(
            f"Batches must be x, (x, y) or (x, y, sample_weight), not dictionaries. "
            f"Received: keys {', '.join(map(repr, batch))[:80]}. Choose among them, "
            f"e.g. `dataset.map(lambda row: {wanted})`."
        )
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    if tuple(getattr(x, "shape", ())) == model.modality.shape:
        raise ValueError(
            f"The dataset gives single {model.modality.nouns}, not batches of them. "
            f"Received: x.shape={tuple(x.shape)}. Pass `dataset.batch(128)`."
        )
    examples = model.modality.check(_as_array(x))
    if weights is not None:
        with_targets(examples, examples, _as_array(weights))
    model.unpack(keras.tree.map_structure(_as_array, batch))
    y, hidden = split_mask(y)
    if hidden is not None:
        check_mask(model, _as_array(hidden), len(examples))
    told = model.told_in_training
    if told and y is not None:
        names = tuple(told)
        given = y if isinstance(y, Mapping) else {names[0]: y}
        for name, value in given.items():
            model.check_given(name, _as_array(value), len(examples), told)
    elif y is not None:
        model.modality.check(_as_array(y), "y")


def _as_array(value: Any) -> Any:
    # Datasets of TensorFlow's give its tensors on every backend.
    return to_numpy(value) if hasattr(value, "__array__") else value
