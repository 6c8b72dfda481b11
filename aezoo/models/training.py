"""Training of all models: `compile`, `fit`, and what a step is made of.

The steps themselves differ by backend and are in `aezoo.nn.backend`.
"""

import contextlib
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.inference.finite import check_finite
from aezoo.models import passes
from aezoo.models.batches import (
    MASK,
    check_first_batch,
    split_mask,
    with_holes,
    with_targets,
)
from aezoo.models.inpainting import check_mask
from aezoo.nn.backend import (
    Steps,
    compile_passes,
    first_position,
    is_concrete,
    num_replicas,
    replica_sum,
)
from aezoo.nn.distributions import IndexedNoise
from aezoo.nn.optimizers import Adam, OptimizerPair, inside_loss_scale

Tensor = Any
LOG = logging.getLogger("aezoo")
# Of the noise of `evaluate`: of codes, and of what is seen of examples.
TEST_SEED = 0


class Training(Steps):
    """What `Autoencoder` does to be trained; not of use by itself."""

    def _start_training(self: Any) -> None:
        self._means = RunningMeans(())
        self._term_weights = TermWeights()
        self._trained_terms: tuple[str, ...] = ()
        self._pass_functions: dict[str, tuple[int, Callable[..., Any]]] = {}

    # --- Losses -----------------------------------------------------------------------

    @property
    def loss_names(self: Any) -> tuple[str, ...]:
        """Names of all reported losses; `fit` and `evaluate` report these."""
        return ("loss", *self.loss_weights)

    def term_weights(self: Any) -> Mapping[str, Any]:
        """Weight of each term: of a compiled model, tensors that follow its arguments.

        An argument that is set after `compile` counts from the next step on, without
        another compilation, in every expression that takes its weight from here.
        """
        weights = self.loss_weights
        return self._term_weights.current(weights)

    def compute_losses(
        self: Any, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """All losses of a batch, each of shape `(batch,)`; lower is better.

        Args:
            x: Target examples as tensors, `(batch, *tensor_shape)`.
            outputs: What `call` returned.
            step: Optimiser step, for weights that follow a schedule; None uses the
                final weights.

        Returns:
            `loss`, the weighted sum of the terms, and each term unweighted.
        """
        terms = self.compute_terms(x, outputs, step)
        schedule = self.loss_schedule(step) if step is not None else {}
        total = 0.0
        for name, weight in self.term_weights().items():
            total = total + weight * schedule.get(name, 1.0) * terms[name]
        return {"loss": total, **terms}

    @property
    def players(self: Any) -> tuple[list[keras.Variable], ...]:
        """The weights that each objective of `training_objectives` moves."""
        variables = self.trainable_variables
        if self.adversary_term is None:
            return (variables,)
        opponents = {id(v) for v in self.adversary.trainable_variables}
        return (
            [v for v in variables if id(v) not in opponents],
            [v for v in variables if id(v) in opponents],
        )

    def training_objectives(
        self: Any, data: Any
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor], Tensor]:
        """One step's scalars to differentiate, losses and example weights `(batch,)`.

        The first scalar moves the model; the second, where there is an adversary,
        moves the adversary.
        """
        x, target, weights, given, marks = self._unpack_valid(data)
        hidden = given.pop(MASK, None)
        x, target = self.observed(x, target, self.seed_generator)
        x = self.in_proportion(x, hidden)
        with self.of_checked_examples():
            outputs = self(x, training=True, **given) | with_holes(hidden)
        step = self.optimizer.iterations
        batch_losses = self.compute_losses(target, outputs, step)
        # Mean over *all* examples of the step, so that replicas with fewer examples
        # and short last batches weigh by their examples.
        total = ops.maximum(replica_sum(weights), keras.config.epsilon())
        objective = ops.sum(batch_losses["loss"] * weights) / total
        if self.losses:  # regularisers that layers add
            objective = objective + sum(self.losses) / num_replicas()
        if self.adversary_term is None:
            return (objective,), batch_losses, marks
        against = ops.sum(batch_losses[self.adversary_term] * weights) / total
        return (objective, against), batch_losses, marks

    def test_losses(self: Any, data: Any) -> tuple[dict[str, Tensor], Tensor]:
        """Losses `(batch,)` and weights; codes are sampled as the ELBO demands."""
        x, target, _, given, marks = self._unpack_valid(data)
        hidden = given.pop(MASK, None)
        seen = ops.convert_to_tensor(self._means.metrics[0].num_examples)
        position = first_position(seen, ops.shape(x)[0])
        x, target = self.observed(x, target, IndexedNoise(TEST_SEED + 1, position))
        noise = IndexedNoise(TEST_SEED, position)
        x = self.in_proportion(x, hidden)
        with self.of_checked_examples():
            outputs = self(x, sample_seed=noise, **given) | with_holes(hidden)
        return self.compute_losses(target, outputs), marks

    def update_metrics(
        self: Any, batch_losses: dict[str, Tensor], weights: Tensor
    ) -> dict[str, Tensor]:
        """Add a batch to the running means, and return the means.

        Args:
            batch_losses: Losses by name, `(batch,)` each.
            weights: Of the examples, `(batch,)`; NaN of those that are refused.
        """
        self._means.update(batch_losses, weights)
        return {mean.name: mean.result() for mean in self._means.metrics}

    @property
    def metrics(self: Any) -> list[keras.metrics.Metric]:
        """One running mean per loss."""
        return self._means.metrics

    @property
    def variables(self: Any) -> list[keras.Variable]:
        """All state: weights, seeds, and the weights of terms, which are no weights.

        The last are not saved: `get_config` has the arguments they come from.
        """
        return [*super().variables, *self._term_weights.variables]

    # --- Batches ----------------------------------------------------------------------

    def to_tensors(self: Any, x: Tensor, dtype: str = "float32") -> Tensor:
        """Examples in a graph as tensors; NaN if they are not valid, where not known.

        Args:
            x: Examples, `(batch, *shape)`.
            dtype: Of the tensor, for modalities of continuous values.
        """
        modality = self.modality
        convert = modality.convert if self._is_checked else modality.to_model
        return convert(x, dtype)

    def unpack(
        self: Any, data: Any
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """A batch for `fit`: examples, targets, example weights and what is given.

        Batches are `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`. `y` is what the
        model is told beside `x`, where it is told something: labels alone, or a
        dictionary; else it is another target, or nothing. A dictionary may also hold
        `mask`, True where an element is missing.

        Returns:
            Examples as they came, without what is missing; targets as tensors, weights
            `(batch,)`, and what is given by name, with the mask.

        Raises:
            ValueError: If the shapes or what is given do not fit.
        """
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        y, hidden = split_mask(y)
        if hidden is not None:
            self.check_can_mask()
            hidden = ops.cast(hidden, "bool")
            x = ops.where(self._over_elements(hidden), ops.zeros_like(x), x)
        if self.told_in_training:
            given, target = self._unpack_given(y), x
        else:
            given, target = {}, x if y is None else y
        for name, examples in (("x", x), ("y", target)):
            self._check_batch_shape(name, tuple(examples.shape))
        if weights is None:
            weights = ops.ones((ops.shape(x)[0],), "float32")
        else:
            weights = ops.reshape(ops.cast(weights, "float32"), (-1,))
        masked = {} if hidden is None else {MASK: hidden}
        return x, self.to_tensors(target), weights, {**given, **masked}

    def _over_elements(self: Any, hidden: Any) -> Any:
        """A mask `(batch, *positions)` that broadcasts to users' examples."""
        shape = self.modality.shape
        return hidden if hidden.shape[1:] == shape else hidden[..., None]

    def in_proportion(self: Any, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Examples with holes, larger by as much as is missing.

        As with dropout, so that what an encoder sums is for whole examples what it is
        for those that it learns from.

        Args:
            x: Examples, 0 where something is missing.
            hidden: Where that is, bools `(batch, *positions)`; None for nowhere.
        """
        if hidden is None:
            return x
        known = 1.0 - ops.cast(hidden, "float32")
        axes = tuple(range(1, len(known.shape)))
        share = ops.mean(known, axis=axes)
        factor = 1.0 / ops.maximum(share, 1.0 / math.prod(known.shape[1:]))
        x = self.to_tensors(x)
        return x * ops.reshape(factor, (-1,) + (1,) * (len(x.shape) - 1))

    def check_can_mask(self: Any) -> None:
        """Refuse missing elements where the objective cannot leave them out.

        Raises:
            ValueError: Says why.
        """
        reason = ""
        if not self.LEARNS_FROM_HOLES or not self.has_likelihood:
            reason = "its objective looks at whole examples"
        elif self.is_autoregressive or not self.modality.is_continuous:
            reason = f"each {self.modality.element} is told those before it"
        elif self.has_optimal_scale:
            reason = "`likelihood_scale='optimal'` is fitted to whole batches"
        if reason:
            raise ValueError(
                f"{self.family!r} cannot learn from examples with missing "
                f"{self.modality.element}s: {reason}. `vae`, `iwae`, `beta_vae` and "
                "`hierarchical_vae`, for instance, can."
            )

    def _unpack_valid(
        self: Any, data: Any
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor], Tensor]:
        """As `unpack`, but what `encode` would refuse teaches nothing.

        Returns:
            As `unpack`, with zeros in place of examples that are refused, which also
            weigh nothing; and the weights with NaN for these.
        """
        x, target, weights, given = self.unpack(data)
        if self._is_checked:
            return x, target, weights, given, weights
        known = self.told_in_training.items()
        told = [(modality, given[name]) for name, modality in known if name in given]
        valid = ops.logical_and(ops.isfinite(weights), weights >= 0.0)
        for modality, values in ((self.modality, x), *told):
            valid = ops.logical_and(valid, modality.is_valid(values))
        if self.modality.is_continuous:  # NaN marks targets that are not valid
            finite = ops.all(
                ops.isfinite(target), axis=tuple(range(1, len(target.shape)))
            )
            valid = ops.logical_and(valid, finite)

        def or_zeros(values: Tensor) -> Tensor:
            shape = (-1, *[1] * (len(values.shape) - 1))
            is_kept = ops.reshape(valid, shape)
            return ops.where(is_kept, values, ops.zeros_like(values))

        given = {name: or_zeros(values) for name, values in given.items()}
        marks = ops.where(valid, weights, float("nan"))
        return or_zeros(x), or_zeros(target), or_zeros(weights), given, marks

    def _refuse_marked(self: Any) -> None:
        """Refuse the data of a pass, if some of its batches held what `encode` refuses.

        Raises:
            ValueError: Says how many examples.
        """
        mean = self._means.metrics[0]
        count = int(ops.convert_to_numpy(mean.num_refused))
        if count:
            mean.num_refused.assign(0)
            told = ", ".join(self.told_in_training)
            also = f", or {told}," if told else ""
            raise ValueError(
                f"{count} of the {self.modality.nouns}{also} were out of range or not "
                "finite, or their weights were. They taught nothing, and the losses "
                "that were reported are NaN. `model.encode` says of a batch what is "
                "wrong with it."
            )

    def _check_batch_shape(self: Any, name: str, shape: tuple[Any, ...]) -> None:
        if shape[1:] != self.input_shape:
            noun, nouns = self.modality.noun, self.modality.nouns
            raise ValueError(
                f"`{name}` must be a batch of {nouns} of shape {self.input_shape}. "
                f"Received: {name}.shape={shape}. Autoencoders learn without labels: "
                f"drop them with `dataset.map(lambda {noun}, label: {noun})`."
            )

    def _unpack_given(self: Any, y: Any) -> dict[str, Tensor]:
        names = tuple(self.told_in_training)
        if y is None and not self.given:  # told in training alone, and not needed
            return {}
        if not isinstance(y, Mapping) and y is not None and len(names) == 1:
            y = {names[0]: y}
        if not isinstance(y, Mapping) or set(y) != set(names):
            received = "nothing" if y is None else type(y).__name__
            if isinstance(y, Mapping):
                received = ", ".join(y) or "nothing"
            raise ValueError(
                f"{self.family!r} is told {' and '.join(names)} beside each "
                f"{self.modality.noun}: pass batches (x, {names[0]}) or "
                f"(x, {{{', '.join(f'{n!r}: ...' for n in names)}}}). "
                f"Received: {received}."
            )
        return {name: self.check_given_batch(name, y[name]) for name in names}

    # --- Keras' interface -------------------------------------------------------------

    def compile(
        self: Any,
        optimizer: Any = "adam",
        adversary_optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Choose the optimiser; the objective is part of the model.

        Args:
            optimizer: A Keras optimiser or its name; `"adam"` is the faster
                `aezoo.optimizers.Adam`.
            adversary_optimizer: The same for the adversary, in models that have one;
                None copies `optimizer`.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile` and
                `auto_scale_loss`, as in `keras.Model.compile`.

        Raises:
            ValueError: If a loss or metrics are passed, or an optimiser for an
                adversary that there is not.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"`{name}` cannot be set in `compile`: the objective is part of "
                    f"the model and reports {', '.join(self.loss_names)}. Choose it "
                    "when creating the model, e.g. by `reconstruction_loss`, "
                    "`likelihood` or `beta`."
                )
        self.ensure_built()
        self._means = RunningMeans(self.loss_names)
        self._trained_terms = tuple(self.loss_weights)
        self._pass_functions.clear()
        self._term_weights.create(self.loss_weights)
        optimizer = _get_optimizer(optimizer)
        if self.adversary_term is not None:
            optimizer = self._pair_of(optimizer, adversary_optimizer)
        elif adversary_optimizer is not None:
            raise ValueError(
                "`adversary_optimizer` belongs to models with an adversary, and "
                f"{self.family!r} has none. Received: "
                f"adversary_optimizer={adversary_optimizer!r}."
            )
        super().compile(optimizer=optimizer, **kwargs)

    def _pair_of(
        self: Any, optimizer: keras.optimizers.Optimizer, adversary_optimizer: Any
    ) -> keras.optimizers.Optimizer:
        def pair(main: keras.optimizers.Optimizer) -> OptimizerPair:
            if not isinstance(main, OptimizerPair):  # as Keras restores one
                opponent = _get_optimizer(adversary_optimizer or main)
                opponent = getattr(opponent, "inner_optimizer", opponent)
                if opponent is main:
                    opponent = type(main).from_config(main.get_config())
                main = OptimizerPair(main, opponent)
            main.assign_adversary(self.players[1])
            return main

        return inside_loss_scale(optimizer, pair)

    def compile_from_config(self: Any, config: dict[str, Any]) -> None:
        """Restore what `compile` was given, for `keras.saving.load_model`."""
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**{k: v for k, v in config.items() if v is not None})
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self: Any,
        x: Any = None,
        y: Any = None,
        *args: Any,
        mask: Any = None,
        in_memory: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """`keras.Model.fit`, for examples that `encode` would take.

        Arrays are checked before the first step, datasets at their first batch. A pass
        over arrays is one compiled loop (`aezoo.models.passes`), other data go
        through Keras's own; the logger `aezoo` says which, and why.

        Args:
            x: Examples, an array, a dataset or an iterable of batches.
            y: What the model is told beside them, where it is told something; else
                None, or other targets.
            *args: As in `keras.Model.fit`.
            mask: Where elements are missing, for models with a likelihood: bools, True
                where one is, `(n, *positions)` or `positions`. What lies there, NaN
                perhaps, is not looked at: the encoder sees 0 there, and the rest larger
                by as much as is missing; the bound is that of the rest (Nazabal et al.,
                2020, https://arxiv.org/abs/1807.03653); of an `iwae` it is MIWAE's
                (Mattei & Frellsen, 2019, https://arxiv.org/abs/1812.02633). In datasets
                and `validation_data` it
                is `mask` in the dictionary `y`.
            in_memory: Whether arrays are one compiled loop; None where that can be.
                Callbacks have their turn after every `steps_per_execution` batches;
                where that is 1 and none of them asks for batches, a few times a second.
                One that does not need every batch has an attribute `turn_seconds`.
            **kwargs: As there; `sample_weight` counts with and without `y`.

        Raises:
            ValueError: If the data are refused, or `in_memory` is True and cannot be.
        """
        self._check_trainable()
        kwargs |= dict(zip(_names_of(keras.Model.fit), args, strict=False))
        y = self._with_mask(x, y, mask)
        source = x if isinstance(x, passes.OrderedBatches) else None
        if source is not None:
            told = (source.examples, source.labels)
            is_kept = self._is_in_memory("fit", in_memory, *told, kwargs)
            if is_kept:
                x, y = told
                kwargs |= {"batch_size": source.batch_size, "source": source}
        x, y, kwargs = self._checked(x, y, kwargs, "validation_data")
        if source is None:
            is_kept = self._is_in_memory("fit", in_memory, x, y, kwargs)
        if is_kept:
            data = (x, y, kwargs.pop("sample_weight", None))
            history = passes.fit(self, data, **kwargs)
        else:
            history = super().fit(x, y, **kwargs)
        self._refuse_marked()
        return history

    def evaluate(
        self: Any,
        x: Any = None,
        y: Any = None,
        *args: Any,
        mask: Any = None,
        in_memory: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """`keras.Model.evaluate`, for examples that `encode` would take.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            *args: As in `keras.Model.evaluate`.
            mask: As in `fit`.
            in_memory: As in `fit`.
            **kwargs: As in `keras.Model.evaluate`.

        Raises:
            ValueError: As `fit` does.
        """
        kwargs |= dict(zip(_names_of(keras.Model.evaluate), args, strict=False))
        is_part_of_fit = kwargs.get("_use_cached_eval_dataset")  # of `fit`: checked
        if not is_part_of_fit:
            y = self._with_mask(x, y, mask)
            x, y, kwargs = self._checked(x, y, kwargs)
        if not is_part_of_fit and self._is_in_memory(
            "evaluate", in_memory, x, y, kwargs
        ):
            data = (x, y, kwargs.pop("sample_weight", None))
            found = passes.evaluate(self, data, **kwargs)
        else:
            found = super().evaluate(x, y, **kwargs)
        self._refuse_marked()
        return found

    def _with_mask(self: Any, x: Any, y: Any, mask: Any) -> Any:
        """What is told beside `x`, with a mask where there is one."""
        if mask is None:
            return y
        if not is_concrete(x) and not isinstance(x, list):
            raise ValueError(
                "`mask` goes with arrays. Received: x of type "
                f"{type(x).__name__}. Datasets hold it: (x, {{'mask': mask}})."
            )
        if isinstance(y, Mapping):
            return {**y, MASK: mask}
        if y is None:
            return {MASK: mask}
        names = tuple(self.told_in_training)
        if len(names) != 1:
            raise ValueError(
                "`y` beside `mask` must be a dictionary of what the model is told. "
                f"Received: {type(y).__name__}."
            )
        return {names[0]: y, MASK: mask}

    def _is_in_memory(
        self: Any, name: str, wanted: bool | None, x: Any, y: Any, kwargs: Any
    ) -> bool:
        known = _names_of(getattr(keras.Model, name))
        if not self.compiled or not set(kwargs) <= set(known):
            return False  # Keras says so
        data = (x, y, kwargs.get("sample_weight"))
        reason = passes.why_not(self, data, kwargs)
        if wanted and reason:
            raise ValueError(f"`in_memory` must be None or False, as {reason}.")
        if reason or wanted is False:
            LOG.info("%s: Keras's own loop, as %s.", name, reason or "asked for")
            return False
        LOG.info("%s: one compiled loop over arrays in memory.", name)
        return True

    def predict(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.predict`, for examples that `encode` would take.

        Raises:
            ValueError: If an example is refused, or what comes out is not finite.
        """
        x, _, kwargs = self._checked(x, None, kwargs)
        return check_finite(super().predict(x, *args, **kwargs), self.name)

    def predict_on_batch(self: Any, x: Any) -> Any:
        """`keras.Model.predict_on_batch`, for examples that `encode` would take."""
        x, _, _ = self._checked(x, None, {})
        return check_finite(super().predict_on_batch(x), self.name)

    def train_on_batch(
        self: Any, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """`keras.Model.train_on_batch`, for examples that `encode` would take."""
        self._check_trainable()
        x, y, weights = self._checked_batch(x, y, sample_weight)
        return super().train_on_batch(x, y, weights, **kwargs)

    def test_on_batch(
        self: Any, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any
    ) -> Any:
        """`keras.Model.test_on_batch`, for examples that `encode` would take."""
        x, y, weights = self._checked_batch(x, y, sample_weight)
        return super().test_on_batch(x, y, weights, **kwargs)

    def _checked_batch(self: Any, x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
        x, y, kwargs = self._checked(x, y, {"sample_weight": weights})
        return x, y, kwargs["sample_weight"]

    def _checked(
        self: Any, x: Any, y: Any, kwargs: dict[str, Any], validation: str = ""
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Inputs of Keras' methods, checked; weights without targets get targets."""
        x, y, weights = self._checked_data(x, y, kwargs.get("sample_weight"))
        if "sample_weight" in kwargs:
            kwargs = {**kwargs, "sample_weight": weights}
        held_out = kwargs.get(validation)
        if isinstance(held_out, tuple | list) and 1 <= len(held_out) <= 3:
            parts = [*held_out, None, None][:3]
            checked = self._checked_data(*parts)
            kwargs = {**kwargs, validation: checked[: max(2, len(held_out))]}
        elif held_out is not None:
            checked, _, _ = self._checked_data(held_out, None, None)
            kwargs = {**kwargs, validation: checked}
        return x, y, kwargs

    def _checked_data(self: Any, x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
        if (
            is_concrete(x)
            or hasattr(x, "__array__")
            or isinstance(x, list | tuple | Mapping)
        ):
            y, hidden = split_mask(y)
            if hidden is not None:
                self.check_can_mask()
                hidden = check_mask(self, hidden, len(x))
                x = np.where(self._over_elements(hidden), 0, np.asarray(x))
            x = self.modality.check(x)
            is_told = y is not None and self.told_in_training
            if hidden is not None and not (is_told or self.given):
                told = {MASK: hidden}
                return x, told, with_targets(x, told, weights)[1]
            y, weights = with_targets(x, y, weights)
            if hidden is not None:
                return x, {**self._checked_names(y, len(x)), MASK: hidden}, weights
            if self.told_in_training and y is not None:
                y = self._checked_given(y, len(x))
            elif y is not None and y is not x:
                self._check_batch_shape("y", np.shape(y))
                y = self.modality.check(y, "y")
            return x, y, weights
        return check_first_batch(self, x), y, weights

    def _checked_names(self: Any, y: Any, n: int) -> dict[str, Any]:
        """What is given, by name; all that is told, where something is missing."""
        found, known = self._checked_given(y, n), self.told_in_training
        return found if isinstance(found, dict) else {next(iter(known)): found}

    def _checked_given(self: Any, y: Any, n: int) -> Any:
        known = self.told_in_training
        if isinstance(y, Mapping):
            return {k: self.check_given(k, v, n, known) for k, v in y.items()}
        names = tuple(known)
        return self.check_given(names[0], y, n, known) if len(names) == 1 else y

    def _check_trainable(self: Any) -> None:
        if self.is_built and not self.trainable_variables:
            raise ValueError(
                f"{self.name!r} has no weights to train: all are frozen. Set "
                "`trainable = True` on the model, or on some of its layers."
            )

    # --- Functions that Keras compiled ------------------------------------------------

    def _forget_functions(self: Any) -> None:
        """Have everything compiled anew that an argument may be a part of."""
        self.compiled_functions.clear()
        self._arguments_version += 1

    def _update_term_weights(self: Any) -> None:
        self._term_weights.assign(self.loss_weights)
        if tuple(self.loss_weights) != self._trained_terms:
            self._arguments_version += 1

    # Counts up when an argument is set that compiled functions are made from.
    _arguments_version: int = 0
    # While a function is made whose examples have been checked before.
    _is_checked: bool = False

    def pass_function(self: Any, kind: str) -> Callable[..., Any]:
        """What `compile_passes` makes of this model, kept until an argument is set.

        Args:
            kind: `"train"` or `"test"`.
        """
        version, function = self._pass_functions.get(kind, (None, None))
        if function is None or version != self._arguments_version:
            self._check_terms()
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)
            function = compile_passes(self, kind)
            self._pass_functions[kind] = (self._arguments_version, function)
        return function

    @contextlib.contextmanager
    def of_checked_examples(self: Any) -> Iterator[None]:
        """Inside this context steps do not look whether examples are valid."""
        before, self._is_checked = self._is_checked, True
        try:
            yield
        finally:
            self._is_checked = before

    def make_train_function(self: Any, force: bool = False) -> Any:
        """As in Keras; the function follows arguments that are set later."""
        return self._follow_arguments("train", super().make_train_function, force)

    def make_test_function(self: Any, force: bool = False) -> Any:
        """As in Keras; the function follows arguments that are set later."""
        return self._follow_arguments("test", super().make_test_function, force)

    def _follow_arguments(
        self: Any, kind: str, make: Callable[..., Any], force: bool
    ) -> Any:
        name = f"{kind}_function"
        if getattr(self, name, None) is not None and not force:
            return getattr(self, name)
        version: int | None = None
        compiled: Callable[..., Any] = make

        def follow(*args: Any) -> Any:
            nonlocal version, compiled
            if version != self._arguments_version:
                self._check_terms()
                version = self._arguments_version
                make(force=True)
                compiled = getattr(self, name)
                setattr(self, name, follow)
            return compiled(*args)

        setattr(self, name, follow)
        return follow

    def _check_terms(self: Any) -> None:
        if tuple(self.loss_weights) != self._trained_terms:
            raise RuntimeError(
                f"The terms of {self.name!r} are now {', '.join(self.loss_weights)}, "
                f"and were {', '.join(self._trained_terms)} when it was compiled. Call "
                "`compile` again after setting an argument that adds or removes a term."
            )


class TermWeights:
    """Weights of terms as variables, so that compiled steps follow them.

    Hidden from Keras' tracking: no part of a saved model.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, keras.Variable] = {}

    @property
    def variables(self) -> list[keras.Variable]:
        """One scalar per term."""
        return list(self._by_name.values())

    def create(self, weights: Mapping[str, float]) -> None:
        """Start anew with the terms of a model that is compiled."""
        self._by_name = {
            name: keras.Variable(
                float(weight),
                dtype="float32",
                trainable=False,
                name=f"weight_of_{name}",
                aggregation="only_first_replica",
            )
            for name, weight in weights.items()
        }

    def assign(self, weights: Mapping[str, float]) -> None:
        """Set the weights of those terms that there are."""
        for name, variable in self._by_name.items():
            if name in weights:
                variable.assign(float(weights[name]))

    def current(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """Tensors where there are variables, else the numbers."""
        return {
            name: ops.convert_to_tensor(self._by_name[name])
            if name in self._by_name
            else weight
            for name, weight in weights.items()
        }


class RunningMeans:
    """One mean per loss, hidden from Keras's tracking: no part of a saved model.

    The first one also counts examples, whatever they weigh.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.metrics = [
            keras.metrics.Mean(name=name) if i else _CountingMean(name=name)
            for i, name in enumerate(names)
        ]

    def update(self, losses: Mapping[str, Tensor], weights: Tensor) -> None:
        """Add a batch.

        As `update_state` of each, in a third of the operations: beside a small network
        these take as long as a layer.

        Args:
            losses: By name, `(batch,)` each.
            weights: Of the examples, `(batch,)`; NaN of those that are refused.
        """
        total = ops.sum(weights)
        for mean in self.metrics:
            values = ops.cast(losses[mean.name], weights.dtype)
            mean.total.assign_add(ops.sum(values * weights))
            mean.count.assign_add(total)
        self.metrics[0].count_examples(weights)


class _CountingMean(keras.metrics.Mean):
    """A mean that also counts its examples, whatever they weigh.

    And those of weight NaN, which are refused; this count survives `reset_state`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_examples, self.num_refused = (
            self.add_variable(shape=(), initializer="zeros", dtype="float32", name=name)
            for name in ("num_examples", "num_refused")
        )

    def count_examples(self, weights: Tensor) -> None:
        """Count the examples of a batch, and those of weight NaN."""
        self.num_examples.assign_add(ops.cast(ops.shape(weights)[0], "float32"))
        refused = ops.cast(ops.isnan(weights), "float32")
        self.num_refused.assign_add(ops.sum(refused))

    def reset_state(self) -> None:
        super().reset_state()
        self.num_examples.assign(0)


def _names_of(method: Callable[..., Any]) -> list[str]:
    """Names of what a method of Keras takes after `x` and `y`."""
    return list(inspect.signature(method).parameters)[3:]


def _get_optimizer(optimizer: Any) -> keras.optimizers.Optimizer:
    is_adam = isinstance(optimizer, str) and optimizer.lower() == "adam"
    return Adam() if is_adam else keras.optimizers.get(optimizer)
