"""Whether what a model computes is finite."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# Of what is computed in integers, which hide what is not finite.
EXAMPLES, IS_FINITE = "examples", "is_finite"


def check_finite(found: Any, name: str) -> Any:
    """What a model has computed, if it is finite.

    Args:
        found: Arrays, in any structure; or `EXAMPLES` whose dtype has no NaN, with
            `IS_FINITE` beside them.
        name: Of the model.

    Returns:
        The arrays; of the second kind the examples alone.

    Raises:
        ValueError: If it holds NaN or infinity.
    """
    if isinstance(found, np.ndarray) and found.dtype.char in "fd":  # the most frequent
        # In half the time; where large numbers overflow, it proves nothing.
        if math.isfinite(np.vdot(found, found)):
            return found
        proofs = [np.isfinite(found)]
    else:
        proofs = [np.isfinite(a) for a in _arrays(found) if a.dtype.kind == "f"]
    if isinstance(found, Mapping) and IS_FINITE in found:
        proofs.append(found[IS_FINITE])
        found = found[EXAMPLES]
    for proof in proofs:
        if not proof.all():
            raise ValueError(
                f"What {name!r} computes is not finite: its weights hold NaN or "
                "infinity, or inputs are out of range or too large. A training that "
                "diverged leaves such weights; load or train it again."
            )
    return found


def _arrays(found: Any) -> Iterator[np.ndarray]:
    if isinstance(found, Mapping):
        found = tuple(found.values())
    if isinstance(found, list | tuple):
        for part in found:
            yield from _arrays(part)
    else:
        yield found
