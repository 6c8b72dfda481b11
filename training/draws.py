"""How much a Frechet distance depends on the samples that were drawn.

    python -m training.draws
    python -m training.draws hierarchical_vae_mnist

The manifest's distances are of one draw of samples, seed 0. Here those of models that
have one training are measured with `SEEDS` seeds, and appended to
`results/draws.csv`, each as soon as it is there: what is there is not measured again.
`python -m training.documents` shows their mean and standard deviation. Of the rows with
several trainings (`training.seeds`) the interval over these holds the draws' part.
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import filelock
import numpy as np

import aezoo
from aezoo import manifest
from aezoo.data.datasets import load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate
from aezoo.samplers import KINDS
from training import seeds
from training.evaluate import published_name
from training.export import ROOT, check_writable

RESULTS = ROOT / "results" / "draws.csv"
SPLIT = "test"
SEEDS = 10
# Distances of what is drawn; those of reconstructions have no seed.
DISTANCES = ("frechet", *(f"frechet/{kind}" for kind in KINDS))


class Draw(NamedTuple):
    """A distance of one draw of samples; the columns of the results.

    Attributes:
        model: Name of the weights.
        metric: Its name in the manifest, with its variant.
        seed: Of the samples.
        value: The distance.
    """

    model: str
    metric: str
    seed: int
    value: float


def subjects() -> dict[str, tuple[str, ...]]:
    """Models of one training, and their distances, by name."""
    found = {}
    for name, entry in manifest.entries().items():
        stated = entry.metrics.get(f"{entry.data.name}/{SPLIT}", {})
        distances = tuple(m for m in stated if published_name(m) in DISTANCES)
        if distances and name not in seeds.rows():
            found[name] = distances
    return found


def measure(name: str, results: Path, data_dir: Path | None = None) -> None:
    """Draw and measure what a model lacks."""
    done = {(draw.metric, draw.seed) for draw in read(results) if draw.model == name}
    model = None
    for seed in range(SEEDS):
        missing = [m for m in subjects()[name] if (m, seed) not in done]
        if not missing:
            continue
        if model is None:
            model = aezoo.load(name)
            data = load_dataset(manifest.describe(name).data.name, SPLIT, data_dir)
        report = evaluate(model, data, metrics=missing, seed=seed, data_dir=data_dir)
        append(
            results,
            [Draw(name, metric, seed, report[metric].value) for metric in missing],
        )


def read(results: Path | None = None) -> list[Draw]:
    """The draws of a results file, `RESULTS` if it is None; none without a file."""
    path = results or RESULTS
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Draw(row["model"], row["metric"], int(row["seed"]), float(row["value"]))
            for row in csv.DictReader(file)
        ]


def append(results: Path, draws: Iterable[Draw]) -> None:
    """Add draws, whole, beside others that may be running."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with (
        filelock.FileLock(f"{results}.lock"),
        results.open("a", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(Draw._fields)
        for draw in draws:
            writer.writerow((*draw[:3], f"{draw.value:.6g}"))


def spreads(draws: Sequence[Draw]) -> Mapping[tuple[str, str], tuple[float, float]]:
    """Mean and standard deviation by model and metric, where all seeds are there."""
    values: dict[tuple[str, str], list[float]] = {}
    for draw in draws:
        values.setdefault((draw.model, draw.metric), []).append(draw.value)
    return {
        key: (float(np.mean(found)), float(np.std(found, ddof=1)))
        for key, found in values.items()
        if len(found) >= SEEDS
    }


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
def main(names: tuple[str, ...], results: Path, data_dir: Path | None) -> None:
    """Command line."""
    known = list(subjects())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.ClickException(
            "Names must be of weights with one training and a Frechet distance. "
            f"Received: {', '.join(unknown)}. Known: {', '.join(known)}."
        )
    try:
        check_writable(results.parent)
        for name in names or known:
            measure(name, results, data_dir)
            for (model, metric), (value, spread) in spreads(read(results)).items():
                if model == name:
                    click.echo(f"{name} {metric}: {value:.3f} ± {spread:.3f}")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
