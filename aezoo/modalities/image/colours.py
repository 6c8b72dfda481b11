"""Grey values of colours."""

from typing import Any

Tensor = Any
# Weights of red, green and blue in a grey value: ITU-R BT.601, as in Pillow's "L".
LUMA = (0.299, 0.587, 0.114)


def to_luma(x: Tensor) -> Tensor:
    """Images of red, green and blue in grey, in a graph, `(batch, h, w, 1)`."""
    from keras import ops

    return ops.sum(x * ops.convert_to_tensor(LUMA, x.dtype), axis=-1, keepdims=True)
