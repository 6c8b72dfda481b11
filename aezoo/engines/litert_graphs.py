"""Graphs of a model in LiteRT, by TensorFlow's converter."""

import re
import tempfile
import warnings
from collections.abc import Mapping

import tensorflow as tf

from aezoo.engines.entry import GraphRecord
from aezoo.engines.graphs import Graph
from aezoo.engines.tensorflow_graphs import write_signatures
from aezoo.errors import ExportError

# Operations that the converter says it has no twin for.
_MISSING = re.compile(r"'tf\.(\w+)' op is neither")
# The operation at which it ended, where it says no more.
_PLACE = re.compile(r'fused\["(\w+):')


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
            said = " ".join(str(error).split())
            missing = sorted(set(_MISSING.findall(said))) or _PLACE.findall(said)[:1]
            reason = f"Tensorflow op {', '.join(f'`{op}`' for op in missing)}"
            reason = f"{reason} is not supported" if missing else said[:200]
            raise ExportError(f"LiteRT cannot hold {graph.name!r}: {reason}") from error
