"""What a model is made of: what compiled functions depend on, and building it empty."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from aezoo.nn.keras_private import flat_layers


class StructureWatch:
    """Notices that a layer of a model was quantised or got adapters.

    Compiled functions depend on that beside the values of the weights.

    Args:
        model: The model, built.
    """

    def __init__(self, model: keras.Model) -> None:
        # Found once: a walk over all layers costs as much as a small batch.
        self._layers = [
            layer for layer in flat_layers(model) if hasattr(layer, "quantization_mode")
        ]
        self._seen = self.structure()

    def structure(self) -> tuple[Any, ...]:
        """What of each layer may change: its quantisation, and its adapters."""
        return tuple(
            (layer.quantization_mode, getattr(layer, "lora_enabled", False))
            for layer in self._layers
        )

    def has_changed(self) -> bool:
        """Whether anything changed since this was asked last."""
        structure = self.structure()
        changed, self._seen = structure != self._seen, structure
        return changed


def is_quantized(model: keras.Model) -> bool:
    """Whether a layer of a model is quantised."""
    return any(mode for mode, _ in StructureWatch(model).structure())


@contextlib.contextmanager
def without_initialisation(
    model: keras.Model, num_values: int | None = None
) -> Iterator[None]:
    """Build `model` inside this context with zeros in place of random weights.

    For models whose weights are about to be loaded: random initialisers cost 0.7 s
    (TensorFlow) to 4 s (JAX, which compiles each of them) and are overwritten. The
    layers get their own initialisers back on exit.

    Args:
        model: The model, not yet built.
        num_values: Most values that all weights may have together, whatever the
            configuration says; None for no limit.

    Raises:
        ValueError: If there would be more, before memory is taken for them.
    """
    taken = 0

    def zeros(shape: Sequence[int], dtype: str | None = None) -> np.ndarray:
        nonlocal taken
        taken += math.prod(shape)
        if num_values is not None and taken > num_values:
            raise ValueError(
                f"`num_params` does not fit its configuration, which needs {taken:,} "
                f"weights or more. Received: num_params={num_values}."
            )
        return np.zeros(shape, dtype or keras.config.floatx())

    replaced = []
    for layer in flat_layers(model):
        for name, value in list(vars(layer).items()):
            if isinstance(value, keras.initializers.Initializer):
                replaced.append((layer, name, value))
                setattr(layer, name, zeros)
    try:
        yield
    finally:
        for layer, name, value in replaced:
            setattr(layer, name, value)
