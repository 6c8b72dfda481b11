"""What Keras leaves to the backend, on PyTorch; documented where TensorFlow does it.

Nothing is compiled: PyTorch computes as it is told. Tensors are where Keras puts them,
on a GPU if there is one (`KERAS_TORCH_DEVICE`).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch
from keras import ops

from aezoo.nn.backend.one_program import (  # noqa: F401
    any_worker,
    first_position,
    in_cluster,
    is_chief,
    num_replicas,
    replica_sum,
)

Tensor = Any
SeedGenerator = keras.random.SeedGenerator
# Bytes of arrays that may lie in an accelerator's memory without being asked for.
_ACCELERATOR_SHARE = 1 << 31
# Names of attributes in weights files, and what they are here, where a layer of Keras
# has such a name itself.
OWN_NAMES: dict[str, str] = {"parameters": "parameters_"}


def is_concrete(x: Any) -> bool:
    """Whether `x` is an array with values, rather than a symbol in a graph."""
    if isinstance(x, torch.Tensor):
        is_traced = isinstance(x, torch._subclasses.FakeTensor)
        return not (x.is_meta or is_traced)
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)


def _is_on_cpu() -> bool:
    return bool(ops.convert_to_tensor(0.0).device.type == "cpu")


# --- Inference and derivatives -----------------------------------------------------


def compile_inference(
    function: Callable[..., Any],
    model: keras.Model,  # noqa: ARG001
    *_: tuple[Sequence[int], str],
) -> Callable[..., Any]:
    """`function` of one batch, without derivatives."""

    def run(*batches: np.ndarray) -> Any:
        with torch.no_grad():
            outputs = function(*map(ops.convert_to_tensor, batches))
        return keras.tree.map_structure(ops.convert_to_numpy, outputs)

    return run


def jacobian_product(
    function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor
) -> Tensor:
    """The derivative of `function` at `x` along `direction`."""
    return torch.func.jvp(function, (x,), (direction,))[1]


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """What `function` gives at `x`, and the derivative of its sum."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), slope


def mean_pool(x: Tensor, size: tuple[int, int] | int) -> Tensor:
    """Means of cells of feature maps; at the rim, of what there is of a cell."""
    # Keras's own would count what fills cells up.
    height, width = (size, size) if isinstance(size, int) else size
    padding: list[int] = []
    for length, cell in ((x.shape[2], width), (x.shape[1], height)):
        missing = -length % cell
        padding += [missing // 2, missing - missing // 2]

    def sums(maps: Tensor) -> Tensor:
        filled = torch.nn.functional.pad(maps, padding)
        return torch.nn.functional.avg_pool2d(filled, (height, width))

    maps = x.permute(0, 3, 1, 2)
    means = sums(maps)
    if any(padding):
        means = means / sums(torch.ones_like(maps[:1, :1]))
    return means.permute(0, 2, 3, 1)


# --- Training ------------------------------------------------------------------


def to_device(data: Any) -> Any:
    """Arrays of any structure, where models compute."""
    return keras.tree.map_structure(ops.convert_to_tensor, data)


def is_distributed(model: keras.Model) -> bool:  # noqa: ARG001
    """False: one device computes."""
    return False


def num_accelerators() -> int:
    """GPUs that this process can compute on."""
    return 0 if _is_on_cpu() else torch.accelerator.device_count()


def fits_device(num_bytes: int) -> bool:
    """Whether arrays of that size can lie beside a model where it computes."""
    return num_bytes <= _ACCELERATOR_SHARE or _is_on_cpu()


def compile_passes(model: Any, kind: str) -> Callable[..., dict[str, Tensor]]:
    """Many steps over arrays."""
    step = getattr(model, f"{kind}_step")

    def run_passes(data: Any, rows: Tensor, begin: int, end: int) -> dict[str, Tensor]:
        with model.of_checked_examples(), torch.set_grad_enabled(kind == "train"):
            for i in range(begin, end):
                chosen = rows[i]
                step(keras.tree.map_structure(lambda a: a[chosen], data))  # noqa: B023
        return {metric.name: metric.result() for metric in model.metrics}

    return run_passes


def wants_jit(model: keras.Model) -> bool:
    """Whether `compile` was told to compile the steps, by `torch.compile`."""
    return bool(model.jit_compile)


def fused_group_norm(
    x: Tensor, groups: int, gamma: Tensor, beta: Tensor, epsilon: float
) -> Tensor:
    """Group normalisation of feature maps with the channels last."""
    maps = x.permute(0, 3, 1, 2)
    maps = torch.nn.functional.group_norm(maps, groups, gamma, beta, epsilon)
    return maps.permute(0, 2, 3, 1)


def wrapped(x: Tensor) -> Tensor:
    """Unsigned integers modulo 2**32: PyTorch computes them with 64 bits."""
    return x & 0xFFFFFFFF


def fused_adam_update(
    variable: Any,
    momentum: keras.Variable,
    velocity: keras.Variable,
    gradient: Tensor,
    step: Tensor,
    *,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> bool:
    """One step of Adam on one variable, in place, in a third of Keras's operations."""
    weight, mean, square = (v.value for v in (variable, momentum, velocity))
    with torch.no_grad():
        gradient = gradient.to(weight.dtype)
        steps = ops.convert_to_tensor(step).to(weight.dtype) + 1.0
        scale = torch.sqrt(1.0 - beta_2**steps) / (1.0 - beta_1**steps)
        rate = ops.convert_to_tensor(learning_rate).to(weight.dtype) * scale
        mean.lerp_(gradient, 1.0 - beta_1)
        square.mul_(beta_2).addcmul_(gradient, gradient, value=1.0 - beta_2)
        weight.sub_(rate * mean / (torch.sqrt(square) + epsilon))
    return True


def apply_if(
    condition: Tensor,
    update: Callable[[], Any],
    variables: Sequence[keras.Variable],  # noqa: ARG001
) -> None:
    """Run an update of variables if a condition holds."""
    if bool(condition):
        update()


class Steps:
    """`train_step` and `test_step` for Keras's PyTorch trainer."""

    def train_step(self: Any, data: Any) -> dict[str, Tensor]:
        """One optimiser step on a batch; returns the running means of all losses."""
        players = self.players
        objectives, losses, weights = self.training_objectives(data)
        objectives = [self.optimizer.scale_loss(o) for o in objectives]
        gradients: list[Tensor] = []
        for i, (objective, variables) in enumerate(
            zip(objectives, players, strict=True), start=1
        ):
            gradients += torch.autograd.grad(
                objective,
                [v.value for v in variables],
                retain_graph=i < len(players),
                allow_unused=True,
            )
        with torch.no_grad():
            self.optimizer.apply(gradients, [v for part in players for v in part])
            return self.update_metrics(losses, weights)

    def test_step(self: Any, data: Any) -> dict[str, Tensor]:
        """Losses of a batch, without learning; returns the running means."""
        with torch.no_grad():
            return self.update_metrics(*self.test_losses(data))

    def compile(self: Any, *args: Any, **kwargs: Any) -> None:
        """As in Keras, which takes one step at a time here, as nothing is compiled."""
        kwargs.pop("steps_per_execution", None)
        super().compile(*args, **kwargs)  # type: ignore[misc]

    def _symbolic_build(self: Any, *_: Any, **__: Any) -> None:
        # In place of Keras's, which computes a batch of the data to build all layers.
        # `compile` has built them.
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)


# --- Several devices and workers -----------------------------------------------------


def map_rows_where(
    mask: Tensor, function: Callable[..., Tensor], *arrays: Tensor
) -> Tensor:
    """A function of the rows where a mask holds, and 0 elsewhere; `mask.shape`.

    Here the others are not computed at all.

    Args:
        mask: Bools, of any shape; which rows.
        function: Maps tensors `(rows, ...)`, one per array, to floats `(rows,)`.
        *arrays: Tensors `(*mask.shape, ...)`.
    """
    values = function(*(array[mask] for array in arrays))
    zeros = torch.zeros(mask.shape, dtype=values.dtype, device=values.device)
    return zeros.masked_scatter(mask, values)


def trimmed(x: Tensor) -> Tensor:
    """Rows of symbols up to the longest one's end; `(batch, t)`.

    Args:
        x: Integers, `(batch, length)`; 0 fills rows after their end.
    """
    used = (x != 0).any(dim=0)
    return x[:, : int(used.sum()) + 1]


@contextlib.contextmanager
def data_parallel(enabled: bool = True) -> Iterator[None]:  # noqa: ARG001
    """One device: Keras has no way to share a batch on PyTorch."""
    yield
