"""Train the VAE of the grid at several values of one argument, and show the trade-off.

    python -m training.sweeps beta
    python -m training.sweeps latent_dim --epochs 3

Each value is a run in `runs/sweeps/<sweep>/<value>`: a sweep that was killed goes on
where it stopped when the same command is given again. Writes `docs/sweeps/<sweep>.json`
with what was measured on the test split, and `docs/sweeps/<sweep>.png` with samples of
each value; `python -m training.documents` puts the figures into the README.

A sweep shows a trade-off, of one training a value, on the test split: no recipe's value
is chosen by it. For that there is `python -m training.train NAME --hold-out 5000`.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import numpy as np

from aezoo.errors import AezooError
from aezoo.evaluation import plots
from aezoo.manifest import Metric, WeightsEntry
from aezoo.store.load import load_entry
from aezoo.training.recipe import Recipe
from aezoo.utils.files import atomic_path
from training.export import ROOT, check_writable
from training.grid import BUDGET, NETWORK
from training.train import train

FOLDER = ROOT / "docs" / "sweeps"
RUNS = Path("runs") / "sweeps"
EPOCHS = 6
SAMPLES = 12
METRICS = (
    *("elbo/binarised", "reconstruction_nll/binarised", "kl/binarised"),
    *("active_units", "mse", "frechet"),
)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Values of one argument of the grid's VAE; all else is the grid's.

    Attributes:
        argument: The argument.
        values: Its values, in order.
        words: What it shows, as a caption.
    """

    argument: str
    values: tuple[float, ...]
    words: str


SWEEPS = {
    sweep.argument: sweep
    for sweep in (
        Sweep(
            "beta",
            (0, 0.25, 1, 4, 16),
            "Weight of the KL divergence, from reconstruction only to almost KL only.",
        ),
        Sweep("latent_dim", (2, 5, 10, 20), "Number of code units."),
    )
}


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a sweep, and what was measured.

    Attributes:
        value: Of the argument.
        seconds: Of training.
        metrics: Figures on the test split, by name.
    """

    value: float
    seconds: float
    metrics: Mapping[str, Metric]


@dataclasses.dataclass(frozen=True)
class Results:
    """A sweep that has run.

    Attributes:
        argument: What was swept.
        dataset: What was trained on.
        epochs: Of each point.
        command: What repeats it.
        hardware: What it ran on.
        points: One per value.
    """

    argument: str
    dataset: str
    epochs: int
    command: str
    hardware: str
    points: tuple[Point, ...]


def recipe(sweep: Sweep, value: float, epochs: int = EPOCHS) -> Recipe:
    """What one point is trained by: the grid's VAE but for one argument."""
    return Recipe(
        family="conv_vae",
        config={**NETWORK, "binarize": True, sweep.argument: value},
        description=f"VAE of the grid with {sweep.argument} = {value:g}.",
        paper="https://arxiv.org/abs/1312.6114",
        metrics=METRICS,
        **{**BUDGET, "epochs": epochs},
    )


def run(
    sweep: Sweep, out: Path, epochs: int = EPOCHS, data_dir: Path | None = None
) -> list[WeightsEntry]:
    """Train and measure every point, each in a folder of its own.

    Args:
        sweep: What to sweep.
        out: Folder of the runs; those that are there are gone on with.
        epochs: Of each point.
        data_dir: As in `aezoo.datasets.load_dataset`.

    Returns:
        The manifest entry of each point's export.

    Raises:
        RecipeError: If a folder holds a run with another number of epochs.
    """
    return [
        train(
            weights_name(sweep, value),
            recipe(sweep, value, epochs),
            out / f"{value:g}",
            data_dir,
        )
        for value in sweep.values
    ]


def weights_name(sweep: Sweep, value: float) -> str:
    """Name of a point's weights: `sweep_beta_0p25`."""
    return f"sweep_{sweep.argument}_{value:g}".replace(".", "p")


def results_of(sweep: Sweep, entries: Sequence[WeightsEntry], epochs: int) -> Results:
    """What the points measured, in the order of the sweep's values."""
    data, hardware = entries[0].data.name, entries[0].training.hardware
    default = "" if epochs == EPOCHS else f" --epochs {epochs}"
    command = f"python -m training.sweeps {sweep.argument}{default}"
    points = tuple(
        Point(value, entry.training.seconds, entry.metrics[f"{data}/test"])
        for value, entry in zip(sweep.values, entries, strict=True)
    )
    return Results(sweep.argument, data, epochs, command, hardware, points)


def write_results(results: Results) -> None:
    """Write what was measured, with its protocol, as `docs/sweeps/<argument>.json`."""
    fields = {f.name: getattr(results, f.name) for f in dataclasses.fields(results)}
    points = [
        {
            "value": point.value,
            "seconds": point.seconds,
            "metrics": {name: m.to_dict() for name, m in point.metrics.items()},
        }
        for point in results.points
    ]
    text = json.dumps({**fields, "points": points}, indent=1, ensure_ascii=False)
    with atomic_path(FOLDER / f"{results.argument}.json") as path:
        path.write_text(text + "\n", encoding="utf-8")


def read_results(argument: str) -> Results | None:
    """What a sweep measured; None if it has not run yet."""
    path = FOLDER / f"{argument}.json"
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    points = tuple(
        Point(
            point["value"],
            point["seconds"],
            MappingProxyType({k: Metric(**m) for k, m in point["metrics"].items()}),
        )
        for point in document.pop("points")
    )
    return Results(**document, points=points)


def draw(results: Results, samples: Mapping[float, np.ndarray]) -> Any:
    """Samples of each value above each other, beside the trade-off of the ELBO's parts.

    Args:
        results: What was measured.
        samples: Images `(n, height, width, channels)` by value.

    Returns:
        The matplotlib figure.
    """
    figure = plots.new_figure(12.0, max(3.2, 0.6 * len(samples) + 0.4))
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    images = {f"{value:g}": images for value, images in samples.items()}
    plots.image_rows(images, title=f"samples by {results.argument}", ax=left)
    parts = {
        f"{point.value:g}": (
            point.metrics["kl/binarised"].value,
            point.metrics["reconstruction_nll/binarised"].value,
        )
        for point in results.points
    }
    labels = ("KL (nats per image)", "-log p(x|z) (nats per image)")
    plots.trade_off(parts, labels=labels, title="rate and distortion", ax=right)
    return figure


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(list(SWEEPS)))
@click.option("--epochs", type=click.IntRange(1), default=EPOCHS, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Runs; default runs/sweeps/NAME."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
def main(name: str, epochs: int, out: Path | None, data_dir: Path | None) -> None:
    """Command line."""
    sweep, out = SWEEPS[name], out or RUNS / name
    try:
        plots.require_matplotlib()  # before an epoch is spent
        check_writable(FOLDER)
        entries = run(sweep, out, epochs, data_dir)
        results = results_of(sweep, entries, epochs)
        write_results(results)
        samples = {}
        for value, entry in zip(sweep.values, entries, strict=True):
            weights = out / f"{value:g}" / "export" / entry.weights.file
            samples[value] = load_entry(entry, weights).sample(SAMPLES, seed=0)
        plots.save_figure(draw(results, samples), FOLDER / f"{name}.png")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote {FOLDER / name}.json and .png.")


if __name__ == "__main__":
    main()
