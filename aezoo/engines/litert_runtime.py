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
            return found

    call.keeps = interpreter  # type: ignore[attr-defined]  # its tensors
    return call
