"""Publish the middle one of a row's trainings, neither the first nor the luckiest.

    python -m training.median
    python -m training.median beta_tcvae_shapes --bundle

The first form says which seed of each row is the median, once `training.seeds` has
measured all of them: by the figure that the row is judged by, which is the mutual
information gap of drawn shapes, else the likelihood by importance sampling, the ELBO or
the error, whichever the family has.

Write that seed into the recipe; the second form then takes its weights from the run
into the package, and its figures into the manifest. Those of the seed that was
published before go to the results. What samplers and further metrics need:

    python -m training.samplers beta_tcvae_shapes --bundle
    python -m training.evaluate beta_tcvae_shapes --missing --write
"""

import os
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
from msgspec.structs import asdict

from aezoo import manifest
from aezoo.data.datasets import load_dataset
from aezoo.errors import AezooError, ManifestError
from aezoo.manifest import Metric, WeightsEntry, weights_folder
from aezoo.store.load import load_entry
from training import seeds
from training.evaluate import with_companions
from training.export import ROOT, export, read_entry
from training.lessons import Records, noun, read_records
from training.recipes import load_recipe

# What a row is judged by, the first that all of its seeds have.
JUDGED_BY = ("mig", seeds.NLL, "elbo", "mse")


def judged_by(row: str, records: Records) -> str:
    """The figure by which a row's trainings are put in order.

    Raises:
        ValueError: If there is none that every seed of the row has.
    """
    if found := _sound(row, records):
        return found[0]
    raise ValueError(
        f"The row {row!r} has no figure of all its {seeds.num_seeds(row)} seeds yet. "
        f"Train them: `python -m training.seeds {row}`."
    )


def _sound(row: str, records: Records) -> list[str]:
    """Which of `JUDGED_BY` all seeds of a row have."""
    return [metric for metric in JUDGED_BY if records.is_sound(row, metric)]


def median_seed(values: Mapping[int, float]) -> int:
    """The seed whose value is the middle one; of equal ones, the lowest seed first."""
    ordered = sorted(values, key=lambda seed: (values[seed], seed))
    return ordered[(len(ordered) - 1) // 2]


def bundle(
    row: str,
    records: Records,
    results: Path,
    runs: Path,
    data_dir: Path | None = None,
    *,
    folder: Path | None = None,
    manifest_file: Path = ROOT / manifest.MANIFEST_NAME,
) -> WeightsEntry:
    """Put the weights of a row's median seed in the place of the published ones.

    Args:
        row: Its name.
        records: The figures of all seeds.
        results: Where those of the seed that was published are added.
        runs: Folder of all runs.
        data_dir: As in `aezoo.datasets.load_dataset`.
        folder: Of the weights; None for the package's.
        manifest_file: The manifest to edit.

    Returns:
        The new entry; the old one if it is the median's already.

    Raises:
        ValueError: If not all seeds are measured, or the recipe is of another seed.
        ManifestError: If the run has no weights, or those of the row are published on
            the Hub, and so immutable.
    """
    recipe, old = load_recipe(row), read_entry(row, manifest_file)
    seed = median_seed(records.values(row, judged_by(row, records)))
    if old.seed == seed:
        return old
    if recipe.seed != seed:
        raise ValueError(
            f"The recipe of {row!r} must be of the median seed. Received: "
            f"seed={recipe.seed}. Write `seed={seed}` into {old.recipe}."
        )
    run = seeds.Training(row, seed).folder(runs) / "export"
    if not (run / manifest.MANIFEST_NAME).is_file():
        raise ManifestError(
            f"There are no weights of {row!r}, seed {seed}, in {run}. Train them: "
            f"`python -m training.train {row} --out {run.parent}`."
        )
    trained = manifest.read_manifest(run / manifest.MANIFEST_NAME).models[row]
    model = load_entry(trained, run / trained.weights.file)
    data = load_dataset(recipe.dataset, "train", data_dir)
    split = f"{recipe.dataset}/{seeds.SPLIT}"

    known = seeds.read(results)
    there = {(figure.model, figure.seed, figure.metric) for figure in known}
    wanted = with_companions(
        {m for m, limit in seeds.wanted(model, recipe.dataset).items() if limit is None}
    )
    replaced = [
        seeds.Figure(row, old.seed, metric, record, old.training.seconds)
        for metric, record in old.metrics.get(split, {}).items()
        if seeds.plain_name(metric) in wanted and (row, old.seed, metric) not in there
    ]
    figures: dict[str, Metric] = {
        figure.metric: figure.record
        for figure in known
        if (figure.model, figure.seed) == (row, seed)
        and seeds.plain_name(figure.metric) in wanted
    }
    seeds.append(results, replaced)
    return export(
        *(row, model, recipe, data),
        {split: {**trained.metrics.get(split, {}), **figures}},
        asdict(trained.training),
        folder or weights_folder(),
        manifest_file,
    )


def _line(row: str, records: Records) -> str:
    """Which seed is a row's median, and of what."""
    metric = judged_by(row, records)
    values = records.values(row, metric)
    seed, published = median_seed(values), manifest.entries()[row].seed
    listed = ", ".join(f"{key}: {value:.4g}" for key, value in values.items())
    mark = "published" if seed == published else f"{published} is published"
    return f"{row}: seed {seed} by {noun(metric)} ({listed}); {mark}"


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--bundle", "is_bundled", is_flag=True, help="Put it into the package.")
@click.option("--results", type=click.Path(path_type=Path), default=seeds.RESULTS)
@click.option("--runs", type=click.Path(path_type=Path), default=seeds.RUNS)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Of TFDS.")
def main(
    names: tuple[str, ...],
    is_bundled: bool,
    results: Path,
    runs: Path,
    data_dir: Path | None,
) -> None:
    """Command line."""
    if is_bundled and not names:
        raise click.UsageError("Name the rows whose weights are to be replaced.")
    try:
        rows = list(dict.fromkeys(training.name for training in seeds.work(names)))
        records = read_records(results)
        for row in rows:
            if not names and not _sound(row, records):
                continue  # it is not finished
            click.echo(_line(row, records))
            if is_bundled:
                entry = bundle(row, records, results, runs, data_dir)
                click.echo(f"  {entry.weights.file}, seed {entry.seed}")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
