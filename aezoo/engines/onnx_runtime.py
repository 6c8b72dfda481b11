"""ONNX graphs as functions of arrays, by ONNX Runtime. Imports no Keras."""

import functools
import os
import re
from typing import Any

import numpy as np

from aezoo.engines.model import Function
from aezoo.errors import UnsafeFileError
from aezoo.utils.extras import require

# Graphs of up to so many bytes share the work of many rows among threads, and not that
# of one operation: threads that wait for each other after each cost more than a small
# operation. Each gets so many rows at once, whose values the caches can hold.
SMALL, ROWS = 1 << 25, 32
# What says that a tensor is in another file: an entry `location` in a `TensorProto`.
_EXTERNAL = re.compile(rb"\x0a\x08location\x12", re.DOTALL)


def open_graph(content: bytes, name: str) -> Function:
    """The function of an ONNX graph, on the CPU.

    Args:
        content: The graph's file.
        name: Of the graph, for messages.

    Raises:
        MissingDependencyError: If ONNX Runtime is not installed.
        UnsafeFileError: If the graph refers to other files.
    """
    if _EXTERNAL.search(content):
        raise UnsafeFileError(
            f"The graph {name!r} refers to data in other files, which is not allowed."
        )
    runtime = require("onnxruntime", "onnx", "The engine 'onnx'")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    is_small = len(content) <= SMALL
    if is_small:
        options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(outputs, feeds)
        return found

    def call(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(next(iter(feeds.values())))
        if not is_small or rows <= ROWS:
            return dict(zip(outputs, run(feeds), strict=True))
        parts = [
            {name: values[start : start + ROWS] for name, values in feeds.items()}
            for start in range(0, rows, ROWS)
        ]
        found = _workers(os.getpid()).map(run, parts)
        joined = map(np.concatenate, zip(*found, strict=True))
        return dict(zip(outputs, joined, strict=True))

    return call


@functools.cache
def _workers(process: int) -> Any:  # noqa: ARG001  # a fork has no threads
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(os.cpu_count())
