"""The leaderboard: published figures side by side, from the manifest alone.

Imports neither NumPy nor TensorFlow. The module is not called `leaderboard`: as an
attribute of the package it would hide the function of that name.
"""

import dataclasses
import fnmatch
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aezoo import manifest
from aezoo.manifest import Metric
from aezoo.metrics import (
    METRICS,
    definition_of,
    format_figure,
    heading,
    higher_is_better,
)
from aezoo.utils.text import did_you_mean


@dataclasses.dataclass(frozen=True)
class Row:
    """One model, or one baseline.

    Attributes:
        name: Its name in the manifest.
        is_baseline: Whether it is a baseline rather than a model of the zoo.
        code_units: Size of one code; None for baselines.
        num_params: Number of weights; None for baselines.
        metrics: Its figures by metric.
    """

    name: str
    is_baseline: bool
    code_units: int | None
    num_params: int | None
    metrics: Mapping[str, Metric]

    def has(self, metric: str, unit: str | None) -> bool:
        """Whether it has a metric, in this unit."""
        return metric in self.metrics and self.metrics[metric].unit == unit

    def figure(self, metric: str) -> str:
        """A metric's value as it is shown; empty where there is none."""
        if metric not in self.metrics:
            return ""
        return format_figure(metric, self.metrics[metric].value)


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """Figures on one split of one dataset, ready to print.

    Attributes:
        dataset: Name of the dataset.
        split: Its split.
        sort: The metric that rows are sorted by; None if they are sorted by name.
        columns: The metrics shown, in order.
        rows: Models and baselines, in order.
    """

    dataset: str
    split: str
    sort: str | None
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_markdown(self) -> str:
        """A Markdown table that is aligned in a terminal too, the best figures bold.

        Baselines compete with none: real images are no model.

        Of metrics where neither direction is better, none is bold. Figures in another
        unit than the rest of their column, which cannot be compared, have a dagger.
        """
        from tabulate import tabulate

        headings = ["model", "code units", "parameters", *map(heading, self.columns)]
        lines = [
            [
                f"{row.name} (baseline)" if row.is_baseline else f"`{row.name}`",
                "" if row.code_units is None else str(row.code_units),
                "" if row.num_params is None else f"{row.num_params:,}",
            ]
            for row in self.rows
        ]
        for metric in self.columns:
            for line, cell in zip(lines, self.column(metric), strict=True):
                line.append(cell)
        return tabulate(
            lines,
            headings,
            tablefmt="pipe",
            colalign=["left", *["right"] * (len(headings) - 1)],
            disable_numparse=True,
        )

    def column(self, metric: str) -> list[str]:
        """A metric's figures as the table shows them, one per row.

        Args:
            metric: Its name in the manifest; where no row has it, all are empty.
        """
        unit = _unit(self.rows, metric)
        comparable = [row for row in self.rows if row.has(metric, unit)]
        best = None
        models = [row for row in comparable if not row.is_baseline]
        if models and higher_is_better(metric) is not None:
            best = min(models, key=lambda row: _rank(row, metric, unit))
        cells = []
        for row in self.rows:
            figure = row.figure(metric)
            if row not in comparable:
                cells.append(f"{figure}†" if figure else "")
            # Compared as they are shown, so that equals share the bold.
            elif row in models and best and figure == best.figure(metric):
                cells.append(f"**{figure}**")
            else:
                cells.append(figure)
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values; of the metrics, those shown."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "sort": self.sort,
            "columns": list(self.columns),
            "rows": [
                {
                    "name": row.name,
                    "is_baseline": row.is_baseline,
                    "code_units": row.code_units,
                    "num_params": row.num_params,
                    "metrics": {
                        metric: row.metrics[metric].to_dict()
                        for metric in self.columns
                        if metric in row.metrics
                    },
                }
                for row in self.rows
            ],
        }


def leaderboard(
    dataset: str = "mnist",
    split: str = "test",
    sort: str | None = None,
    metrics: Sequence[str] | None = None,
    baselines: bool = True,
    models: str | Sequence[str] | None = None,
) -> Leaderboard:
    """The published figures of all models on a dataset, side by side.

    Args:
        dataset: Dataset that was measured on, e.g. `"mnist"`.
        split: Its split.
        sort: Metric to sort by: best first, rows without it, or with a figure in
            another unit, last. None sorts by name, models first.
        metrics: Metrics to show, in this order; None shows the most telling ones. A
            name without its variant stands for all variants: `"frechet"` for
            `"frechet/lenet_mnist_v1"`.
        baselines: Whether to show baselines such as PCA too.
        models: Names of models or patterns such as `"*_vae_*"`, one or several; None
            shows all.

    Returns:
        A table: `print(table.to_markdown())` shows it.

    Raises:
        ValueError: If nothing was measured on that split, no model has such a name,
            or a metric is unknown; names what there is.

    Example:
        >>> print(aezoo.leaderboard("mnist", sort="mse").to_markdown())
    """
    rows = _rows(f"{dataset}/{split}", baselines)
    shown = _matching([row.name for row in rows if not row.is_baseline], models)
    rows = [row for row in rows if row.is_baseline or row.name in shown]
    known = list(dict.fromkeys(metric for row in rows for metric in row.metrics))
    if metrics is None:
        wanted = _headlines(known)
    elif isinstance(metrics, str) or not metrics:
        raise ValueError(
            "`metrics` must be a sequence of at least one metric's name. "
            f"Received: metrics={metrics!r}."
        )
    else:
        wanted = [n for metric in metrics for n in _named("metrics", metric, known)]
    if sort is not None:
        found = _named("sort", sort, known)
        if len(found) > 1:
            raise ValueError(
                f"`sort` must name one metric of {', '.join(found)}. "
                f"Received: sort={sort!r}."
            )
        (sort,) = found
        wanted.append(sort)
    unit = None if sort is None else _unit(rows, sort)
    rows.sort(
        key=lambda row: (_rank(row, sort, unit), row.is_baseline, _natural(row.name))
    )
    return Leaderboard(dataset, split, sort, tuple(dict.fromkeys(wanted)), tuple(rows))


def measured_datasets(
    split: str = "test", models: str | Sequence[str] | None = None
) -> list[str]:
    """Names of the datasets that models were measured on, sorted.

    Args:
        split: The split that was measured on.
        models: As in `leaderboard`.

    Raises:
        ValueError: If there is none; names what there is.
    """
    measured = {name: entry.metrics for name, entry in manifest.entries().items()}
    names = _matching(measured, models)
    keys = {key for name in names for key in measured[name]}
    found = [key.rpartition("/")[0] for key in keys if key.endswith(f"/{split}")]
    if not found:
        raise _nothing_measured(split, keys)
    return sorted(found)


def _nothing_measured(what: str, keys: Iterable[str]) -> ValueError:
    known = list(keys)
    return ValueError(
        f"Nothing was measured on {what!r}. Measured, as `dataset/split`: "
        f"{', '.join(known)}.{did_you_mean(what, known)}"
    )


def _matching(names: Iterable[str], models: str | Sequence[str] | None) -> list[str]:
    """The names that are in `models` or match a pattern there; None matches all."""
    known = list(names)
    patterns = (
        ["*"] if models is None else [models] if isinstance(models, str) else models
    )
    found = [n for n in known if any(fnmatch.fnmatchcase(n, p) for p in patterns)]
    if not found:
        wrong = ", ".join(patterns)
        raise ValueError(
            "`models` must hold names or patterns of models measured here: "
            f"{', '.join(known)}. Received: {wrong!r}.{did_you_mean(wrong, known)}"
        )
    return found


def _rows(key: str, with_baselines: bool) -> list[Row]:
    entries, baselines = manifest.entries().values(), manifest.baselines()
    known = list(dict.fromkeys([k for e in entries for k in e.metrics]))
    if key not in known:
        raise _nothing_measured(key, known)
    rows = [
        Row(e.name, False, e.latent_dim, e.num_params, e.metrics[key])
        for e in entries
        if key in e.metrics
    ]
    if with_baselines:
        named = baselines.get(key, MappingProxyType({})).items()
        rows += [Row(name, True, None, None, metrics) for name, metrics in named]
    return rows


def _headlines(known: Iterable[str]) -> list[str]:
    """Those of the known figures that tell most, those of the prior before others'."""
    order = {d.name: place for place, d in enumerate(METRICS.values()) if d.is_headline}
    ranks = {
        (order[definition.name], name.count("/"), name)
        for name in known
        if (definition := definition_of(name)) is not None and definition.name in order
    }
    return [name for *_, name in sorted(ranks)]


def _of(metric: str, known: Iterable[str]) -> list[str]:
    """The metric itself if it is known, else all its variants."""
    if metric in known:
        return [metric]
    return sorted(name for name in known if name.rpartition("/")[0] == metric)


def _named(argument: str, metric: str, known: Sequence[str]) -> list[str]:
    found = _of(metric, known)
    if not found:
        raise ValueError(
            f"`{argument}` must name metrics measured here: {', '.join(known)}. "
            f"Received: {metric!r}.{did_you_mean(metric, known)}"
        )
    return found


def _unit(rows: Sequence[Row], metric: str) -> str | None:
    """The unit of most figures of a metric."""
    units = [row.metrics[metric].unit for row in rows if metric in row.metrics]
    return max(units, key=units.count, default=None)


def _natural(name: str) -> list[tuple[str, int]]:
    """A key that sorts `pca_z2` before `pca_z16`."""
    return [(text, int(part or 0)) for text, part in re.findall(r"(\D+)(\d*)", name)]


def _rank(row: Row, metric: str | None, unit: str | None) -> float:
    """Smaller for better figures; infinite where there is none in that unit."""
    if metric is None or not row.has(metric, unit):
        return math.inf
    value = row.metrics[metric].value
    return -value if higher_is_better(metric) else value
