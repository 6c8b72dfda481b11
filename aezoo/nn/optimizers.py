"""Optimisers: a fused Adam, one for a model and its adversary, one by layers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.nn.backend import apply_if, fused_adam_update, is_distributed
from aezoo.utils.validation import check_number

Tensor = Any


@keras.saving.register_keras_serializable("aezoo")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with TensorFlow's fused kernel: same steps, less time.

    Kingma & Ba (2015), https://arxiv.org/abs/1412.6980. Keras writes one step as some
    fifteen operations per variable; TensorFlow has a kernel that reads and writes
    each array once. The arguments, the state and the results (to rounding) are those
    of `keras.optimizers.Adam`, so checkpoints move between the two. On PyTorch a few
    operations in place do the same. Where there is neither (JAX, `amsgrad`, sparse
    gradients) this *is* Keras's Adam.

    Args:
        *args: As of `keras.optimizers.Adam`.
        skip_gradients_above: A step whose gradients have a larger norm, all together,
            or one that is not finite, changes nothing but the step counter: neither
            weights nor moments nor averages. Child (2021,
            https://arxiv.org/abs/2011.10650), section 4: it keeps very deep VAEs from
            diverging. The variable `skipped_steps` counts such steps. None takes all
            steps. Not for `tf.distribute`.
        **kwargs: As of `keras.optimizers.Adam`.

    Raises:
        ValueError: If `skip_gradients_above` is not above 0, or set together with
            `gradient_accumulation_steps`: of a sum one cannot skip a part.

    Example:
        >>> model.compile(aezoo.optimizers.Adam(1e-3, clipnorm=1.0))
    """

    def __init__(
        self, *args: Any, skip_gradients_above: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if skip_gradients_above is not None:
            check_number("skip_gradients_above", skip_gradients_above, above=0.0)
            if self.gradient_accumulation_steps:
                raise ValueError(
                    "`skip_gradients_above` cannot be combined with "
                    "`gradient_accumulation_steps`. Received: "
                    f"skip_gradients_above={skip_gradients_above}, "
                    f"gradient_accumulation_steps={self.gradient_accumulation_steps}. "
                    "Set one of them to None."
                )
        self.skip_gradients_above = skip_gradients_above

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the state."""
        super().build(variables)
        if self.skip_gradients_above is not None:
            self.skipped_steps = self.add_variable(
                (), dtype="int32", name="skipped_steps"
            )

    def _backend_apply_gradients(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        take_step = super()._backend_apply_gradients
        if self.skip_gradients_above is None:
            take_step(grads, trainable_variables)
            return
        dense = [ops.cast(ops.convert_to_tensor(g), "float32") for g in grads]
        squares = [ops.sum(ops.square(g)) for g in dense]
        # false for NaN, too
        is_taken = ops.sqrt(sum(squares)) <= self.skip_gradients_above
        apply_if(
            is_taken,
            lambda: take_step(grads, trainable_variables),
            [*self.variables, *trainable_variables],
        )
        self.skipped_steps.assign_add(1 - ops.cast(is_taken, "int32"))

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        if self.skip_gradients_above is None:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        # Keras starts the averages at step 0, which may be skipped.
        is_first = ops.equal(ops.cast(self.iterations, "int32"), self.skipped_steps)
        momentum = ops.where(is_first, 0.0, self.ema_momentum)
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            average.assign(momentum * average + (1.0 - momentum) * variable)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        # Copies: on JAX both would share a buffer, which the next `fit` donates twice.
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            if average is not None:
                variable.assign(ops.copy(average))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "skip_gradients_above": self.skip_gradients_above,
        }

    def _backend_update_step(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable],
        learning_rate: Any,
    ) -> None:
        if is_distributed(self):
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        # Keras's first waits for all gradients, as if other replicas had more of them.
        step = ops.convert_to_tensor(self.iterations)  # read once for all
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self._move(gradient, variable, learning_rate, step)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> None:
        """Move one variable and its two moments by one step."""
        self._move(gradient, variable, learning_rate, self.iterations)

    def _move(
        self, gradient: Tensor, variable: Any, learning_rate: Any, step: Tensor
    ) -> None:
        index = self._get_variable_index(variable)
        if self.amsgrad or not fused_adam_update(
            variable,
            self._momentums[index],
            self._velocities[index],
            gradient,
            step,
            learning_rate=learning_rate,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
        ):
            super().update_step(gradient, variable, learning_rate)


class _Wrapper(keras.optimizers.Optimizer):
    """An optimiser that leaves the steps to others, and the scale of the loss."""

    # Attributes that hold them.
    INNER: ClassVar[tuple[str, ...]]

    def __init__(self, name: str, **inner: keras.optimizers.Optimizer) -> None:
        for argument, optimizer in inner.items():
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                raise ValueError(
                    f"`{argument}` must not be a `LossScaleOptimizer`, which goes "
                    f"around a `{type(self).__name__}`. Received: "
                    f"{argument}={optimizer.name!r}. Pass its `inner_optimizer`."
                )
        super().__init__(learning_rate=0.0, name=name)  # each has its own
        for argument, optimizer in inner.items():
            setattr(self, argument, optimizer)
        self.loss_scale_factor = next(iter(inner.values())).loss_scale_factor

    @property
    def loss_scale_factor(self) -> float | None:
        """Factor on the loss, the same for all; steps do not depend on it."""
        first = getattr(self, self.INNER[0])
        return first.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        for name in self.INNER:
            if hasattr(self, name):  # not yet, in Keras's `__init__`
                getattr(self, name).loss_scale_factor = value


def inside_loss_scale(
    optimizer: keras.optimizers.Optimizer,
    wrap: Callable[[keras.optimizers.Optimizer], keras.optimizers.Optimizer],
) -> keras.optimizers.Optimizer:
    """What `wrap` makes of an optimiser; inside its `LossScaleOptimizer`, if any.

    Args:
        optimizer: The optimiser.
        wrap: From an optimiser to one that has it inside.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return wrap(optimizer)
    return keras.optimizers.LossScaleOptimizer(
        wrap(optimizer.inner_optimizer),
        initial_scale=optimizer.initial_scale,
        dynamic_growth_steps=optimizer.dynamic_growth_steps,
        name=optimizer.name,
    )


@keras.saving.register_keras_serializable("aezoo")
class OptimizerPair(_Wrapper):
    """Two optimisers behind one: of a model, and of the adversary beside it.

    Keras saves, restores and passes on the state of *one* optimiser, on every
    backend; so both are resumed from a checkpoint. The factor on the loss is that of
    `main` for both.

    Args:
        main: Moves the model's weights.
        adversary: Moves the adversary's weights.

    Raises:
        ValueError: If one is a `LossScaleOptimizer`: see `inside_loss_scale`.
    """

    INNER: ClassVar[tuple[str, ...]] = ("main", "adversary")
    main: keras.optimizers.Optimizer
    adversary: keras.optimizers.Optimizer

    def __init__(
        self,
        main: keras.optimizers.Optimizer,
        adversary: keras.optimizers.Optimizer,
        name: str = "optimizer_pair",
    ) -> None:
        super().__init__(name, main=main, adversary=adversary)
        self._opponents: frozenset[int] = frozenset()

    def assign_adversary(self, variables: Sequence[keras.Variable]) -> None:
        """State which weights are the adversary's; all others are the model's."""
        self._opponents = frozenset(map(id, variables))

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the state of both."""
        main, adversary = self._split(variables, variables)
        self.main.build(main)
        self.adversary.build(adversary)
        super().build(variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """Both, as `keras.callbacks.SwapEMAWeights` looks for them."""
        return [self.main, self.adversary]

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of both."""
        return [*self._variables, *self.main.variables, *self.adversary.variables]

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the model; setting it sets both."""
        return self.main.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.main.learning_rate = value
        self.adversary.learning_rate = value

    @property
    def iterations(self) -> Any:
        """Steps that the model has taken."""
        return self.main.iterations

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Give weights their averages, where an optimiser keeps them."""
        main, adversary = self._split(var_list, var_list)
        self.main.finalize_variable_values(main)
        self.adversary.finalize_variable_values(adversary)

    def apply(
        self, grads: Sequence[Tensor], trainable_variables: Any = None
    ) -> Tensor | None:
        """Move all weights, each by its own optimiser."""
        variables = trainable_variables
        if variables is None:
            variables = self._trainable_variables
        if not self.built:
            self.build(variables)
        for part, gradients, moved in zip(
            (self.main, self.adversary),
            self._split(grads, variables),
            self._split(variables, variables),
            strict=True,
        ):
            part.apply(gradients, moved)
        self._iterations.assign_add(1)
        return self._iterations

    def _split(
        self, values: Sequence[Any], variables: Sequence[keras.Variable]
    ) -> tuple[list[Any], list[Any]]:
        """Values of the model's and of the adversary's variables."""
        pairs = list(zip(values, variables, strict=True))
        return (
            [value for value, v in pairs if id(v) not in self._opponents],
            [value for value, v in pairs if id(v) in self._opponents],
        )

    def get_config(self) -> dict[str, Any]:
        """Both optimisers' configurations."""
        return {
            "name": self.name,
            "main": keras.saving.serialize_keras_object(self.main),
            "adversary": keras.saving.serialize_keras_object(self.adversary),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "OptimizerPair":
        """The pair that `get_config` describes."""
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects)
            for part in ("main", "adversary")
        }
        return cls(**parts, name=config["name"])


@keras.saving.register_keras_serializable("aezoo")
class LayerwiseOptimizer(_Wrapper):
    """Another optimiser, whose steps are shorter for some weights than for others.

    Howard & Ruder (2018), "Universal language model fine-tuning for text
    classification" (https://arxiv.org/abs/1801.06146), section 3.2: layers near the
    image learn slower. A weight of factor 0.1 moves by a tenth of what the optimiser
    would move it, weight decay included: for every optimiser of Keras, what a tenth
    of the learning rate would do. `aezoo.layerwise_learning_rates` makes one for a
    model.

    It saves, restores and serialises with the model. Not for `tf.distribute`, nor for
    an optimiser with `use_ema`, whose averages would be of full steps.

    Args:
        optimizer: Makes the steps; has the learning rate, its schedule and clipping.
        factors: Of the model's trainable weights, in their order; in [0, 1].

    Raises:
        ValueError: If a factor is out of range, or the optimiser has `use_ema`, or is
            a `LossScaleOptimizer`: see `inside_loss_scale`.
    """

    INNER: ClassVar[tuple[str, ...]] = ("optimizer",)
    optimizer: keras.optimizers.Optimizer

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        factors: Sequence[float],
        name: str = "layerwise_optimizer",
    ) -> None:
        super().__init__(name, optimizer=optimizer)
        if optimizer.use_ema:
            raise ValueError(
                "`optimizer` must not average weights: the averages would be of full "
                "steps. Received: use_ema=True. Pass one with `use_ema=False`."
            )
        self.factors = tuple(
            check_number(f"factors[{i}]", factor, low=0.0, high=1.0)
            for i, factor in enumerate(factors)
        )

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the state of the optimiser."""
        if len(variables) != len(self.factors):
            raise ValueError(
                f"`factors` are of {len(self.factors)} weights, and the model trains "
                f"{len(variables)}. After a change of what it trains, call "
                "`aezoo.layerwise_learning_rates(model, ...)` and `compile` again."
            )
        if not self.optimizer.built:
            self.optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of both."""
        return [*self._variables, *self.optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The learning rate where the factor is 1."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.optimizer.learning_rate = value

    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        """Let the optimiser move all weights, and take some of them part of the way."""
        variables = trainable_variables
        if variables is None:
            variables = self._trainable_variables
        variables = list(variables)
        if not self.built:
            self.build(variables)
        factors = [self.factors[self._get_variable_index(v)] for v in variables]
        # copies: `convert_to_tensor` may give the variable itself, which will move
        before = [ops.copy(v) for v in variables]
        self.optimizer.apply(grads, variables)
        for variable, start, factor in zip(variables, before, factors, strict=True):
            if factor != 1.0:
                step = ops.convert_to_tensor(variable) - start
                variable.assign(start + factor * step)
        self.iterations.assign_add(1)

    def get_config(self) -> dict[str, Any]:
        """The optimiser's configuration, and the factors."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "factors": list(self.factors),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "LayerwiseOptimizer":
        """The optimiser that `get_config` describes."""
        optimizer = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects
        )
        return cls(optimizer, config["factors"], name=config["name"])


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Inside, a compiled model has the averages that its optimiser keeps of weights.

    Those of an optimiser with `use_ema=True`, e.g. to evaluate or save the model in the
    middle of a training. The weights as trained come back on exit, to the bit. Without
    `use_ema` the model stays as it is.
    """
    trained = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        # Not the optimiser's own arrays: JAX's steps take the memory of their inputs.
        variable.assign(ops.copy(variable))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, trained, strict=True):
            variable.assign(value)
