"""Everything that differs between TensorFlow and JAX, in one place.

Models, losses and distributions are written with `keras.ops` alone. What Keras
leaves to the backend is here: compiled inference functions, the `train_step` and
`test_step` that Keras calls, and building a model without random initialisation.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.nn.keras_private import flat_layers

Tensor = Any
BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
else:
    raise ImportError(
        "aezoo runs on the Keras backends 'tensorflow' and 'jax'. "
        f"Received: KERAS_BACKEND={BACKEND!r}. Set KERAS_BACKEND before importing."
    )


def is_concrete(x: Any) -> bool:
    """Whether `x` is an array with values, rather than a symbol in a graph."""
    if BACKEND == "tensorflow" and isinstance(x, tf.Tensor):
        return hasattr(x, "numpy")
    if BACKEND == "jax" and isinstance(x, jax.core.Tracer):
        return False
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)


def structure_of(model: keras.Model) -> tuple[Any, ...]:
    """What compiled functions of a model depend on beside the values of its weights.

    It changes when a layer is quantised or gets adapters.
    """
    return tuple(
        (layer.quantization_mode, getattr(layer, "lora_enabled", False))
        for layer in flat_layers(model)
        if hasattr(layer, "quantization_mode")
    )


def is_quantized(model: keras.Model) -> bool:
    """Whether a layer of a model is quantised."""
    return any(mode for mode, _ in structure_of(model))


# --- Inference -----------------------------------------------------------------


def compile_inference(
    function: Callable[..., Any],
    model: keras.Model,
    *inputs: tuple[Sequence[int], str],
) -> Callable[..., Any]:
    """Compile `function` of one batch, once for all batch sizes.

    On TensorFlow one graph with an open batch axis serves every batch size. On JAX,
    which compiles per shape, batches are padded to the next power of two, so that
    the number of compilations is logarithmic in the batch size.

    Args:
        function: Maps tensors `(batch, *shape)`, one per input, to a tensor or a dict
            of tensors whose first axis is the batch.
        model: The model whose variables `function` reads.
        *inputs: Shape of one example, and dtype, of each input.

    Returns:
        A function from NumPy arrays `(batch, *shape)` to NumPy arrays.
    """
    if BACKEND == "tensorflow":
        signature = [tf.TensorSpec((None, *shape), dtype) for shape, dtype in inputs]
        traced = tf.function(function, autograph=False)
        graph = traced.get_concrete_function(*signature)

        def run_graph(*batches: np.ndarray) -> Any:
            outputs = graph(*map(tf.constant, batches))
            return tf.nest.map_structure(lambda t: t.numpy(), outputs)

        return run_graph

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


@contextlib.contextmanager
def without_initialisation(
    model: keras.Model, num_values: int | None = None
) -> Iterator[None]:
    """Build `model` inside this context with zeros in place of random weights.

    For models whose weights are about to be loaded: random initialisers cost 0.7 s
    (TensorFlow) to 4 s (JAX, which compiles each of them) and are overwritten. The
    layers get their own initialisers back on exit.

    Args:
        model: The model, not yet built.
        num_values: Most values that all weights may have together, whatever the
            configuration says; None for no limit.

    Raises:
        ValueError: If there would be more, before memory is taken for them.
    """
    taken = 0

    def zeros(shape: Sequence[int], dtype: str | None = None) -> np.ndarray:
        nonlocal taken
        taken += math.prod(shape)
        if num_values is not None and taken > num_values:
            raise ValueError(
                f"`num_params` does not fit its configuration, which needs {taken:,} "
                f"weights or more. Received: num_params={num_values}."
            )
        return np.zeros(shape, dtype or keras.config.floatx())

    replaced = []
    for layer in flat_layers(model):
        for name, value in list(vars(layer).items()):
            if isinstance(value, keras.initializers.Initializer):
                replaced.append((layer, name, value))
                setattr(layer, name, zeros)
    try:
        yield
    finally:
        for layer, name, value in replaced:
            setattr(layer, name, value)


# --- Derivatives ----------------------------------------------------------------


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
    if BACKEND == "jax":
        return jax.jvp(function, (x,), (direction,))[1]
    with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
        y = function(x)
    return accumulator.jvp(y)


# --- Training ------------------------------------------------------------------


def on_accelerator(x: np.ndarray) -> Any:
    """An array where JAX's accelerator is, if it has one, to gather batches from.

    So no step waits for images to be copied. The array itself on CPUs, and on
    TensorFlow, whose input pipeline runs on the host and copies ahead.
    """
    if BACKEND == "tensorflow" or jax.default_backend() == "cpu":
        return x
    return jax.device_put(x)


def replica_sum(values: Tensor) -> Tensor:
    """Sum over all elements and, under a `tf.distribute` strategy, all replicas."""
    total = ops.sum(values)
    if BACKEND == "tensorflow" and tf.distribute.in_cross_replica_context() is False:
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            return context.all_reduce(tf.distribute.ReduceOp.SUM, total)
    return total


def num_replicas() -> int:
    """Replicas that train in parallel under the current `tf.distribute` strategy."""
    if BACKEND == "tensorflow":
        return int(tf.distribute.get_strategy().num_replicas_in_sync)
    return 1


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
        False, with nothing changed, where there is no kernel for this: on JAX and for
        sparse gradients.
    """
    if BACKEND != "tensorflow" or isinstance(gradient, tf.IndexedSlices):
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
    condition: Tensor, update: Callable[[], Any], variables: Sequence[keras.Variable]
) -> None:
    """Run an update of variables in a graph if a condition holds there.

    Args:
        condition: A boolean scalar.
        update: Assigns to variables; not under a `tf.distribute` strategy, whose
            replicas cannot update together inside a condition.
        variables: All those that it may assign to.
    """
    if BACKEND == "tensorflow":

        def run() -> Tensor:
            update()
            return tf.constant(True)  # both branches must return the same

        tf.cond(condition, run, lambda: tf.constant(False))
        return
    # In JAX nothing is assigned inside a condition. The choice costs no pass of its
    # own: the compiler makes it part of the update.
    before = [variable.value for variable in variables]
    update()
    for variable, value in zip(variables, before, strict=True):
        variable.assign(jax.numpy.where(condition, variable.value, value))


def replica_id() -> Tensor:
    """Number of this replica under the current `tf.distribute` strategy, from 0."""
    if BACKEND == "tensorflow" and num_replicas() > 1:
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


class TensorFlowSteps:
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


class JAXSteps:
    """The same two steps for Keras's JAX trainer, which passes all state in and out."""

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


Steps: type = TensorFlowSteps if BACKEND == "tensorflow" else JAXSteps


@contextlib.contextmanager
def data_parallel(enabled: bool = True) -> Iterator[None]:
    """Create and train models on all local devices inside this context.

    `tf.distribute.MirroredStrategy` on TensorFlow, `keras.distribution.DataParallel`
    on JAX. Where the environment variable `TF_CONFIG` describes a cluster, TensorFlow
    uses the devices of all its workers (`MultiWorkerMirroredStrategy`): each of them
    must enter before it computes anything, and run the same code.

    Args:
        enabled: False leaves everything on one device.
    """
    if not enabled:
        yield
    elif BACKEND == "tensorflow":
        has_cluster = "TF_CONFIG" in os.environ
        strategy = (
            tf.distribute.MultiWorkerMirroredStrategy()
            if has_cluster
            else tf.distribute.MirroredStrategy()
        )
        with strategy.scope():
            yield
    else:
        previous = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        try:
            yield
        finally:
            keras.distribution.set_distribution(previous)


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
    if BACKEND != "tensorflow":
        return None
    return tf.distribute.get_strategy().cluster_resolver
