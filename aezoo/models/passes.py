"""`fit` and `evaluate` of arrays: a pass is one compiled loop over them.

Keras's own loop hands every batch from an input pipeline to a step, and looks at each
example again. Here the arrays, checked before, lie where the model computes; one
compiled loop gathers a batch, steps, and goes on. Python sees it again at the
callbacks' turn only. The mathematics is that of the step by step loop, whatever the
number of steps between two turns.
"""

import abc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from aezoo.nn.backend import (
    fits_device,
    is_distributed,
    num_replicas,
    to_device,
    wants_jit,
)
from aezoo.utils.validation import check_positive_int

# Examples per batch where nothing is said, as in Keras.
BATCH_SIZE = 32
# Seconds between two turns of callbacks: of those that show progress, and others.
SHOWN, SILENT = 0.2, 2.0


class OrderedBatches(keras.utils.PyDataset, abc.ABC):
    """Batches of arrays in an order of their own, for `fit`.

    Where passes run in memory, `fit` takes the arrays whole, and of each epoch the
    order alone; elsewhere Keras takes batch after batch.

    Attributes:
        examples: Array `(n, *shape)`.
        labels: What the model is told beside them: an array, such by name, or None.
        batch_size: Examples per batch; the last batch may be shorter.
    """

    examples: np.ndarray
    labels: Any
    batch_size: int

    @property
    @abc.abstractmethod
    def rows(self) -> np.ndarray:
        """Of which examples the epoch's batches are, integers `(m,)`."""

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        start = index * self.batch_size
        rows = self.rows[start : start + self.batch_size]
        if self.labels is None:
            return (self.examples[rows],)
        return self.examples[rows], keras.tree.map_structure(
            lambda values: values[rows], self.labels
        )


def why_not(model: Any, data: tuple[Any, ...], arguments: Mapping[str, Any]) -> str:
    """Why Keras's own loop must run, or an empty text.

    Args:
        model: The model, compiled.
        data: `x`, `y` and weights, checked.
        arguments: The others of `fit` or `evaluate`.
    """
    leaves = keras.tree.flatten([part for part in data if part is not None])
    if not leaves or not all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return "the data are not arrays"
    if len({len(leaf) for leaf in leaves}) > 1 or not len(leaves[0]):
        return "the arrays are empty, or of several lengths"
    for name in ("steps_per_epoch", "validation_steps", "steps", "class_weight"):
        if arguments.get(name) is not None:
            return f"`{name}` is set"
    if not isinstance(arguments.get("shuffle", True), bool):
        return "`shuffle` is neither True nor False"
    if model.run_eagerly:
        return "`run_eagerly` is set"
    if wants_jit(model):
        return "`jit_compile` is set"
    if num_replicas() > 1 or is_distributed(model):
        return "several devices share the work"
    if not fits_device(sum(leaf.nbytes for leaf in leaves)):
        return "the arrays take too much of the device's memory"
    return ""


def fit(
    model: Any,
    data: tuple[Any, ...],
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
    shuffle: bool = True,
    initial_epoch: int = 0,
    source: OrderedBatches | None = None,
    **_: Any,
) -> keras.callbacks.History:
    """As `keras.Model.fit`, where there is no reason against it (`why_not`).

    Args:
        model: The model, compiled.
        data: `x`, `y` and weights, checked arrays; None for what there is not.
        batch_size: Examples per step.
        epochs: Passes, those before `initial_epoch` included.
        verbose: As in Keras.
        callbacks: As in Keras. One that has a turn at every batch gets it.
        validation_split: Share of the last examples to hold out.
        validation_data: As in Keras.
        validation_batch_size: Examples per batch there.
        validation_freq: As in Keras.
        shuffle: Whether each pass has another order, by Keras's random seed.
        initial_epoch: As in Keras.
        source: Whose order each pass has, in the place of `shuffle`; None for none.
    """
    if validation_split and validation_data is None:
        data, validation_data = _split(data, validation_split)
    passes = Passes(model, "train", data, batch_size)
    steps = passes.num_batches if source is None else len(source)
    told = _callback_list(model, callbacks, verbose, epochs, steps)
    validate = None
    if validation_data is not None:
        size = validation_batch_size or batch_size
        validate = _validation(model, _three(validation_data), size, told)
    model.stop_training = False
    told.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(model._initial_epoch or initial_epoch, epochs):
        model.reset_metrics()
        told.on_epoch_begin(epoch)
        if source is not None:
            source.on_epoch_begin()
        logs = passes.run(told, shuffle, None if source is None else source.rows)
        if source is not None:
            source.on_epoch_end()
        if validate is not None and model._should_eval(epoch, validation_freq):
            logs |= {f"val_{name}": value for name, value in validate().items()}
        told.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    told.on_train_end(logs)
    return model.history


def _validation(
    model: Any, data: tuple[Any, Any, Any], batch_size: int | None, callbacks: Any
) -> Callable[[], dict[str, float]]:
    if why_not(model, data, {}):
        x, y, weights = data
        return lambda: model.evaluate(
            x,
            y,
            sample_weight=weights,
            batch_size=batch_size,
            callbacks=callbacks,
            return_dict=True,
        )
    passes = Passes(model, "test", data, batch_size)
    return lambda: _test(passes, callbacks)


def evaluate(
    model: Any,
    data: tuple[Any, ...],
    *,
    batch_size: int | None = None,
    verbose: Any = "auto",
    callbacks: Any = None,
    return_dict: bool = False,
    **_: Any,
) -> Any:
    """As `keras.Model.evaluate`, where there is no reason against it (`why_not`).

    Args:
        model: The model, compiled.
        data: `x`, `y` and weights, checked arrays; None for what there is not.
        batch_size: Examples per batch.
        verbose: As in Keras.
        callbacks: As in Keras.
        return_dict: Whether losses come by name, rather than as a list.
    """
    passes = Passes(model, "test", data, batch_size)
    told = _callback_list(model, callbacks, verbose, 1, passes.num_batches)
    logs = _test(passes, told)
    return logs if return_dict else model._flatten_metrics_in_order(logs)


def _test(passes: "Passes", callbacks: Any) -> dict[str, float]:
    passes.model.stop_evaluating = False
    callbacks.on_test_begin()
    passes.model.reset_metrics()
    logs = passes.run(callbacks, shuffle=False)
    callbacks.on_test_end(logs)
    return logs


class Passes:
    """Passes over arrays, where the model computes.

    Args:
        model: The model, compiled.
        kind: `"train"` or `"test"`.
        data: `x`, `y` and weights; None for what there is not.
        batch_size: Examples per batch, None for `BATCH_SIZE`; the last may be shorter.

    Raises:
        ValueError: If `batch_size` is no integer of at least 1.
    """

    def __init__(
        self, model: Any, kind: str, data: tuple[Any, ...], batch_size: int | None
    ) -> None:
        self.model = model
        self.kind = kind
        self.num_examples = len(data[0])
        size = BATCH_SIZE if batch_size is None else batch_size
        self.batch_size = min(check_positive_int("batch_size", size), self.num_examples)
        self.num_batches = -(-self.num_examples // self.batch_size)
        self._data = to_device(_packed(data))

    def run(
        self,
        callbacks: keras.callbacks.CallbackList,
        shuffle: bool,
        rows: np.ndarray | None = None,
    ) -> dict:
        """One pass.

        Args:
            callbacks: Told between batches.
            shuffle: Whether in another order each time.
            rows: The order, in the place of `shuffle`; None for none.

        Returns:
            The means of all losses, as floats.
        """
        if rows is not None:
            order = np.asarray(rows, "int32")
        else:
            order = np.arange(self.num_examples, dtype="int32")
            if shuffle:  # `keras.utils.set_random_seed` seeds Python's, too
                np.random.default_rng(random.getrandbits(64)).shuffle(order)
        full = len(order) // self.batch_size * self.batch_size
        first, logs = 0, {}
        for batches in (order[:full].reshape(-1, self.batch_size), order[None, full:]):
            if not batches.size:
                continue
            placed = to_device(batches)
            for begin, end in self._turns(len(batches), callbacks):
                getattr(callbacks, f"on_{self.kind}_batch_begin")(first + begin)
                function = self.model.pass_function(self.kind)
                logs = {
                    name: float(value)
                    for name, value in function(self._data, placed, begin, end).items()
                }
                getattr(callbacks, f"on_{self.kind}_batch_end")(first + end - 1, logs)
                if self._is_stopped:
                    return logs
            first += len(batches)
        return logs

    @property
    def _is_stopped(self) -> bool:
        model = self.model
        is_training = self.kind == "train"
        return bool(model.stop_training if is_training else model.stop_evaluating)

    def _turns(self, steps: int, callbacks: Any) -> Iterator[tuple[int, int]]:
        """First and last batch, exclusive, of each compiled call."""
        each = self.model.steps_per_execution
        seconds = _turn_seconds(callbacks, self.kind)
        is_timed = each == 1 and seconds > 0.0
        begin, is_warm = 0, False
        while begin < steps:
            end = min(begin + each, steps)
            start = time.perf_counter()
            yield begin, end
            taken = time.perf_counter() - start
            if is_timed and is_warm:
                each = max(1, round(seconds * (end - begin) / taken))
            begin, is_warm = end, True  # the first call may have compiled


def _turn_seconds(callbacks: Any, kind: str) -> float:
    """Seconds between two turns; 0 where a callback has one at every batch."""
    base = keras.callbacks.Callback
    moments = ("batch_begin", "batch_end")
    names = [f"on_{start}{m}" for m in moments for start in ("", f"{kind}_")]
    seconds = SILENT
    for callback in callbacks.callbacks:
        if isinstance(callback, keras.callbacks.ProgbarLogger):
            seconds = min(seconds, SHOWN)
        elif "epoch" not in (
            getattr(callback, name, "") for name in ("save_freq", "update_freq")
        ) and any(
            getattr(getattr(callback, name), "__func__", None)
            is not getattr(base, name)
            for name in names
        ):
            seconds = min(seconds, getattr(callback, "turn_seconds", 0.0))
    return seconds


def _callback_list(
    model: Any, callbacks: Any, verbose: Any, epochs: int, steps: int
) -> Any:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=model,
    )


def _three(data: Any) -> tuple[Any, Any, Any]:
    """`x`, `y` and weights of what `validation_data` may be."""
    if isinstance(data, tuple | list) and 1 <= len(data) <= 3:
        x, y, weights = [*data, None, None][:3]
        return x, y, weights
    return data, None, None


def _packed(data: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a step takes: without what there is not, behind what there is."""
    x, y, weights = data
    if weights is not None:
        return (x, y, weights)
    return (x,) if y is None else (x, y)


def _split(
    data: tuple[Any, ...], share: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The first examples, and the last ones, as Keras divides them."""
    n = len(data[0])
    kept = math.floor(n * (1.0 - share)) if 0.0 < share < 1.0 else 0
    if not 0 < kept < n:
        raise ValueError(
            "`validation_split` must be a share between 0 and 1 that leaves examples "
            f"on both sides. Received: validation_split={share}, of {n} examples."
        )

    def part(select: Callable[[np.ndarray], np.ndarray]) -> tuple[Any, ...]:
        return tuple(
            None if values is None else keras.tree.map_structure(select, values)
            for values in data
        )

    return part(lambda a: a[:kept]), part(lambda a: a[kept:])
