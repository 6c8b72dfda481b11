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

import functools
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click

from aezoo import manifest
from aezoo.cli.durations import Duration
from aezoo.data import datasets
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate
from aezoo.manifest import Metric, weights_folder
from aezoo.models.families import create
from aezoo.nn.backend import BACKEND, data_parallel, is_chief, num_accelerators
from aezoo.training import loop
from aezoo.training.checkpoints import STOPPED_STATUS, StoppedError
from aezoo.training.loop import check_distributable, for_fewer_images, held_out_split
from aezoo.training.recipe import Recipe, RecipeError
from aezoo.utils.extras import installed_versions
from training import STARTED
from training.export import (
    ROOT,
    check_bundle_size,
    check_writable,
    export,
    refuse_published,
)
from training.half import round_weights
from training.recipes import load_recipe

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
        model, seconds = loop.train(
            recipe,
            train_data,
            out,
            name=name,
            resume=resume,
            options={"distribute": distribute, "hold_out": hold_out},
            mixed_precision=mixed_precision,
            deadline=deadline,
            jit=jit,
            check=functools.partial(check_bundle_size, name) if bundle else None,
        )
        if not is_chief():
            sys.exit(0)
        round_weights(model)
    if mixed_precision:  # what is measured and exported computes in float32
        trained = model
        model = create(recipe.family, **{**trained.config, "name": name})
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
        "settings": recipe.settings(),
    }
    if recipe.start_from:
        training["start_from"] = recipe.start_from
    arguments = (name, model, recipe, train_data, metrics, training)
    entry = export(*arguments, out / "export", out / "export" / "weights_manifest.json")
    if bundle:
        entry = export(*arguments, weights_folder(), ROOT / manifest.MANIFEST_NAME)
    print_metrics(entry)
    return entry


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
