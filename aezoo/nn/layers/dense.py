"""What stacks of dense layers share."""

from collections.abc import Sequence
from typing import Any

import keras


def build_dense(
    hidden: Sequence[keras.layers.Dense], ends: Sequence[keras.layers.Dense], width: Any
) -> None:
    """Build dense layers one after the other, and all of `ends` after the last.

    Args:
        hidden: Layers, one after the other.
        ends: Layers that each follow the last of them.
        width: Units of the input.
    """
    for layer in hidden:
        layer.build((None, width))
        width = layer.units
    for end in ends:
        end.build((None, width))
