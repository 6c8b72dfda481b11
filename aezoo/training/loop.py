"""Recipe -> model -> trained model: what every training of aezoo goes through."""

import dataclasses
import importlib.util
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from aezoo.data.datasets import Dataset, DatasetError
from aezoo.evaluation.context import conditions_of
from aezoo.modalities import from_config
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.nn.backend import BACKEND, is_chief, num_replicas
from aezoo.nn.optimizers import Adam
from aezoo.store.load import load
from aezoo.training.batches import ShuffledExamples
from aezoo.training.checkpoints import Recorder
from aezoo.training.recipe import Recipe, RecipeError
from aezoo.utils.files import atomic_path

# Examples, and their labels if there are any, or factors by name.
Examples = tuple[Any, ...]
# Of a run's folder: what it was started with.
RUN = "run.json"


def train(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    name: str | None = None,
    resume: bool = True,
    options: Mapping[str, Any] | None = None,
    mixed_precision: str | None = None,
    deadline: float | None = None,
    jit: bool | None = None,
    verbose: int | None = None,
    check: Callable[[Autoencoder], None] | None = None,
) -> tuple[Autoencoder, float]:
    """Train a model as a recipe says, or go on where a run was stopped.

    Args:
        recipe: What to train.
        data: Its training split.
        out: Folder of the run: checkpoints and log. Created when all is checked.
        name: Name of the model; None for the family's.
        resume: Go on where a killed run of the same recipe stopped; False starts anew.
        options: What else, as JSON values, makes a run another one.
        mixed_precision: Keras dtype policy to train with, or None for float32.
        deadline: When to have stopped, on the clock of `time.monotonic`.
        jit: Whether XLA compiles the steps; None is Keras's choice.
        verbose: As in `fit`; None for bars on a terminal, and lines elsewhere.
        check: Called with the new model, to refuse it before anything is spent.

    Returns:
        The model, at the epoch with the lowest validation loss where the recipe holds
        examples out, else at the last one; and the seconds of all parts.

    Raises:
        StoppedError: If the deadline or SIGTERM ends the training early; the same call
            goes on.
        RecipeError: If the folder holds another run, the recipe does not fit the data,
            or the training diverges.
        DatasetError: If the data lack what the model is told.
    """
    made_of = {
        "recipe": recipe.fingerprint(),
        "mixed_precision": mixed_precision,
        "backend": BACKEND,
        **(options or {}),
    }
    made_of = json.loads(json.dumps(made_of))
    run_file = out / RUN
    if resume:
        refuse_other_run(run_file, made_of)
    keras.utils.set_random_seed(recipe.seed)
    config = adapted(recipe, data)
    if name is not None:
        config["name"] = name
    model = create(recipe.family, **config, dtype=mixed_precision)
    learnt, held_out = training_examples(model, data, recipe)
    check_dataset_size(model, learnt[0])
    if check is not None:
        check(model)
    if not resume:
        clear_run(out)
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(run_file) as path:
        path.write_text(json.dumps(made_of, indent=1))
    if recipe.method == "closed_form":
        return model, fit_closed_form(model, learnt[0])
    model.adapt(learnt[0], recipe.seed)
    if recipe.start_from:
        start_from(model, load(recipe.start_from))
    grid = batch_grid(recipe, data)
    seconds = fit(model, recipe, learnt, held_out, out, deadline, jit, grid, verbose)
    told = learnt[1] if isinstance(learnt[-1], Mapping) else None
    model.finish(learnt[0], told)
    return model, seconds


def held_out_split(data: Dataset, count: int) -> tuple[Dataset, Dataset]:
    """A training split without its last examples, and these.

    Raises:
        RecipeError: If there are not so many, or none would be left.
    """
    if not 0 < count < len(data.examples):
        raise RecipeError(
            f"`hold_out` must be from 1 to {len(data.examples) - 1}, so that examples "
            f"are left to train on. Received: hold_out={count}."
        )

    def part(rows: slice, split: str) -> Dataset:
        return dataclasses.replace(data.part(rows), split=f"{data.split}[{split}]")

    return (
        part(slice(None, -count), f":-{count}"),
        part(slice(-count, None), f"-{count}:"),
    )


def for_fewer_images(recipe: Recipe, count: int) -> Recipe:
    """A recipe whose objective, if it is weighted by their number, has fewer images."""
    if "dataset_size" not in recipe.config:
        return recipe
    count -= recipe.validation_examples
    return recipe.with_overrides(config={**recipe.config, "dataset_size": count})


def fit_closed_form(model: Autoencoder, images: np.ndarray) -> float:
    """Fit a linear model in closed form; returns seconds."""
    start = time.monotonic()
    model.fit_closed_form(images)
    return time.monotonic() - start


def adapted(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """The recipe's arguments, with what its modality takes from training data."""
    config = dict(recipe.config)
    if "modality" in config:
        modality = from_config(dict(config["modality"]))
        config["modality"] = modality.adapt(data.examples).to_config()
    return config


def start_from(model: Autoencoder, other: Autoencoder) -> None:
    """Copy each weight that has the same place and shape in another model.

    Raises:
        RecipeError: If there is none.
    """
    known = dict(_places(other))
    shared = [
        (variable, known[place])
        for place, variable in _places(model)
        if place in known and variable.shape == known[place].shape
    ]
    if not shared:
        raise RecipeError(
            f"{model.name!r} has no weights in common with {other.name!r}."
        )
    for variable, source in shared:
        variable.assign(keras.ops.copy(source))  # JAX would share it


_WHOLE = re.compile(r"\w+_(encoder|decoder)(_\d+)?")


def _places(model: Autoencoder) -> Iterator[tuple[tuple[str, ...], keras.Variable]]:
    """Each weight of a model's parts, by the names of the layers that it is in.

    A part is what the model has by a name of its own, such as `encoder`: the names of
    whole encoders and decoders depend on what was built before. The base of a flow is
    the posterior of the VAE without one.
    """
    for part, layer in vars(model).items():
        if not isinstance(layer, keras.layers.Layer):
            continue
        for variable in layer.weights:
            names = variable.path.split("/")
            wholes = [
                i for i, name in enumerate(names) if _WHOLE.fullmatch(name) is not None
            ]
            names = names[max(wholes, default=0) + 1 :]
            yield (part, *(name.replace("base_", "z_") for name in names)), variable


def fit(
    model: Autoencoder,
    recipe: Recipe,
    learnt: Examples,
    held_out: Examples,
    out: Path,
    deadline: float | None = None,
    jit: bool | None = None,
    grid: tuple[np.ndarray, tuple[int, ...]] | None = None,
    verbose: int | None = None,
) -> float:
    """Fit by gradient, from the last checkpoint if any; returns seconds of all parts.

    Raises:
        StoppedError: If the deadline or SIGTERM ends it before its last epoch.
        RecipeError: If it diverges.
    """
    images, *labels = learnt
    batches = ShuffledExamples(
        images,
        recipe.batch_size,
        recipe.seed,
        labels=labels[0] if labels else None,
        steps=recipe.steps_per_epoch,
        sizes=model.modality.sizes(images),
        grid=grid,
    )
    adversary = None
    if recipe.adversary_learning_rate is not None:
        rate = recipe.adversary_learning_rate
        opposing = recipe.with_overrides(learning_rate=rate)
        adversary = make_optimizer(opposing, batches.steps)
    model.compile(
        make_optimizer(recipe, batches.steps),
        adversary,
        # TensorFlow's replicas cannot wait for each other inside Keras's compiled loop.
        steps_per_execution=1 if num_replicas() > 1 else recipe.steps_per_execution,
        jit_compile="auto" if jit is None else jit,
    )
    recorder = Recorder(out, batches, held_out, deadline, recipe.patience)
    callbacks = [recorder]
    if (
        BACKEND == "tensorflow"
        and is_chief()
        and importlib.util.find_spec("tensorboard")
    ):
        callbacks.append(keras.callbacks.TensorBoard(str(out / "tensorboard")))
    told = verbose if verbose is not None else 1 if sys.stderr.isatty() else 2
    with recorder.stops_on_sigterm():
        while (step := recorder.restore(model)) < recipe.epochs * batches.steps:
            if recorder.has_waited:
                break
            epoch, batches.first = divmod(step, batches.steps)
            model.fit(
                batches,
                initial_epoch=epoch,
                # the rest of an epoch by itself, then all whole ones
                epochs=epoch + 1 if batches.first else recipe.epochs,
                shuffle=False,  # `batches` does, by seed and epoch
                callbacks=callbacks,
                verbose=told,
            )
    if recipe.validation_examples:
        model.load_weights(recorder.best)
    else:  # the averages, if the optimiser keeps them
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return recorder.seconds


def training_examples(
    model: Autoencoder, data: Dataset, recipe: Recipe
) -> tuple[Examples, Examples]:
    """What the model learns from, and what is held out: the last of the images.

    Each is `(images,)`, or `(images, labels)` if the family takes labels, or conditions
    and factors by name where it is told these. Of the labels to learn from only the
    first `labelled_examples` by the recipe's seed are kept, as many of each class.

    Raises:
        DatasetError: If it takes labels or factors and there are none.
        RecipeError: If `labelled_examples` is set for a family that takes none, or
            cannot be met, or a label is out of the model's range.
    """
    examples = model.modality.check(data.examples)
    count = len(examples) - recipe.validation_examples
    if count < 1:
        raise RecipeError(
            f"`validation_examples` must be less than the {len(examples)} of the "
            f"dataset {data.key!r}. Received: {recipe.validation_examples}."
        )
    images, held_out = examples[:count], examples[count:]
    kept = recipe.labelled_examples
    if "labels" not in model.told_in_training:
        if kept is not None:
            raise RecipeError(
                f"`labelled_examples` must be None: {model.family!r} does not learn "
                f"from labels. Received: {kept}."
            )
        if not model.told_in_training:
            return (images,), (held_out,)
        told = conditions_of(model, data)
        told |= {
            name: data.given[name] if name in data.given else factor_of(data, name)
            for name in model.told_in_training
            if name not in told
        }
        return (
            (images, {name: values[:count] for name, values in told.items()}),
            (held_out, {name: values[count:] for name, values in told.items()}),
        )
    if data.labels is None:
        raise DatasetError(
            f"{model.family!r} learns from labels, and the dataset {data.key!r} has "
            "none."
        )
    try:
        model.given["labels"].check(data.labels)
    except ValueError as error:
        needed = int(data.labels.max()) + 1
        raise RecipeError(f"{error} Set `num_classes={needed}`.") from error
    labels = data.labels[:count]
    if kept is not None:
        labels = keep_labels(labels, kept, recipe.seed)
    return (images, labels), (held_out, data.labels[count:])


def factor_of(data: Dataset, name: str) -> np.ndarray:
    """A column of a dataset's factors, int64, `(n,)`.

    Raises:
        DatasetError: If it has no such factor; names those that it has.
    """
    if data.factors is None or name not in data.factor_names:
        has = ", ".join(data.factor_names) or "none"
        raise DatasetError(
            f"The dataset {data.key!r} has no factor {name!r}. It has: {has}."
        )
    column: np.ndarray = data.factors[:, data.factor_names.index(name)]
    return column


def batch_grid(
    recipe: Recipe, data: Dataset
) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """What `by_grid` takes of a recipe's `batch_grid`; None without one.

    Of the examples that are learnt from: all, but the last ones that are held out.

    Raises:
        DatasetError: If a factor is missing, or a combination of them.
    """
    if recipe.batch_grid is None:
        return None
    count = len(data.examples) - recipe.validation_examples
    columns = [
        np.unique(factor_of(data, name)[:count], return_inverse=True)
        for name in recipe.batch_grid
    ]
    table = np.full([len(values) for values, _ in columns], -1)
    table[tuple(place for _, place in columns)] = np.arange(count)
    if table.min() < 0:
        raise DatasetError(
            f"The dataset {data.key!r} lacks {np.sum(table < 0):,} of the "
            f"{table.size:,} combinations of {', '.join(recipe.batch_grid)}, which "
            "`batch_grid` needs."
        )
    return table, tuple(recipe.batch_grid.values())


def check_distributable(recipe: Recipe) -> None:
    """Refuse what `tf.distribute` cannot do: decide in a graph whether to update.

    Raises:
        RecipeError: On TensorFlow, if the recipe accumulates gradients or skips some.
    """
    is_conditional = (
        recipe.skip_gradients_above is not None
        or recipe.gradient_accumulation_steps > 1
    )
    if BACKEND == "tensorflow" and is_conditional:
        raise RecipeError(
            "On TensorFlow, `--distribute` needs a recipe without "
            "`skip_gradients_above` and `gradient_accumulation_steps`. Received: "
            f"{recipe.skip_gradients_above} and {recipe.gradient_accumulation_steps}. "
            "Set KERAS_BACKEND=jax, or train on one device."
        )


def check_dataset_size(model: Autoencoder, images: np.ndarray) -> None:
    """Refuse an objective that is weighted for another number of training images.

    Raises:
        RecipeError: If the model has a `dataset_size` and it is not that number.
    """
    size = model.config.get("dataset_size", len(images))
    if size != len(images):
        raise RecipeError(
            f"`dataset_size` of {model.family!r} must be the number of images that it "
            f"learns from, {len(images)}. Received: dataset_size={size}."
        )


def keep_labels(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Labels with all but `count` of them, balanced over classes, set to -1.

    Raises:
        RecipeError: If `count` is no multiple of the number of classes, or a class
            has too few examples.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    each, rest = divmod(count, len(classes))
    if rest or each > sizes.min():
        raise RecipeError(
            f"`labelled_examples` must be a multiple of the {len(classes)} classes, "
            f"and at most {len(classes) * sizes.min()}. Received: {count}."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.full_like(labels, -1)
    for label in classes:
        chosen = order[labels[order] == label][:each]
        kept[chosen] = label
    return kept


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Adam with linear warm-up and, unless a recipe wants none, cosine decay to 0."""
    steps = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_steps, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=steps - warmup,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
        alpha=0.0 if recipe.decay else 1.0,  # the share that is left at the end
    )
    accumulated = recipe.gradient_accumulation_steps
    averages = {}
    if recipe.ema_decay is not None:
        # Keras averages at every step, also where the weights rest.
        momentum = recipe.ema_decay ** (1 / accumulated)
        averages = {"use_ema": True, "ema_momentum": momentum}
    return Adam(
        schedule,
        beta_1=recipe.beta_1,
        weight_decay=recipe.weight_decay or None,
        clipnorm=recipe.clipnorm,
        skip_gradients_above=recipe.skip_gradients_above,
        gradient_accumulation_steps=accumulated if accumulated > 1 else None,
        **averages,
    )


def refuse_other_run(run_file: Path, options: dict[str, Any]) -> None:
    """A folder holds one run: going on with another recipe would mix two.

    Raises:
        RecipeError: If the folder's run has other options; says which.
    """
    if not run_file.is_file():
        return
    try:
        old = json.loads(run_file.read_text(encoding="utf-8"))
        flat_old, flat_new = ({**o.pop("recipe"), **o} for o in (old, dict(options)))
    except (
        ValueError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise RecipeError(
            f"{run_file} is not what a training writes: {error!r:.200}. Pass "
            "`--no-resume` to start anew, or choose another folder."
        ) from error
    # A training whose rate of learning does not depend on its end may have another.
    free = () if flat_new.get("decay", True) else ("epochs", "patience")
    differing = [
        k
        for k in sorted({*flat_new, *flat_old})
        if k not in free and flat_new.get(k) != flat_old.get(k)
    ]
    if not differing:
        return
    raise RecipeError(
        f"The run in {run_file.parent} was made with other options: "
        + ", ".join(
            f"{k}={flat_old.get(k)!r} (now {flat_new.get(k)!r})" for k in differing
        )
        + ". Pass `--no-resume` to start anew, or choose another folder."
    )


def clear_run(out: Path) -> None:
    """Forget checkpoints and log of an earlier run in `out`."""
    for name in ("log.csv", "best.weights.h5", "checkpoint.npz"):
        (out / name).unlink(missing_ok=True)
