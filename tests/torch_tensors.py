"""Tensors of PyTorch that behave as on a GPU, where there is none."""

import sys
from typing import Any

import torch

_BETWEEN = ("numpy", "torch")


def refuse_numpy() -> None:
    """Let code of aezoo take values of tensors by Keras and `aezoo.utils` alone.

    `numpy.asarray(tensor)`, or an array times a tensor, works on a CPU and fails on a
    GPU. So that a test finds it, it fails on a CPU, too.
    """
    original = torch.Tensor.__array__

    def __array__(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__", "").startswith(_BETWEEN):
            assert frame.f_back is not None
            frame = frame.f_back
        where = frame.f_globals.get("__name__", "")
        if where.startswith(("aezoo.", "training.")):
            raise TypeError(
                f"A tensor on a GPU cannot become an array by itself, in {where}. Call "
                "`keras.ops.convert_to_numpy`, or convert the array to a tensor."
            )
        return original(self, *args, **kwargs)

    torch.Tensor.__array__ = __array__
