"""Train published rows again from other seeds, and measure them as those were.

    python -m training.seeds --time-budget 9m
    python -m training.seeds conv_vae_mnist iwae_mnist
    python -m training.seeds --list

A figure of one training says nothing of the next, so a claim that one objective is
ahead of another rests on several: `SEEDS` of each row of the grid, `SHAPES_SEEDS` of
the models of drawn shapes. Figures go to `results/seeds.csv`, with their protocols in
`results/protocols.json`; `python -m training.lessons` reads them, and `python -m
training.median` publishes the median seed in the place of seed 0. Of the seed that is
published only what the manifest does not state is measured here.

Each training is a run in `runs/seeds/<name>/<seed>`, with its weights. A command that
was killed, or stopped by `--time-budget` (exit status 75), goes on where it stopped
when it is given again: what is finished is not repeated. A run that fails is reported
at the end, and the others go on.
"""

import csv
import dataclasses
import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import filelock
import numpy as np

import aezoo
from aezoo import manifest
from aezoo.cli.durations import Duration
from aezoo.data.datasets import Dataset, load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate
from aezoo.evaluation.context import Evaluation, Settings
from aezoo.evaluation.definition import METRICS, mean_with_error
from aezoo.manifest import Metric
from aezoo.models.autoencoder import Autoencoder
from aezoo.samplers import fit_sampler
from aezoo.store.load import load_entry
from aezoo.training.checkpoints import STOPPED_STATUS, StoppedError
from aezoo.utils.arrays import to_numpy
from aezoo.utils.files import atomic_path
from training import STARTED
from training.evaluate import (
    published,
    published_name,
    with_companions,
)
from training.export import ROOT, check_writable
from training.grid import OBJECTIVES
from training.recipes import load_recipe, recipe_names
from training.train import train

RESULTS = ROOT / "results" / "seeds.csv"
PROTOCOLS = "protocols.json"
RUNS = Path("runs") / "seeds"
SPLIT = "test"
# Trainings of a row, the published one among them.
SEEDS, SHAPES_SEEDS = 3, 5
# The likelihood of binarised images, by importance sampling, of so many of them: the
# same ones for every model and seed, so that their own spread cancels in differences.
NLL = "iwae_nll/binarised"
NLL_IMAGES = 500
# What the tables show and the lessons speak of, on whole splits.
MEASURED = (
    *("mse", "elbo", "elbo/binarised", "kl", "kl/binarised", "active_units"),
    *("denoising_mse", "ms_ssim", "active_code_fraction", "codebook_usage"),
    *("total_correlation/gaussian", "mig", "dci_disentanglement"),
    *("dci_completeness", "factor_vae_score", "frechet", "frechet/gmm"),
    *("reconstruction_frechet", "linear_probe", "classification_accuracy"),
)
# Of a few independent factors; codes of digits say more than 10,000 images can tell.
OF_SHAPES = ("mutual_information", "total_correlation")
# Measured here alone: of families that learn from labels, given each image's label.
GIVEN_LABELS = "elbo/binarised/given_labels"
# Samplers that are fitted to each training's codes, where the published weights have
# one; a transformer over codes takes longer than the training.
SAMPLERS = ("gmm",)
# Most telling first: what most claims depend on.
FIRST = (
    *("beta_tcvae_shapes", "beta_vae_shapes_b4", "factor_vae_shapes"),
    *("beta_vae_shapes_b16", "beta_vae_shapes_b1"),
    *("conv_vae_mnist", "iwae_mnist_miwae", "iwae_mnist", "iwae_mnist_ciwae"),
    *("factor_vae_mnist", "beta_tcvae_mnist", "beta_vae_mnist"),
    *("categorical_vae_mnist", "mixture_vae_mnist", "flow_vae_mnist_iaf"),
    *("flow_vae_mnist_planar", "vamp_vae_mnist", "conv_ae_mnist", "rae_mnist_l2"),
    *("wae_mnist_mmd", "wae_mnist_sliced", "adversarial_ae_mnist"),
    *("conditional_vae_mnist", "vq_vae_mnist", "fsq_mnist"),
)
FIELDS = (
    *("model", "seed", "metric", "value", "standard_error", "protocol"),
    "training_seconds",
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """What was measured of one training.

    Attributes:
        model: Name of the published weights whose recipe it is.
        seed: Of the training.
        metric: Its name in the manifest, with its variant.
        metrics: Value, unit, protocol and standard error.
        training_seconds: Of the training, on whatever else the machine did.
    """

    model: str
    seed: int
    metric: str
    record: Metric
    training_seconds: float


@dataclasses.dataclass(frozen=True)
class Training:
    """One seed of a row.

    Attributes:
        name: Name of the published weights whose recipe it is.
        seed: Seed of weights, order and noise.
    """

    name: str
    seed: int

    @property
    def is_published(self) -> bool:
        """Whether its weights are the published ones."""
        return self.seed == load_recipe(self.name).seed

    def folder(self, runs: Path) -> Path:
        """Where it is trained."""
        return runs / self.name / str(self.seed)


# --- The work ------------------------------------------------------------------------


@functools.cache
def rows() -> tuple[str, ...]:
    """Names of the rows that are trained from several seeds, most telling first."""
    shapes = [name for name in recipe_names() if load_recipe(name).dataset == "shapes"]
    known = [*shapes, *(row.name for row in OBJECTIVES)]
    return tuple(sorted(known, key=(*FIRST, *known).index))


def num_seeds(name: str) -> int:
    """Trainings that a row needs, the published one among them."""
    return SHAPES_SEEDS if load_recipe(name).dataset == "shapes" else SEEDS


def work(names: Sequence[str] = ()) -> Iterator[Training]:
    """Every training that there should be, in the order they are worth having.

    The models of drawn shapes, which train in a minute, then the grid, one row after
    the other.

    Args:
        names: Only these rows; none for all.

    Raises:
        ValueError: If one of them is no such row.
    """
    known = rows()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            "Rows must be of the grid or of drawn shapes. Received: "
            f"{', '.join(unknown)}. Known: {', '.join(known)}."
        )
    for name in known:
        if not names or name in names:
            seeds = range(num_seeds(name))
            yield from (Training(name, seed) for seed in seeds)


def wanted(model: Autoencoder, dataset: str) -> dict[str, int | None]:
    """What is measured of a model: how many images, by metric; None for all.

    The order is that of the tables.
    """
    possible = published(model, dataset)
    chosen = (*MEASURED, *(OF_SHAPES if dataset == "shapes" else ()))
    found: dict[str, int | None] = {m: None for m in chosen if m in possible}
    if getattr(model, "binarize", False):
        found |= {NLL: NLL_IMAGES} if NLL in possible else {}
        found |= {GIVEN_LABELS: None} if "labels" in model.given else {}
    return found


def run(
    training: Training,
    results: Path,
    runs: Path,
    data_dir: Path | None = None,
    deadline: float | None = None,
) -> list[Figure]:
    """Train one seed as far as it is not yet, and measure what is not measured.

    Args:
        training: What to train.
        results: The figures so far; extended.
        runs: Folder of all runs.
        data_dir: As in `aezoo.datasets.load_dataset`.
        deadline: When to have stopped, on the clock of `time.monotonic`.

    Returns:
        The new figures; none if it was finished before.

    Raises:
        StoppedError: If the deadline or SIGTERM came first; the same call goes on.
    """
    recipe = load_recipe(training.name).with_overrides(seed=training.seed)
    model = aezoo.load(training.name)
    known = {
        figure.metric
        for figure in read(results)
        if (figure.model, figure.seed) == (training.name, training.seed)
    }
    if training.is_published:
        known |= _stated(training.name, model, recipe.dataset)
    names = with_companions({plain_name(stated) for stated in known})
    missing = {
        metric: limit
        for metric, limit in wanted(model, recipe.dataset).items()
        if metric not in names
    }
    if not missing:
        return []
    if training.is_published:
        entry = manifest.entries()[training.name]
    else:
        entry, model = _trained(training, runs, data_dir, deadline)
    data = load_dataset(recipe.dataset, SPLIT, data_dir)
    found: list[Figure] = []
    for limit in dict.fromkeys(missing.values()):
        metrics = [name for name, images in missing.items() if images == limit]
        records = measure(model, data, metrics, data_dir, limit)
        new = [
            Figure(training.name, training.seed, name, record, entry.training.seconds)
            for name, record in records.items()
        ]
        append(results, new)
        found += new
    return found


def measure(
    model: Autoencoder,
    data: Dataset,
    metrics: Sequence[str],
    data_dir: Path | None = None,
    limit: int | None = None,
) -> dict[str, Metric]:
    """Figures of a model, by name; `GIVEN_LABELS` beside those of `aezoo.evaluate`."""
    of_evaluate = [name for name in metrics if name != GIVEN_LABELS]
    records: dict[str, Metric] = {}
    if of_evaluate:
        records |= evaluate(
            model, data, metrics=of_evaluate, data_dir=data_dir, limit=limit
        ).metrics
    if GIVEN_LABELS in metrics:
        records[GIVEN_LABELS] = elbo_given_labels(model, data)
    return records


def elbo_given_labels(model: Any, data: Dataset) -> Metric:
    """The ELBO of log p(x|y): encoder and decoder are given each image's label."""
    evaluation = Evaluation(model, data, Settings(), total=len(data.examples))
    values = []
    for chunk in evaluation.chunks("given labels"):
        x = chunk.view("binarised").x
        labels = evaluation.labels[chunk.start : chunk.stop]
        posterior = model.posterior(x, labels=labels)
        z = to_numpy(posterior.sample(chunk.noise()))
        likelihood = model.likelihood_of(z, labels=labels)
        bound = to_numpy(likelihood.log_prob(x)) - to_numpy(posterior.kl())
        values.append(bound.astype("float64"))
    result = mean_with_error(np.concatenate(values))
    definition = METRICS["elbo/binarised"]
    fields = evaluation.protocol_fields(definition, None)
    protocol = definition.protocol.format(**fields)
    return Metric(
        value=result.value,
        unit=definition.unit.format(**fields),
        protocol=f"{data.key}, all {len(data.examples):,} images; {protocol}; encoder "
        "and decoder given each image's label",
        standard_error=result.standard_error,
    )


def _trained(
    training: Training, runs: Path, data_dir: Path | None, deadline: float | None
) -> tuple[manifest.WeightsEntry, Autoencoder]:
    """The entry and the model of a run, trained first if need be."""
    out = training.folder(runs)
    exported = out / "export" / manifest.MANIFEST_NAME
    if not exported.is_file():
        recipe = load_recipe(training.name).with_overrides(seed=training.seed)
        train(training.name, recipe, out, data_dir, deadline=deadline)
        # What goes on needs it; what is finished does not, and it is the largest file.
        (out / "checkpoint.npz").unlink(missing_ok=True)
    entry = manifest.read_manifest(exported).models[training.name]
    model = load_entry(entry, exported.parent / entry.weights.file)
    for kind in set(manifest.entries()[training.name].samplers) & set(SAMPLERS):
        images = load_dataset(entry.data.name, entry.data.split, data_dir).examples
        fit_sampler(model, images, kind)
    return entry, model


def _stated(name: str, model: Autoencoder, dataset: str) -> set[str]:
    """What the manifest states of whole splits."""
    whole = {m for m, limit in wanted(model, dataset).items() if limit is None}
    stated = manifest.entries()[name].metrics.get(f"{dataset}/{SPLIT}", {})
    return {metric for metric in stated if plain_name(metric) in whole}


def plain_name(stated: str) -> str:
    """A metric's name without its variant, such as a feature extractor."""
    return stated if stated == GIVEN_LABELS else published_name(stated)


def is_measured(metric: str) -> bool:
    """Whether this module measures a metric of any row."""
    return metric in (*MEASURED, *OF_SHAPES, NLL, GIVEN_LABELS)


# --- The figures ---------------------------------------------------------------------


def read(results: Path = RESULTS) -> list[Figure]:
    """The figures of a results file; none if there is no such file."""
    if not results.is_file():
        return []
    protocols = _read_protocols(results)
    with results.open(encoding="utf-8", newline="") as file:
        return [
            Figure(
                row["model"],
                int(row["seed"]),
                row["metric"],
                Metric(
                    float(row["value"]),
                    *protocols[row["protocol"]],
                    float(row["standard_error"]) if row["standard_error"] else None,
                ),
                float(row["training_seconds"]),
            )
            for row in csv.DictReader(file)
        ]


def append(results: Path, figures: Sequence[Figure]) -> None:
    """Add figures to a results file, all or none; one process at a time.

    Raises:
        ValueError: If one of them is there already.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{results}.lock"):
        everything = [*read(results), *figures]
        keys = [(figure.model, figure.seed, figure.metric) for figure in everything]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(
                f"{results} must have a figure once. Received again: {sorted(twice)}."
            )
        write(results, everything)


def write(results: Path, figures: Sequence[Figure]) -> None:
    """Write figures, sorted, and their protocols beside them."""
    protocols = _read_protocols(results)
    protocols |= {
        _reference(f.record): (f.record.unit, f.record.protocol) for f in figures
    }
    # First, so that no row ever refers to a protocol that is not there.
    with atomic_path(results.with_name(PROTOCOLS)) as path:
        named = {
            reference: {"unit": unit, "protocol": protocol}
            for reference, (unit, protocol) in sorted(protocols.items())
        }
        text = json.dumps(named, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    with (
        atomic_path(results) as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for figure in sorted(figures, key=lambda f: (f.model, f.seed, f.metric)):
            error = figure.record.standard_error
            writer.writerow(
                (
                    *(figure.model, figure.seed, figure.metric),
                    f"{figure.record.value:.8g}",
                    "" if error is None else f"{error:.4g}",
                    _reference(figure.record),
                    f"{figure.training_seconds:.1f}",
                )
            )


def _read_protocols(results: Path) -> dict[str, tuple[str, str]]:
    """Units and protocols by reference."""
    path = results.with_name(PROTOCOLS)
    if not path.is_file():
        return {}
    document: Mapping[str, Mapping[str, str]] = json.loads(
        path.read_text(encoding="utf-8")
    )
    return {key: (value["unit"], value["protocol"]) for key, value in document.items()}


def _reference(record: Metric) -> str:
    """What stands for a unit and a protocol: the beginning of their hash."""
    text = f"{record.unit}\n{record.protocol}"
    return hashlib.sha256(text.encode()).hexdigest()[:10]


# --- Command line --------------------------------------------------------------------


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=RESULTS,
    help="The figures; default results/seeds.csv.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder of the trainings and their weights.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
@click.option(
    "--time-budget",
    type=Duration(),
    help="Stop in time, e.g. '9m' or '1h30m', to go on by the same command.",
)
@click.option("--list", "is_list", is_flag=True, help="Name the work, and do none.")
def main(
    names: tuple[str, ...],
    results: Path,
    runs: Path,
    data_dir: Path | None,
    time_budget: float | None,
    is_list: bool,
) -> None:
    """Command line."""
    deadline = None if time_budget is None else STARTED + time_budget
    failed = []
    try:
        chosen = list(work(names))
        if is_list:
            done = {(figure.model, figure.seed) for figure in read(results)}
            for training in chosen:
                mark = "measured" if (training.name, training.seed) in done else ""
                click.echo(f"{training.name} {training.seed} {mark}".rstrip())
            return
        check_writable(runs)
        check_writable(results.parent)
        for training in chosen:
            start = time.monotonic()
            try:
                found = run(training, results, runs, data_dir, deadline)
            except StoppedError:
                raise
            except (AezooError, ValueError, OSError) as error:
                failed.append(f"{training.name}, seed {training.seed}: {error}")
                click.echo(failed[-1], err=True)
                continue
            if found:
                seconds = time.monotonic() - start
                click.echo(f"{training.name}, seed {training.seed}: {seconds:.0f} s")
                for figure in found:
                    click.echo(f"  {figure.metric:<32} {figure.record.value:.6g}")
            if deadline is not None and time.monotonic() > deadline:
                raise StoppedError("Stopped to keep to the time; give it again.")
    except StoppedError as stop:
        click.echo(stop)
        sys.exit(STOPPED_STATUS)
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.ClickException("\n".join(failed))


if __name__ == "__main__":
    main()
