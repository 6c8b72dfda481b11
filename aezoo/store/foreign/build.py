"""A model of ours with the weights of another library, each used exactly once."""

import keras
import numpy as np

from aezoo.errors import ConversionError
from aezoo.models.autoencoder import Autoencoder
from aezoo.store.empty import empty
from aezoo.store.entry import ForeignEntry
from aezoo.store.foreign.names import Names
from aezoo.store.foreign.reading import Facts, Source, facts_of
from aezoo.store.foreign.sources import Conversion

# How many tensors a message names.
SHOWN = 5


def build(source: Source) -> Autoencoder:
    """The model, with its weights.

    Names and shapes are compared before a tensor is read. Tensors are read one after
    the other, so that little more memory is taken than the model's own.

    Args:
        source: What `reading.read` returned.

    Raises:
        ConversionError: If a tensor is missing, surplus, of another shape or holds
            values that are not finite; or the configuration is none that can be built.
    """
    entry, conversion = source.entry, source.conversion
    try:
        model = empty(entry)
    except Exception as error:  # a hostile configuration may raise anything
        raise ConversionError(
            f"The configuration of {entry.name!r} ({entry.origin}) does not fit its "
            f"weights, or describes no valid {entry.family!r} model: {error}"
        ) from error
    facts = facts_of(source.files)
    wanted = match_tensors(model, conversion, facts, entry)
    for weight in model.weights:
        name = weight_name(weight)
        if name in conversion.constants:
            weight.assign(np.asarray(conversion.constants[name], "float32"))
    _read(source, model, wanted)
    model.origin, model.license = entry.origin, entry.license
    return model


def weight_name(weight: keras.Variable) -> str:
    """The name of a weight, without that of its model."""
    path: str = weight.path
    return path.split("/", 1)[1]


def their_shape(weight: keras.Variable, names: Names) -> tuple[int, ...]:
    """The shape of a weight as the other library has it."""
    layout = names.layout(weight_name(weight), len(weight.shape))
    return layout.to_theirs(np.broadcast_to(np.float32(0), weight.shape)).shape


def match_tensors(
    model: Autoencoder, conversion: Conversion, facts: Facts, entry: ForeignEntry
) -> dict[str, tuple[keras.Variable, str]]:
    """Weight, and name of the tensor in the file, by the tensor's current name.

    Args:
        model: The model, which is built.
        conversion: Where each weight stands.
        facts: Dtype and shape of each tensor.
        entry: Whose they are.

    Raises:
        ConversionError: If not every tensor is used exactly once with its shape.
    """
    names = conversion.names
    stored: dict[str, str] = {}
    for name in facts:
        current = names.current(name)
        if current in stored:
            raise ConversionError(
                f"The weights of {entry.name!r} have one tensor twice: "
                f"{stored[current]!r} and {name!r}."
            )
        stored[current] = name
    wanted: dict[str, tuple[keras.Variable, str]] = {}
    missing, misshapen = [], []
    for weight in model.weights:
        theirs = names.translate(weight_name(weight))
        if theirs is None:
            if weight_name(weight) not in conversion.constants:
                missing.append(f"any for {weight_name(weight)}")
            continue
        shape = their_shape(weight, names)
        if theirs not in stored:
            missing.append(f"{theirs} {shape}")
        elif facts[stored[theirs]][1] != shape:
            misshapen.append(
                f"{theirs}: expected {shape}, received {facts[stored[theirs]][1]}"
            )
        wanted[theirs] = (weight, stored.get(theirs, theirs))
    surplus = [
        f"{name} {facts[name][1]}"
        for current, name in stored.items()
        if current not in wanted
    ]
    found = [
        f"{what}: {'; '.join(tensors[:SHOWN])}"
        + (f"; and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else "")
        for what, tensors in (
            ("missing", missing),
            ("surplus", surplus),
            ("of another shape", misshapen),
        )
        if tensors
    ]
    if found:
        raise ConversionError(
            f"The weights of {entry.name!r} ({entry.origin}) are not those of its "
            f"configuration. Tensors {'. Tensors '.join(found)}."
        )
    return wanted


def _read(
    source: Source,
    model: Autoencoder,
    wanted: dict[str, tuple[keras.Variable, str]],
) -> None:
    from safetensors import safe_open

    names = source.conversion.names
    weights = {name: weight for weight, name in wanted.values()}
    for path in source.files:
        for name in facts_of((path,)):
            weight = weights.pop(name)
            layout = names.layout(weight_name(weight), len(weight.shape))
            # opened for each: what was mapped counts as memory until it is closed
            with safe_open(path, "numpy") as file, np.errstate(over="ignore"):
                values = file.get_tensor(name).astype("float32", copy=False)
            if not np.isfinite(values).all():
                raise ConversionError(
                    f"The weights of {model.name!r} ({source.entry.origin}) hold "
                    f"NaN or infinity, in the tensor {name!r}. Load another "
                    "revision, or tell its owner."
                )
            weight.assign(layout.to_ours(values))
