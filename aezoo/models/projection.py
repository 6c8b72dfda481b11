"""Codes of examples by optimisation: for decoders without an encoder, and others."""

from typing import Any

import numpy as np

from aezoo.errors import UnsupportedOperationError
from aezoo.inference.attributes import check_continuous
from aezoo.nn import losses
from aezoo.nn.backend import gradient
from aezoo.utils.validation import check_positive_int, check_seed

Tensor = Any
# Of Adam, in the unit of a standard normal prior.
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.9, 0.999, 1e-8


def find_codes(
    model: Any,
    x: np.ndarray,
    steps: int,
    starts: int,
    seed: int | None,
    batch_size: int,
    **given: np.ndarray,
) -> np.ndarray:
    """What `project` does; examples and conditions are checked.

    Args:
        model: The model.
        x: As in `project`.
        steps: As in `project`.
        starts: As in `project`.
        seed: As in `project`.
        batch_size: As in `project`.
        **given: What the model is told, `(n, ...)` each.
    """
    check_positive_int("steps", steps)
    check_positive_int("starts", starts)
    check_continuous(model)
    if model.is_autoregressive or not model.modality.is_continuous:
        raise UnsupportedOperationError(
            f"`project` follows the squared error of decoded {model.modality.nouns}, "
            f"whose {model.modality.element}s must be continuous and decoded all at "
            f"once; those of {model.family!r} on the network "
            f"{model.network_kind!r} are not."
        )
    shape = (starts, *model.latent_shape)
    generator = np.random.default_rng(check_seed(seed))
    if "sampling" in model.TASKS:
        first = model.sample_prior(starts, generator)
    else:
        first = generator.standard_normal(shape, dtype="float32")
    z = np.tile(first, (len(x), *[1] * (first.ndim - 1)))  # the same for each example
    told = {name: np.repeat(value, starts, axis=0) for name, value in given.items()}
    told["x"] = np.repeat(x, starts, axis=0)

    def errors_at(z: Tensor, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
        target = model.to_tensors(x)

        def errors(z: Tensor) -> Tensor:
            shown = model.point(model.decode_parameters(z, **given))
            return losses.squared_error(target, shown)

        found, slope = gradient(errors, z)
        return {"error": found, "slope": slope}

    least = np.full(len(z), np.inf)
    best, mean, square = z.copy(), np.zeros_like(z), np.zeros_like(z)
    for step in range(steps + 1):
        found = model.run_graph(("project",), errors_at, z, batch_size, **told)
        is_better = found["error"] < least
        best[is_better], least[is_better] = z[is_better], found["error"][is_better]
        mean = BETA_1 * mean + (1.0 - BETA_1) * found["slope"]
        square = BETA_2 * square + (1.0 - BETA_2) * np.square(found["slope"])
        move = mean / (1.0 - BETA_1 ** (step + 1))
        move /= np.sqrt(square / (1.0 - BETA_2 ** (step + 1))) + EPSILON
        # to rest at the end, as a cosine
        rate = LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        z = model.nearest_codes((z - rate * move).astype("float32"))
    chosen = least.reshape(-1, starts).argmin(axis=1)
    codes: np.ndarray = best.reshape(-1, *shape)[np.arange(len(x)), chosen]
    return codes
