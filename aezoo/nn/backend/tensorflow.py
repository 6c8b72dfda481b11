"""What Keras leaves to the backend, on TensorFlow."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

Tensor = Any
# Bytes of arrays that may lie in an accelerator's memory without being asked for.
_ACCELERATOR_SHARE = 1 << 31
# Names of attributes in weights files, and what they are here, where a layer of Keras
# has such a name itself.
OWN_NAMES: dict[str, str] = {}


def is_concrete(x: Any) -> bool:
    """Whether `x` is an array with values, rather than a symbol in a graph."""
    if isinstance(x, tf.Tensor):
        return hasattr(x, "numpy")
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)


# --- Inference and derivatives -----------------------------------------------------


def compile_inference(
    function: Callable[..., Any],
    model: keras.Model,  # noqa: ARG001
    *inputs: tuple[Sequence[int], str],
) -> Callable[..., Any]:
    """Compile `function` of one batch, once for all batch sizes.

    One graph with an open batch axis serves every batch size.

    Args:
        function: Maps tensors `(batch, *shape)`, one per input, to a tensor or a dict
            of tensors whose first axis is the batch.
        model: The model whose variables `function` reads.
        *inputs: Shape of one example, and dtype, of each input.

    Returns:
        A function from NumPy arrays `(batch, *shape)` to NumPy arrays.
    """
    signature = [tf.TensorSpec((None, *shape), dtype) for shape, dtype in inputs]
    traced = tf.function(function, autograph=False)
    graph = traced.get_concrete_function(*signature)

    def run_graph(*batches: np.ndarray) -> Any:
        outputs = graph(*map(tf.constant, batches))
        return tf.nest.map_structure(lambda t: t.numpy(), outputs)

    return run_graph


def jacobian_product(
    function: Callable[[Tensor], Tensor], x: Tensor, direction: Tensor
) -> Tensor:
    """The derivative of `function` at `x` along `direction`: the Jacobian times it.

    Can itself be differentiated with respect to the weights that `function` uses.

    Args:
        function: Maps `x` to a tensor.
        x: Where; any shape.
        direction: As `x`.

    Returns:
        Of the shape of `function(x)`.
    """
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        y = function(x)
    return accumulator.jvp(y)


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """What `function` gives at `x`, and the derivative of its sum.

    Args:
        function: Maps `x` to a tensor.
        x: Where; any shape.

    Returns:
        `function(x)`, and a tensor of the shape of `x`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x)


def mean_pool(x: Tensor, size: tuple[int, int] | int) -> Tensor:
    """Means of cells of feature maps; at the rim, of what there is of a cell.

    Args:
        x: Shape `(batch, height, width, channels)`.
        size: Height and width of a cell.

    Returns:
        Shape `(batch, height / size, width / size, channels)`, rounded up.
    """
    return ops.average_pool(x, size, size, padding="same", data_format="channels_last")


# --- Training ------------------------------------------------------------------


def to_device(data: Any) -> Any:
    """Arrays of any structure as tensors, where models compute."""
    return tf.nest.map_structure(tf.constant, data)


def is_distributed(model: keras.Model) -> bool:
    """Whether a model was created under a `tf.distribute` strategy."""
    distributed = tf.distribute.DistributedValues
    return any(isinstance(v.value, distributed) for v in model.variables)


def num_accelerators() -> int:
    """GPUs and the like that this process can compute on."""
    return len(tf.config.list_logical_devices("GPU"))


def fits_device(num_bytes: int) -> bool:
    """Whether arrays of that size can lie beside a model where it computes.

    Main memory holds what it held before; of an accelerator's, the least usual.
    """
    return num_bytes <= _ACCELERATOR_SHARE or not tf.config.list_logical_devices("GPU")


def compile_passes(model: Any, kind: str) -> Callable[..., dict[str, Tensor]]:
    """Many steps over arrays as one compiled loop.

    Args:
        model: The model, compiled.
        kind: `"train"` for its `train_step`, `"test"` for its `test_step`.

    Returns:
        A function of the arrays, in the structure of a batch (see `to_device`); of the
        rows of each batch, `(steps, batch)`; and of the first step and the one after
        the last. It returns the running means of all losses.
    """
    step = getattr(model, f"{kind}_step")

    def run(data: Any, rows: Tensor, begin: Tensor, end: Tensor) -> dict[str, Tensor]:
        def one(i: Tensor) -> Tensor:
            with model.of_checked_examples():
                step(tf.nest.map_structure(lambda a: tf.gather(a, rows[i]), data))
            return i + 1

        tf.while_loop(lambda i: i < end, one, [begin], parallel_iterations=1)
        return {metric.name: metric.result() for metric in model.metrics}

    # One graph serves any number of examples. That a batch's size is known to it, and
    # not the last, shorter one's as well, makes convolutions faster by some 5 %.
    function = tf.function(run, autograph=False)
    count = tf.TensorSpec((), "int32")

    def run_passes(data: Any, rows: Tensor, begin: int, end: int) -> dict[str, Tensor]:
        specs = tf.nest.map_structure(
            lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype), data
        )
        spec_of_rows = tf.TensorSpec((None, rows.shape[1]), rows.dtype)
        graph = function.get_concrete_function(specs, spec_of_rows, count, count)
        return graph(data, rows, tf.constant(begin), tf.constant(end))

    return run_passes


def wants_jit(model: keras.Model) -> bool:
    """Whether `compile` was told to compile the steps by another compiler."""
    return bool(model.jit_compile)


# Group normalisation in one operation, where the backend has one: see PyTorch.
fused_group_norm: Callable[..., Tensor] | None = None


def wrapped(x: Tensor) -> Tensor:
    """Unsigned integers modulo 2**32, where the backend has no such type."""
    return x


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
    """One step of Adam on one variable, by TensorFlow's fused kernel.

    Args:
        variable: The variable to move: of Keras, or of TensorFlow as a
            `tf.distribute` strategy passes it.
        momentum: Mean of the gradients; updated.
        velocity: Mean of the squared gradients; updated.
        gradient: Gradient of the loss.
        step: Steps taken so far.
        learning_rate: Step size, before the correction of the means' bias.
        beta_1: Decay of `momentum`.
        beta_2: Decay of `velocity`.
        epsilon: Added to the square root of `velocity`.

    Returns:
        False, with nothing changed, where there is no kernel for this: for sparse
        gradients.
    """
    if isinstance(gradient, tf.IndexedSlices):
        return False
    variable = variable.value if isinstance(variable, keras.Variable) else variable
    dtype = variable.dtype
    steps = tf.cast(step, dtype) + 1
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.value.handle,
        v=velocity.value.handle,
        beta1_power=tf.pow(tf.constant(beta_1, dtype), steps),
        beta2_power=tf.pow(tf.constant(beta_2, dtype), steps),
        lr=tf.cast(learning_rate, dtype),
        beta1=tf.constant(beta_1, dtype),
        beta2=tf.constant(beta_2, dtype),
        epsilon=tf.constant(epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )
    return True


def apply_if(
    condition: Tensor,
    update: Callable[[], Any],
    variables: Sequence[keras.Variable],  # noqa: ARG001
) -> None:
    """Run an update of variables in a graph if a condition holds there.

    Args:
        condition: A boolean scalar.
        update: Assigns to variables; not under a `tf.distribute` strategy, whose
            replicas cannot update together inside a condition.
        variables: All those that it may assign to.
    """

    def run() -> Tensor:
        update()
        return tf.constant(True)  # both branches must return the same

    tf.cond(condition, run, lambda: tf.constant(False))


class Steps:
    """`train_step` and `test_step` for Keras's TensorFlow trainer.

    The model provides `training_objectives(data)`, with one scalar for each of its
    `players`, and `test_losses(data)`, and keeps one mean per loss in
    `update_metrics`.
    """

    def train_step(self: Any, data: Any) -> dict[str, Tensor]:
        """One optimiser step on a batch; returns the running means of all losses."""
        players = self.players
        with tf.GradientTape(persistent=len(players) > 1) as tape:
            objectives, losses, weights = self.training_objectives(data)
            objectives = [self.optimizer.scale_loss(o) for o in objectives]
        pairs: list[tuple[Tensor, Any]] = []
        for objective, variables in zip(objectives, players, strict=True):
            pairs += zip(tape.gradient(objective, variables), variables, strict=True)
        self.optimizer.apply_gradients(pairs)
        return _to_reduce(self.update_metrics(losses, weights))

    def test_step(self: Any, data: Any) -> dict[str, Tensor]:
        """Losses of a batch, without learning; returns the running means."""
        return _to_reduce(self.update_metrics(*self.test_losses(data)))

    def _maybe_symbolic_build(self: Any, *_: Any, **__: Any) -> None:
        # In place of Keras's, which builds all layers by a batch of the data and so
        # fails with several workers. `compile` has built them.
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)


def _to_reduce(logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logs of a step as Keras averages them: of several workers, along an axis."""
    if not in_cluster():
        return logs
    return {name: ops.expand_dims(value, 0) for name, value in logs.items()}


# --- Several devices and workers -----------------------------------------------------


def replica_sum(values: Tensor) -> Tensor:
    """Sum over all elements and, under a `tf.distribute` strategy, all replicas."""
    total = ops.sum(values)
    if tf.distribute.in_cross_replica_context() is False:
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            return context.all_reduce(tf.distribute.ReduceOp.SUM, total)
    return total


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
    places = tf.where(mask)
    values = function(*(tf.gather_nd(array, places) for array in arrays))
    return tf.scatter_nd(places, values, tf.shape(mask, places.dtype))


def trimmed(x: Tensor) -> Tensor:
    """Rows of symbols up to the longest one's end; `(batch, t)`.

    One column that is 0 stays, where there is one.

    Args:
        x: Integers, `(batch, length)`; 0 fills rows after their end.
    """
    used = tf.reduce_any(x != 0, axis=0)
    return x[:, : tf.reduce_sum(tf.cast(used, "int32")) + 1]


def num_replicas() -> int:
    """Replicas that train in parallel under the current `tf.distribute` strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def replica_id() -> Tensor:
    """Number of this replica under the current `tf.distribute` strategy, from 0."""
    if num_replicas() > 1:
        context = tf.distribute.get_replica_context()
        return 0 if context is None else context.replica_id_in_sync_group
    return 0


def first_position(seen: Tensor, size: Tensor) -> Tensor:
    """Position of a replica's first example among all examples of a pass.

    Args:
        seen: Examples that this replica has seen before this batch.
        size: Examples of this batch on this replica.
    """
    if num_replicas() == 1:
        return seen
    replicas = ops.arange(num_replicas())
    here = ops.cast(replicas == replica_id(), "float32") * ops.cast(size, "float32")
    sizes = tf.distribute.get_replica_context().all_reduce("sum", here)
    before = ops.sum(ops.where(replicas < replica_id(), sizes, 0.0))
    return replica_sum(seen) + before


class SeedGenerator(keras.random.SeedGenerator):
    """A seed generator with another stream on every `tf.distribute` replica."""

    def next(self, ordered: bool = True) -> Tensor:
        """The next seed."""
        seed = super().next(ordered)
        if num_replicas() == 1:
            return seed
        return seed + ops.cast(ops.stack([replica_id() * 1_000_003, 0]), seed.dtype)


@contextlib.contextmanager
def data_parallel(enabled: bool = True) -> Iterator[None]:
    """Create and train models on all local devices inside this context.

    By `tf.distribute.MirroredStrategy`. Where the environment variable `TF_CONFIG`
    describes a cluster, the devices of all its workers
    (`MultiWorkerMirroredStrategy`): each of them must enter before it computes
    anything, and run the same code.

    Args:
        enabled: False leaves everything on one device.
    """
    if not enabled:
        yield
        return
    has_cluster = "TF_CONFIG" in os.environ
    strategy = (
        tf.distribute.MultiWorkerMirroredStrategy()
        if has_cluster
        else tf.distribute.MirroredStrategy()
    )
    with strategy.scope():
        yield


def in_cluster() -> bool:
    """Whether several workers train together, under the current strategy."""
    return _cluster() is not None


def is_chief() -> bool:
    """Whether this is the one worker, of those that train together, to write files."""
    cluster = _cluster()
    if cluster is None or cluster.task_type == "chief":
        return True
    return not cluster.cluster_spec().as_dict().get("chief") and cluster.task_id == 0


def any_worker(flag: bool) -> bool:
    """Whether a flag is set on any of the workers that train together.

    All of them must call it, and none returns before the last one has.
    """
    if not in_cluster():
        return flag
    strategy = tf.distribute.get_strategy()
    flags = strategy.experimental_distribute_values_from_function(
        lambda _: tf.constant(float(flag))
    )
    return bool(strategy.reduce("SUM", flags, axis=None) > 0.0)


def _cluster() -> Any:
    """What resolves the cluster of several workers, or None."""
    return tf.distribute.get_strategy().cluster_resolver
