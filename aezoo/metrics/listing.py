"""Measured figures as lines of text: those that tell most, or all with their words."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Protocol

from aezoo.metrics import definition_of, format_figure, higher_is_better

WIDTH = 88
_WAYS = {True: "higher", False: "lower", None: ""}


class Figure(Protocol):
    """What is listed of a measured figure, as `aezoo.manifest.Metric` has it."""

    @property
    def value(self) -> float:
        """The figure."""

    @property
    def unit(self) -> str:
        """Its unit."""

    @property
    def protocol(self) -> str:
        """How it was measured, in words."""

    @property
    def standard_error(self) -> float | None:
        """Of a mean; None where there is none."""


def telling(figures: Mapping[str, Figure]) -> list[str]:
    """Names of the figures that tell most of a model, in their order.

    The first one, which its recipe names; and those that the leaderboard shows, or
    `evaluate` measures, unless others are asked for.
    """
    first = next(iter(figures), None)
    return [name for name in figures if name == first or _is_telling(name)]


def _is_telling(name: str) -> bool:
    found = definition_of(name)
    return found is not None and (found.is_headline or found.is_quick)


def _spread(name: str, figure: Figure) -> str:
    error = figure.standard_error
    if error is None:
        return ""
    is_share = format_figure(name, figure.value).endswith("%")
    return f"± {100 * error:.2g}%" if is_share else f"± {error:.2g}"


def table(figures: Mapping[str, Figure]) -> Iterator[str]:
    """One line a figure: name, value, standard error, which way is better, unit."""
    rows = [
        (
            name,
            format_figure(name, figure.value),
            _spread(name, figure),
            _WAYS[higher_is_better(name)],
            figure.unit,
        )
        for name, figure in figures.items()
    ]
    rows.insert(0, ("", "value", "", "better", "unit"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, value, error, way, unit in rows:
        cells = (
            name.ljust(widths[0]),
            value.rjust(widths[1]),
            error.ljust(widths[2]),
            way.ljust(widths[3]),
        )
        line = "  ".join(cells) + "  "
        room = max(WIDTH - 4 - len(line), 12)
        yield (line + textwrap.shorten(unit, room, placeholder=" …")).rstrip()


def in_words(figures: Mapping[str, Figure]) -> Iterator[str]:
    """Each figure and, below it, how it was measured."""
    for name, figure in figures.items():
        value = f"{format_figure(name, figure.value)} {_spread(name, figure)}".rstrip()
        yield f"{name}  {value} {figure.unit}"
        yield from textwrap.wrap(
            figure.protocol,
            WIDTH - 6,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,  # "scikit-image" stays one word
        )


def listing(
    metrics: Mapping[str, Mapping[str, Figure]], protocols: bool = False
) -> Iterator[str]:
    """Figures by dataset and split: the most telling as a table, or all with words.

    Args:
        metrics: Figures by `dataset/split`, then by name.
        protocols: List all, and say of each how it was measured.
    """
    for key, figures in metrics.items():
        yield f"metrics on {key}"
        names = list(figures) if protocols else telling(figures)
        shown = {name: figures[name] for name in names}
        yield from (f"  {line}" for line in (in_words if protocols else table)(shown))
        if len(shown) < len(figures):
            yield f"  and {len(figures) - len(shown)} more; --protocols shows all"
