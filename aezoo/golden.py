"""Golden tensors: what a model must still compute, wherever it is loaded."""

import zipfile
from pathlib import Path

import numpy as np

from aezoo.digits import draw_digits
from aezoo.errors import ManifestError
from aezoo.models._base import Autoencoder

# Absolute; backends differ by about 1e-6 relative in the sums of a deep network.
TOLERANCE = 1e-4
NUM_INPUTS = 8
SAMPLE_SEED = 0


def golden_inputs(model: Autoencoder) -> np.ndarray:
    """Inputs that need no dataset: drawn digits where they fit, else seeded noise."""
    if model.input_shape == (28, 28, 1):
        return draw_digits(NUM_INPUTS, seed=0)[0]
    generator = np.random.default_rng(0)
    shape = (NUM_INPUTS, *model.input_shape)
    return generator.integers(0, 256, shape, dtype="uint8")


def golden_tensors(model: Autoencoder, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What the golden file holds for a model.

    Args:
        model: The model.
        inputs: Images, uint8.

    Returns:
        `inputs`, the posterior's parameters (`posterior_*`), `codes`,
        `reconstruction` (float32 in [0, 1]) and, where the family has a prior,
        `samples` for seed 0.
    """
    x = inputs.astype("float32") / 255.0
    posterior = model.posterior(x)
    tensors = {
        "inputs": inputs,
        "codes": model.encode(x),
        "reconstruction": model.reconstruct(x),
    }
    for name, value in posterior.parameters().items():
        tensors[f"posterior_{name}"] = np.asarray(value)
    if "sampling" in model.TASKS:
        tensors["samples"] = model.sample(NUM_INPUTS, seed=SAMPLE_SEED)
    return tensors


def golden_deviation(model: Autoencoder, path: Path) -> dict[str, float]:
    """Largest absolute deviation of a model from each tensor of a golden file.

    Args:
        model: A loaded model.
        path: The golden `.npz` file.

    Returns:
        Deviation by tensor name, of all but the inputs; compare with `TOLERANCE`.

    Raises:
        ManifestError: If the file is unreadable, or holds other tensors than the
            model makes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            expected = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ManifestError(
            f"The golden file {path} is not a readable .npz archive: {error}"
        ) from error
    inputs = expected.get("inputs", golden_inputs(model))
    if inputs.dtype != "uint8" or inputs.shape[1:] != model.input_shape:
        raise ManifestError(
            f"The golden file {path} must hold `inputs` for model {model.name!r}: "
            f"uint8, (n, {', '.join(map(str, model.input_shape))}). "
            f"Received: {inputs.dtype}, {inputs.shape}."
        )
    actual = golden_tensors(model, inputs)
    shapes = {name: value.shape for name, value in actual.items()}
    if shapes != {name: value.shape for name, value in expected.items()}:
        raise ManifestError(
            f"The golden file {path} does not fit model {model.name!r}: expected "
            f"{shapes}, received { ({n: v.shape for n, v in expected.items()}) }."
        )
    del actual["inputs"]
    return {
        name: float(np.abs(value.astype("float64") - expected[name]).max())
        for name, value in actual.items()
    }
