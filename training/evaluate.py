"""Measure every published figure again: models, and the baselines beside them.

    python -m training.evaluate conv_vae_mnist_z16 --metrics mse,elbo
    python -m training.evaluate --all --write
    python -m training.evaluate --all --check --sample 5

Without a flag the figures are printed beside those of the manifest. `--write` puts
them into it, after each model, so that an interruption loses one model at most;
`--missing` then measures only what the manifest lacks. `--check` ends with exit code 1
if a figure is outside its tolerance; `--sample` draws some of them, by `--seed`.
"""

import dataclasses
import functools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import numpy as np

from aezoo import hub, manifest
from aezoo.datasets import Dataset, load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import baselines, evaluate
from aezoo.evaluation.definition import find_metric
from aezoo.manifest import Metric
from aezoo.models._base import Autoencoder
from training.export import ROOT, edited_manifest
from training.recipe import load_recipe

MANIFEST = ROOT / manifest.MANIFEST_NAME
SPLIT = "test"
# What every model is measured by, as far as its family has it.
PUBLISHED: tuple[str, ...] = (
    *("mse", "mae", "psnr", "ssim", "ms_ssim", "denoising_mse"),
    *("elbo", "elbo/binarised", "reconstruction_nll", "kl", "log_likelihood"),
    *("iwae_nll", "iwae_nll/binarised", "bits_per_dim", "bits_per_dim/binarised"),
    *("active_units", "active_code_fraction", "kl_per_dim"),
    *("aggregate_mean", "aggregate_variance"),
    *("mutual_information", "total_correlation", "total_correlation/gaussian"),
    *("frechet", "kernel_distance", "precision", "recall", "density", "coverage"),
    "reconstruction_frechet",
    *("linear_probe", "linear_probe/10", "linear_probe/100", "linear_probe/1000"),
    *("knn_accuracy", "knn_accuracy/10", "knn_accuracy/100", "knn_accuracy/1000"),
    *("kmeans_ari", "kmeans_nmi", "ood_auroc_mse", "ood_auroc_elbo"),
)
# A repeated figure may differ by the rounding of another machine: this share of its
# value, or that of its standard error.
RELATIVE_TOLERANCE, ERROR_TOLERANCE = 1e-3, 0.1
# Iterative fits that rounding can lead elsewhere; absolute.
LOOSE = {"kmeans_ari": 0.02, "kmeans_nmi": 0.02, "linear_probe": 0.003}


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured: a model of the zoo, or a baseline.

    Attributes:
        name: Its name in the manifest.
        dataset: TFDS name of the data it is measured on.
        is_baseline: Whether it stands in the section `baselines`.
        load: Makes the model.
        metrics: What is measured, names of `PUBLISHED`, most telling first: those
            that the recipe names.
        stated: What the manifest states so far.
    """

    name: str
    dataset: str
    is_baseline: bool
    load: Callable[[], Autoencoder]
    metrics: tuple[str, ...]
    stated: Mapping[str, Metric]


def subjects(data_dir: Path | None = None) -> list[Subject]:
    """All models of the manifest, and the baselines of their datasets."""
    load: Callable[[], Autoencoder]
    makers: dict[str, Callable[[], baselines.Baseline]]
    models = manifest.read_manifest(MANIFEST)
    found = []
    for name, entry in models.items():
        stated = entry.metrics.get(f"{entry.data.name}/{SPLIT}", {})
        load = functools.partial(hub.load, name)
        first = load_recipe(name).metrics
        possible = _published(load())
        metrics = tuple(dict.fromkeys((*first, *possible)))
        found.append(Subject(name, entry.data.name, False, load, metrics, stated))
    for dataset in sorted({entry.data.name for entry in models.values()}):
        entries = [e for e in models.values() if e.data.name == dataset]
        shape = entries[0].input_shape
        units = sorted({entry.latent_dim for entry in entries})
        rows = manifest.read_baselines(MANIFEST).get(f"{dataset}/{SPLIT}", {})
        makers = {f"pca_z{n}": _pca_maker(dataset, shape, n, data_dir) for n in units}
        makers["pixels"] = functools.partial(baselines.pixels, shape)
        makers["training_images"] = _real_maker(dataset, data_dir)
        for name, make in makers.items():
            metrics = _published_of_baseline(name, shape)
            load = _baseline_loader(make)
            stated = rows.get(name, {})
            found.append(Subject(name, dataset, True, load, metrics, stated))
    return found


def _baseline_loader(
    make: Callable[[], baselines.Baseline],
) -> Callable[[], Autoencoder]:
    return lambda: make().model


def _pca_maker(
    dataset: str, shape: Sequence[int], units: int, data_dir: Path | None
) -> Callable[[], baselines.Baseline]:
    def make() -> baselines.Baseline:
        images = load_dataset(dataset, "train", data_dir).images
        return baselines.pca(shape, units, images)

    return make


def _real_maker(
    dataset: str, data_dir: Path | None
) -> Callable[[], baselines.Baseline]:
    def make() -> baselines.Baseline:
        return baselines.training_images(
            load_dataset(dataset, "train", data_dir).images
        )

    return make


def _published(model: Autoencoder) -> tuple[str, ...]:
    return tuple(n for n in PUBLISHED if find_metric(n)[0].is_possible(model))


def _published_of_baseline(name: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Those that mean something for a baseline; fitting it is not needed to tell."""
    if name == "pixels":
        baseline = baselines.pixels(shape)
    elif name == "training_images":
        baseline = baselines.training_images(np.zeros((1, *shape), "uint8"))
    else:
        model = hub.create("linear_ae", input_shape=shape, latent_dim=1)
        baseline = baselines.Baseline(name, model, baselines.PCA_GROUPS)
    return tuple(n for n in PUBLISHED if baseline.has_metric(find_metric(n)[0]))


def measure(
    subject: Subject, metrics: Sequence[str], data_dir: Path | None
) -> Mapping[str, Metric]:
    """Figures of a subject on the whole test split of its dataset."""
    data: Dataset = load_dataset(subject.dataset, SPLIT, data_dir)
    model = subject.load()
    return evaluate(model, data, metrics=metrics, data_dir=data_dir).metrics


def write(subject: Subject, measured: Mapping[str, Metric]) -> None:
    """Put figures into the manifest, the most telling first."""
    with edited_manifest(MANIFEST) as document:
        key = f"{subject.dataset}/{SPLIT}"
        if subject.is_baseline:
            rows = document.setdefault("baselines", {}).setdefault(key, {})
            place, name = rows, subject.name
        else:
            place, name = document["models"][subject.name]["metrics"], key
        known = {**place.get(name, {}), **{k: m.to_dict() for k, m in measured.items()}}
        kept = [k for k in known if published_name(k) in subject.metrics]
        kept.sort(key=lambda k: subject.metrics.index(published_name(k)))
        place[name] = {k: known[k] for k in kept}


def published_name(stated: str) -> str:
    """The name in `PUBLISHED` of a metric as the manifest names it."""
    return find_metric(stated)[0].name


def tolerance(name: str, stated: Metric) -> float:
    """How far a repeated figure may be from the stated one."""
    return max(
        RELATIVE_TOLERANCE * abs(stated.value),
        ERROR_TOLERANCE * (stated.standard_error or 0.0),
        LOOSE.get(name.partition("/")[0], 0.0),
        1e-6,
    )


def compare(subject: Subject, measured: Mapping[str, Metric]) -> Iterator[str]:
    """A line for each figure that is outside its tolerance or measured otherwise."""
    for name, record in measured.items():
        stated = subject.stated.get(name)
        if stated is None:
            yield f"{subject.name} {name}: not in the manifest"
        elif abs(record.value - stated.value) > tolerance(name, stated):
            yield (
                f"{subject.name} {name}: measured {record.value:.6g}, stated "
                f"{stated.value:.6g}, tolerance {tolerance(name, stated):.2g}"
            )
        elif record.protocol != stated.protocol:
            yield f"{subject.name} {name}: measured by another protocol than stated"


def choose(
    found: Sequence[Subject], names: Sequence[str], everything: bool
) -> list[Subject]:
    """The subjects that the command line asks for.

    Raises:
        ValueError: If there is no such subject, or none was asked for.
    """
    known = {subject.name: subject for subject in found}
    unknown = [name for name in names if name not in known]
    if unknown or not (names or everything):
        raise ValueError(
            "Name models or baselines, or pass --all. "
            f"Received: {', '.join(unknown) or 'none'}. Known: {', '.join(known)}."
        )
    return list(found) if everything else [known[name] for name in names]


def sample_figures(
    chosen: Sequence[Subject], size: int, seed: int, metrics: Sequence[str] = PUBLISHED
) -> list[tuple[Subject, tuple[str, ...]]]:
    """Some of the stated figures, drawn by seed, grouped by subject."""
    pairs = [(s, m) for s in chosen for m in s.metrics if m in metrics]
    drawn = random.Random(seed).sample(pairs, min(size, len(pairs)))
    return [
        (subject, tuple(m for s, m in drawn if s is subject))
        for subject in chosen
        if any(s is subject for s, _ in drawn)
    ]


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All models and baselines.")
@click.option("--metrics", help="Only these, separated by commas.")
@click.option("--missing", is_flag=True, help="Only what the manifest lacks.")
@click.option("--sample", type=click.IntRange(1), help="Draw so many of the figures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of --sample.")
@click.option("--write", "is_write", is_flag=True, help="Put them into the manifest.")
@click.option("--check", is_flag=True, help="Exit 1 if one is outside its tolerance.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
def main(
    names: tuple[str, ...],
    everything: bool,
    metrics: str | None,
    missing: bool,
    sample: int | None,
    seed: int,
    is_write: bool,
    check: bool,
    data_dir: Path | None,
) -> None:
    """Command line."""
    if is_write and check:
        raise click.UsageError("--write makes the manifest right; --check judges it.")
    failures: list[str] = []
    try:
        chosen = choose(subjects(data_dir), names, everything)
        wanted = metrics.split(",") if metrics else PUBLISHED
        for name in wanted:
            find_metric(name)
        work = [(s, tuple(m for m in s.metrics if m in wanted)) for s in chosen]
        if sample:
            work = sample_figures(chosen, sample, seed, wanted)
        for subject, figures in work:
            if missing:
                have = {published_name(k) for k in subject.stated}
                figures = tuple(m for m in figures if m not in have)
            if not figures:
                continue
            start = time.monotonic()
            measured = measure(subject, figures, data_dir)
            click.echo(f"{subject.name}  ({time.monotonic() - start:.0f} s)")
            for name, record in measured.items():
                stated = subject.stated.get(name)
                before = "" if stated is None else f"  (stated {stated.value:.6g})"
                click.echo(f"  {name:<28} {record.value:.6g}{before}")
            failures += compare(subject, measured)
            if is_write:
                write(subject, measured)
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if check and failures:
        raise click.ClickException("\n".join(failures))


if __name__ == "__main__":
    main()
