"""Write the figures of pages and recipe headers, and the schema of the manifest.

    python -m training.documents

Run it after every export, every `python -m training.evaluate --write` and every sweep;
a test fails while the documents and the measurements disagree.
"""

import dataclasses
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from aezoo import manifest
from aezoo.evaluation.context import Settings
from aezoo.evaluation.leaderboard import Leaderboard, leaderboard, measured_datasets
from aezoo.manifest import WeightsEntry
from aezoo.metrics import format_figure, heading
from aezoo.metrics.latent import SATURATION_MARGIN
from aezoo.utils.files import atomic_path
from training import draws, seeds, sweeps, transfer
from training.export import ROOT
from training.grid import BUDGET, GRID, NETWORK, OBJECTIVES
from training.intervals import Estimate
from training.lessons import (
    Records,
    Verdict,
    figure_text,
    lesson_text,
    read_records,
    verdict,
    verdict_text,
)
from training.seeds import NLL_IMAGES
from training.sweeps import SWEEPS, Results

README = ROOT / "README.md"
CHOOSE = ROOT / "docs" / "choose.md"
SCHEMA = manifest.PACKAGE / "weights_manifest.schema.json"
START = "<!-- {}: written by `python -m training.documents` -->"
END = "<!-- /{} -->"
GRID_DATASET = "mnist"
# Titles of the grid's columns, and the metrics that they show: of the first one rows
# are compared, a figure of another compares with none of it.
GRID_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "NLL": ("iwae_nll/binarised",),
    "ELBO": ("elbo/binarised", "elbo"),
    "MSE": ("mse",),
    "KL": ("kl/binarised", "kl"),
    "active units": ("active_units",),
    "Frechet, prior": ("frechet",),
    "Frechet, mixture": ("frechet/gmm",),
    "Frechet, transformer": ("frechet/autoregressive",),
    "probe": ("linear_probe",),
}


@dataclasses.dataclass(frozen=True)
class Section:
    """The weights of a dataset that stand beside the grid.

    Attributes:
        title: Heading.
        columns: Metrics, as far as any row has them.
        note: What a reader must know to compare the figures with others.
    """

    title: str
    columns: tuple[str, ...]
    note: str = ""


MUSIC_COLUMNS = (
    *("note_accuracy", "frame_accuracy", "elbo", "iwae_nll", "kl", "active_units"),
    "pitch_class_entropy",
)
SECTIONS: Mapping[str, Section] = {
    "mnist": Section(
        "MNIST, other networks",
        (
            *("mse", "denoising_mse", "elbo/binarised", "iwae_nll/binarised"),
            *("active_units", "frechet", "frechet/gmm"),
            *("linear_probe", "linear_probe/100"),
        ),
    ),
    "fashion_mnist": Section(
        "Fashion-MNIST",
        (
            *("mse", "ssim", "elbo", "elbo/binarised", "iwae_nll/binarised"),
            *("active_units", "codebook_perplexity", "frechet", "frechet/gmm"),
            *("frechet/autoregressive", "linear_probe"),
        ),
    ),
    "cifar10": Section(
        "CIFAR-10",
        (
            *("mse", "psnr", "ssim", "active_units"),
            *("codebook_usage", "codebook_perplexity", "linear_probe"),
        ),
        note="No ELBO is shown: pixels are Laplace of scale 1 in one model and "
        "Gaussian of a fitted scale in the other, so that theirs do not compare. "
        "`vq_vae_2_cifar10` has two codebooks, and its usage and perplexity are over "
        "the entries of both at once.",
    ),
    "shapes": Section(
        "Drawn shapes with known factors",
        (
            *("mse", "kl", "active_units", "total_correlation", "mig"),
            *("dci_disentanglement", "dci_completeness", "factor_vae_score"),
        ),
        note="Total correlation is left out where the mutual information of image and "
        f"code is within {SATURATION_MARGIN:g} nats of the most that so many images "
        "can tell; where it is not, what is shown may be too high by up to half a "
        "nat.",
    ),
    "omniglot28": Section(
        "Omniglot",
        ("mse", "ssim", "elbo/binarised", "iwae_nll/binarised", "kl/binarised"),
        note="Split and scaling are ours: drawings of the background characters to "
        "train on, of the evaluation characters, all others, to test on, box-filtered "
        "to 28 pixels. Figures of the literature are mostly of another file, whose "
        "splits share their characters.",
    ),
    "frey_faces": Section(
        "Frey faces",
        ("mse", "ssim", "elbo", "kl"),
        note="The dataset has no split; ours has the last 400 of its consecutive "
        "frames to test on.",
    ),
    "tatoeba": Section(
        "English sentences of Tatoeba",
        ("token_accuracy", "elbo", "iwae_nll", "perplexity", "kl", "active_units"),
        note="A language model of the same decoder without a latent, and what lies "
        "between two sentences: [sentences](sentences.md).",
    ),
    "jsb_chorales_2bars": Section(
        "Two bars of Bach's chorales",
        MUSIC_COLUMNS,
        note="What lies between two pieces, and samples to hear: [music](music.md).",
    ),
    "jsb_chorales_4bars": Section(
        "Four bars of Bach's chorales",
        MUSIC_COLUMNS,
        note="The same network and training, with a conductor and without one.",
    ),
    "traffic_futures": Section(
        "Futures of simulated traffic, given a picture",
        (
            *("best_of_20_ade", "best_of_20_fde", "futures_covered", "samples_covered"),
            *("elbo", "kl"),
        ),
        note="Beside a regressor and retrieval, and drawn: [motion](motion.md).",
    ),
}
# What all labels of a dataset are, of those that features are carried over to.
TRAINING_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}
TEXT_WIDTH = 90
OTHER_COLUMNS = (
    *("mse", "psnr", "ssim", "elbo", "iwae_nll", "iwae_nll/binarised", "kl"),
    "active_units",
)


# --- Pages ---------------------------------------------------------------------------


def regions() -> dict[Path, dict[str, Callable[[], str]]]:
    """The pages that have generated parts, and what makes each part."""
    return {
        README: {"models": short_text},
        CHOOSE: {"grid": grid_text, "models": models_text},
        ROOT / "docs" / "learn" / "lessons.md": {"sweeps": sweeps_text},
        ROOT / "docs" / "use" / "transfer-results.md": {"transfer": transfer_text},
    }


def page_text(path: Path) -> str:
    """A page with what is generated between its markers."""
    text = path.read_text(encoding="utf-8")
    for name, make in regions()[path].items():
        start, end = START.format(name), END.format(name)
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = f"{before}{start}\n{make()}{end}{after}"
    return text


def short_text() -> str:
    """A row of each dataset: how many models, and whose error is the smallest."""
    lines = []
    for dataset in measured_datasets():
        rows = leaderboard(dataset, baselines=False).rows
        measured = [  # errors in other units do not compare
            row
            for row in rows
            if "mse" in row.metrics and "[0, 1]" in row.metrics["mse"].unit
        ]
        if measured:
            best = min(measured, key=lambda row: row.metrics["mse"].value)
            figure = format_figure("mse", best.metrics["mse"].value)
            lines.append([dataset, f"`{best.name}`", figure, str(len(rows))])
    headings = ["data", "nearest reconstructions", "MSE", "models"]
    return _table(headings, lines, text_columns=2) + "\n"


def grid_text() -> str:
    """The grid: figures by objective, then what they teach; empty without weights."""
    entries = manifest.entries()
    names = [row.name for row in OBJECTIVES if row.name in entries]
    if not names:
        return ""
    records = read_records()
    verdicts = {
        title: verdict(metrics[0], names, records)
        for title, metrics in GRID_COLUMNS.items()
    }
    columns = {
        title: column
        for title, metrics in GRID_COLUMNS.items()
        if any(
            column := [_grid_cell(entries[name], metrics, records) for name in names]
        )
    }
    for title, column in columns.items():
        if (winner := verdicts[title].winner) is not None:
            place = names.index(winner)
            column[place] = f"**{column[place]}**"
    columns = {
        "code": ["x".join(map(str, entries[name].latent_shape)) for name in names],
        **columns,
        "seconds": [f"{entries[name].training.seconds:,.0f}" for name in names],
        "seeds": [str(records.num_seeds(name, "mse")) for name in names],
    }
    lines, lessons = [], []
    for group, rows in GRID.items():
        trained = [row for row in rows if row.name in names]
        lines += [[f"**{group}**"]] if trained else []
        for row in trained:
            i = names.index(row.name)
            mark = "" if row.is_matched else " ‡"
            cells = [column[i] for column in columns.values()]
            lines.append([row.words + mark, f"`{row.name}`", *cells])
            lessons.append([f"`{row.name}`", lesson_text(row, records)])
    figures = _table(["objective", "weights", *columns], lines, text_columns=2)
    taught = _table(["weights", "lesson"], lessons, text_columns=2)
    return "\n\n".join(
        (
            f"{_grid_words()}",
            figures,
            verdicts_text(verdicts, names, records),
            f"What each row teaches (`python -m training.lessons`):\n\n{taught}\n",
        )
    )


def _grid_cell(entry: WeightsEntry, metrics: Sequence[str], records: Records) -> str:
    """The figure that a column shows of a row: of images as it was trained on."""
    if len(metrics) == 1 or entry.config.get("binarize"):
        return _seeds_cell(entry.name, metrics[0], records)
    cell = _seeds_cell(entry.name, metrics[1], records)
    return f"{cell} †" if cell else ""


def _seeds_cell(name: str, metric: str, records: Records) -> str:
    """A mean over seeds with its interval; empty where there is no figure."""
    if not records.has(name, metric):
        return ""
    return figure_text(metric, records.estimate(name, metric))


def verdicts_text(
    verdicts: Mapping[str, Verdict], names: Sequence[str], records: Records
) -> str:
    """Which row of each column is ahead beyond the noise, if any is."""
    sound = [name for name in names if records.is_sound(name, "mse")]
    needed = max(map(seeds.num_seeds, names))
    counted = (
        f"All rows have {needed} seeds."
        if len(sound) == len(names)
        else f"{len(sound)} of {len(names)} rows have their {needed} seeds so far; the "
        "figures of the others are of fewer trainings, and compare with nothing yet."
    )
    words = (
        f"± is the 95 % interval of the mean over seeds. {counted} Bold is ahead of "
        "every other row that compares, by Welch's 95 % interval of the difference."
    )
    told = [verdict_text(title, found) for title, found in verdicts.items()]
    return "\n".join([words, *(f"- {line}" for line in told if line)])


def _grid_words() -> str:
    filters = ", ".join(map(str, NETWORK["filters"]))
    hidden = ", ".join(map(str, NETWORK["hidden_units"]))
    return (
        "### MNIST: one network, one budget, many objectives\n\n"
        f"One network (3x3 convolutions of {filters} filters, {hidden} dense units, "
        f"{NETWORK['latent_dim']} code units), one budget ({BUDGET['epochs']} epochs, "
        f"batches of {BUDGET['batch_size']}, Adam at {BUDGET['learning_rate']:g}); ‡ "
        "marks another network or budget. ELBO and KL are of binarised images; † "
        "marks those of grey ones, of models that were trained on these, and compares "
        f"with no other row. NLL is of the first {NLL_IMAGES} binarised test images, "
        f"{Settings.importance_samples} codes each. Samples are from the prior, from a "
        "mixture of Gaussians fitted to the codes, or from a transformer over discrete "
        "ones. The weights are those of the median seed where all are measured, else "
        "of the first; `results/seeds.csv` has the figures of all."
    )


def models_text() -> str:
    """A section of each dataset: the weights beside the grid, and baselines."""
    datasets = measured_datasets()
    first = [name for name in SECTIONS if name in datasets]
    grid = {row.name for row in OBJECTIVES}
    records = read_records()
    sections = []
    for dataset in (*first, *(name for name in datasets if name not in first)):
        section = SECTIONS.get(dataset, Section(dataset, OTHER_COLUMNS))
        measured = leaderboard(dataset, baselines=False).rows
        others = [row.name for row in measured if row.name not in grid]
        if others:
            metrics = _present(leaderboard(dataset, models=others), section.columns)
            table = leaderboard(dataset, models=others, metrics=metrics)
            parts = [f"### {section.title}", _models_table(table, records)]
            seeded = [name for name in others if name in seeds.rows()]
            if seeded:
                verdicts = {heading(m): verdict(m, seeded, records) for m in metrics}
                parts.append(verdicts_text(verdicts, seeded, records))
            notes = (section.note, _importance_note(table), _start_note(others))
            parts += [" ".join(filter(None, notes))]
            sections.append("\n\n".join(filter(None, parts)) + "\n")
    return "\n".join(sections)


def _models_table(table: Leaderboard, records: Records) -> str:
    """A leaderboard whose figures are of several seeds where there are several.

    Of one training, distances of samples are of several draws of these.

    Nothing is bold but what is ahead beyond the noise: one training tells no best.
    """
    columns = []
    spreads = draws.spreads(draws.read())
    for metric in table.columns:
        cells = [cell.strip("*") for cell in table.column(metric)]
        names = [row.name for row in table.rows]
        plain = seeds.plain_name(metric)
        seeded = [name for name in names if records.num_seeds(name, plain) > 1]
        winner = verdict(plain, seeded, records).winner
        for i, name in enumerate(names):
            if name in seeded:
                cells[i] = _seeds_cell(name, plain, records)
            if (name, metric) in spreads:
                of_draws = [format_figure(metric, x) for x in spreads[name, metric]]
                cells[i] = " ± ".join(of_draws)
            if name == winner:
                cells[i] = f"**{cells[i]}**"
        columns.append(cells)
    headings = ["model", "code units", "parameters", *map(heading, table.columns)]
    lines = [
        [
            f"{row.name} (baseline)" if row.is_baseline else f"`{row.name}`",
            "" if row.code_units is None else str(row.code_units),
            "" if row.num_params is None else f"{row.num_params:,}",
            *cells,
        ]
        for row, *cells in zip(table.rows, *columns, strict=True)
    ]
    return _table(headings, lines, text_columns=1)


def _importance_note(table: Leaderboard) -> str:
    """How many codes an example the likelihoods of a table took."""
    by_count: dict[int, list[str]] = {}
    for row in table.rows:
        for name, record in row.metrics.items():
            found = re.search(r"K = (\d+)", record.protocol)
            if name in table.columns and found:
                by_count.setdefault(int(found[1]), []).append(f"`{row.name}`")
    if not by_count:
        return ""
    most = max(by_count)
    fewer = [
        f"{count} for {', '.join(dict.fromkeys(names))}"
        for count, names in sorted(by_count.items())
        if count != most
    ]
    return f"NLL takes {'; '.join([f'{most} codes an example', *fewer])}."


def _start_note(names: Sequence[str]) -> str:
    """Which weights were not trained from random ones."""
    starts: dict[str, list[str]] = {}
    for name in names:
        start = manifest.entries()[name].training.start_from
        if start is not None:
            starts.setdefault(start, []).append(f"`{name}`")
    return " ".join(
        f"From the trained weights of `{start}`, not from random ones, start: "
        f"{', '.join(rows)}."
        for start, rows in starts.items()
    )


def sweeps_text() -> str:
    """A section of each sweep that has run: its figures and its picture."""
    found = [(sweep, sweeps.read_results(name)) for name, sweep in SWEEPS.items()]
    return "\n".join(
        f"### Sweep of `{results.argument}`\n\n"
        f"{sweep.words} The VAE of the grid, {results.epochs} epochs each "
        f"(`{results.command}`):\n\n{_sweep_table(results)}\n\n"
        f"![Samples of each value, and -log p(x|z) over KL]"
        f"(../sweeps/{results.argument}.png)\n"
        for sweep, results in found
        if results is not None
    )


def transfer_text() -> str:
    """What transfer teaches, then a table and a picture of each dataset."""
    summaries = transfer.summarise(transfer.read_results())
    if not summaries:
        return ""
    taught = [
        textwrap.fill(
            lesson,
            width=TEXT_WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        for lesson in transfer.lessons(summaries)
    ]
    sections = ["\n".join(taught) + "\n"]
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
        passes = transfer.epochs_of_all(TRAINING_IMAGES[target])
        sections.append(
            f"Test accuracy on {target} in percent, by labels per class. With all "
            f"labels, networks are trained for {passes:.2f} of an epoch only, from "
            "random weights as from others, so that nothing there is bold:\n\n"
            f"{_table(headings, lines, text_columns=3)}\n\n"
            f"![Accuracy over labels per class](../transfer/{target}.png)\n"
        )
    return "\n".join(sections)


def _transfer_cell(
    row: transfer.Row,
    budget: int,
    summaries: Mapping[transfer.Row, Mapping[int, Estimate]],
) -> str:
    if budget not in summaries[row]:
        return ""
    text = transfer.percent(summaries[row][budget])
    return f"**{text}**" if transfer.is_above_random(row, budget, summaries) else text


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


def _table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int
) -> str:
    from tabulate import tabulate

    return tabulate(
        lines,
        [text.replace("|", r"\|") for text in headings],  # a bar would end the cell
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
    """Every document with figures, the manifest's schema, and what each must say."""
    for path in regions():
        yield path, page_text(path)
    for entry in manifest.read_manifest(manifest.manifest_path()).models.values():
        yield ROOT / entry.recipe, recipe_text(entry)
    schema = json.dumps(manifest.manifest_schema(), indent=1, ensure_ascii=False)
    yield SCHEMA, schema + "\n"


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
