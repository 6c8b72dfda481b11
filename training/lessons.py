"""Recompute every number in the words of the tables from what was measured.

    python -m training.lessons
    python -m training.lessons iwae_mnist

A lesson in `training.grid` is a sentence with fields in braces in the place of its
numbers and comparisons, filled here from `results/seeds.csv` and the manifest, which
holds the published seed:

- `{mse}` is the row's own mean over seeds;
- `{mse vs conv_ae_mnist}` its difference to another row: by how much it lies above or
  below, or that it does not beyond the noise; `{mse vs conv_ae_mnist:%}` in percent of
  the other row's mean;
- `{frechet vs frechet/gmm}` compares two figures of the same trainings;
- `{beta_tcvae_shapes.mig vs beta_vae_shapes_b4}` compares two other rows.

Beyond the noise is what Welch's 95 % interval over seeds excludes (Student's of paired
differences within a row), of as many trainings on each side as `training.seeds` asks
for: three of a row of the grid, five of drawn shapes. What rests on fewer is shown with
how many there are so far, and claimed by nobody.
"""

import dataclasses
import os
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click

from aezoo import manifest
from aezoo.errors import AezooError
from aezoo.manifest import Metric
from aezoo.metrics import format_figure, heading, higher_is_better
from training import seeds
from training.grid import OBJECTIVES, Objective
from training.intervals import Estimate, difference, mean, paired_difference

# Figures as the grid's table and its lessons call them; others have their heading.
NOUNS: Mapping[str, str] = {
    "iwae_nll/binarised": "NLL",
    "elbo/binarised": "ELBO",
    "elbo/binarised/given_labels": "ELBO",
    "elbo": "ELBO",
    "kl/binarised": "KL",
    "kl": "KL",
    "total_correlation/gaussian": "Gaussian total correlation",
    "denoising_mse": "denoising MSE",
    "frechet": "Frechet distance",
    "frechet/gmm": "Frechet distance of the mixture",
    "reconstruction_frechet": "Frechet distance of reconstructions",
    "linear_probe": "probe",
}


class LessonError(AezooError, ValueError):
    """A lesson asks for what was not measured, or compares what cannot be."""


class Records:
    """Figures by row and metric, of every seed.

    Args:
        figures: What was measured. Where the manifest and a results file have the same
            figure, the latter: it may be of fewer images, so that all rows have it.

    Raises:
        LessonError: If seeds of a row were measured by different protocols.
    """

    def __init__(self, figures: Iterable[seeds.Figure]) -> None:
        self._figures: dict[tuple[str, str], dict[int, Metric]] = {}
        for figure in figures:
            key = (figure.model, seeds.plain_name(figure.metric))
            self._figures.setdefault(key, {})[figure.seed] = figure.record
        for (row, metric), by_seed in self._figures.items():
            protocols = {record.protocol for record in by_seed.values()}
            if len(protocols) > 1:
                raise LessonError(
                    f"Seeds of {row!r} have {metric!r} by different protocols, so that "
                    f"they do not compare: {sorted(protocols)}."
                )

    def has(self, row: str, metric: str) -> bool:
        """Whether any seed of a row has a figure."""
        return (row, metric) in self._figures

    def num_seeds(self, row: str, metric: str) -> int:
        """Seeds of a row that have a figure."""
        return len(self._figures.get((row, metric), {}))

    def is_sound(self, row: str, metric: str) -> bool:
        """Whether a figure rests on as many seeds as a claim about its row needs."""
        return self.num_seeds(row, metric) >= seeds.num_seeds(row)

    def values(self, row: str, metric: str) -> dict[int, float]:
        """A figure of every seed that has it, by seed."""
        by_seed = self._figures.get((row, metric), {})
        return {seed: by_seed[seed].value for seed in sorted(by_seed)}

    def estimate(self, row: str, metric: str) -> Estimate:
        """The mean of a figure over seeds."""
        return mean([*self.values(row, metric).values()], seeds.num_seeds(row))

    def comparison(self, left: "Operand", right: "Operand") -> Estimate:
        """How much the left one is above the right one.

        Two figures of a row are of the same trainings, and compared in pairs.

        Raises:
            LessonError: If they are of different images, or in different units.
        """
        a, b = (self.values(side.row, side.metric) for side in (left, right))
        records = [
            next(iter(self._figures[side.row, side.metric].values()))
            for side in (left, right)
        ]
        if (
            _images(records[0]) != _images(records[1])
            or len({record.unit for record in records}) != 1
        ):
            raise LessonError(
                f"{left} and {right} do not compare: "
                f"{' | '.join(f'{r.unit}; {_images(r)}' for r in records)}."
            )
        least = max(seeds.num_seeds(left.row), seeds.num_seeds(right.row))
        if left.row == right.row:
            both = sorted(set(a) & set(b))
            return paired_difference([a[s] for s in both], [b[s] for s in both], least)
        return difference([*a.values()], [*b.values()], least)


def _images(record: Metric) -> str:
    """Which images a figure is of, as its protocol begins."""
    return record.protocol.partition(";")[0]


@dataclasses.dataclass(frozen=True)
class Operand:
    """One side of a comparison: a figure of a row."""

    row: str
    metric: str

    def __str__(self) -> str:
        """As a lesson names it."""
        return f"{self.row}.{self.metric}"


def read_records(results: Path | None = None) -> Records:
    """What the manifest and a results file hold of the rows with several seeds.

    Args:
        results: The file; None for `seeds.RESULTS`.
    """
    entries = manifest.entries()
    published = [
        seeds.Figure(
            name,
            entries[name].seed,
            metric,
            record,
            entries[name].training.seconds,
        )
        for name in seeds.rows()
        if name in entries
        for metric, record in _of_test_split(entries[name]).items()
    ]
    return Records([*published, *seeds.read(results or seeds.RESULTS)])


def _of_test_split(entry: manifest.WeightsEntry) -> Mapping[str, Metric]:
    return entry.metrics.get(f"{entry.data.name}/{seeds.SPLIT}", {})


# --- Words ---------------------------------------------------------------------------


def figure_text(metric: str, estimate: Estimate) -> str:
    """A mean as tables and lessons show it: `6.85 ± 0.31`; of too few seeds bare."""
    text = format_figure(metric, estimate.value)
    if not estimate.is_claim or estimate.half_width is None:
        return text
    return f"{text} ± {format_figure(metric, estimate.half_width)}"


def lesson_text(row: Objective, records: Records) -> str:
    """A lesson with its numbers.

    Raises:
        LessonError: If a field is none, or compares what cannot be.
    """
    parts, short = [], []
    for literal, field, spec, _ in string.Formatter().parse(row.lesson):
        parts.append(literal)
        if field is None:
            continue
        if spec not in ("", "%"):
            raise LessonError(f"The lesson of {row.name!r} has a field ':{spec}'.")
        words, count, least = _field_text(row.name, field, spec == "%", records)
        parts.append(words)
        if count < least:
            short.append((count / least, f"{count} of {least}"))
    if short:
        parts.append(f" ({min(short)[1]} seeds so far: no claim.)")
    return "".join(parts)


def _field_text(
    row: str, field: str, is_relative: bool, records: Records
) -> tuple[str, int, int]:
    """The words of a field, the seeds they rest on, and those that a claim needs."""
    left_text, versus, right_text = field.partition(" vs ")
    left = _operand(left_text, row, left_text)
    least = seeds.num_seeds(left.row)
    if not versus:
        count = records.num_seeds(left.row, left.metric)
        if not count:
            return f"(no {noun(left.metric)} measured yet)", 0, least
        estimate = records.estimate(left.row, left.metric)
        return figure_text(left.metric, estimate), count, least
    right = _operand(right_text, left.row, left.metric)
    subject = noun(left.metric) + ("" if left.row == row else f" of `{left.row}`")
    other = noun(right.metric) if right.row == left.row else f"that of `{right.row}`"
    if not all(records.has(side.row, side.metric) for side in (left, right)):
        return f"{subject} against {other} not measured yet", 0, least
    compared = records.comparison(left, right)
    words = _verdict(left, right, compared, is_relative, records)
    return f"{subject} {words} {other}", compared.count, compared.least


def _verdict(
    left: Operand,
    right: Operand,
    compared: Estimate,
    is_relative: bool,
    records: Records,
) -> str:
    """`0.4 ± 0.1 above`, or that nothing differs beyond the noise."""

    def amount(value: float) -> str:
        return f"{value:.0f}" if is_relative else format_figure(left.metric, value)

    if is_relative:
        base = records.estimate(right.row, right.metric).value
        compared = compared.scaled(100.0 / base)
    unit = " %" if is_relative else ""
    side = "above" if compared.value > 0 else "below"
    size = amount(abs(compared.value))
    if not compared.is_claim:
        return f"{size}{unit} {side}"
    size = f"{size} ± {amount(compared.half_width or 0.0)}{unit}"
    if compared.is_beyond_noise:
        return f"{size} {side}"
    return f"within the noise ({size} {side}) of"


def _operand(text: str, row: str, metric: str) -> Operand:
    """`row.metric`, or a row or a metric alone beside the default of the other."""
    before, dot, after = text.partition(".")
    if dot:
        found = Operand(before, after)
    elif text in seeds.rows():
        found = Operand(text, metric)
    else:
        found = Operand(row, text)
    if found.row not in seeds.rows() or not seeds.is_measured(found.metric):
        raise LessonError(
            f"A field must name a row of {', '.join(seeds.rows())}, a metric that "
            f"`training.seeds` measures, or both as `row.metric`. Received: {text!r}."
        )
    return found


def noun(metric: str) -> str:
    """What a lesson calls a metric."""
    return NOUNS.get(metric, heading(metric))


# --- Columns -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Which row of a column is ahead of all others, beyond the noise.

    Attributes:
        best: The row with the best mean; None if fewer than two have enough seeds.
        rivals: Those that do not differ from it beyond the noise.
        compared: How many rows have enough seeds.
    """

    best: str | None
    rivals: tuple[str, ...]
    compared: int

    @property
    def winner(self) -> str | None:
        """The row that may be bold."""
        return None if self.rivals else self.best


def verdict(metric: str, rows: Sequence[str], records: Records) -> Verdict:
    """Compare the rows of a column.

    Args:
        metric: One that has a better direction, else no row is best.
        rows: Names.
        records: Their figures.
    """
    sound = [row for row in rows if records.is_sound(row, metric)]
    is_higher = higher_is_better(metric)
    if len(sound) < 2 or is_higher is None:
        return Verdict(None, (), len(sound))
    sign = 1.0 if is_higher else -1.0
    best = max(sound, key=lambda row: sign * records.estimate(row, metric).value)
    rivals = tuple(
        row
        for row in sound
        if row != best
        and not records.comparison(
            Operand(best, metric), Operand(row, metric)
        ).is_beyond_noise
    )
    return Verdict(best, rivals, len(sound))


def verdict_text(title: str, found: Verdict) -> str:
    """A column's verdict in words; empty if nothing can be compared."""
    if found.best is None:
        return ""
    if not found.rivals:
        return f"{title}: `{found.best}` is ahead of every other row."
    rivals = ", ".join(f"`{row}`" for row in found.rivals)
    return (
        f"{title}: no row is ahead; the best mean is that of `{found.best}`, and "
        + (
            f"{rivals} {'does' if len(found.rivals) == 1 else 'do'} not differ from it "
            "beyond the noise."
        )
    )


# --- Command line --------------------------------------------------------------------


def literals(lesson: str) -> str:
    """A lesson's own words, without its fields."""
    return " ".join(part for part, *_ in string.Formatter().parse(lesson))


# What may stand in a lesson only by way of a field: numbers, and who is ahead.
CLAIMS = re.compile(
    r"\d|%|\b(?:best|better|worst|worse|lowest|highest|ahead|behind|above|below|"
    r"twice|thrice|times|half|third|quarter|tenth|nats?)\b"
)


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--results", type=click.Path(path_type=Path), default=seeds.RESULTS)
def main(names: tuple[str, ...], results: Path) -> None:
    """Command line."""
    known = [row.name for row in OBJECTIVES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.ClickException(
            f"Rows must be of the grid. Received: {', '.join(unknown)}. Known: "
            f"{', '.join(known)}."
        )
    try:
        records = read_records(results)
        for row in OBJECTIVES:
            if not names or row.name in names:
                click.echo(f"{row.name}: {lesson_text(row, records)}")
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
