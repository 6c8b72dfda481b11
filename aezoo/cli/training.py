"""The command `train`: a model of one's own, from one's own data."""

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._common import (
    count_of,
    data_dir_option,
    json_option,
    main,
    quiet_loading,
    seed_option,
)
from aezoo.cli._terminal import echo, is_terminal, print_json
from aezoo.utils.files import atomic_path

if TYPE_CHECKING:
    import numpy as np

    from aezoo.data.datasets import Dataset

# Of a run's folder: what it was started with, and what it writes.
SETTINGS, HISTORY, BEST = "settings.json", "history.csv", "best.weights.h5"
CHECKPOINT, MODEL = "checkpoint", "model"
# Held-out examples that are measured, and shown.
MEASURED, SHOWN = 1_000, 10


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
@click.argument("data")
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
def train(
    data: str, output: Path, data_dir: Path | None, as_json: bool, **settings: Any
) -> None:
    """Train a new model on DATA, and save it as a folder for `aezoo.load`.

    DATA is a folder of images (subfolders are classes), an .npz file with `examples`
    and, if any, `labels`, or the name of a TFDS dataset. The same command goes on where
    a run was stopped. OUTPUT/model is the model of the epoch with the lowest loss on
    the examples held out, history.csv has all epochs.
    """
    settings |= {"data": data, "data_dir": None if data_dir is None else str(data_dir)}
    settings = json.loads(json.dumps(settings))
    is_new = _is_new(output, settings)
    from aezoo import modalities
    from aezoo.data.datasets import open_dataset

    modality = modalities.Image(*settings["size"])
    dataset = open_dataset(data, settings["split"], data_dir, modality).take(
        settings["limit"]
    )
    with quiet_loading("TensorFlow"):
        import keras  # noqa: F401
    _run(output, dataset, settings, is_new, as_json)


def _is_new(output: Path, settings: dict[str, Any]) -> bool:
    """Whether a run starts; False if it is there, of the same command.

    Raises:
        click.ClickException: If the folder is of another command, or no run's.
    """
    path = output / SETTINGS
    if path.is_file():
        told = json.loads(path.read_text("utf-8"))
        # what may change between two commands: how long it goes on
        free = ("epochs", "patience")
        others = [k for k in settings if k not in free and told.get(k) != settings[k]]
        if others:
            raise click.ClickException(
                f"{output} is a run with other settings: {', '.join(sorted(others))}. "
                "Give its own command to go on, or another -o."
            )
        return False
    if output.is_dir() and any(output.iterdir()):
        raise click.ClickException(
            f"{output} holds other files. Name a new folder with -o."
        )
    return True


def _run(
    output: Path,
    dataset: "Dataset",
    settings: dict[str, Any],
    is_new: bool,
    as_json: bool,
) -> None:
    import keras

    keras.utils.set_random_seed(settings["seed"])
    model = _new_model(dataset, settings)
    if not model.given:
        dataset = dataclasses.replace(dataset, labels=None)
    x, held_out = _divided(dataset, settings["hold_out"], settings["seed"])
    model.adapt(x[0], settings["seed"])
    model.compile(aezoo.optimizers.Adam(settings["learning_rate"]))
    if is_new:
        output.mkdir(parents=True, exist_ok=True)
        with atomic_path(output / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    told = "Training" if is_new else "Going on with"
    echo(
        f"{told} {model.family}, {model.count_params():,} weights, on "
        f"{count_of(len(x[0]), 'example')}; {len(held_out[0]):,} held out.",
        err=True,
    )
    model.fit(
        *x,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        validation_data=held_out,
        callbacks=_callbacks(output, model, settings),
        verbose=0 if as_json else 1 if is_terminal() else 2,
    )
    if not (output / BEST).is_file():
        raise click.ClickException(
            "No epoch has a finite loss on the examples held out. Lower the learning "
            "rate, e.g. --learning-rate 1e-4."
        )
    model.load_weights(output / BEST)
    _finish(output, model, held_out, dataset.name, as_json)


def _new_model(dataset: "Dataset", settings: dict[str, Any]) -> Any:
    arguments = dict(settings["arguments"])
    if dataset.examples.ndim > 2:
        arguments.setdefault("input_shape", tuple(dataset.examples.shape[1:]))
    else:
        raise click.ClickException(
            "`aezoo train` takes images. Train on other data in Python: see the "
            "documentation, Train."
        )
    if settings["network"]:
        arguments["network"] = settings["network"]
    model = aezoo.create(settings["family"], **arguments)
    if model.given:
        if set(model.given) != {"labels"} or dataset.labels is None:
            raise click.ClickException(
                f"{model.family!r} is told {', '.join(model.given)} beside each "
                f"example, and {dataset.name} has none."
            )
        most = int(dataset.labels.max()) + 1
        if most > model.num_classes:
            raise click.ClickException(
                f"{dataset.name} has labels up to {most - 1}. Pass "
                f"--set num_classes={most}."
            )
    return model


def _divided(
    dataset: "Dataset", share: float, seed: int
) -> "tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]":
    """Examples to learn from, and examples held out; with labels where there are."""
    import numpy as np

    n = len(dataset.examples)
    count = max(1, round(n * share))
    if count >= n:
        raise click.ClickException(
            f"{dataset.name} has {count_of(n, 'example')}: too few to hold some out."
        )
    order = np.random.default_rng(seed).permutation(n)
    parts = [dataset.examples]
    if dataset.labels is not None:
        parts.append(dataset.labels)
    first, last = (
        tuple(part[np.sort(rows)] for part in parts)
        for rows in (order[count:], order[:count])
    )
    return first, last


def _callbacks(output: Path, model: Any, settings: dict[str, Any]) -> list[Any]:
    from keras.callbacks import (
        BackupAndRestore,
        CSVLogger,
        EarlyStopping,
        LambdaCallback,
        ModelCheckpoint,
    )

    def stop(_: int, logs: dict[str, float]) -> None:
        model.stop_training |= not math.isfinite(logs["loss"])

    found = [
        BackupAndRestore(output / CHECKPOINT, delete_checkpoint=False),
        CSVLogger(output / HISTORY, append=True),
        ModelCheckpoint(
            output / BEST,
            monitor="val_loss",
            mode="min",
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=_best_before(output / HISTORY),
        ),
        LambdaCallback(on_epoch_end=stop),
    ]
    if settings["patience"]:
        found.append(
            EarlyStopping("val_loss", mode="min", patience=settings["patience"])
        )
    return found


def _best_before(history: Path) -> float | None:
    """The lowest loss of the epochs that a run has behind it."""
    if not history.is_file():
        return None
    with history.open(newline="", encoding="utf-8") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    finite = [loss for loss in losses if math.isfinite(loss)]
    return min(finite, default=None)


def _finish(
    output: Path,
    model: Any,
    held_out: "tuple[np.ndarray, ...]",
    name: str,
    as_json: bool,
) -> None:
    """Measure the model on what was held out, save it, and draw what it does."""
    import numpy as np

    from aezoo.data.datasets import Dataset
    from aezoo.modalities.image.files import write_image

    x, *others = (part[:MEASURED] for part in held_out)
    labels = others[0] if others else None
    measured = Dataset(name, "own", "held_out", x, labels)
    report = aezoo.evaluate(model, measured)
    folder = aezoo.save(
        model,
        output / MODEL,
        overwrite=True,
        description=f"Trained by `aezoo train` on {name}.",
        metrics=report,
    )
    told = {} if labels is None else {"labels": labels[:SHOWN]}
    shown = np.concatenate([x[:SHOWN], model.reconstruct(x[:SHOWN], **told)])
    sheet = model.modality.preview(shown, columns=min(SHOWN, len(x)))
    if sheet.picture is not None:
        write_image(output / "reconstructions.png", sheet.picture)
    _draw_curves(output)
    if as_json:
        print_json(report.to_dict())
        return
    for metric, figure in report.metrics.items():
        echo(f"{metric:24} {figure.value:.5g} {figure.unit}")
    echo(f"{folder} is a model for `aezoo.load` and `aezoo.push_to_hub`.")


def _draw_curves(output: Path) -> None:
    """The losses by epoch, as curves.png, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    with (output / HISTORY).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
    epochs = [int(row["epoch"]) + 1 for row in rows]
    for column, label in (("loss", "training"), ("val_loss", "held out")):
        axes.plot(epochs, [float(row[column]) for row in rows], label=label)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    figure.savefig(output / "curves.png", dpi=120)
