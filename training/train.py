"""Train one set of weights: recipe -> data -> fit -> evaluate -> export.

    python -m training.train conv_vae_mnist_z16
    python -m training.train conv_vae_mnist_z16 --bundle

The first form writes to `runs/<name>`; `--bundle` also puts weights, golden tensors
and the manifest entry where the package ships them. A run that was killed, or stopped
by `--time-budget` (exit status 75), goes on where it stopped when the same command is
given again, and ends with the same weights.

Choices, of an argument or of a number of epochs, are made on images that nothing was
trained on and that no published figure is of: `--hold-out 5000` trains without the last
images of the training split and measures those, never the test split.
"""

import dataclasses
import importlib.util
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import keras
import numpy as np

import aezoo
from aezoo import manifest
from aezoo.data import datasets
from aezoo.data.datasets import Dataset, DatasetError
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate
from aezoo.evaluation.context import conditions_of
from aezoo.manifest import Metric, weights_folder
from aezoo.modalities import from_config
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.nn.backend import (
    BACKEND,
    data_parallel,
    is_chief,
    num_accelerators,
    num_replicas,
)
from aezoo.nn.optimizers import Adam
from aezoo.utils.extras import installed_versions
from aezoo.utils.files import atomic_path
from training import STARTED
from training.checkpoints import Duration, Recorder, StoppedError
from training.data import ShuffledExamples
from training.export import (
    ROOT,
    check_bundle_size,
    check_writable,
    export,
    refuse_published,
)
from training.half import round_weights
from training.recipe import Recipe, RecipeError, load_recipe

# Images, and their labels if there are any, or factors by name.
Examples = tuple[Any, ...]
# Of a process that stopped for now: `EX_TEMPFAIL` of sysexits.h, "try again".
STOPPED_STATUS = 75
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "tensorflow-datasets")


def train(
    name: str,
    recipe: Recipe,
    out: Path,
    data_dir: Path | None = None,
    *,
    resume: bool = True,
    bundle: bool = False,
    mixed_precision: str | None = None,
    distribute: bool = False,
    jit: bool | None = None,
    deadline: float | None = None,
    hold_out: int | None = None,
) -> manifest.WeightsEntry:
    """Run a recipe to its end.

    Args:
        name: Name of the weights.
        recipe: What to train.
        out: Folder of the run: checkpoints, logs, export.
        data_dir: As in `aezoo.datasets.load_dataset`.
        resume: Go on where a killed run of the same recipe stopped; False starts
            anew.
        bundle: Also export into the package and the repository's manifest.
        mixed_precision: Keras dtype policy to train with, or None for float32; losses
            and what is exported are float32 whatever it is.
        distribute: Train on all local devices, data-parallel; where `TF_CONFIG`
            describes a cluster, on those of all its workers, which share `out`.
        jit: Whether XLA compiles the steps; None is Keras's choice, which is not to for
            TensorFlow on CPUs, where convolutions take twice the time with it.
        deadline: When to have stopped training, on the clock of `time.monotonic`.
        hold_out: Train without so many images, the last of the training split, and
            measure these in the place of the test split; for choices. None trains on
            all.

    Returns:
        The manifest entry of the export.

    Raises:
        StoppedError: If the deadline or SIGTERM ends the training early; the same
            call goes on.
        RecipeError: If the folder holds another run, or the recipe cannot be
            distributed.
        SystemExit: On workers that have trained, but the chief, which exports.
    """
    # Everything that can fail does so before an epoch is spent.
    check_writable(out)
    if distribute:
        check_distributable(recipe)
    if bundle:
        if hold_out is not None:
            raise RecipeError(
                "`hold_out` is for choices; what is bundled is trained on all images "
                f"and measured on the test split. Received: hold_out={hold_out} with "
                "bundle=True. Pass one of them."
            )
        refuse_published(name, ROOT / manifest.MANIFEST_NAME)
    with data_parallel(distribute):  # first, as TensorFlow wants it
        train_data = datasets.load_dataset(recipe.dataset, "train", data_dir)
        if hold_out is None:
            test_data = datasets.load_dataset(recipe.dataset, "test", data_dir)
        else:
            train_data, test_data = held_out_split(train_data, hold_out)
            recipe = for_fewer_images(recipe, len(train_data.examples))
        run_file = out / "run.json"
        options = {
            "recipe": recipe.fingerprint(),
            "mixed_precision": mixed_precision,
            "distribute": distribute,
            "backend": BACKEND,
            "hold_out": hold_out,
        }
        options = json.loads(json.dumps(options))
        if resume:
            refuse_other_run(run_file, options)
        else:
            clear_run(out)
        with atomic_path(run_file) as path:
            path.write_text(json.dumps(options, indent=1))

        keras.utils.set_random_seed(recipe.seed)
        config = {**adapted(recipe, train_data), "name": name}
        model = create(recipe.family, **config, dtype=mixed_precision)
        learnt, held_out = training_examples(model, train_data, recipe)
        check_dataset_size(model, learnt[0])
        if bundle:
            check_bundle_size(name, model)
        if recipe.method == "closed_form":
            seconds = fit_closed_form(model, learnt[0])
        else:
            model.adapt(learnt[0], recipe.seed)
            if recipe.start_from:
                start_from(model, aezoo.load(recipe.start_from))
            grid = batch_grid(recipe, train_data)
            seconds = fit(model, recipe, learnt, held_out, out, deadline, jit, grid)
            told = learnt[1] if isinstance(learnt[-1], Mapping) else None
            model.finish(learnt[0], told)
        if not is_chief():
            sys.exit(0)
        round_weights(model)
    if mixed_precision:  # what is measured and exported computes in float32
        trained, model = model, create(recipe.family, **config)
        model.set_weights(trained.get_weights())
    report = evaluate(
        *(model, test_data),
        metrics=recipe.metrics,
        train=None if hold_out is None else train_data,
    )
    metrics = {test_data.key: report.metrics}
    training = {
        "hardware": hardware(),
        "seconds": round(seconds, 1),
        "backend": BACKEND,
        "versions": versions(),
    }
    if recipe.start_from:
        training["start_from"] = recipe.start_from
    arguments = (name, model, recipe, train_data, metrics, training)
    entry = export(*arguments, out / "export", out / "export" / "weights_manifest.json")
    if bundle:
        entry = export(*arguments, weights_folder(), ROOT / manifest.MANIFEST_NAME)
    print_metrics(entry)
    return entry


def held_out_split(data: Dataset, count: int) -> tuple[Dataset, Dataset]:
    """A training split without its last images, and these.

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
) -> float:
    """Fit by gradient, from the last checkpoint if any; returns seconds of all parts.

    Raises:
        StoppedError: If the deadline or SIGTERM ends it before its last epoch.
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
    recorder = Recorder(out, batches, held_out, deadline)
    callbacks = [recorder]
    if (
        BACKEND == "tensorflow"
        and is_chief()
        and importlib.util.find_spec("tensorboard")
    ):
        callbacks.append(keras.callbacks.TensorBoard(str(out / "tensorboard")))
    with recorder.stops_on_sigterm():
        while (step := recorder.restore(model)) < recipe.epochs * batches.steps:
            epoch, batches.first = divmod(step, batches.steps)
            model.fit(
                batches,
                initial_epoch=epoch,
                # the rest of an epoch by itself, then all whole ones
                epochs=epoch + 1 if batches.first else recipe.epochs,
                shuffle=False,  # `batches` does, by seed and epoch
                callbacks=callbacks,
                verbose=1 if sys.stderr.isatty() else 2,
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
            cannot be met.
        ValueError: If a label is out of the model's range.
    """
    examples = model.modality.check(data.examples)
    count = len(examples) - recipe.validation_examples
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
    model.given["labels"].check(data.labels)
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
    """What `training.data.by_grid` takes of a recipe's `batch_grid`; None without one.

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
    """Adam with linear warm-up and cosine decay to zero, as a recipe wants it."""
    steps = recipe.epochs * steps_per_epoch
    warmup = min(recipe.warmup_steps, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=steps - warmup,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
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
            "`--no-resume` to start anew, or another `--out`."
        ) from error
    differing = [k for k in flat_new if flat_new[k] != flat_old.get(k)]
    if not differing:
        return
    raise RecipeError(
        f"The run in {run_file.parent} was made with other options: "
        + ", ".join(f"{k}={flat_old.get(k)!r} (now {flat_new[k]!r})" for k in differing)
        + ". Pass `--no-resume` to start anew, or another `--out`."
    )


def clear_run(out: Path) -> None:
    """Forget checkpoints and log of an earlier run in `out`."""
    for name in ("log.csv", "best.weights.h5", "checkpoint.npz"):
        (out / name).unlink(missing_ok=True)


def hardware() -> str:
    """What this machine computes with."""
    if devices := num_accelerators():
        return f"{devices} GPU"
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [line for line in lines if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{os.cpu_count()} CPU cores ({cpu})"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the numbers."""
    return {"python": platform.python_version(), **installed_versions(PACKAGES)}


def print_metrics(entry: manifest.WeightsEntry) -> None:
    """Print the metrics of a finished run."""
    for key, metrics in entry.metrics.items():
        for name, metric in metrics.items():
            click.echo(f"{entry.name}  {key}  {name} {_figure(metric)}")
    click.echo(f"{entry.weights.file}: {entry.weights.bytes:,} bytes")


def _figure(metric: Metric) -> str:
    spread = metric.standard_error
    text = f"{metric.value:.6g}" + ("" if spread is None else f" ± {spread:.2g}")
    return f"{text} {metric.unit}"


@click.command(help=__doc__)
@click.argument("name")
@click.option("--epochs", type=int, help="In place of the recipe's.")
@click.option("--seed", type=int, help="In place of the recipe's.")
@click.option(
    "--mixed-precision",
    type=click.Choice(["mixed_float16", "mixed_bfloat16"]),
    help="Keras dtype policy.",
)
@click.option(
    "--jit/--no-jit", default=None, help="XLA; the default is only on GPUs, or JAX."
)
@click.option(
    "--distribute",
    is_flag=True,
    help="Use all local devices, or, given TF_CONFIG, all workers.",
)
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Go on or start anew."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
@click.option(
    "--hold-out",
    type=click.IntRange(1),
    help="Train without so many images and measure these, for a choice.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Default: runs/NAME.")
@click.option("--bundle", is_flag=True, help="Export into the package as well.")
@click.option(
    "--time-budget",
    type=Duration(),
    help="Stop training in time, e.g. '9m' or '1h30m', to go on by the same command.",
)
def main(
    name: str,
    epochs: int | None,
    seed: int | None,
    mixed_precision: str | None,
    jit: bool | None,
    distribute: bool,
    resume: bool,
    data_dir: Path | None,
    hold_out: int | None,
    out: Path | None,
    bundle: bool,
    time_budget: float | None,
) -> None:
    """Command line of `train`."""
    try:
        recipe = load_recipe(name).with_overrides(epochs=epochs, seed=seed)
        train(
            name,
            recipe,
            out or Path("runs") / name,
            data_dir,
            resume=resume,
            bundle=bundle,
            mixed_precision=mixed_precision,
            distribute=distribute,
            jit=jit,
            deadline=None if time_budget is None else STARTED + time_budget,
            hold_out=hold_out,
        )
    except StoppedError as stop:
        click.echo(stop)
        sys.exit(STOPPED_STATUS)
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
