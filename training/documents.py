"""Write the figures of README and recipe headers from what was measured.

    python -m training.documents

Run it after every export, every `python -m training.evaluate --write` and every sweep;
a test fails while the documents and the measurements disagree.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from aezoo import manifest
from aezoo.evaluation.leaderboard import (
    Leaderboard,
    format_figure,
    heading,
    leaderboard,
    measured_datasets,
)
from aezoo.manifest import WeightsEntry
from aezoo.utils.files import atomic_path
from training import sweeps, transfer
from training.export import ROOT
from training.grid import BUDGET, GRID, NETWORK, OBJECTIVES
from training.sweeps import SWEEPS, Results

README = ROOT / "README.md"
START = "<!-- {}: written by `python -m training.documents` -->"
END = "<!-- /{} -->"
GRID_DATASET = "mnist"
# Title, and columns as far as any row has them, of the weights beside the grid.
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist": (
        "MNIST, other networks",
        (
            *("mse", "denoising_mse", "elbo/binarised", "iwae_nll/binarised"),
            *("active_units", "frechet", "frechet/gmm"),
            *("linear_probe", "linear_probe/100"),
        ),
    ),
    "fashion_mnist": (
        "Fashion-MNIST",
        (
            *("mse", "ssim", "elbo", "elbo/binarised", "iwae_nll/binarised"),
            *("active_units", "codebook_perplexity", "frechet", "frechet/gmm"),
            *("frechet/autoregressive", "linear_probe"),
        ),
    ),
    "cifar10": (
        "CIFAR-10",
        (
            *("mse", "psnr", "ssim", "elbo", "active_units"),
            *("codebook_usage", "codebook_perplexity", "linear_probe"),
        ),
    ),
    "shapes": (
        "Drawn shapes with known factors",
        (
            *("mse", "kl", "active_units", "total_correlation", "mig"),
            *("dci_disentanglement", "dci_completeness", "factor_vae_score"),
        ),
    ),
    "omniglot28": (
        "Omniglot",
        ("mse", "ssim", "elbo/binarised", "iwae_nll/binarised", "kl/binarised"),
    ),
    "frey_faces": ("Frey faces", ("mse", "ssim", "elbo", "kl")),
}
OTHER_COLUMNS = (
    *("mse", "psnr", "ssim", "elbo", "iwae_nll", "iwae_nll/binarised", "kl"),
    "active_units",
)


# --- README --------------------------------------------------------------------------


def readme_text() -> str:
    """The README with what is generated between its markers."""
    text = README.read_text(encoding="utf-8")
    regions = {
        "grid": grid_text(),
        "models": models_text(),
        "sweeps": sweeps_text(),
        "transfer": transfer_text(),
    }
    for name, content in regions.items():
        start, end = START.format(name), END.format(name)
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = f"{before}{start}\n{content}{end}{after}"
    return text


def grid_text() -> str:
    """The grid: figures by objective, then what they teach; empty without weights."""
    entries = manifest.entries()
    if not any(row.name in entries for row in OBJECTIVES):
        return ""
    table = leaderboard(
        GRID_DATASET, models=[row.name for row in OBJECTIVES], baselines=False
    )
    names = [row.name for row in table.rows]
    found = {
        "code": ["x".join(map(str, entries[name].latent_shape)) for name in names],
        "NLL": _first_of(table, "iwae_nll/binarised"),
        "ELBO": _first_of(table, "elbo/binarised", "elbo"),
        "MSE": _first_of(table, "mse"),
        "KL": _first_of(table, "kl/binarised", "kl"),
        "active units": _first_of(table, "active_units"),
        "Frechet, prior": _of_variants(table, "frechet"),
        "Frechet, mixture": _of_variants(table, "frechet/gmm"),
        "Frechet, transformer": _of_variants(table, "frechet/autoregressive"),
        "probe": _first_of(table, "linear_probe"),
        "seconds": [f"{entries[name].training.seconds:,.0f}" for name in names],
    }
    columns = {title: column for title, column in found.items() if any(column)}
    lines, lessons = [], []
    for group, rows in GRID.items():
        trained = [row for row in rows if row.name in names]
        lines += [[f"**{group}**"]] if trained else []
        for row in trained:
            i = names.index(row.name)
            mark = "" if row.is_matched else " ‡"
            cells = [column[i] for column in columns.values()]
            lines.append([row.words + mark, f"`{row.name}`", *cells])
            lessons.append([f"`{row.name}`", row.lesson])
    figures = _table(["objective", "weights", *columns], lines, text_columns=2)
    taught = _table(["weights", "lesson"], lessons, text_columns=2)
    return f"{_grid_words()}\n\n{figures}\n\n{taught}\n"


def _grid_words() -> str:
    filters = ", ".join(map(str, NETWORK["filters"]))
    hidden = ", ".join(map(str, NETWORK["hidden_units"]))
    return (
        "### MNIST: one network, one budget, many objectives\n\n"
        f"One network (3x3 convolutions of {filters} filters, {hidden} dense units, "
        f"{NETWORK['latent_dim']} code units), one budget ({BUDGET['epochs']} epochs, "
        f"batches of {BUDGET['batch_size']}, Adam at {BUDGET['learning_rate']:g}); ‡ "
        "marks another network or budget. ELBO, NLL (500 samples) and KL are of "
        "binarised images for models that were trained on them, else of grey ones. "
        "Samples are from the prior, from a mixture of Gaussians fitted to the codes, "
        "or from a transformer over discrete ones. An ELBO of grey values compares "
        "with no other row's."
    )


def models_text() -> str:
    """A section of each dataset: the weights beside the grid, and baselines."""
    datasets = measured_datasets()
    first = [name for name in SECTIONS if name in datasets]
    grid = {row.name for row in OBJECTIVES}
    sections = []
    for dataset in (*first, *(name for name in datasets if name not in first)):
        title, wanted = SECTIONS.get(dataset, (dataset, OTHER_COLUMNS))
        measured = leaderboard(dataset, baselines=False).rows
        others = [row.name for row in measured if row.name not in grid]
        if others:
            metrics = _present(leaderboard(dataset, models=others), wanted)
            table = leaderboard(dataset, models=others, metrics=metrics)
            sections.append(f"### {title}\n\n{table.to_markdown()}\n")
    return "\n".join(sections)


def sweeps_text() -> str:
    """A section of each sweep that has run: its figures and its picture."""
    found = [(sweep, sweeps.read_results(name)) for name, sweep in SWEEPS.items()]
    return "\n".join(
        f"### Sweep of `{results.argument}`\n\n"
        f"{sweep.words} The VAE of the grid, {results.epochs} epochs each "
        f"(`{results.command}`):\n\n{_sweep_table(results)}\n\n"
        f"![Samples of each value, and -log p(x|z) over KL]"
        f"(docs/sweeps/{results.argument}.png)\n"
        for sweep, results in found
        if results is not None
    )


def transfer_text() -> str:
    """A table and a picture of each dataset that features were carried over to."""
    summaries = transfer.summarise(transfer.read_results())
    sections = []
    for target in dict.fromkeys(key[1] for key in summaries):
        lines = [
            [
                f"`{source}`" if source else "",
                layer,
                method,
                *(_transfer_cell(row, n, summaries) for n in transfer.BUDGETS),
            ]
            for row in summaries
            for source, of, layer, method in [row]
            if of == target
        ]
        counts = [str(budget or "all") for budget in transfer.BUDGETS]
        headings = ["weights", "layer", "method", *counts]
        sections.append(
            f"Test accuracy on {target} in percent, by labels per class:\n\n"
            f"{_table(headings, lines, text_columns=3)}\n\n"
            f"![Accuracy over labels per class](docs/transfer/{target}.png)\n"
        )
    return "\n".join(sections)


def _transfer_cell(
    row: transfer.Row,
    budget: int,
    summaries: Mapping[transfer.Row, Mapping[int, transfer.Summary]],
) -> str:
    if budget not in summaries[row]:
        return ""
    is_above = transfer.is_above_random(row, budget, summaries)
    return f"**{summaries[row][budget]}**" if is_above else str(summaries[row][budget])


def _sweep_table(results: Results) -> str:
    names = list(results.points[0].metrics)
    lines = [
        [
            f"{point.value:g}",
            *(format_figure(name, point.metrics[name].value) for name in names),
            f"{point.seconds:,.0f}",
        ]
        for point in results.points
    ]
    headings = [results.argument, *map(heading, names), "seconds"]
    return _table(headings, lines, text_columns=0)


def _variants(table: Leaderboard, metric: str) -> list[str]:
    """The names of a metric that carry its variant: `frechet/lenet_mnist_v1`."""
    known = {name for row in table.rows for name in row.metrics}
    return sorted(name for name in known if name.rpartition("/")[0] == metric)


def _present(table: Leaderboard, wanted: Sequence[str]) -> list[str]:
    """Those metrics that any row has, with or without a variant."""
    known = {name for row in table.rows for name in row.metrics}
    return [name for name in wanted if name in known or _variants(table, name)]


def _first_of(table: Leaderboard, first: str, *others: str) -> list[str]:
    """Each row's figure of the first of these metrics that it has.

    The best of the first metric is bold; the others' figures compare with none of it.
    """
    plain = [[cell.strip("*") for cell in table.column(name)] for name in others]
    return _merged([table.column(first), *plain])


def _of_variants(table: Leaderboard, metric: str) -> list[str]:
    """Each row's figure of the first variant that it has."""
    return _merged([table.column(name) for name in _variants(table, metric)])


def _merged(columns: Sequence[Sequence[str]]) -> list[str]:
    """The first cell of each row that is not empty."""
    return [next(filter(None, row), "") for row in zip(*columns, strict=True)]


def _table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int
) -> str:
    from tabulate import tabulate

    return tabulate(
        lines,
        headings,
        tablefmt="pipe",
        colalign=[
            "left" if i < text_columns else "right" for i in range(len(headings))
        ],
        disable_numparse=True,
    )


# --- Recipes -------------------------------------------------------------------------


def recipe_text(entry: WeightsEntry) -> str:
    """A recipe with what was measured in its header.

    The header names the figures; their values are the manifest's.
    """
    text = (ROOT / entry.recipe).read_text(encoding="utf-8")
    time = f"{entry.training.seconds:,.0f} s on {entry.training.hardware}"
    text = re.sub(r"(?m)^Measured: .*\.$", f"Measured: {time}.", text)

    def scores(line: re.Match[str]) -> str:
        figures = []
        for name in re.findall(r"([a-z][\w/]*) -?[\d.]+", line[1]):
            metric = entry.metric(name)
            if metric is None:
                raise click.ClickException(f"{entry.name} has no metric {name!r}.")
            figures.append(f"{name} {metric.value:.4g}")
        return f"Test split: {', '.join(figures)}."

    return re.sub(r"(?m)^Test split: (.*)\.$", scores, text)


def documents() -> Iterator[tuple[Path, str]]:
    """Every document with figures, and what it must say."""
    yield README, readme_text()
    for entry in manifest.read_manifest(manifest.manifest_path()).values():
        yield ROOT / entry.recipe, recipe_text(entry)


@click.command(help=__doc__)
def main() -> None:
    """Rewrite what is out of date."""
    for path, text in documents():
        if path.read_text(encoding="utf-8") != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            click.echo(f"Wrote {path.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
