"""Batches and datasets in the structures that users have: arrays, pairs, dictionaries.

TensorFlow Datasets, for one, yields dictionaries with `image` and `label`. Needs NumPy
only; what is a tensor stays one, so that all but `collect` may run inside a graph.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aezoo.modalities import Modality
from aezoo.modalities.arrays import EXAMPLE_KEYS, as_array, is_array
from aezoo.modalities.image.check import shape_hint

# What a dictionary may call its labels.
LABEL_KEYS = ("label", "labels")


def split_batch(batch: Any) -> tuple[Any, Any]:
    """The examples of a batch, and what else it says of them.

    Args:
        batch: Examples, `(x,)`, `(x, y)`, `(x, y, weights)`, or a dictionary with one
            of `EXAMPLE_KEYS` and perhaps one of `LABEL_KEYS`.

    Returns:
        Examples and labels as they are; None for labels that it does not hold.

    Raises:
        ValueError: If a dictionary holds no such key.

    Example:
        >>> split_batch({"image": [[0, 255]], "label": [7]})
        ([[0, 255]], [7])
    """
    if isinstance(batch, Mapping):
        found = [key for key in EXAMPLE_KEYS if key in batch]
        if not found:
            raise ValueError(
                "A batch that is a dictionary must hold "
                f"{' or '.join(map(repr, EXAMPLE_KEYS))}. Received: keys "
                f"{', '.join(map(repr, batch))[:80]}. Rename one, e.g. with "
                "`dataset.map(lambda row: {'examples': row['data']})`."
            )
        labels = next((batch[key] for key in LABEL_KEYS if key in batch), None)
        return batch[found[0]], labels
    if isinstance(batch, tuple | list) and batch:
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None


def batch_hint(shape: Sequence[int | None], input_shape: Sequence[int]) -> str:
    """What to do with a dataset whose batches have another shape than a model takes.

    Args:
        shape: Shape of a batch; None where it is not known.
        input_shape: Shape of one example, `(height, width, channels)`.

    Returns:
        A sentence that begins with a space, or nothing.

    Example:
        >>> batch_hint((28, 28, 1), (28, 28, 1))
        ' Its elements are single examples: batch it with `dataset.batch(128)`.'
    """
    got, expected = tuple(shape), tuple(input_shape)
    channelless = expected[:-1] if expected[-1:] == (1,) else None
    if got == expected:
        return " Its elements are single examples: batch it with `dataset.batch(128)`."
    if got == channelless:
        return (
            " Its elements are single examples without a channel axis: "
            "`dataset.map(lambda x: x[..., None]).batch(128)`."
        )
    if len(expected) != 3 or None in got[1:]:
        return ""
    hint = shape_hint("x", tuple(n or 0 for n in got), expected)
    # Inside a graph the functions of Keras take the place of NumPy's.
    return re.sub("`(.+)`", lambda m: f"`dataset.map(lambda x: {m[1]})`", hint).replace(
        "np.", "keras.ops."
    )


def is_dataset(source: Any) -> bool:
    """Whether something yields batches or examples, rather than being an array."""
    return not (
        is_array(source)
        or isinstance(source, str | bytes | Mapping | list | tuple)
        or not (hasattr(source, "__iter__") or hasattr(source, "__getitem__"))
    )


def collect(
    dataset: Any, modality: Modality | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """All examples and labels of a dataset, in memory.

    Args:
        dataset: A `tf.data.Dataset`, a `keras.utils.PyDataset` or anything else that
            yields batches or single examples, in the structures of `split_batch`.
        modality: What an example is, by which a batch is told from it; None takes three
            axes for one image.

    Returns:
        Examples `(n, ...)`, and integer labels `(n,)` if every batch holds them.

    Raises:
        ValueError: If it never ends, is empty, or an element is none of these.
    """
    if _never_ends(dataset):
        raise ValueError(
            "`dataset` never ends. Take a part of it with `dataset.take(100)`, or "
            "leave out `repeat()`."
        )
    examples, labels = [], []
    for element in _elements(dataset):
        x, y = split_batch(element)
        x = as_array(x, "examples of the dataset")
        is_single = _is_single(x, modality)
        examples.append(x[None] if is_single else x)
        if y is None or isinstance(y, Mapping):
            continue
        y = np.asarray(y)
        if y.dtype.kind in "iu" and y.ndim == (0 if is_single else 1):
            labels.append(y[None] if is_single else y)
    if not examples:
        raise ValueError(
            "`dataset` yields nothing. Iterators yield only once: pass what makes them."
        )
    shapes = {x.shape[1:] for x in examples}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise ValueError(
            "`dataset` must yield examples of one shape. Received: "
            f"{first} and {second}."
        )
    has_labels = len(labels) == len(examples)
    return np.concatenate(examples), np.concatenate(labels) if has_labels else None


def _never_ends(dataset: Any) -> bool:
    cardinality = getattr(dataset, "cardinality", None)  # of tf.data
    return callable(cardinality) and int(cardinality()) == -1


def _elements(dataset: Any) -> Iterator[Any]:
    if hasattr(dataset, "__iter__"):
        yield from dataset
    else:  # a `PyDataset` ends by its length
        for i in range(len(dataset)):
            yield dataset[i]


def _is_single(x: np.ndarray, modality: Modality | None) -> bool:
    if modality is None:
        return x.ndim == 3
    expected = modality.shape
    is_channelless = expected[-1] == 1 and x.shape == expected[:-1]
    return modality.is_single(x) or is_channelless
