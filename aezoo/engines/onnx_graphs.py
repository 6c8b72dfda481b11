"""Graphs of a model in ONNX, by tf2onnx."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from aezoo.engines.entry import GraphRecord, Port
from aezoo.engines.graphs import Graph
from aezoo.engines.tensorflow_graphs import trace
from aezoo.errors import ExportError
from aezoo.utils.extras import require

OPSET = 18
PURPOSE = "Exporting to ONNX"


def convert(graph: Graph, about: Mapping[str, str]) -> tuple[bytes, GraphRecord]:
    """A graph as the content of an ONNX file, and what it states.

    Args:
        graph: The graph.
        about: Metadata to write into the file.

    Raises:
        ExportError: If ONNX has no such operation; says which.
        MissingDependencyError: If onnx or tf2onnx are not installed.
    """
    onnx = require("onnx", "onnx", PURPOSE)
    tf2onnx = require("tf2onnx", "onnx", PURPOSE)
    traced, _, record = trace(graph)
    with _quiet() as said:
        proto, _ = tf2onnx.convert.from_function(
            traced,
            input_signature=traced.input_signature,
            opset=OPSET,
            custom_op_handlers={name: (make, []) for name, make in HANDLERS.items()},
        )
    if said.getvalue():
        reason = said.getvalue().splitlines()[0]
        raise ExportError(f"ONNX cannot hold {graph.name!r}: {reason[:200]}")
    _state_shapes(proto.graph, (*record.inputs, *record.outputs))
    _simplify(proto)
    stated = {
        **about,
        "function": graph.description,
        "inputs": "; ".join(map(_words, record.inputs)),
        "outputs": "; ".join(map(_words, record.outputs)),
    }
    onnx.helper.set_model_props(proto, stated)
    proto.doc_string = graph.description
    proto.producer_name, proto.producer_version = "aezoo", ""
    return proto.SerializeToString(deterministic=True), record


def _words(port: Port) -> str:
    shape = ", ".join(map(str, ("batch", *port.shape)))
    return f"{port.name}: {port.dtype} ({shape})"


def _state_shapes(graph: Any, ports: Iterable[Port]) -> None:
    """Inputs and outputs in the order and with the shapes of ports, the batch open."""
    known = {port.name: port for port in ports}
    for values in (graph.input, graph.output):
        for value in values:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            shape.dim.add().dim_param = "batch"
            for size in known[value.name].shape:
                shape.dim.add().dim_value = size


def _simplify(proto: Any) -> None:
    """Write new shapes as constants where the batch alone is open.

    TensorFlow computes them from the sizes of tensors, in seven operations each, which
    for one example take as long as a small layer.
    """
    import onnx

    graph = proto.graph
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        batch, *sizes = shapes.get(node.output[0]) or [0]
        if sizes and not batch and all(sizes):
            shape = np.array([-1, *sizes], "int64")
            node.input[1] = f"{node.output[0]}/shape"
            graph.initializer.append(onnx.numpy_helper.from_array(shape, node.input[1]))
    _keep_what_is_needed(graph)


def _keep_what_is_needed(graph: Any) -> None:
    """Remove nodes and constants that no output depends on."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed |= {*node.input, *_read_inside(node)}
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _read_inside(node: Any) -> set[str]:
    """What the graphs of a loop or a branch take from outside, and names of theirs."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    found: set[str] = set()
    for graph in inner:
        found |= {value.name for value in graph.output}
        for part in graph.node:
            found |= {*part.input, *_read_inside(part)}
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep what tf2onnx logs; yields where it goes."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.getLogger("tf2onnx")
    old = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        with warnings.catch_warnings(), _level("3"):
            warnings.simplefilter("ignore")
            yield said
    finally:
        logger.removeHandler(handler)
        logger.setLevel(old[0])
        logger.propagate = old[1]


@contextlib.contextmanager
def _level(value: str) -> Iterator[None]:
    old = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = value
    try:
        yield
    finally:
        if old is None:
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]
        else:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = old


# --- Operations that tf2onnx does not know -------------------------------------------


def _erfc(ctx: Any, node: Any, name: str, args: Any) -> Any:  # noqa: ARG001
    """`erfc(x)`, as `1 - erf(x)`."""
    node.type = "Erf"
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    one = ctx.make_const(f"{name}/one", np.ones((), _numpy_type(dtype)))
    (output,) = node.output
    after = ctx.make_node(
        "Sub", [one.output[0], output], shapes=[shape], dtypes=[dtype]
    )
    ctx.replace_all_inputs(output, after.output[0], ops=_others(ctx, after))
    return node


def _sign_of(ctx: Any, node: Any, name: str, args: Any) -> Any:  # noqa: ARG001
    """Bits of a float as an integer, where all that is asked is whether it is below 0.

    Keras asks for the sign of a number, that of -0 too, which one over it has.
    """
    readers = ctx.find_output_consumers(node.output[0])
    if any(reader.type not in ("BitwiseAnd", "Less") for reader in readers):
        raise ExportError("ONNX has no operation for the bits of a number.")
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    (value,), (output,) = node.input, node.output
    floats = ctx.get_dtype(value)
    inverse = ctx.make_node("Reciprocal", [value], shapes=[shape], dtypes=[floats])
    sign = ctx.make_node("Sign", inverse.output, shapes=[shape], dtypes=[floats])
    cast = ctx.make_node(
        "Cast", sign.output, attr={"to": dtype}, shapes=[shape], dtypes=[dtype]
    )
    ctx.replace_all_inputs(output, cast.output[0])
    ctx.remove_node(node.name)
    return cast


def _expm1(ctx: Any, node: Any, name: str, args: Any) -> Any:  # noqa: ARG001
    """`exp(x) - 1`, as `tanh(x / 2) (exp(x) + 1)`, which keeps the digits near 0."""
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    (x,), (output,) = node.input, node.output
    stated = {"shapes": [shape], "dtypes": [dtype]}

    def constant(value: float) -> str:
        found = np.array(value, _numpy_type(dtype))
        return str(ctx.make_const(f"{name}/{value:g}", found).output[0])

    half = ctx.make_node("Mul", [x, constant(0.5)], **stated).output[0]
    tanh = ctx.make_node("Tanh", [half], **stated).output[0]
    exp = ctx.make_node("Exp", [x], **stated).output[0]
    more = ctx.make_node("Add", [exp, constant(1.0)], **stated).output[0]
    product = ctx.make_node("Mul", [tanh, more], **stated)
    ctx.replace_all_inputs(output, product.output[0])
    ctx.remove_node(node.name)
    return product


def _log1p(ctx: Any, node: Any, name: str, args: Any) -> Any:  # noqa: ARG001
    """`log(1 + x)`, as `log(u) x / (u - 1)` of the rounded `u = 1 + x`; x where u is 1.

    Kahan's: what rounding takes from u is taken from both factors.
    """
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    (x,), (output,) = node.input, node.output
    stated = {"shapes": [shape], "dtypes": [dtype]}
    one = ctx.make_const(f"{name}/one", np.ones((), _numpy_type(dtype))).output[0]
    u = ctx.make_node("Add", [x, one], **stated).output[0]
    rest = ctx.make_node("Sub", [u, one], **stated).output[0]
    log = ctx.make_node("Log", [u], **stated).output[0]
    product = ctx.make_node("Mul", [log, x], **stated).output[0]
    share = ctx.make_node("Div", [product, rest], **stated).output[0]
    boolean = _onnx_type(np.bool_)
    is_small = ctx.make_node("Equal", [u, one], shapes=[shape], dtypes=[boolean])
    chosen = ctx.make_node("Where", [is_small.output[0], x, share], **stated)
    ctx.replace_all_inputs(output, chosen.output[0])
    ctx.remove_node(node.name)
    return chosen


def _numpy_type(dtype: int) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return tensor_dtype_to_np_dtype(dtype)


def _onnx_type(dtype: Any) -> int:
    from onnx.helper import np_dtype_to_tensor_dtype

    return int(np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _others(ctx: Any, node: Any) -> list[Any]:
    return [other for other in ctx.get_nodes() if other is not node]


HANDLERS = {"Bitcast": _sign_of, "Erfc": _erfc, "Expm1": _expm1, "Log1p": _log1p}
