"""Graphs of a model in TensorFlow: traced, and as a SavedModel."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from aezoo.engines.entry import SAVED_MODEL, GraphRecord, Port
from aezoo.engines.graphs import Graph
from aezoo.engines.model import Function


def trace(graph: Graph) -> tuple[Any, Any, GraphRecord]:
    """A graph in TensorFlow, with an open batch axis.

    Returns:
        The function, its concrete function, and what it takes and gives.
    """
    names = [port.name for port in graph.inputs]
    signature = [
        tf.TensorSpec((None, *port.shape), port.dtype, name=port.name)
        for port in graph.inputs
    ]
    function = tf.function(
        lambda *tensors: graph.function(**dict(zip(names, tensors, strict=True))),
        input_signature=signature,
        autograph=False,
    )
    concrete = function.get_concrete_function()
    outputs = tuple(
        Port(name, value.dtype.name, tuple(value.shape[1:]))
        for name, value in sorted(concrete.structured_outputs.items())
    )
    return function, concrete, GraphRecord(graph.inputs, outputs, graph.description)


def saved_model(
    graphs: Sequence[Graph],
) -> tuple[dict[str, bytes], dict[str, GraphRecord]]:
    """All graphs as the signatures of one SavedModel.

    Returns:
        Its files by name, and what each signature takes and gives.
    """
    with tempfile.TemporaryDirectory() as scratch:
        records = write_signatures(graphs, scratch)
        root = Path(scratch)
        files = {
            f"{SAVED_MODEL}/{path.relative_to(root).as_posix()}": path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    return files, records


def write_signatures(graphs: Sequence[Graph], folder: str) -> dict[str, GraphRecord]:
    """Write graphs as the signatures of one SavedModel.

    Args:
        graphs: The graphs.
        folder: Where.

    Returns:
        What each signature takes and gives.
    """
    module = tf.Module()
    traced = {graph.name: trace(graph) for graph in graphs}
    signatures = {name: concrete for name, (_, concrete, _) in traced.items()}
    # what the functions read must be reachable from what is saved
    module.held = [graph.variables for graph in signatures.values()]
    tf.saved_model.save(module, folder, signatures)
    return {name: record for name, (*_, record) in traced.items()}


def open_saved_model(folder: Path) -> dict[str, Function]:
    """The signatures of a SavedModel as functions of arrays.

    Args:
        folder: The folder that holds `saved_model`.
    """
    loaded = tf.saved_model.load(str(folder / SAVED_MODEL))

    def function(signature: Any) -> Function:
        def call(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            tensors = {name: tf.constant(value) for name, value in feeds.items()}
            return {k: v.numpy() for k, v in signature(**tensors).items()}

        call.keeps = loaded  # type: ignore[attr-defined]  # its variables
        return call

    return {name: function(graph) for name, graph in loaded.signatures.items()}
