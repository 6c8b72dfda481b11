"""Measure every published figure again: models, and the baselines beside them.

    python -m training.evaluate conv_vae_mnist_z16 --metrics mse,elbo
    python -m training.evaluate --all --write
    python -m training.evaluate --dataset shapes --missing --write
    python -m training.evaluate --all --check --sample 5

Without a flag the figures are printed beside those of the manifest. `--write` puts
them into it, after each model, so that an interruption loses one model at most;
`--missing` then measures only what the manifest lacks. `--check` ends with exit code 1
if a figure is outside its tolerance; `--sample` draws some of them, by `--seed`.
"""

import dataclasses
import functools
import math
import os
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import numpy as np
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.data.datasets import Dataset, load_dataset
from aezoo.errors import AezooError
from aezoo.evaluation import evaluate
from aezoo.evaluation.context import Settings
from aezoo.evaluation.definition import METRICS, find_metric, is_possible
from aezoo.evaluation.image import baselines
from aezoo.evaluation.variants import default_variant
from aezoo.manifest import Metric, WeightsEntry
from aezoo.metrics import MetricDefinition
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import create
from aezoo.registry import find_family
from training.export import ROOT
from training.files import edited_manifest
from training.recipes import load_recipe

# Of an example: the eigenproblem of a PCA of more takes half an hour and gigabytes.
MOST_PCA_ELEMENTS = 4096
MANIFEST = ROOT / manifest.MANIFEST_NAME
SPLIT = "test"
# Parts of a figure, e.g. one per code unit, that the manifest keeps at most.
MOST_PARTS = 1_000
# What is measured, as far as `published` finds it possible and telling.
PUBLISHED = tuple(name for name, metric in METRICS.items() if metric.is_published)
# Beside the metrics that have a variant `/binarised`: what says how probable grey
# images are to a model of binarised ones, which never saw any.
OF_GREY = ("kl_per_dim", "ood_auroc_elbo")
# By far the dearest; a recipe may do without.
IMPORTANCE_SAMPLED = tuple(
    name for name, metric in METRICS.items() if metric.is_importance_sampled
)
# What datasets have beside images, without reading them; others have nothing.
ANNOTATIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("mnist", "fashion_mnist", "cifar10"), ("labels",)),
    "shapes": ("factors",),
}
# A repeated figure may differ by the rounding of another machine: this share of its
# value, or that of its standard error.
RELATIVE_TOLERANCE, ERROR_TOLERANCE = 1e-3, 0.1


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured: a model of the zoo, or a baseline.

    Attributes:
        name: Its name in the manifest.
        dataset: TFDS name of the data it is measured on.
        is_baseline: Whether it stands in the section `baselines`.
        load: Makes the model.
        find_metrics: Finds `metrics`; may load the model.
        stated: What the manifest states so far.
        importance_samples: As in `aezoo.evaluate`.
    """

    name: str
    dataset: str
    is_baseline: bool
    load: Callable[[], Autoencoder]
    find_metrics: Callable[[], tuple[str, ...]]
    stated: Mapping[str, Metric]
    importance_samples: int = Settings.importance_samples

    @property
    def title(self) -> str:
        """What tells it from all others; baselines of datasets share names."""
        return f"{self.dataset}/{self.name}" if self.is_baseline else self.name

    @functools.cached_property
    def metrics(self) -> tuple[str, ...]:
        """What is measured, most telling first: names of `PUBLISHED`."""
        return self.find_metrics()


def subjects(data_dir: Path | None = None) -> list[Subject]:
    """All models of the manifest, and the baselines of their datasets."""
    entries = list(manifest.read_manifest(MANIFEST).models.values())
    found = [_model(entry) for entry in entries]
    for dataset in sorted({entry.data.name for entry in entries}):
        of_dataset = [entry for entry in entries if entry.data.name == dataset]
        found += _baselines(dataset, of_dataset, data_dir)
    return found


def _model(entry: WeightsEntry) -> Subject:
    dataset = entry.data.name
    load = functools.partial(aezoo.load, entry.name)
    recipe = load_recipe(entry.name)

    def metrics() -> tuple[str, ...]:
        names = (*recipe.metrics, *published(load(), dataset))
        dropped = () if recipe.importance_samples else IMPORTANCE_SAMPLED
        left_out = with_companions(stated) - set(stated)
        return tuple(
            n for n in dict.fromkeys(names) if n not in dropped and n not in left_out
        )

    stated = entry.metrics.get(f"{dataset}/{SPLIT}", {})
    return Subject(
        *(entry.name, dataset, False, load, metrics, stated),
        importance_samples=recipe.importance_samples or Settings.importance_samples,
    )


def _baselines(
    dataset: str, entries: Sequence[WeightsEntry], data_dir: Path | None
) -> Iterator[Subject]:
    """What the models of a dataset are compared with, where it has any figure.

    Nothing but images is.
    """
    if "modality" in entries[0].config:
        return
    shape = entries[0].input_shape
    flat = {
        entry.latent_dim
        for entry in entries
        if len(entry.latent_shape) == 1
        and entry.latent_dim < math.prod(shape) <= MOST_PCA_ELEMENTS
        and find_family(entry.family).objective.CODES == "continuous"
    }
    makers: dict[str, Callable[[], baselines.Baseline]] = {
        f"pca_z{units}": _pca_maker(dataset, shape, units, data_dir)
        for units in sorted(flat)
    }
    makers["pixels"] = functools.partial(baselines.pixels, shape)
    makers["training_images"] = _real_maker(dataset, data_dir)
    baselines_here = manifest.read_manifest(MANIFEST).baselines
    rows = baselines_here.get(f"{dataset}/{SPLIT}", {})
    for name, make in makers.items():
        metrics = functools.partial(_published_of_baseline, name, shape, dataset)
        load, stated = _baseline_loader(make), rows.get(name, {})
        if metrics():
            yield Subject(name, dataset, True, load, metrics, stated)


def _baseline_loader(
    make: Callable[[], baselines.Baseline],
) -> Callable[[], Autoencoder]:
    return lambda: make().model


def _pca_maker(
    dataset: str, shape: Sequence[int], units: int, data_dir: Path | None
) -> Callable[[], baselines.Baseline]:
    def make() -> baselines.Baseline:
        images = load_dataset(dataset, "train", data_dir).examples
        return baselines.pca(shape, units, images)

    return make


def _real_maker(
    dataset: str, data_dir: Path | None
) -> Callable[[], baselines.Baseline]:
    def make() -> baselines.Baseline:
        return baselines.training_images(
            load_dataset(dataset, "train", data_dir).examples
        )

    return make


def published(model: Autoencoder, dataset: str) -> tuple[str, ...]:
    """The figures that are published of a model on a dataset.

    Those that the model can have and that the dataset allows: probes need labels,
    scores of disentanglement factors, Frechet distances an extractor that was trained
    on the dataset, novelty a usual dataset that is unfamiliar. A model of binarised
    images is judged by their likelihood alone.

    Args:
        model: A model; it need not be trained.
        dataset: TFDS name.

    Returns:
        Names of `PUBLISHED`, in that order.
    """
    return tuple(
        name
        for name in PUBLISHED
        if is_possible(METRICS[name], model)
        and _allows(dataset, METRICS[name])
        and not (getattr(model, "binarize", False) and _is_of_grey(name))
    )


def _is_of_grey(name: str) -> bool:
    return name in OF_GREY or f"{name}/binarised" in METRICS


def _allows(dataset: str, definition: MetricDefinition) -> bool:
    """Whether a dataset has what a metric needs, and a default of its variant."""
    if not set(definition.needs) <= set(ANNOTATIONS.get(dataset, ())):
        return False
    try:
        default_variant(definition, dataset)
    except AezooError:
        return False
    return True


@functools.cache
def _published_of_baseline(
    name: str, shape: tuple[int, ...], dataset: str
) -> tuple[str, ...]:
    """Those that mean something for a baseline; fitting it is not needed to tell."""
    if name == "pixels":
        baseline = baselines.pixels(shape)
    elif name == "training_images":
        baseline = baselines.training_images(np.zeros((1, *shape), "uint8"))
    else:
        model = create("linear_ae", input_shape=shape, latent_dim=1)
        baseline = baselines.Baseline(name, model, baselines.PCA_KINDS)
    possible = published(baseline.model, dataset)
    return tuple(n for n in possible if baseline.has_metric(METRICS[n]))


def measure(
    subject: Subject, metrics: Sequence[str], data_dir: Path | None
) -> Mapping[str, Metric]:
    """Figures of a subject on the whole test split of its dataset."""
    data: Dataset = load_dataset(subject.dataset, SPLIT, data_dir)
    model = subject.load()
    return evaluate(
        model,
        data,
        metrics=metrics,
        data_dir=data_dir,
        importance_samples=subject.importance_samples,
    ).metrics


def with_companions(names: Collection[str]) -> set[str]:
    """Metrics that need no measuring where these are known.

    A total correlation is measured with the mutual information, and then left out or
    stated.
    """
    known = set(names)
    return known | ({"total_correlation"} if "mutual_information" in known else set())


def write(subject: Subject, measured: Mapping[str, Metric]) -> None:
    """Put figures into the manifest, the most telling first."""
    with edited_manifest(MANIFEST) as document:
        key = f"{subject.dataset}/{SPLIT}"
        if subject.is_baseline:
            rows = document.baselines.setdefault(key, {})
            rows[subject.name] = _merged(subject, rows.get(subject.name, {}), measured)
        else:
            entry = document.models[subject.name]
            merged = _merged(subject, entry.metrics.get(key, {}), measured)
            document.models[subject.name] = replace(
                entry, metrics={**entry.metrics, key: merged}
            )


def _merged(
    subject: Subject, stated: Mapping[str, Metric], measured: Mapping[str, Metric]
) -> dict[str, Metric]:
    """What is stated and what is measured, of the subject's metrics in their order."""
    known = {**stated, **{k: stored(metric) for k, metric in measured.items()}}
    kept = [k for k in known if published_name(k) in subject.metrics]
    kept.sort(key=lambda k: subject.metrics.index(published_name(k)))
    return {k: known[k] for k in kept}


def stored(metric: Metric) -> Metric:
    """A figure as the manifest states it: with its parts, unless they are too many."""
    if len(metric.values or ()) > MOST_PARTS:
        return replace(metric, values=None)
    return metric


def published_name(stated: str) -> str:
    """The name in `PUBLISHED` of a metric as the manifest names it."""
    return find_metric(stated)[0].name


def tolerance(name: str, stated: Metric) -> float:
    """How far a repeated figure may be from the stated one."""
    return max(
        RELATIVE_TOLERANCE * abs(stated.value),
        ERROR_TOLERANCE * (stated.standard_error or 0.0),
        find_metric(name)[0].tolerance,
        1e-6,
    )


def compare(subject: Subject, measured: Mapping[str, Metric]) -> Iterator[str]:
    """A line for each figure that is outside its tolerance or measured otherwise."""
    for name, record in measured.items():
        stated = subject.stated.get(name)
        if stated is None:
            yield f"{subject.title} {name}: not in the manifest"
        # `not <=`, as NaN is within no tolerance
        elif not abs(record.value - stated.value) <= tolerance(name, stated):
            yield (
                f"{subject.title} {name}: measured {record.value:.6g}, stated "
                f"{stated.value:.6g}, tolerance {tolerance(name, stated):.2g}"
            )
        elif record.protocol != stated.protocol:
            yield f"{subject.title} {name}: measured by another protocol than stated"


def choose(
    found: Sequence[Subject],
    names: Sequence[str],
    everything: bool,
    dataset: str | None = None,
) -> list[Subject]:
    """The subjects that the command line asks for.

    Args:
        found: All there are.
        names: Names of models and baselines; a baseline's stands for it on each of
            its datasets.
        everything: Whether all are wanted.
        dataset: Only those of this dataset, all of them if none is named.

    Raises:
        ValueError: If there is no such subject, or none was asked for.
    """
    here = [s for s in found if dataset in (None, s.dataset)]
    known = list(dict.fromkeys(subject.name for subject in here))
    if dataset is not None and not here:
        datasets = sorted({subject.dataset for subject in found})
        raise ValueError(
            f"`--dataset` must be one of {', '.join(datasets)}. Received: {dataset}."
        )
    unknown = [name for name in names if name not in known]
    if unknown or not (names or everything or dataset):
        raise ValueError(
            "Name models or baselines, or pass --all or --dataset. "
            f"Received: {', '.join(unknown) or 'none'}. Known: {', '.join(known)}."
        )
    return [subject for subject in here if not names or subject.name in names]


def figures_of(
    subject: Subject, wanted: Sequence[str], only_missing: bool
) -> tuple[str, ...]:
    """Those of the wanted metrics that a subject has, or that it has yet to state."""
    stated = {published_name(k) for k in subject.stated} if only_missing else set()
    return tuple(m for m in subject.metrics if m in wanted and m not in stated)


def sample_figures(
    chosen: Sequence[Subject], size: int, seed: int, metrics: Sequence[str] = PUBLISHED
) -> list[tuple[Subject, tuple[str, ...]]]:
    """Some of the stated figures, drawn by seed, grouped by subject."""
    pairs = [
        (subject, name)
        for subject in chosen
        for name in dict.fromkeys(map(published_name, subject.stated))
        if name in metrics
    ]
    drawn = random.Random(seed).sample(pairs, min(size, len(pairs)))
    return [
        (subject, tuple(m for s, m in drawn if s is subject))
        for subject in chosen
        if any(s is subject for s, _ in drawn)
    ]


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All models and baselines.")
@click.option("--dataset", help="Only those of this dataset.")
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
    dataset: str | None,
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
    if sample and missing:
        raise click.UsageError("--sample draws what is stated; --missing is the rest.")
    failures: list[str] = []
    try:
        chosen = choose(subjects(data_dir), names, everything, dataset)
        wanted = metrics.split(",") if metrics else PUBLISHED
        for name in wanted:
            find_metric(name)
        if sample:
            work = sample_figures(chosen, sample, seed, wanted)
        else:
            work = [(s, figures_of(s, wanted, missing)) for s in chosen]
        if check and not any(figures for _, figures in work):
            raise ValueError(
                "There is nothing to measure, so nothing was checked. Received: "
                f"{', '.join(subject.title for subject in chosen)}; metrics: "
                f"{metrics or 'all'}."
            )
        for subject, figures in work:
            if not figures:
                continue
            start = time.monotonic()
            measured = measure(subject, figures, data_dir)
            click.echo(f"{subject.title}  ({time.monotonic() - start:.0f} s)")
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
