"""Commands that look models up: `list`, `describe`, `leaderboard`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

import aezoo
from aezoo.cli._common import (
    NAMES,
    Names,
    is_own,
    joined,
    json_option,
    main,
    name_argument,
    print_table,
    size_of,
)
from aezoo.cli._terminal import echo, print_json

if TYPE_CHECKING:
    from aezoo.manifest import WeightsEntry


_metrics = click.option(
    "--metrics",
    type=Names(),
    multiple=True,
    help="Metrics, separated by commas; may be repeated.",
)


@main.command("list")
@click.argument("pattern", required=False)
@click.option("--family", help='Shell pattern for the family, e.g. "*vae*".')
@click.option("--dataset", help="Shell pattern for the training data, e.g. mnist.")
@click.option(
    "--task", help="reconstruction, features, sampling, restoration or surfaces."
)
@click.option("--latent-dim", type=int, help="Number of code units.")
@click.option("--max-params", type=int, help="Largest number of weights.")
@click.option("--sort", help="Metric; best first, e.g. mse.")
@json_option
def list_command(as_json: bool, sort: str | None, **filters: Any) -> None:
    """List the pretrained models.

    PATTERN is a shell pattern for the name, e.g. "conv_*".
    """
    names = aezoo.list_models(sort=sort, **filters)
    entries = [aezoo.describe(name) for name in names]
    if as_json:
        print_json([{"name": entry.name, **entry.to_dict()} for entry in entries])
        return
    if not entries:
        echo("No model meets these filters. `aezoo list` shows all.", err=True)
        return
    print_table(*_models_table(entries, sort), numeric={2, 3, 6})


def _models_table(
    entries: Sequence["WeightsEntry"], sort: str | None
) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = ("name", "family", "latent", "params", "data", "metric", "value")
    rows: list[Sequence[str]] = []
    for entry in entries:
        metrics = {k: m for values in entry.metrics.values() for k, m in values.items()}
        # The recipe names the most telling metric first.
        metric = sort if sort in metrics else next(iter(metrics), "")
        rows.append(
            (
                entry.name,
                entry.family,
                "x".join(map(str, entry.latent_shape)),
                f"{entry.num_params:,}",
                entry.data.name,
                metric,
                f"{metrics[metric].value:.4g}" if metric else "",
            )
        )
    return header, rows


@main.command(epilog=NAMES)
@name_argument
@click.option(
    "--protocols", is_flag=True, help="All figures, and how each was measured."
)
@json_option
def describe(name: str, protocols: bool, as_json: bool) -> None:
    """Show what is known about one model, and the figures that tell most.

    --protocols shows all figures with the words of how each was measured; --json all
    that is known.
    """
    if is_own(name):
        _describe_own(name, protocols, as_json)
        return
    found = aezoo.describe(name)
    if as_json:
        print_json({"name": found.name, **found.to_dict()})
    else:
        echo(found.summary(protocols=protocols))


def _describe_own(name: str, protocols: bool, as_json: bool) -> None:
    """Print what a folder or repository says; of the latter, fetch no weights."""
    from aezoo.metrics.listing import listing
    from aezoo.store.reference import resolve

    entry = resolve(name).own_entry()
    if as_json:
        print_json(entry.to_dict())
        return
    rows = {
        "family": entry.family,
        "tasks": ", ".join(entry.tasks),
        "input": " x ".join(map(str, entry.input_shape)),
        "latent": " x ".join(map(str, entry.latent_shape)),
        "parameters": f"{entry.num_params:,}",
        "license": entry.license,
        "weights": f"{entry.weights.file}, {size_of(entry.weights.bytes)}, "
        f"sha256 {entry.weights.sha256[:12]}…",
        **({"origin": entry.origin} if entry.origin else {}),
        "folder": name,
    }
    lines = [entry.name, f"  {entry.description or 'No description.'}"]
    lines += [f"  {key:<11} {text or 'not stated'}" for key, text in rows.items()]
    lines += [f"  {line}" for line in listing(entry.metrics, protocols)]
    for line in lines:
        echo(line)


@main.command()
@click.option(
    "--dataset",
    default="mnist",
    show_default=True,
    help="Measured on; all for one table each.",
)
@click.option("--split", default="test", show_default=True, help="Its split.")
@click.option("--sort", help="Metric to sort by, best first, e.g. mse. [default: name]")
@click.option(
    "--models", multiple=True, help="Names or patterns, e.g. '*_vae_*'; repeatable."
)
@click.option("--baselines/--no-baselines", default=True, help="With PCA and the like?")
@_metrics
@json_option
def leaderboard(
    dataset: str,
    split: str,
    sort: str | None,
    models: tuple[str, ...],
    baselines: bool,
    metrics: tuple[list[str], ...],
    as_json: bool,
) -> None:
    """Show the published figures of models as Markdown tables.

    They come from the manifest, as those of the README. The best model's figure in
    each column is **bold**; those with a dagger are in another unit and cannot be
    compared. `aezoo describe` says how each was measured.
    """
    from aezoo.evaluation import leaderboard as ranking

    chosen, is_all = models or None, dataset == "all"
    datasets = ranking.measured_datasets(split, chosen) if is_all else [dataset]
    tables = [
        ranking.leaderboard(name, split, sort, joined(metrics), baselines, chosen)
        for name in datasets
    ]
    if as_json:
        found = [table.to_dict() for table in tables]
        print_json(found if is_all else found[0])
    elif is_all:
        texts = [
            f"{table.dataset}/{split}\n\n{table.to_markdown()}" for table in tables
        ]
        echo("\n\n".join(texts))
    else:
        echo(tables[0].to_markdown())
