"""The command `train`: a model of one's own, or one of the zoo's again."""

import csv
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import aezoo
from aezoo import manifest
from aezoo.cli._common import (
    count_of,
    data_dir_option,
    json_option,
    main,
    quiet_loading,
    seed_option,
)
from aezoo.cli._terminal import echo, is_terminal, print_json
from aezoo.cli.durations import Duration

if TYPE_CHECKING:
    from aezoo.data.datasets import Dataset
    from aezoo.modalities import Modality
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.training import Recipe

# Of a run's folder, beside what the training writes.
MODEL = "model"
# Held-out examples that are measured, and shown.
MEASURED, SHOWN = 1_000, 10
# Of examples that no split divides.
HELD_OUT = 0.1
# Options that a recipe has instead of the command, and those that replace its own.
OF_DATA = ("family", "network", "size", "arguments", "split", "hold_out")
OF_BOTH = ("epochs", "batch_size", "learning_rate", "patience", "seed")


class _Size(click.ParamType):
    """`64`, `64x48` or `64x48x1`: height, width and channels."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        try:
            sides = [int(side) for side in str(value).lower().split("x")]
        except ValueError:
            sides = []
        if not 1 <= len(sides) <= 3 or min(sides) < 1:
            self.fail(f"{value!r} is not like 64, 64x48 or 64x48x1.", param, ctx)
        height, width = sides[0], sides[min(1, len(sides) - 1)]
        return height, width, sides[2] if len(sides) == 3 else 3


class _Setting(click.ParamType):
    """`name=value`, the value as in JSON, else a text."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        name, separator, text = str(value).partition("=")
        if not name or not separator:
            self.fail(f"{value!r} is not like filters=[32,64].", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


@main.command()
@click.argument("source", metavar="DATA|RECIPE")
@click.option(
    "--family",
    default="conv_vae",
    show_default=True,
    help="Family, or name of pretrained weights whose architecture is taken.",
)
@click.option("--network", help="Another network than the family's, e.g. resnet.")
@click.option(
    "--size",
    type=_Size(),
    default="64",
    show_default=True,
    help="Of image files: HEIGHT, HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS.",
)
@click.option(
    "--set",
    "arguments",
    type=_Setting(),
    multiple=True,
    help="Argument of the model, e.g. latent_dim=32 or beta=4; may be repeated.",
)
@click.option("--split", default="train", show_default=True, help="Of the dataset.")
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=1e-3,
    show_default=True,
)
@click.option(
    "--hold-out",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of the examples to choose the best epoch by.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after N epochs without a better one. [default: go on]",
)
@click.option("--limit", type=click.IntRange(2), help="Only the first N examples.")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Go on or start anew."
)
@click.option(
    "--time-budget",
    type=Duration(),
    help="Stop in time, e.g. '9m' or '1h30m', to go on by the same command.",
)
@seed_option("Of the weights, the split and the order.")
@data_dir_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the run to write, or to go on with.",
)
@json_option
@click.pass_context
def train(
    ctx: click.Context,
    /,
    source: str,
    output: Path,
    data_dir: Path | None,
    as_json: bool,
    resume: bool,
    time_budget: float | None,
    **options: Any,
) -> None:
    """Train a model, and save it as a folder for `aezoo.load`.

    DATA is a folder of images (subfolders are classes), an .npz file with `examples`
    and, if any, `labels`, or the name of a TFDS dataset.

    RECIPE is a Python file that sets `RECIPE = aezoo.training.Recipe(...)`, or the name
    of published weights, which are trained again as the manifest states it. It trains
    on the split `train` and is measured on `test`; where the data have no such splits,
    a tenth is held out. Options in place of its fields: --epochs, --batch-size,
    --learning-rate, --patience, --seed.

    The same command goes on where a run was stopped. OUTPUT/model is the model of the
    epoch with the lowest loss on examples held out, where there are any, else of the
    last one; log.csv has all epochs.
    """
    started = time.monotonic()
    told = {
        name
        for name in options
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    recipe = _recipe(source)
    with quiet_loading("TensorFlow"):
        from aezoo.training import loop
    _check_folder(output, loop.RUN)
    if recipe is None:
        recipe, data = _own(source, data_dir, options)
        measured = None
    else:
        if superfluous := [name for name in OF_DATA if name in told]:
            flags = {"arguments": "set", "hold_out": "hold-out"}
            named = ", ".join(f"--{flags.get(name, name)}" for name in superfluous)
            raise click.ClickException(
                f"{source} is a recipe, which states that itself: leave out {named}, "
                "or change the recipe."
            )
        asked = {name: options[name] for name in OF_BOTH if name in told}
        patience = asked.pop("patience", None)  # may need what is to be held out
        recipe, data, measured = _splits(
            recipe.with_overrides(**asked), data_dir, options["limit"]
        )
        recipe = recipe.with_overrides(patience=patience)
    of_data = {
        "split": options["split"],
        "limit": options["limit"],
        "data_dir": None if data_dir is None else str(data_dir),
    }
    deadline = None if time_budget is None else started + time_budget
    _run(output, recipe, data, measured, as_json, resume, deadline, of_data)


def _recipe(source: str) -> "Recipe | None":
    """The recipe that a source names; None if it names data."""
    from aezoo.training.recipe import read_recipe, recipe_of

    if source.endswith(".py"):
        return read_recipe(Path(source))
    entry = manifest.entries().get(source)
    return None if entry is None else recipe_of(entry)


def _check_folder(output: Path, run: str) -> None:
    """Refuse a folder that is of something else: `run` is the file that a run has.

    Raises:
        click.ClickException: If it holds anything, and no run.
    """
    if (output / run).is_file() or not output.is_dir():
        return
    if any(output.iterdir()):
        raise click.ClickException(
            f"{output} holds other files. Name a new folder with -o."
        )


def _own(
    source: str, data_dir: Path | None, options: dict[str, Any]
) -> "tuple[Recipe, Dataset]":
    """The recipe that the options of data make, and the data."""
    from aezoo import modalities
    from aezoo.data.datasets import open_dataset
    from aezoo.models.arguments import arguments_of
    from aezoo.registry import find_family, list_families
    from aezoo.training import Recipe

    modality = modalities.Image(*options["size"])
    data = open_dataset(source, options["split"], data_dir, modality)
    data = data.take(options["limit"])
    if data.examples.ndim <= 2:
        raise click.ClickException(
            "Of data, `aezoo train` takes images. Train on other data by a recipe: see "
            "the documentation, Train."
        )
    family, config = options["family"], dict(options["arguments"])
    config.setdefault("input_shape", list(data.examples.shape[1:]))
    if options["network"]:
        config["network"] = options["network"]
    # what the architecture of published weights has may be overridden
    stated: dict[str, Any] = {}
    if family in manifest.entries() and family not in list_families():
        entry = manifest.entries()[family]
        family, stated = entry.family, dict(entry.config)
    count = max(1, round(len(data.examples) * options["hold_out"]))
    if "dataset_size" in arguments_of(find_family(family).objective):
        config.setdefault("dataset_size", len(data.examples) - count)
    recipe = Recipe(
        family=family,
        config={**stated, **config},
        dataset=source,
        decay=False,
        warmup_steps=0,
        validation_examples=count,
        **{name: options[name] for name in OF_BOTH},
    )
    return recipe, _shuffled(data, recipe.seed)


def _splits(
    recipe: "Recipe", data_dir: Path | None, limit: int | None
) -> "tuple[Recipe, Dataset, Dataset | None]":
    """A recipe, its training split, and the split to measure, if there is one.

    Where there is none, the recipe is to hold some examples out.
    """
    from aezoo.data.datasets import open_dataset
    from aezoo.training.loop import for_fewer_images

    def opened(split: str) -> "Dataset":
        data = open_dataset(recipe.dataset, split, data_dir, _modality(recipe))
        return data.take(limit)

    data, path = opened("train"), Path(recipe.dataset)
    is_divided = not path.exists() or all(
        (path / split).is_dir() for split in ("train", "test")
    )
    measured = opened("test") if is_divided else None
    if not is_divided:
        data = _shuffled(data, recipe.seed)
        count = recipe.validation_examples or round(len(data.examples) * HELD_OUT)
        recipe = recipe.with_overrides(validation_examples=max(1, count))
    if limit is not None:
        recipe = for_fewer_images(recipe, len(data.examples))
    return recipe, data, measured


def _modality(recipe: "Recipe") -> "Modality | None":
    """What reads a recipe's files; None if it says neither modality nor shape."""
    from aezoo import modalities

    if "modality" in recipe.config:
        return modalities.from_config(dict(recipe.config["modality"]))
    if "input_shape" in recipe.config:
        return modalities.Image(*recipe.config["input_shape"])
    return None


def _shuffled(data: "Dataset", seed: int) -> "Dataset":
    """The same examples in random order, as files come class by class."""
    import numpy as np

    return data.part(np.random.default_rng(seed).permutation(len(data.examples)))


def _run(
    output: Path,
    recipe: "Recipe",
    data: "Dataset",
    measured: "Dataset | None",
    as_json: bool,
    resume: bool,
    deadline: float | None,
    of_data: dict[str, Any],
) -> None:
    from aezoo.training import loop
    from aezoo.training.checkpoints import STOPPED_STATUS, StoppedError

    told = "Going on with" if resume and (output / loop.RUN).is_file() else "Training"
    held_out = recipe.validation_examples
    learnt = len(data.examples) - held_out

    def tell(model: "Autoencoder") -> None:
        also = f"; {held_out:,} held out" if held_out else ""
        echo(
            f"{told} {model.family}, {model.count_params():,} weights, on "
            f"{count_of(learnt, 'example')}{also}.",
            err=True,
        )

    try:
        model, _ = loop.train(
            recipe,
            data,
            output,
            resume=resume,
            options=of_data,
            deadline=deadline,
            verbose=0 if as_json else 1 if is_terminal() else 2,
            check=tell,
        )
    except StoppedError as stop:
        echo(stop, err=True)
        sys.exit(STOPPED_STATUS)
    if measured is None:
        held = data.part(slice(learnt, None))
        measured = dataclasses.replace(held.take(MEASURED), split="held_out")
    _finish(output, recipe, model, measured, as_json)


def _finish(
    output: Path,
    recipe: "Recipe",
    model: "Autoencoder",
    measured: "Dataset",
    as_json: bool,
) -> None:
    """Measure the model, save it, and draw what it does."""
    from aezoo.modalities.image.files import write_image

    if not model.given:  # classes matter to few figures of one's own data
        measured = dataclasses.replace(measured, labels=None)
    report = aezoo.evaluate(model, measured, metrics=recipe.metrics or None)
    folder = aezoo.save(
        model,
        output / MODEL,
        overwrite=True,
        description=recipe.description
        or f"Trained by `aezoo train` on {measured.name}.",
        metrics=report,
    )
    sheet = _shown(model, measured.take(SHOWN))
    if sheet.picture is not None:
        name = "reconstructions" if "reconstruction" in model.TASKS else "samples"
        write_image(output / f"{name}.png", sheet.picture)
    _draw_curves(output)
    if as_json:
        print_json(report.to_dict())
        return
    for metric, figure in report.metrics.items():
        echo(f"{metric:24} {figure.value:.5g} {figure.unit}")
    echo(f"{folder} is a model for `aezoo.load` and `aezoo.push_to_hub`.")


def _shown(model: "Autoencoder", data: "Dataset") -> Any:
    """Examples above their reconstructions, or samples of what does not reconstruct."""
    import numpy as np

    from aezoo.evaluation.context import conditions_of

    given, shown = conditions_of(model, data), data.examples
    if "reconstruction" in model.TASKS:
        shown = np.concatenate([shown, model.reconstruct(shown, given=given)])
    else:
        shown = model.sample(len(shown), seed=0, given=given)
    return model.modality.preview(shown, columns=len(data.examples))


def _draw_curves(output: Path) -> None:
    """The losses by epoch, as curves.png, where matplotlib is installed."""
    log = output / "log.csv"
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    if not log.is_file():  # in closed form there are no epochs
        return
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
    epochs = [int(row["epoch"]) + 1 for row in rows]
    for column, label in (("loss", "training"), ("val_loss", "held out")):
        if column in rows[0]:
            axes.plot(epochs, [float(row[column]) for row in rows], label=label)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    figure.savefig(output / "curves.png", dpi=120)
