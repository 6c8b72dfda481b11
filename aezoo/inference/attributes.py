"""Arithmetic with codes: what one attribute adds to them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo.errors import UnsupportedOperationError


def attribute_vector(model: Any, with_it: Any, without_it: Any) -> np.ndarray:
    """The direction of an attribute: mean code with it less mean code without it.

    Radford et al. (2016, https://arxiv.org/abs/1511.06434) and Larsen et al. (2016,
    https://arxiv.org/abs/1512.09300). What else differs between the sets is a part of
    the vector, too: take sets that are alike in all else, such as pictures of the same
    people. `model.edit(x, vector)` moves examples along it, and sums of vectors change
    several attributes at once.

    Args:
        model: Any model with continuous codes.
        with_it: Examples that have the attribute, `(n, *input_shape)`, as in `encode`.
        without_it: Examples that have not, `(m, *input_shape)`.

    Returns:
        Float32, shape `latent_shape`.

    Raises:
        UnsupportedOperationError: If codes are not continuous, or depend on more than
            examples.
        ValueError: If a set is empty, of another modality, or an example is in both.

    Example:
        >>> vector = aezoo.attribute_vector(model, with_glasses, without)
        >>> put_on = model.edit(without, vector)
    """
    check_continuous(model)
    model.refuse_if_told("An attribute vector")
    sets = {"with_it": with_it, "without_it": without_it}
    for name, examples in sets.items():
        if np.size(examples) == 0:
            raise ValueError(
                f"`{name}` must hold at least one {model.modality.noun}. "
                f"Received: {name}.shape={np.shape(examples)}."
            )
    checked = {name: model.modality.check(x, name) for name, x in sets.items()}
    shared = set.intersection(*({row.tobytes() for row in x} for x in checked.values()))
    if shared:
        raise ValueError(
            "`with_it` and `without_it` must have no example in common. "
            f"Received: {len(shared)} in both."
        )
    means = [mean_code(model.encode, x) for x in checked.values()]
    return np.asarray(means[0] - means[1], "float32")


def mean_code(encode: Callable[[Any], np.ndarray], x: Any) -> np.ndarray:
    """The mean of the codes of examples, summed in float64."""
    return np.asarray(encode(x).mean(axis=0, dtype="float64"))


def check_continuous(model: Any) -> None:
    """Refuse models whose codes cannot be moved by a little.

    Raises:
        UnsupportedOperationError: If codes, or some of their units, are discrete.
    """
    if model.CODES != "continuous":
        raise UnsupportedOperationError(
            f"Codes of {model.family!r} are {model.CODES}, so there is nothing between "
            "them and no direction of an attribute. Take a model with a continuous "
            "latent, such as 'conv_vae' or 'conv_ae'."
        )
