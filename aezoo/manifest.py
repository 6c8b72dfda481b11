"""`weights_manifest.json` as frozen, typed entries. Imports no TensorFlow.

The manifest is found beside this file (in a wheel) or in the repository's root (in a
checkout or an editable install).
"""

import dataclasses
import fnmatch
import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from aezoo.errors import ManifestError, UnknownModelError
from aezoo.utils.text import did_you_mean

SCHEMA_VERSION = 1
PACKAGE = Path(__file__).parent
MANIFEST_NAME = "weights_manifest.json"
# By the part of a metric's name before "/"; of all other metrics, lower is better.
_Record = TypeVar("_Record")


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """The training data: TFDS name and version, split, licence."""

    name: str
    version: str
    split: str
    license: str


@dataclasses.dataclass(frozen=True)
class TrainingInfo:
    """How the weights were made.

    Attributes:
        hardware: What they were trained on.
        seconds: Wall time.
        backend: Keras backend.
        versions: Versions of Python and of libraries, by name.
        start_from: Name of the weights that training started from; None if it started
            anew.
    """

    hardware: str
    seconds: float
    backend: str
    versions: Mapping[str, str]
    start_from: str | None = None


@dataclasses.dataclass(frozen=True)
class HubLocation:
    """Where the weights are published; both None until they are."""

    repo_id: str | None
    revision: str | None


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """The weights: file name in the weights folder, size, hash, place on the Hub.

    `dtype` is `"float16"` where the file holds numbers in half precision, None where
    in float32; the model computes in its own `dtype`.
    """

    file: str
    bytes: int
    sha256: str
    hub: HubLocation
    dtype: str | None = None


@dataclasses.dataclass(frozen=True)
class GoldenFile:
    """Inputs and outputs that the weights must reproduce, and the file's hash."""

    file: str
    sha256: str


# Of a model that has no fitted sampler.
NO_FILES: Mapping[str, "BundledFile"] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Metric:
    """One measured figure.

    Attributes:
        value: The figure.
        unit: Its unit.
        protocol: How it was measured, in words.
        standard_error: Of a mean over images or seeds; None where there is none.
        values: The figure's parts, e.g. one per code unit; None where there are none,
            or too many for the manifest.
    """

    value: float
    unit: str
    protocol: str
    standard_error: float | None = None
    values: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not None, as JSON values."""
        fields: dict[str, Any] = _plain(self)
        return fields


@dataclasses.dataclass(frozen=True)
class BundledFile:
    """A file without a place of its own on the Hub: name, size, hash."""

    file: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ExtractorEntry:
    """Everything the manifest knows about one feature extractor.

    Attributes:
        name: Name, as in the metric `frechet/<name>`.
        config: Arguments of `aezoo.features.classifiers.Classifier`.
        input_shape: Image shape `(height, width, channels)`.
        num_classes: Classes that it was trained to tell apart.
        feature_dim: Number of features.
        num_params: Number of weights.
        accuracy: Share of the test split that it classifies rightly.
        data: Training data.
        license: Licence of the weights.
        seed: Seed of the training.
        training: Hardware, time and versions.
        weights: Weights file.
        golden: Images and the features that the weights must reproduce.
    """

    name: str
    config: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    num_classes: int
    feature_dim: int
    num_params: int
    accuracy: Metric
    data: DataInfo
    license: str
    seed: int
    training: TrainingInfo
    weights: BundledFile
    golden: GoldenFile

    def to_dict(self) -> dict[str, Any]:
        """The entry as it stands in the manifest."""
        values: dict[str, Any] = _plain(self)
        del values["name"]
        return values


@dataclasses.dataclass(frozen=True, repr=False)
class WeightsEntry:
    """Everything the manifest knows about one set of weights.

    Attributes:
        name: Name to pass to `aezoo.load`.
        family: Family, as in `aezoo.create(family)`.
        config: The family's arguments.
        description: One sentence.
        paper: URL of the paper behind the family.
        input_shape: Image shape `(height, width, channels)`.
        value_range: Range of float images; uint8 is scaled to it inside the model.
        latent_shape: Shape of one code.
        num_params: Number of weights.
        tasks: What the model can do: `reconstruction`, `features`, `sampling`.
        data: Training data.
        license: Licence of the weights.
        seed: Seed of the training.
        recipe: Path of the recipe in the repository.
        training: Hardware, time and versions.
        weights: Weights file.
        golden: Golden tensors.
        metrics: Metrics by `dataset/split`, then by name.
        samplers: Files of fitted samplers, by kind.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    description: str
    paper: str
    input_shape: tuple[int, int, int]
    value_range: tuple[float, float]
    latent_shape: tuple[int, ...]
    num_params: int
    tasks: tuple[str, ...]
    data: DataInfo
    license: str
    seed: int
    recipe: str
    training: TrainingInfo
    weights: WeightsFile
    golden: GoldenFile
    metrics: Mapping[str, Mapping[str, Metric]]
    samplers: Mapping[str, BundledFile] = dataclasses.field(
        default_factory=lambda: NO_FILES
    )

    @property
    def latent_dim(self) -> int:
        """Number of code units."""
        return math.prod(self.latent_shape)

    def metric(self, name: str, dataset: str | None = None) -> Metric | None:
        """The metric of that name, from `dataset/split` or the first that has it."""
        for key, metrics in self.metrics.items():
            if dataset in (None, key, key.split("/")[0]) and name in metrics:
                return metrics[name]
        return None

    def __repr__(self) -> str:
        """A readable block of lines."""
        start = self.training.start_from
        rows = {
            "family": self.family,
            "tasks": ", ".join(self.tasks),
            "input": f"{_shape(self.input_shape)}, uint8 or float in "
            f"[{self.value_range[0]:g}, {self.value_range[1]:g}]",
            "latent": _shape(self.latent_shape),
            "parameters": f"{self.num_params:,}",
            "trained on": f"{self.data.name} {self.data.version}, split "
            f"{self.data.split} ({self.data.license})",
            "training": f"{self.training.seconds:,.0f} s on {self.training.hardware}, "
            f"{self.training.backend}, seed {self.seed}"
            f"{f', from {start}' if start else ''}",
            "recipe": self.recipe,
            "paper": self.paper,
            "weights": f"{self.weights.file}, {self.weights.bytes / 1e6:.2f} MB"
            f"{f' of {self.weights.dtype}' if self.weights.dtype else ''}, "
            f"sha256 {self.weights.sha256[:12]}…, {self.license}",
        }
        if self.samplers:
            rows["samplers"] = f"{', '.join(self.samplers)}, beside the prior, if any"
        lines = [self.name, f"  {self.description}"]
        lines += [f"  {key:<11} {value}" for key, value in rows.items()]
        for key, metrics in self.metrics.items():
            lines.append(f"  metrics on {key}")
            lines += [
                f"    {name:<22} {m.value:.6g} {m.unit}  ({m.protocol})"
                for name, m in metrics.items()
            ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The entry as it stands in the manifest."""
        values = _plain(self)
        del values["name"]
        if not self.samplers:
            del values["samplers"]
        return values


def manifest_path() -> Path:
    """The manifest's place: in the package, else in the repository's root.

    Raises:
        ManifestError: If neither holds one.
    """
    for folder in (PACKAGE, PACKAGE.parent):
        if (folder / MANIFEST_NAME).is_file():
            return folder / MANIFEST_NAME
    raise ManifestError(
        f"No {MANIFEST_NAME} in {PACKAGE} or {PACKAGE.parent}. Reinstall aezoo."
    )


def read_manifest(path: Path) -> dict[str, WeightsEntry]:
    """Parse a manifest file.

    Args:
        path: A JSON file as `weights_manifest.schema.json` describes it.

    Returns:
        Entries by name, in the file's order.

    Raises:
        ManifestError: If it is not JSON, has another schema version, or an entry
            lacks a field or has an unknown one.
    """
    models = _read_document(path)["models"]
    return {name: parse_entry(name, fields) for name, fields in models.items()}


def read_extractors(path: Path) -> dict[str, ExtractorEntry]:
    """Parse the extractors of a manifest file, an optional section.

    Args:
        path: As in `read_manifest`.

    Returns:
        Entries by name, in the file's order.

    Raises:
        ManifestError: As in `read_manifest`.
    """
    section = _read_document(path).get("extractors", {})
    extractors = _mapping(section, f"section `extractors` of {path}")
    return {n: parse_extractor(n, fields) for n, fields in extractors.items()}


def read_baselines(path: Path) -> Mapping[str, Mapping[str, Mapping[str, Metric]]]:
    """Figures of what models must beat, e.g. PCA; an optional section of a manifest.

    Args:
        path: As in `read_manifest`.

    Returns:
        Metrics by `dataset/split`, then by the baseline's name, then by their own.

    Raises:
        ManifestError: As in `read_manifest`.
    """
    where = f"section `baselines` of {path}"
    section = _mapping(_read_document(path).get("baselines", {}), where)
    rows = {key: _metrics(metrics, where) for key, metrics in section.items()}
    return MappingProxyType({key: _frozen(row) for key, row in rows.items()})


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"Cannot read the manifest {path}: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION or not isinstance(document.get("models"), dict):
        raise ManifestError(
            f"The manifest {path} must be an object with `schema_version` "
            f"{SCHEMA_VERSION} and `models`. Received: schema_version={version!r}. "
            "Upgrade aezoo if the manifest is newer."
        )
    return dict(document)


def parse_entry(name: str, fields: Mapping[str, Any]) -> WeightsEntry:
    """One entry from its JSON object.

    Raises:
        ManifestError: If a field is missing, unknown or of the wrong type.
    """
    where = f"manifest entry {name!r}"
    values = _fields(WeightsEntry, {**_mapping(fields, where), "name": name}, where)
    weights = _mapping(values["weights"], f"{where}, `weights`")
    values["weights"] = _record(
        WeightsFile,
        {
            **weights,
            "hub": _record(HubLocation, weights.get("hub"), f"{where}, `weights.hub`"),
        },
        f"{where}, `weights`",
    )
    for field, cls in (
        ("data", DataInfo),
        ("training", TrainingInfo),
        ("golden", GoldenFile),
    ):
        values[field] = _record(cls, values[field], f"{where}, `{field}`")
    values["metrics"] = _metrics(values["metrics"], where)
    samplers = _mapping(values.get("samplers", {}), f"{where}, `samplers`")
    values["samplers"] = {
        kind: _record(BundledFile, file, f"{where}, sampler {kind!r}")
        for kind, file in samplers.items()
    }
    return WeightsEntry(**{key: _frozen(value) for key, value in values.items()})


def _metrics(groups: Any, where: str) -> dict[str, dict[str, Metric]]:
    return {
        key: {
            metric: _record(Metric, record, f"{where}, metric {metric!r}")
            for metric, record in _mapping(metrics, f"{where}, `metrics`").items()
        }
        for key, metrics in _mapping(groups, f"{where}, `metrics`").items()
    }


def parse_extractor(name: str, fields: Mapping[str, Any]) -> ExtractorEntry:
    """One extractor's entry from its JSON object.

    Raises:
        ManifestError: If a field is missing, unknown or of the wrong type.
    """
    where = f"manifest's extractor {name!r}"
    values = _fields(ExtractorEntry, {**_mapping(fields, where), "name": name}, where)
    for field, cls in (
        ("accuracy", Metric),
        ("data", DataInfo),
        ("training", TrainingInfo),
        ("weights", BundledFile),
        ("golden", GoldenFile),
    ):
        values[field] = _record(cls, values[field], f"{where}, `{field}`")
    return ExtractorEntry(**{key: _frozen(value) for key, value in values.items()})


def _record(cls: type[_Record], fields: Any, where: str) -> _Record:
    values = _fields(cls, _mapping(fields, where), where)
    return cls(**{key: _frozen(value) for key, value in values.items()})


def _fields(cls: Any, fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - set(known))
    missing = sorted(
        name
        for name, field in known.items()
        if name not in fields
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )
    if unknown or missing:
        raise ManifestError(
            f"The {where} has unknown or missing fields. "
            f"Received: unknown={unknown}, missing={missing}."
        )
    return dict(fields)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ManifestError(f"The {where} must be an object. Received: {value!r}.")
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(v) for key, v in value.items()})
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {
            f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
        if isinstance(value, Metric | TrainingInfo | WeightsFile):
            return {key: part for key, part in fields.items() if part is not None}
        return fields
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


# --- Public look-ups -----------------------------------------------------------


@functools.cache
def entries() -> Mapping[str, WeightsEntry]:
    """All entries of the installed manifest, by name."""
    return MappingProxyType(read_manifest(manifest_path()))


def extractors() -> Mapping[str, ExtractorEntry]:
    """All feature extractors of the installed manifest, by name."""
    return _extractors_of(manifest_path())


@functools.cache
def _extractors_of(path: Path) -> Mapping[str, ExtractorEntry]:
    return MappingProxyType(read_extractors(path))


def baselines() -> Mapping[str, Mapping[str, Mapping[str, Metric]]]:
    """Figures of the installed manifest's baselines, as `read_baselines` returns."""
    return read_baselines(manifest_path())


def describe(name: str) -> WeightsEntry:
    """The manifest's entry for one set of weights.

    Args:
        name: A name from `aezoo.list_models()`.

    Returns:
        A frozen record; `print` shows it readably.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
    """
    if name not in entries():
        raise UnknownModelError(
            f"Unknown model {name!r}.{did_you_mean(name, entries())} "
            "Call `aezoo.list_models()` for all names."
        )
    return entries()[name]


def list_models(
    pattern: str | None = None,
    *,
    family: str | None = None,
    dataset: str | None = None,
    task: str | None = None,
    latent_dim: int | None = None,
    max_params: int | None = None,
    sort: str | None = None,
) -> list[str]:
    """Names of the models that meet all filters.

    Args:
        pattern: Shell pattern for the name, e.g. `"conv_*"`.
        family: Shell pattern for the family, e.g. `"*vae*"`.
        dataset: Shell pattern for the training data, e.g. `"mnist"`.
        task: `"reconstruction"`, `"features"` or `"sampling"`.
        latent_dim: Number of code units.
        max_params: Largest number of weights.
        sort: A metric, e.g. `"mse"`: best first, models without it last. None sorts
            by name.

    Returns:
        Names, possibly none.

    Raises:
        ValueError: If no model has the task or the metric.
    """
    everything = entries().values()
    if task is not None:
        tasks = sorted({t for e in everything for t in e.tasks})
        if task not in tasks:
            raise ValueError(
                f"`task` must be one of {', '.join(map(repr, tasks))}. "
                f"Received: task={task!r}.{did_you_mean(task, tasks)}"
            )
    found = [
        e
        for e in everything
        if (pattern is None or fnmatch.fnmatchcase(e.name, pattern))
        and (family is None or fnmatch.fnmatchcase(e.family, family))
        and (dataset is None or fnmatch.fnmatchcase(e.data.name, dataset))
        and (task is None or task in e.tasks)
        and (latent_dim is None or e.latent_dim == latent_dim)
        and (max_params is None or e.num_params <= max_params)
    ]
    found.sort(key=lambda e: e.name)
    if sort is not None:
        metrics = sorted({m for e in everything for d in e.metrics.values() for m in d})
        if sort not in metrics:
            raise ValueError(
                f"`sort` must be a metric of the manifest: {', '.join(metrics)}. "
                f"Received: sort={sort!r}.{did_you_mean(sort, metrics)}"
            )
        from aezoo.metrics import higher_is_better

        sign = -1.0 if higher_is_better(sort) else 1.0

        def rank(entry: WeightsEntry) -> float:
            metric = entry.metric(sort)
            return math.inf if metric is None else sign * metric.value

        found.sort(key=rank)
    return [e.name for e in found]
