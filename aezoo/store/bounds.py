"""Bounds on what a configuration of others may make: checked before it is made.

A kilobyte of JSON may ask for a billion layers, or for a width whose kernel alone is
larger than any memory. Numbers are bounded first, by the number of weights that the
entry states and its file holds; layers and weights are counted as they are made.
"""

import contextlib
import contextvars
import dataclasses
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import keras

# Of numbers and texts in a configuration, and letters in a text.
MAX_VALUES, MAX_LETTERS = 1_000, 1_000
# A size up to here is allowed however few weights there are, e.g. that of an image.
SMALL = 4_096
MAX_LAYERS = 4_096
# Values of one example, e.g. 4096 x 4096 in four channels.
MAX_ELEMENTS = 1 << 26
# Of lengths of schedules (`..._steps`), which take nothing.
MAX_STEPS = 1 << 40


@dataclasses.dataclass
class _Budget:
    """What may still be made in a context."""

    num_params: int
    layers: int = 0
    values: int = 0

    def count_layer(self) -> None:
        self.layers += 1
        if self.layers > MAX_LAYERS:
            raise ValueError(
                f"a model may have at most {MAX_LAYERS:,} layers. Its configuration "
                "makes more."
            )

    def count_weight(self, shape: Any) -> None:
        sides = () if shape is None else (shape,) if isinstance(shape, int) else shape
        self.values += math.prod(side or 0 for side in sides)
        if self.values > self.num_params:
            raise ValueError(
                "`num_params` does not fit its configuration, which needs "
                f"{self.values:,} weights or more. Received: num_params="
                f"{self.num_params}."
            )


_budget: contextvars.ContextVar[_Budget | None] = contextvars.ContextVar(
    "budget", default=None
)
_lock = threading.Lock()
_originals: dict[str, Any] = {}
_num_contexts = 0


@contextlib.contextmanager
def bounded(config: Mapping[str, Any], num_params: int) -> Iterator[None]:
    """Construct and build a model of others inside this context.

    Args:
        config: Its configuration, JSON values.
        num_params: Number of weights that its entry states.

    Raises:
        ValueError: If the configuration holds too many values or too large ones, or
            there would be more layers or weights, before memory is taken for them.
    """
    check_bounds(config, num_params)
    token = _budget.set(_Budget(num_params))
    _install()
    try:
        yield
    finally:
        _uninstall()
        _budget.reset(token)


def check_bounds(config: Mapping[str, Any], num_params: int) -> None:
    """Refuse a configuration whose numbers are too large for its number of weights.

    A width or a count of anything with weights is at most their number.

    Raises:
        ValueError: Names the argument.
    """
    limit = max(num_params, SMALL)
    for count, (name, value) in enumerate(_values(config), start=1):
        if count > MAX_VALUES:
            raise ValueError(f"it must hold at most {MAX_VALUES:,} values.")
        # a vocabulary has fewer letters than its words have weights
        letters = max(num_params, MAX_LETTERS)
        if isinstance(value, str) and len(value) > letters:
            raise ValueError(
                f"`{name}` must have at most {letters:,} letters for a model of "
                f"{num_params:,} weights. Received: {len(value):,}."
            )
        most = MAX_STEPS if name.endswith("_steps") else limit
        if isinstance(value, int) and abs(value) > most:
            raise ValueError(
                f"`{name}` must be at most {most:,} for a model of {num_params:,} "
                f"weights. Received: {value!s:.40}."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"`{name}` must be finite. Received: {name}={value}.")
    shape = config.get("input_shape", ())
    if isinstance(shape, list) and all(isinstance(side, int) for side in shape):
        elements = math.prod(shape)
        if elements > MAX_ELEMENTS:
            raise ValueError(
                f"`input_shape` must have at most {MAX_ELEMENTS:,} elements. Received: "
                f"input_shape={tuple(shape)}."
            )


def _values(config: Any, name: str = "config") -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _values(value, str(key))
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _values(value, name)
    else:
        yield name, config


def _install() -> None:
    """Have Keras's layers count, while there is a context in any thread."""
    global _num_contexts
    with _lock:
        _num_contexts += 1
        if _num_contexts > 1:
            return
        for name in ("__new__", "add_weight"):  # Keras looks at `__init__` itself
            _originals[name] = vars(keras.layers.Layer)[name]
        new, add_weight = keras.layers.Layer.__new__, keras.layers.Layer.add_weight

        def counted_new(cls: type, *args: Any, **kwargs: Any) -> Any:
            if (budget := _budget.get()) is not None:
                budget.count_layer()
            return new(cls, *args, **kwargs)

        def counted_add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
            if (budget := _budget.get()) is not None:
                budget.count_weight(args[0] if args else kwargs.get("shape"))
            return add_weight(self, *args, **kwargs)

        keras.layers.Layer.__new__ = staticmethod(counted_new)
        keras.layers.Layer.add_weight = counted_add_weight


def _uninstall() -> None:
    global _num_contexts
    with _lock:
        _num_contexts -= 1
        if not _num_contexts:
            for name, original in _originals.items():
                setattr(keras.layers.Layer, name, original)
