"""Graphs of a model in LiteRT, by TensorFlow's converter."""

import tempfile
import warnings
from collections.abc import Mapping

import tensorflow as tf

from aezoo.engines.entry import GraphRecord
from aezoo.engines.graphs import Graph
from aezoo.engines.tensorflow_graphs import write_signatures
from aezoo.errors import ExportError


def convert(
    graph: Graph,
    about: Mapping[str, str],  # noqa: ARG001
) -> tuple[bytes, GraphRecord]:
    """A graph as the content of a LiteRT file, and what it states.

    The file has one signature of the graph's name, with the names of its inputs and
    outputs. It holds built-in operations alone, which every LiteRT runtime has.

    Args:
        graph: The graph.
        about: Not used: the format has no place for it.

    Raises:
        ExportError: If LiteRT has no such operation; says which.
    """
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = write_signatures([graph], scratch)[graph.name]
        converter = tf.lite.TFLiteConverter.from_saved_model(
            scratch, signature_keys=[graph.name]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return bytes(converter.convert()), record
        except Exception as error:  # of the converter, of any kind
            reason = " ".join(str(error).split())
            needed = reason.partition("need custom implementation: ")[2] or reason
            raise ExportError(
                f"LiteRT cannot hold {graph.name!r}: {needed[:200]}"
            ) from error
