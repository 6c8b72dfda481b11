"""What Keras leaves to the backend, on JAX; documented where TensorFlow does it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
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
OWN_NAMES: dict[str, str] = {}


def is_concrete(x: Any) -> bool:
    """Whether `x` is an array with values, rather than a symbol in a graph."""
    if isinstance(x, jax.core.Tracer):
        return False
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)


# --- Inference and derivatives -----------------------------------------------------


def compile_inference(
    function: Callable[..., Any],
    model: keras.Model,
    *_: tuple[Sequence[int], str],
) -> Callable[..., Any]:
    """Compile `function` of one batch.

    JAX compiles per shape, so batches are padded to the next power of two: the number
    of compilations is logarithmic in the batch size.
    """

    def pure(values: list[Tensor], *batches: Tensor) -> Any:
        with keras.StatelessScope(
            state_mapping=list(zip(model.variables, values, strict=True))
        ):
            return function(*batches)

    compiled = jax.jit(pure)

    def run_padded(*batches: np.ndarray) -> Any:
        size = len(batches[0])
        padding = (1 << (size - 1).bit_length()) - size
        padded = [
            np.pad(batch, [(0, padding)] + [(0, 0)] * (batch.ndim - 1))
            for batch in batches
        ]
        outputs = compiled([v.value for v in model.variables], *padded)
        return jax.tree_util.tree_map(lambda t: np.asarray(t)[:size], outputs)

    return run_padded


def jacobian_product(
    function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor
) -> Tensor:
    """The derivative of `function` at `x` along `direction`."""
    return jax.jvp(function, (x,), (direction,))[1]


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """What `function` gives at `x`, and the derivative of its sum."""
    y, pull_back = jax.vjp(function, x)
    return y, pull_back(ops.ones_like(y))[0]


def mean_pool(x: Tensor, size: tuple[int, int] | int) -> Tensor:
    """Means of cells of feature maps; at the rim, of what there is of a cell."""
    return ops.average_pool(x, size, size, padding="same", data_format="channels_last")


# --- Training ------------------------------------------------------------------


def to_device(data: Any) -> Any:
    """Arrays of any structure, where models compute."""
    return jax.device_put(data)


def is_distributed(model: keras.Model) -> bool:  # noqa: ARG001
    """Whether devices share the examples of a batch."""
    return keras.distribution.distribution() is not None


def num_accelerators() -> int:
    """GPUs and the like that this process can compute on."""
    return sum(device.platform != "cpu" for device in jax.local_devices())


def fits_device(num_bytes: int) -> bool:
    """Whether arrays of that size can lie beside a model where it computes."""
    return num_bytes <= _ACCELERATOR_SHARE or jax.default_backend() == "cpu"


def compile_passes(model: Any, kind: str) -> Callable[..., dict[str, Tensor]]:
    """Many steps over arrays as one compiled loop."""
    step = getattr(model, f"{kind}_step")
    is_training = kind == "train"

    def variables() -> tuple[list[keras.Variable], ...]:
        optimizer = (model.optimizer.variables,) if is_training else ()
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            *optimizer,
            model.metrics_variables,
        )

    def run(state: tuple, data: Any, rows: Tensor, begin: int, end: int) -> Any:
        def one(i: Tensor, state: tuple) -> tuple:
            batch = jax.tree_util.tree_map(lambda a: a[rows[i]], data)
            with model.of_checked_examples():
                _, state = step(state, batch)
            return tuple(map(list, state))

        state = jax.lax.fori_loop(begin, end, one, state)
        pairs = zip(model.metrics_variables, state[-1], strict=True)
        with keras.StatelessScope(state_mapping=list(pairs)):
            return {m.name: m.result() for m in model.metrics}, state

    compiled = jax.jit(run, donate_argnums=0 if is_training else ())

    def run_passes(data: Any, rows: Tensor, begin: int, end: int) -> dict[str, Tensor]:
        state = tuple([v.value for v in part] for part in variables())
        logs, state = compiled(state, data, rows, begin, end)
        for part, values in zip(variables(), state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)
        return logs

    return run_passes


def wants_jit(model: keras.Model) -> bool:  # noqa: ARG001
    """False: everything is compiled."""
    return False


fused_group_norm = None


def wrapped(x: Tensor) -> Tensor:
    """As they are."""
    return x


def fused_adam_update(*_: Any, **__: Any) -> bool:
    """False: there is no kernel; the compiler fuses the steps."""
    return False


def apply_if(
    condition: Tensor, update: Callable[[], Any], variables: Sequence[keras.Variable]
) -> None:
    """Run an update of variables in a graph if a condition holds there."""
    # Nothing is assigned inside a condition. The choice costs no pass of its
    # own: the compiler makes it part of the update.
    before = [variable.value for variable in variables]
    update()
    for variable, value in zip(variables, before, strict=True):
        variable.assign(jax.numpy.where(condition, variable.value, value))


class Steps:
    """`train_step` and `test_step` for Keras's trainer: all state in and out."""

    def train_step(
        self: Any, state: tuple, data: Any
    ) -> tuple[dict[str, Tensor], tuple]:
        """One optimiser step on a batch; returns the running means and the state."""
        trainable, non_trainable, optimizer, metrics = state

        def objectives_of(trainable: list[Tensor]) -> tuple[list[Tensor], Any]:
            with self._scope(trainable, non_trainable, optimizer, metrics) as scope:
                objectives, losses, weights = self.training_objectives(data)
                objectives = [self.optimizer.scale_loss(o) for o in objectives]
                # trainable ones too: the forward pass may set a weight anew
                updated = (
                    _values(self.trainable_variables, scope),
                    _values(self.non_trainable_variables, scope),
                )
            return objectives, (losses, weights, *updated)

        objectives, backward, (losses, weights, trainable, non_trainable) = jax.vjp(
            objectives_of, trainable, has_aux=True
        )
        position = {id(v): i for i, v in enumerate(self.trainable_variables)}
        gradients: list[Tensor] = [None] * len(trainable)
        for player, variables in enumerate(self.players):
            seeds = [
                jax.numpy.ones_like(o) * (i == player) for i, o in enumerate(objectives)
            ]
            (all_gradients,) = backward(seeds)
            for variable in variables:
                index = position[id(variable)]
                gradients[index] = all_gradients[index]
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        logs, metrics = self._stateless_metrics(metrics, losses, weights)
        return logs, (trainable, non_trainable, optimizer, metrics)

    def test_step(
        self: Any, state: tuple, data: Any
    ) -> tuple[dict[str, Tensor], tuple]:
        """Losses of a batch, without learning; returns the running means and state."""
        trainable, non_trainable, metrics = state
        with self._scope(trainable, non_trainable, None, metrics) as scope:
            losses, weights = self.test_losses(data)
            non_trainable = _values(self.non_trainable_variables, scope)
        logs, metrics = self._stateless_metrics(metrics, losses, weights)
        return logs, (trainable, non_trainable, metrics)

    def _scope(
        self: Any,
        trainable: list[Tensor],
        non_trainable: list[Tensor],
        optimizer: list[Tensor] | None,
        metrics: list[Tensor],
    ) -> keras.StatelessScope:
        pairs = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, non_trainable, strict=True),
            *zip(self.metrics_variables, metrics, strict=True),
        ]
        if optimizer is not None:
            pairs += zip(self.optimizer.variables, optimizer, strict=True)
        return keras.StatelessScope(state_mapping=pairs)

    def _stateless_metrics(
        self: Any, metrics: list[Tensor], losses: dict[str, Tensor], weights: Tensor
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        variables = self.metrics_variables
        with keras.StatelessScope(
            state_mapping=list(zip(variables, metrics, strict=True))
        ) as scope:
            logs = self.update_metrics(losses, weights)
        return logs, _values(variables, scope)


def _values(variables: list[keras.Variable], scope: Any) -> list[Tensor]:
    current = [scope.get_current_value(v) for v in variables]
    return [
        v.value if c is None else c for v, c in zip(variables, current, strict=True)
    ]


# --- Several devices and workers -----------------------------------------------------
# Keras divides batches itself; the workers of one program are one process here.


def map_rows_where(
    mask: Tensor, function: Callable[..., Tensor], *arrays: Tensor
) -> Tensor:
    """A function of the rows where a mask holds, and 0 elsewhere; `mask.shape`.

    Here all are computed, as sizes must be known before.

    Args:
        mask: Bools, of any shape; which rows.
        function: Maps tensors `(rows, ...)`, one per array, to floats `(rows,)`.
        *arrays: Tensors `(*mask.shape, ...)`.
    """
    rows = [
        ops.reshape(array, (-1, *array.shape[len(mask.shape) :])) for array in arrays
    ]
    return ops.where(mask, ops.reshape(function(*rows), mask.shape), 0.0)


def trimmed(x: Tensor) -> Tensor:
    """Rows of symbols up to the longest one's end; `(batch, t)`.

    Here all of them, as sizes must be known before.

    Args:
        x: Integers, `(batch, length)`; 0 fills rows after their end.
    """
    return x


@contextlib.contextmanager
def data_parallel(enabled: bool = True) -> Iterator[None]:
    """Create and train models on all local devices inside this context."""
    if not enabled:
        yield
        return
    previous = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    try:
        yield
    finally:
        keras.distribution.set_distribution(previous)
