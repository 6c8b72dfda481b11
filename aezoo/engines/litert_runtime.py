"""LiteRT graphs as functions of arrays, by its own runtime. Imports no Keras."""

import threading

import numpy as np

from aezoo.engines.model import Function
from aezoo.utils.extras import require


def open_graph(content: bytes, name: str) -> Function:
    """The function of a LiteRT graph, on the CPU.

    Args:
        content: The graph's file.
        name: Of the graph, which is that of its signature.

    Raises:
        MissingDependencyError: If LiteRT is not installed.
    """
    runtime = require("ai_edge_litert.interpreter", "litert", "What was exported to it")
    interpreter = runtime.Interpreter(model_content=content)
    run = interpreter.get_signature_runner(name)
    lock = threading.Lock()  # an interpreter has one set of tensors

    def call(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with lock:
            found: dict[str, np.ndarray] = run(**feeds)
        return {name: _with_infinity(values) for name, values in found.items()}

    call.keeps = interpreter  # type: ignore[attr-defined]  # its tensors
    return call


def _with_infinity(values: np.ndarray) -> np.ndarray:
    """Values with infinity where it was: the converter writes the largest number."""
    if values.dtype != np.float32:
        return values
    is_largest = np.abs(values) == np.finfo("float32").max
    return np.where(is_largest, np.copysign(np.float32(np.inf), values), values)
