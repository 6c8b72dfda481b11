"""ONNX graphs as functions of arrays, by ONNX Runtime. Imports no Keras."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from aezoo.engines.model import Function
from aezoo.errors import UnsafeFileError
from aezoo.utils.extras import require

# What says that a tensor is in another file: an entry `location` in a `TensorProto`.
_EXTERNAL = re.compile(rb"\x0a\x08location\x12", re.DOTALL)


class Sessions(Mapping[str, Function]):
    """Functions by name, each of which is opened when it is first used.

    Args:
        read: Gives the content of a graph's file, by the graph's name.
        names: Names of all graphs.
    """

    def __init__(self, read: Callable[[str], bytes], names: tuple[str, ...]) -> None:
        self._read = read
        self._names = names
        self._functions: dict[str, Function] = {}

    def __getitem__(self, name: str) -> Function:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._functions:
            self._functions[name] = open_graph(self._read(name), name)
        return self._functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
    session = runtime.InferenceSession(
        content, session_options(runtime), providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]

    def call(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))

    return call


def session_options(runtime: Any) -> Any:
    """How ONNX Runtime computes."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    return options
