"""What users have instead of an array: lists, tensors, Pillow's images, a mistake.

Needs NumPy only, so that it runs before any framework is imported.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from aezoo.utils.arrays import to_numpy
from aezoo.utils.text import plural

# What dictionaries and archives may call their examples.
EXAMPLE_KEYS = ("image", "images", "examples")
_ARRAY_PROTOCOLS = ("__array__", "__array_interface__", "__dlpack__")


def as_array(x: Any, name: str = "x", noun: str = "example") -> np.ndarray:
    """An array of what users have instead of one.

    Args:
        x: An array, a tensor, an image of Pillow, or a list of them, all of one shape
            and dtype; or numbers in nested lists.
        name: What to call it in a message.
        noun: What to call one of its rows.

    Raises:
        ValueError: If it is a path, a dictionary, a dataset, a pair, a symbol of a
            graph or nothing of the kind; says what to pass instead.
    """
    if type(x) is np.ndarray and x.dtype.kind != "O":  # the most frequent
        return x
    nouns = plural(noun)
    if isinstance(x, str | bytes | os.PathLike):
        raise ValueError(
            f"`{name}` must be an array of {nouns}, not a path. Received: "
            f"{name}={x!r}. Read files with `aezoo.datasets.open_dataset(path, "
            "modality=model.modality).examples`."
        )
    if isinstance(x, Mapping):
        keys = list(x)
        key = next((key for key in EXAMPLE_KEYS if key in x), None)
        raise ValueError(
            f"`{name}` must be an array of {nouns}, not a dictionary. Received: keys "
            f"{', '.join(map(repr, keys))[:80]}. Pass "
            + (f"`{name}[{key!r}]`." if key else f"the array that holds the {nouns}.")
        )
    if isinstance(x, list | tuple):
        x = _stack(x, name, noun)
    elif not is_array(x):
        kind = type(x).__name__
        if isinstance(x, Iterable) or hasattr(x, "__getitem__"):
            raise ValueError(
                f"`{name}` must be an array of {nouns}, not a dataset or an iterator. "
                f"Received: {kind}. Pass one batch after another, or all {nouns} of "
                f"a dataset as `aezoo.datasets.open_dataset({name}).examples`."
            )
        raise ValueError(f"`{name}` must be an array of {nouns}. Received: {kind}.")
    try:
        array = to_numpy(x)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        if "symbolic" in str(error).lower() or "Tracer" in type(error).__name__:
            raise ValueError(
                f"`{name}` is symbolic. Inside `dataset.map`, `tf.function` or "
                "`jax.jit` call the model itself, `model(x)`; in a functional model "
                "use `aezoo.feature_extractor`."
            ) from error
        raise ValueError(
            f"`{name}` must be an array of {nouns}. Received: {type(x).__name__}, "
            f"which NumPy cannot take: {str(error)[:200]}"
        ) from error
    if array.dtype.kind == "O":
        raise ValueError(
            f"`{name}` must be an array of numbers. Received: {type(x).__name__} of "
            f"Python objects. Put {nouns} of one shape together with `np.stack`."
        )
    return array


def is_array(x: Any) -> bool:
    """Whether NumPy takes something as an array, or a number, by itself."""
    return isinstance(x, int | float | complex | memoryview | bytearray) or any(
        hasattr(x, protocol) for protocol in _ARRAY_PROTOCOLS
    )


def _stack(items: Sequence[Any], name: str, noun: str) -> Any:
    """A list of arrays as one array; nested lists of numbers as they are."""
    if all(isinstance(item, list | tuple | int | float) for item in items):
        return items
    arrays = [as_array(item, f"{name}[{i}]", noun) for i, item in enumerate(items)]
    first, nouns = arrays[0], plural(noun)
    for i, array in enumerate(arrays):
        if array.shape == first.shape and array.dtype == first.dtype:
            continue
        is_pair = len(arrays) == 2 and array.ndim <= 1
        raise ValueError(
            f"`{name}` must hold {nouns} of one shape and dtype. Received: {name}[0]: "
            f"{first.dtype}, {first.shape}; {name}[{i}]: {array.dtype}, {array.shape}."
            + (f" Of {nouns} and labels pass `{name}[0]`." if is_pair else "")
        )
    return np.stack(arrays)
