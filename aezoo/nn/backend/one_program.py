"""What differs between replicas, where one program has all examples of a batch.

Of backends without replicas; documented where TensorFlow does it.
"""

from typing import Any

from keras import ops

Tensor = Any


def replica_sum(values: Tensor) -> Tensor:
    """Sum over all elements."""
    return ops.sum(values)


def num_replicas() -> int:
    """One: whatever devices there are share one program."""
    return 1


def first_position(seen: Tensor, size: Tensor) -> Tensor:  # noqa: ARG001
    """Position of the first example of a batch: those seen before."""
    return seen


def in_cluster() -> bool:
    """False: several workers are not supported."""
    return False


def is_chief() -> bool:
    """True: there is one worker."""
    return True


def any_worker(flag: bool) -> bool:
    """The flag of the one worker."""
    return flag
