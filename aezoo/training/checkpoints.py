"""Training in slices: the state of a training as a file, and when to stop.

A training that was stopped or killed at any step, and goes on from its checkpoint, ends
with the weights of one that never stopped, bit for bit where the machine computes the
same twice: the order of the images follows from seed and step, and the state of every
source of noise is in the checkpoint.
"""

import contextlib
import csv
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from aezoo.errors import AezooError
from aezoo.nn.backend import any_worker, is_chief
from aezoo.nn.optimizers import averaged_weights
from aezoo.nn.weights import unproven_weights
from aezoo.training.batches import ShuffledExamples
from aezoo.training.recipe import RecipeError
from aezoo.utils.files import atomic_path, sweep, write_file

# What a killed training loses at most.
CHECKPOINT_SECONDS = 180.0
# What a process may take to end, after a checkpoint.
EXIT_SECONDS = 5.0
VALIDATION_BATCH_SIZE = 1000
# Of a process that stopped for now: `EX_TEMPFAIL` of sysexits.h, "try again".
STOPPED_STATUS = 75


class StoppedError(AezooError, RuntimeError):
    """A training stopped before its end, with a checkpoint to go on from."""


def save_state(path: Path, model: keras.Model, step: int, seconds: float) -> None:
    """Write all that the steps to come depend on, or nothing, to an .npz file.

    Args:
        path: The file to create or replace.
        model: A compiled model: weights, seeds, optimiser and running means.
        step: Batches learnt from so far.
        seconds: Spent so far on the epoch that the step is in.

    Of several workers all must call it, and the chief writes.
    """
    values = {
        str(i): keras.ops.convert_to_numpy(variable)
        for i, variable in enumerate(_state(model))
    }
    if is_chief():
        with atomic_path(path) as temporary:
            np.savez(temporary, step=step, seconds=seconds, **values)
    any_worker(False)  # wait until it is written


def restore_state(path: Path, model: keras.Model) -> tuple[int, float]:
    """Put a compiled model into a state that `save_state` wrote.

    Returns:
        Step and seconds, as given to `save_state`.

    Raises:
        RecipeError: If the file is damaged, or the model has other variables than the
            one that was saved.
    """
    variables = _state(model)
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            values = [file[str(i)] for i in range(len(file.files) - 2)]
            step, seconds = int(file["step"]), float(file["seconds"])
    except Exception as error:  # NumPy raises whatever the damage makes of it
        raise RecipeError(
            f"The checkpoint {path} is damaged: {error}. Pass `--no-resume` to start "
            "anew."
        ) from error
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise RecipeError(
            f"The checkpoint {path} is of another model: it has {len(values)} "
            f"variables, and this one {len(variables)}, or of other shapes. Pass "
            "`--no-resume` to start anew."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return step, seconds


def _state(model: keras.Model) -> list[keras.Variable]:
    """What a training step reads and writes."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [
        *model.trainable_variables,
        *model.non_trainable_variables,
        *model.optimizer.variables,
        *model.metrics_variables,
    ]


class Recorder(keras.callbacks.Callback):
    """Writes a training's checkpoint, log and best weights, and stops it in time.

    Args:
        out: Folder of the run.
        batches: What the model is trained on; kept at the epoch that is trained.
        held_out: Images, and labels if the family takes any, whose loss decides which
            epoch's weights are the best; or no images.
        deadline: When to have stopped, on the clock of `time.monotonic`; None for
            never. At least one compiled call is made.
        patience: Epochs without a lower loss of `held_out` after which it ends; None
            for all.
    """

    # How often it has to look at the clock; steps in between are one compiled loop.
    turn_seconds = 2.0

    def __init__(
        self,
        out: Path,
        batches: ShuffledExamples,
        held_out: tuple[np.ndarray, ...],
        deadline: float | None = None,
        patience: int | None = None,
    ) -> None:
        super().__init__()
        sweep(out)
        self.checkpoint = out / "checkpoint.npz"
        self.log = out / "log.csv"
        self.best = out / "best.weights.h5"
        self.batches = batches
        self.held_out = held_out
        self.deadline = math.inf if deadline is None else deadline
        self.patience = math.inf if patience is None else patience
        self.rows: list[dict[str, Any]] = []
        self.is_asked_to_stop = False
        self._seconds = 0.0  # of the epoch, before its last checkpoint
        self._saved = -math.inf  # when; the first save tells how long one takes
        self._save_seconds = 0.0
        self._checked: float | None = None  # when; None before the first call's end
        self._longest_gap = 0.0

    def restore(self, model: keras.Model) -> int:
        """Put a model where its last checkpoint was, if any; returns the step."""
        if not self.checkpoint.is_file():
            return 0
        step, self._seconds = restore_state(self.checkpoint, model)
        if self.log.is_file():
            with self.log.open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            # Epochs after the checkpoint are trained, and logged, again.
            done = step // self.batches.steps
            self.rows = [row for row in rows if int(row["epoch"]) < done]
        return step

    @property
    def seconds(self) -> float:
        """Seconds over all epochs, whichever process trained them."""
        return sum(float(row["seconds"]) for row in self.rows)

    @property
    def has_waited(self) -> bool:
        """Whether no epoch was better for as long as `patience` allows."""
        losses = [float(row.get("val_loss", math.nan)) for row in self.rows]
        best = min(range(len(losses)), key=losses.__getitem__, default=0)
        return len(losses) - 1 - best >= self.patience

    @contextlib.contextmanager
    def stops_on_sigterm(self) -> Iterator[None]:
        """Inside, SIGTERM ends the training as its deadline does."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set a handler
            return

        def ask(*_: Any) -> None:
            self.is_asked_to_stop = True

        previous = signal.signal(signal.SIGTERM, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Turn to the epoch's order, and start its clock."""
        self.batches.epoch = epoch
        if self.batches.first:  # Keras has just reset the running means
            restore_state(self.checkpoint, self.model)
        self._start = time.monotonic() - self._seconds
        self._seconds = 0.0
        self._previous_loss: Any = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save and stop where it is time."""
        # Steps are computed while Python goes on. Wait for all but the last ones, so
        # that the clock is theirs and the device is never idle.
        float(self._previous_loss)
        self._previous_loss = logs["loss"]
        done = self.batches.first + batch + 1
        if done < self.batches.steps:  # else `on_epoch_end` does the same
            self._save_or_stop(self.batches.epoch * self.batches.steps + done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure the held-out images, add a row to the log, save and stop in time."""
        if len(self.held_out[0]):
            logs |= self._validated()
        skipped = [
            int(variable)
            for variable in self.model.optimizer.variables
            if variable.name == "skipped_steps"
        ]
        if skipped:
            logs["skipped_steps"] = sum(skipped)
        logs["seconds"] = round(time.monotonic() - self._start, 3)
        self.rows.append({"epoch": epoch, **dict(sorted(logs.items()))})
        if is_chief():
            with (
                atomic_path(self.log) as path,
                path.open("w", encoding="utf-8", newline="") as file,
            ):
                writer = csv.DictWriter(file, self.rows[-1])
                writer.writeheader()
                writer.writerows(self.rows)
        losses = {k: v for k, v in logs.items() if k in ("loss", "val_loss")}
        if not skipped and not all(map(math.isfinite, losses.values())):
            raise RecipeError(
                f"The training diverged in epoch {epoch + 1}: {losses}. Lower "
                "`learning_rate`, or set `clipnorm`."
            )
        self.model.stop_training |= self.has_waited
        is_last = self.has_waited or epoch + 1 == self.params["epochs"]
        self._save_or_stop((epoch + 1) * self.batches.steps, saves=is_last)

    def _validated(self) -> dict[str, float]:
        """Losses of the held-out images; the weights are kept if they are the best."""
        earlier = [float(row["val_loss"]) for row in self.rows]
        with averaged_weights(self.model):
            losses = self.model.evaluate(
                *self.held_out,
                batch_size=VALIDATION_BATCH_SIZE,
                return_dict=True,
                verbose=0,
            )
            if is_chief() and losses["loss"] < min(earlier, default=math.inf):
                write_file(self.best, unproven_weights(self.model))
        return {f"val_{name}": value for name, value in losses.items()}

    def _save_or_stop(self, step: int, saves: bool = False) -> None:
        now = time.monotonic()
        if self._checked is not None:  # the first call compiles, and tells nothing
            self._longest_gap = max(self._longest_gap, now - self._checked)
        ahead = self._longest_gap + self._save_seconds + EXIT_SECONDS
        stops = any_worker(self.is_asked_to_stop or now + ahead > self.deadline)
        is_due = now - self._saved > CHECKPOINT_SECONDS
        if saves or stops or any_worker(is_due):
            spent = now - self._start if step % self.batches.steps else 0.0
            save_state(self.checkpoint, self.model, step, spent)
            self._saved = time.monotonic()
            self._save_seconds = max(self._save_seconds, self._saved - now)
        if stops:
            raise StoppedError(
                f"Stopped after {step} steps, {step / self.batches.steps:.3g} epochs, "
                + ("as asked" if self.is_asked_to_stop else "to keep to the time")
                + f"; the checkpoint is {self.checkpoint}. Give the same command again "
                "to go on."
            )
        self._checked = time.monotonic()
