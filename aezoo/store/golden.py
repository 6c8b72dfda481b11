"""Golden tensors: what a model must still compute, wherever it is loaded."""

import io
import os
from collections.abc import Mapping

import numpy as np
from keras import ops

from aezoo.errors import ManifestError
from aezoo.manifest import MAX_GOLDEN_BYTES
from aezoo.models.autoencoder import Autoencoder
from aezoo.store.entry import GOLDEN
from aezoo.utils.archives import read_npz

# Begins the names of what the model is told.
GIVEN = "given_"
# Absolute; backends differ by about 1e-6 relative in the sums of a deep network.
TOLERANCE = 1e-4
# Half precision rounds at every layer: TensorFlow and JAX were up to 8 roundings apart.
_ROUNDINGS = 16
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
NUM_INPUTS = 8
# Values of an example from which one is enough.
LARGE = 1 << 15
# Golden files may come from others; eight colour images of 512 x 512 take 56 MB.
SAMPLE_SEED = 0


def golden_inputs(model: Autoencoder) -> np.ndarray:
    """Inputs that need no dataset: the examples that a program makes."""
    count = NUM_INPUTS if model.modality.dims < LARGE else 1
    return model.modality.check(model.modality.examples(count))


def golden_conditions(model: Autoencoder, count: int) -> dict[str, np.ndarray]:
    """What the model must be told, made by a program; empty if it is nothing.

    Args:
        model: The model.
        count: How many of each.
    """
    known = {name: model.given[name] for name in model.required_conditions}
    return {
        name: told.check(told.examples(count), name) for name, told in known.items()
    }


def repeated(told: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Conditions for `n` examples: those that there are, again and again."""
    return {name: value[np.arange(n) % len(value)] for name, value in told.items()}


def golden_tensors(
    model: Autoencoder,
    inputs: np.ndarray,
    told: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """What the golden file holds for a model.

    Args:
        model: The model.
        inputs: Examples, as the modality makes them.
        told: What the model must be told of them; None for `golden_conditions`.

    Returns:
        `inputs`, what the model must be told of them (`given_*`); where there is an
        encoder, the posterior's parameters (`posterior_*`) and `codes`; where there is
        a decoder, too, `reconstruction` (of images float32 in [0, 1]); and, where the
        family has a prior, `samples` for seed 0. Of autoregressive models, whose
        choices may differ by a rounding, `log_probs` takes the place of the last two:
        of the inputs, given their codes.
    """
    x = model.modality.unrounded(inputs)
    told = golden_conditions(model, len(x)) if told is None else dict(told)
    tensors = {"inputs": inputs, **{GIVEN + k: v for k, v in told.items()}}
    if model.has_encoder:
        tensors["codes"] = model.encode(x, given=told)
        for name, value in model.posterior(x, given=told).parameters().items():
            tensors[f"posterior_{name}"] = ops.convert_to_numpy(value)
    if not model.is_autoregressive and "reconstruction" in model.TASKS:
        tensors["reconstruction"] = model.reconstruct(x, given=told)
    if model.is_autoregressive:
        codes = tensors["codes"]
        parameters = model.run("decode_parameters", codes, NUM_INPUTS, **told)
        symbols = model.modality.to_model(x)
        log_probs = model.decoder.log_probs(parameters, symbols)
        tensors["log_probs"] = ops.convert_to_numpy(log_probs)
        return tensors
    if "sampling" in model.TASKS:
        of_samples = repeated(told, NUM_INPUTS)
        tensors["samples"] = model.sample(
            NUM_INPUTS, seed=SAMPLE_SEED, given=of_samples
        )
    return tensors


def golden_tolerance(model: Autoencoder) -> float:
    """Largest deviation from golden tensors that is no other model.

    `TOLERANCE` where the layers compute in single precision or better; 16 roundings
    of a number near 1 where they compute in half precision.
    """
    epsilon = _EPSILON.get(model.dtype_policy.compute_dtype, 0.0)
    return max(TOLERANCE, _ROUNDINGS * epsilon)


def golden_deviation(
    model: Autoencoder, content: bytes, path: str | os.PathLike[str] = GOLDEN
) -> dict[str, float]:
    """Largest absolute deviation of a model from each tensor of a golden file.

    Args:
        model: A loaded model.
        content: The golden `.npz` file; nothing of it is unpacked before its size is
            known to be bounded.
        path: Its path, for the messages.

    Returns:
        Deviation by tensor name, of all that is computed; compare with
        `golden_tolerance`.

    Raises:
        ManifestError: If the file is unreadable or too large, or holds other tensors
            than the model makes.
    """
    expected = read_npz(io.BytesIO(content), MAX_GOLDEN_BYTES, f"golden file {path}")
    inputs = expected.get("inputs", np.zeros(0))
    like = golden_inputs(model)
    if (
        inputs.dtype != like.dtype
        or inputs.shape[1:] != like.shape[1:]
        or not 1 <= len(inputs) <= NUM_INPUTS
    ):
        raise ManifestError(
            f"The golden file {path} must hold `inputs` for model {model.name!r}, "
            f"at most {NUM_INPUTS}: {like.dtype}, "
            f"(n, {', '.join(map(str, like.shape[1:]))}). "
            f"Received: {inputs.dtype}, {inputs.shape}."
        )
    names = [name for name in model.required_conditions if GIVEN + name in expected]
    try:
        model.modality.check(inputs, "inputs")
        told = {
            name: model.check_given(name, expected[GIVEN + name], len(inputs))
            for name in names
        }
        model.check_conditions(told)
    except ValueError as error:
        raise ManifestError(
            f"The golden file {path} does not fit model {model.name!r}: {error}"
        ) from error
    actual = golden_tensors(model, inputs, told)
    facts = {name: (value.shape, value.dtype.kind) for name, value in actual.items()}
    received = {name: (v.shape, v.dtype.kind) for name, v in expected.items()}
    if facts != received:
        raise ManifestError(
            f"The golden file {path} does not fit model {model.name!r}: expected "
            f"shapes and kinds {facts}, received {received}."
        )
    asked = {"inputs", *(GIVEN + name for name in told)}
    return {
        name: float(np.abs(value.astype("float64") - expected[name]).max())
        for name, value in actual.items()
        if name not in asked
    }
