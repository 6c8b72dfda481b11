"""What an evaluation returns: figures that say how they were measured."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from aezoo.manifest import Metric
from aezoo.metrics import canonical_name
from aezoo.utils.extras import require


@dataclasses.dataclass(frozen=True, eq=False)
class Report(Mapping[str, Metric]):
    """Figures of one model on one dataset: a read-only mapping from metric to record.

    A metric with a variant is also found without it where only one was measured:
    `report["frechet"]` is `report["frechet/lenet_mnist_v1"]`.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        split: Its split.
        num_examples: Examples measured on.
        seed: Seed of everything drawn.
        metrics: Records by metric.
        baselines: Reports of the baselines that were asked for, by their names.
        left_out: The reason by metric why it was not measured: because the data leave
            its figure without a meaning or, where all metrics were asked for, because
            it could not be.
    """

    model: str
    dataset: str
    split: str
    num_examples: int
    seed: int
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, "Report"] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )
    left_out: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )

    def __getitem__(self, name: str) -> Metric:
        if name in self.metrics:
            return self.metrics[name]
        wanted = canonical_name(name)
        if wanted in self.left_out:
            raise KeyError(f"{name!r} was left out. {self.left_out[wanted]}")
        found = [key for key in self.metrics if key.rpartition("/")[0] == wanted]
        if len(found) == 1:
            return self.metrics[found[0]]
        raise KeyError(f"{name!r} was not measured. Measured: {', '.join(self)}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        values: dict[str, Any] = {
            "model": self.model,
            "dataset": self.dataset,
            "split": self.split,
            "num_examples": self.num_examples,
            "seed": self.seed,
            "metrics": {name: record.to_dict() for name, record in self.items()},
        }
        if self.baselines:
            values["baselines"] = {
                name: report.to_dict() for name, report in self.baselines.items()
            }
        if self.left_out:
            values["left_out"] = dict(self.left_out)
        return values

    def to_json(self, indent: int | None = 2) -> str:
        """Everything as a JSON document."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_dataframe(self) -> Any:
        """A pandas table with a row per figure, baselines last.

        Raises:
            MissingDependencyError: If pandas is not installed.
        """
        pandas = require("pandas", "evaluation", "A data frame")
        reports = [self, *self.baselines.values()]
        rows = [
            {
                "model": report.model,
                "dataset": report.dataset,
                "split": report.split,
                "metric": name,
                "value": record.value,
                "standard_error": record.standard_error,
                "unit": record.unit,
                "protocol": record.protocol,
            }
            for report in reports
            for name, record in report.items()
        ]
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        """A readable block of lines."""
        lines = [
            f"{self.model} on {self.dataset}/{self.split}, "
            f"{self.num_examples:,} examples"
        ]
        for name, record in self.items():
            error = record.standard_error
            spread = "" if error is None else f" ± {error:.2g}"
            lines.append(f"  {name:<28} {record.value:.6g}{spread} {record.unit}")
        for report in self.baselines.values():
            lines.append(f"baseline {report!r}")
        return "\n".join(lines)
