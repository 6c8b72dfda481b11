"""Records of models, and `weights_manifest.json` that holds them. No TensorFlow.

The manifest is found beside this file (in a wheel) or in the repository's root (in a
checkout or an editable install). It names each protocol once; figures refer to it. Long
texts of configurations, such as vocabularies, stand in a file beside it, by their hash.
"""

import collections
import dataclasses
import fnmatch
import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from aezoo.errors import ManifestError, UnknownModelError
from aezoo.utils.files import path_inside, sha256_hex
from aezoo.utils.records import (
    Count,
    Leaf,
    Natural,
    Record,
    Sha256,
    Shape,
    Text,
    decode,
    encode,
    frozen,
    matching,
    plain,
    recast,
)
from aezoo.utils.text import did_you_mean

PACKAGE = Path(__file__).parent
REINSTALL = "Reinstall aezoo to restore it."
# Of a file of golden tensors.
MAX_GOLDEN_BYTES = 100_000_000
MANIFEST_NAME = "weights_manifest.json"
# Of a configuration: letters from which on a text stands in the file of texts.
LONG_TEXT = 1000
# Of a model that has no fitted sampler.
NO_FILES: Mapping[str, Any] = MappingProxyType({})

ModelName = Annotated[str, matching("[a-z][a-z0-9]*(_[a-z0-9]+)+")]
ExtractorName = Annotated[str, matching("[a-z][a-z0-9]*(_[a-z0-9]+)*_v[1-9][0-9]*")]
FamilyName = Annotated[str, matching("[a-z][a-z0-9_]*")]
# Those of `aezoo.samplers.KINDS`, which imports NumPy; a test compares the two.
SAMPLER_KINDS = ("gmm", "vamp", "flow", "autoregressive")
SamplerKind = Annotated[str, matching("|".join(SAMPLER_KINDS))]
Task = Annotated[str, matching("reconstruction|features|sampling|restoration|surfaces")]
Backend = Annotated[str, matching("tensorflow|jax|torch")]
Url = Annotated[str, matching("https://.+")]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


# --- Records -------------------------------------------------------------------------


class DataInfo(Record, frozen=True):
    """The training data: TFDS name and version, split, licence."""

    name: str
    version: str
    split: str
    license: str


class ZooData(DataInfo, frozen=True):
    """The training data of the zoo's models, of which all is stated."""

    name: Text
    version: Text
    split: Text
    license: Text


class TrainingInfo(Record, frozen=True):
    """How the weights were made.

    Attributes:
        hardware: What they were trained on.
        seconds: Wall time.
        backend: Keras backend.
        versions: Versions of Python and of libraries, by name.
        start_from: Name of the weights that training started from; None if it started
            anew.
        settings: Fields of the recipe that are not the default, by name: epochs,
            learning rate and the like. `aezoo.training.recipe.recipe_of` reads them.
    """

    hardware: Text
    seconds: Annotated[float, Meta(gt=0)]
    backend: Backend
    versions: Annotated[Mapping[Text, Text], Meta(min_length=1)]
    start_from: ModelName | None = None
    settings: Mapping[Text, Any] = {}


class Metric(Leaf, frozen=True):
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
    unit: Text
    protocol: Text
    standard_error: Annotated[float, Meta(ge=0)] | None = None
    values: Annotated[tuple[float, ...], Meta(min_length=1)] | None = None


# By `dataset/split`, then by name.
Metrics = Mapping[Text, Mapping[Text, Metric]]


class BundledFile(Leaf, frozen=True):
    """A file beside an entry: name, size, hash."""

    file: Text
    bytes: Count
    sha256: Sha256


class GoldenFile(Leaf, frozen=True):
    """Inputs and outputs that the weights must reproduce, and the file's hash."""

    file: Text
    sha256: Sha256


class HubLocation(Leaf, frozen=True):
    """Where weights are published: a repository, and the commit that holds them."""

    repo_id: Annotated[str, matching("[^/]+/[^/]+")]
    revision: Annotated[str, matching("[0-9a-f]{40}")]


class ZooFile(BundledFile, frozen=True):
    """A file in the weights folder of a zoo."""

    file: Annotated[str, matching(r"[a-z0-9_]+(\.[a-z0-9]+)+")]


class ZooGolden(GoldenFile, frozen=True):
    """A golden file in the weights folder of a zoo."""

    file: Annotated[str, matching(r"[a-z0-9_]+\.golden\.npz")]


class WeightsFile(ZooFile, frozen=True):
    """The weights: file name in the weights folder, size, hash, place on the Hub.

    `dtype` is `"float16"` where the file holds numbers in half precision, None where
    in float32; the model computes in its own `dtype`. `hub` is None until they are
    published.
    """

    file: Annotated[str, matching(r"[a-z0-9_]+\.weights\.h5")]
    dtype: Annotated[str, matching("float16")] | None = None
    hub: HubLocation | None = None


class ModelRecord(Record, frozen=True, kw_only=True):
    """What is known of any model, of the zoo or in a folder.

    Attributes:
        family: Family, as in `aezoo.create(family)`.
        config: The family's arguments.
        input_shape: Shape of an image, `(height, width, channels)`.
        value_range: Range of float images; uint8 is scaled to it inside the model.
        latent_shape: Shape of one code.
        num_params: Number of weights.
        tasks: What the model can do: `reconstruction`, `features`, `sampling`,
            `restoration`, `surfaces`.
        given: What it must be told beside each example: modalities by name, as
            `aezoo.modalities.from_config` takes them.
    """

    family: FamilyName
    config: Mapping[str, Any]
    input_shape: Shape
    value_range: tuple[float, float]
    latent_shape: Shape
    num_params: Count
    tasks: Annotated[tuple[Task, ...], Meta(min_length=1)]
    given: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The family's arguments as JSON values, which may be changed."""
        arguments: dict[str, Any] = plain(self.config)
        return arguments

    @property
    def latent_dim(self) -> int:
        """Number of code units."""
        return math.prod(self.latent_shape)


class ZooModel(ModelRecord, frozen=True, kw_only=True):
    """What the manifest knows of a model, but for its name and metrics.

    Attributes:
        description: One sentence.
        paper: URL of the paper behind the family.
        data: Training data.
        license: Licence of the weights.
        seed: Seed of the training.
        recipe: Path of the recipe in the repository.
        training: Hardware, time and versions.
        weights: Weights file.
        golden: Golden tensors.
        samplers: Files of fitted samplers, by kind.
    """

    description: Text
    paper: Url
    data: ZooData
    license: Text
    seed: Natural
    recipe: Annotated[str, matching(r"training/recipes/[a-z0-9_]+\.py")]
    training: TrainingInfo
    weights: WeightsFile
    golden: ZooGolden
    samplers: Mapping[SamplerKind, ZooFile] = msgspec.field(
        default_factory=lambda: NO_FILES
    )


class WeightsEntry(ZooModel, frozen=True, kw_only=True):
    """Everything the manifest knows about one set of weights.

    Attributes:
        name: Name to pass to `aezoo.load`.
        metrics: Metrics by `dataset/split`, then by name.
    """

    name: ModelName
    metrics: Metrics

    def metric(self, name: str, dataset: str | None = None) -> Metric | None:
        """The metric of that name, from `dataset/split` or the first that has it."""
        for key, metrics in self.metrics.items():
            if dataset in (None, key, key.split("/")[0]) and name in metrics:
                return metrics[name]
        return None

    def __repr__(self) -> str:
        """A readable block of lines, which fits a screen."""
        return self.summary()

    def summary(self, *, protocols: bool = False) -> str:
        """What it is, what it was made of, and its figures, as lines of text.

        Args:
            protocols: All figures, each with the words of how it was measured, in
                place of a table of those that tell most.
        """
        from aezoo.metrics.listing import listing

        start = self.training.start_from
        rows = {
            "family": self.family,
            "tasks": ", ".join(self.tasks),
            "input": self._input(),
            **self._told(),
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
            f"sha256 {self.weights.sha256[:12]}…",
            "license": self.license,
        }
        if self.samplers:
            rows["samplers"] = f"{', '.join(self.samplers)}, beside the prior, if any"
        lines = [self.name, f"  {self.description}"]
        lines += [f"  {key:<11} {value}" for key, value in rows.items()]
        lines += [f"  {line}" for line in listing(self.metrics, protocols)]
        return "\n".join(lines)

    @property
    def kind(self) -> str:
        """Kind of its modality, such as `"image"`."""
        return str(self.config.get("modality", {"kind": "image"})["kind"])

    def _told(self) -> dict[str, str]:
        """What it must be told beside an example, in words; empty if nothing."""
        told = ", ".join(f"{name} ({c['kind']})" for name, c in self.given.items())
        return {"given": told} if told else {}

    def _input(self) -> str:
        """What an example is, in words."""
        shape = _shape(self.input_shape)
        if self.kind != "image":
            return f"{self.kind}, {shape}"
        low, high = self.value_range
        return f"{shape}, uint8 or float in [{low:g}, {high:g}]"

    def to_dict(self) -> dict[str, Any]:
        """All but the name, as JSON values."""
        fields = super().to_dict()
        del fields["name"]
        return fields


class Share(Metric, frozen=True):
    """A figure between 0 and 1."""

    value: Annotated[float, Meta(ge=0, le=1)]


class Extractor(Record, frozen=True, kw_only=True):
    """A feature extractor, as the manifest holds it under its name.

    Attributes:
        config: Arguments of `aezoo.modalities.image.classifier.Classifier`.
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

    config: Mapping[str, Any]
    input_shape: tuple[Count, Count, Count]
    num_classes: Annotated[int, Meta(ge=2)]
    feature_dim: Count
    num_params: Count
    accuracy: Share
    data: ZooData
    license: Text
    seed: Natural
    training: TrainingInfo
    weights: ZooFile
    golden: ZooGolden


class ExtractorEntry(Extractor, frozen=True, kw_only=True):
    """Everything the manifest knows about one feature extractor.

    Attributes:
        name: Name, as in the metric `frechet/<name>`.
    """

    name: ExtractorName

    def to_dict(self) -> dict[str, Any]:
        """The entry as it stands in the manifest, with its protocol in words."""
        fields = super().to_dict()
        del fields["name"]
        return fields


# --- The file ------------------------------------------------------------------------


class Protocol(Leaf, frozen=True):
    """How figures are measured.

    Attributes:
        words: The protocol; without what it is measured on, unless `is_whole`.
        unit: Of figures that state no other.
        is_whole: True where the words are all; others follow the dataset's `examples`.
    """

    words: Text
    unit: Text
    is_whole: bool | None = None

    def of(self, examples: str | None) -> str | None:
        """All words, of figures that are measured on those examples, if known."""
        if self.is_whole:
            return self.words
        return None if examples is None else f"{examples}{_OF}{self.words}"


# Between what was measured on, and how.
_OF = "; "


class Figure(Leaf, frozen=True, array_like=True):
    """A metric as the file holds it, a list; nulls at its end are left out.

    Attributes:
        value: As in `Metric`, with `VALUE_DIGITS` digits.
        standard_error: As in `Metric`, with `PART_DIGITS` digits.
        protocol: Which of the protocols of its name; None for the first.
        unit: As in `Metric`; None for the protocol's.
        values: As in `Metric`, with `PART_DIGITS` digits.
    """

    value: float
    standard_error: Annotated[float, Meta(ge=0)] | None = None
    protocol: Natural | None = None
    unit: Text | None = None
    values: Annotated[tuple[float, ...], Meta(min_length=1)] | None = None


# Digits of figures, and of standard errors and a figure's parts: more than is known.
VALUE_DIGITS, PART_DIGITS = 9, 5
Figures = Annotated[Mapping[Text, Figure], Meta(min_length=1)]


class ModelInFile(ZooModel, frozen=True, kw_only=True):
    """A model with its figures by `dataset/split`, then by name."""

    metrics: Annotated[Mapping[Text, Figures], Meta(min_length=1)]


class ManifestFile(Record, frozen=True, kw_only=True):
    """What `weights_manifest.json` holds.

    Attributes:
        examples: What most figures of each `dataset/split` are measured on, in words.
        protocols: Those of each metric, by name. Each stands here once, whatever the
            dataset; figures refer to it.
        models: Models of the zoo, by name.
        extractors: Feature extractors, by name.
        baselines: Figures of what models must beat, e.g. PCA: by `dataset/split`, then
            by the baseline's name, then by their own.
    """

    VERSION: ClassVar[int | None] = 2

    schema_version: Literal[2]
    examples: Mapping[Text, Text] = msgspec.field(default_factory=dict)
    protocols: Mapping[Text, tuple[Protocol, ...]]
    models: Mapping[ModelName, ModelInFile]
    extractors: Mapping[ExtractorName, Extractor] = msgspec.field(default_factory=dict)
    baselines: Mapping[Text, Mapping[Text, Figures]] = msgspec.field(
        default_factory=dict
    )


Baselines = dict[str, dict[str, Mapping[str, Metric]]]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest in memory: its sections by name, each figure with its own protocol."""

    models: dict[str, WeightsEntry] = dataclasses.field(default_factory=dict)
    extractors: dict[str, ExtractorEntry] = dataclasses.field(default_factory=dict)
    baselines: Baselines = dataclasses.field(default_factory=dict)


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


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Args:
        path: A JSON file as `weights_manifest.schema.json` describes it.

    Returns:
        What it holds, in the file's order.

    Raises:
        ManifestError: If it is not JSON, has another schema version, or a field is
            missing, unknown, or not what its record demands; or a text that it refers
            to is not in the file beside it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"Cannot read the manifest {path}: {error}") from error
    return parse_manifest(content, path)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """A manifest from the content of its file; see `read_manifest`."""
    file = decode(content, ManifestFile, f"The manifest {path}")

    def metric(dataset: str, name: str, figure: Figure) -> Metric:
        known, index = file.protocols.get(name, ()), figure.protocol or 0
        if index >= len(known):
            raise ManifestError(
                f"The manifest {path} is not valid: its `protocols` lack number "
                f"{index} of {name!r}, which a figure refers to."
            )
        protocol = known[index]
        words = protocol.of(file.examples.get(dataset))
        if words is None:
            raise ManifestError(
                f"The manifest {path} is not valid: its `examples` lack {dataset!r}, "
                f"on which figures are measured."
            )
        return Metric(
            figure.value,
            figure.unit or protocol.unit,
            words,
            figure.standard_error,
            figure.values,
        )

    def metrics(dataset: str, figures: Mapping[str, Figure]) -> dict[str, Metric]:
        return {name: metric(dataset, name, f) for name, f in figures.items()}

    text = functools.cache(functools.partial(_text_of, texts_path(path)))

    def with_text(value: Any) -> Any:
        is_reference = isinstance(value, dict) and list(value) == ["sha256"]
        return text(value["sha256"]) if is_reference else value

    models = {}
    for name, model in file.models.items():
        stated = {key: metrics(key, figures) for key, figures in model.metrics.items()}
        config = _changed(model.arguments, with_text)
        models[name] = recast(
            model, WeightsEntry, name=name, config=config, metrics=stated
        )
    return Manifest(
        models=models,
        extractors={
            name: recast(extractor, ExtractorEntry, name=name)
            for name, extractor in file.extractors.items()
        },
        baselines={
            key: {name: metrics(key, figures) for name, figures in rows.items()}
            for key, rows in file.baselines.items()
        },
    )


def texts_path(path: Path) -> Path:
    """The file beside a manifest that holds the long texts of its configurations."""
    return path.with_suffix(".texts.json")


def _text_of(path: Path, sha256: str) -> str:
    """The text of that hash in a file of texts; raises ManifestError if it has none."""
    try:
        text = json.loads(path.read_bytes()).get(sha256)
    except (OSError, ValueError, AttributeError) as error:
        raise ManifestError(
            f"The texts {path} cannot be read: {error}. {REINSTALL}"
        ) from error
    if not isinstance(text, str) or sha256_hex(text.encode()) != sha256:
        raise ManifestError(
            f"The texts {path} hold none with the SHA-256 {sha256!r:.80}, to which the "
            f"manifest beside them refers. {REINSTALL}"
        )
    return text


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """JSON values, each changed from without to within."""
    value = change(value)
    if isinstance(value, dict):
        return {key: _changed(part, change) for key, part in value.items()}
    return [_changed(p, change) for p in value] if isinstance(value, list) else value


def manifest_texts(manifest: Manifest) -> dict[str, str]:
    """The long texts of a manifest's configurations, by hash; see `texts_path`."""
    texts: dict[str, str] = {}

    def collect(value: Any) -> Any:
        if _is_long(value):
            texts[sha256_hex(value.encode())] = value
        return value

    for entry in manifest.models.values():
        _changed(entry.arguments, collect)
    return dict(sorted(texts.items()))


def as_stated(metric: Metric) -> Metric:
    """A figure with as many digits as a manifest states."""
    error = metric.standard_error
    return msgspec.structs.replace(
        metric,
        value=_rounded(metric.value, VALUE_DIGITS),
        standard_error=None if error is None else _rounded(error, PART_DIGITS),
        values=metric.values
        and tuple(_rounded(value, PART_DIGITS) for value in metric.values),
    )


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _reference(value: Any) -> Any:
    """A long text by its hash, anything else as it is."""
    return {"sha256": sha256_hex(value.encode())} if _is_long(value) else value


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= LONG_TEXT


def manifest_text(manifest: Manifest) -> str:
    """A manifest as it stands in its file: models by name, each protocol once.

    `manifest_texts` has what stands in the file beside it.

    Raises:
        ManifestError: If an entry breaks a rule of its record; says which.
    """
    examples = _examples_of(manifest)
    protocols: dict[str, list[Protocol]] = {}

    def figure(dataset: str, name: str, metric: Metric) -> Figure:
        known, usual = protocols.setdefault(name, []), examples.get(dataset)
        words = [protocol.of(usual) for protocol in known]
        if metric.protocol not in words:
            words.append(metric.protocol)
            before, _, how = metric.protocol.partition(_OF)
            known.append(
                Protocol(how, metric.unit)
                if how and before == usual
                else Protocol(metric.protocol, metric.unit, is_whole=True)
            )
        index = words.index(metric.protocol)
        is_usual = metric.unit == known[index].unit
        return recast(
            as_stated(metric),
            Figure,
            protocol=index or None,
            unit=None if is_usual else metric.unit,
        )

    def figures(dataset: str, metrics: Mapping[str, Metric]) -> dict[str, Figure]:
        return {name: figure(dataset, name, m) for name, m in metrics.items()}

    models = {
        name: recast(
            entry,
            ModelInFile,
            config=_changed(entry.arguments, _reference),
            metrics={key: figures(key, group) for key, group in entry.metrics.items()},
        )
        for name, entry in sorted(manifest.models.items())
    }
    extractors = {
        name: recast(entry, Extractor) for name, entry in manifest.extractors.items()
    }
    baselines = {
        key: {name: figures(key, group) for name, group in rows.items()}
        for key, rows in manifest.baselines.items()
    }
    text = encode(
        ManifestFile(
            schema_version=2,
            examples=examples,
            protocols={name: tuple(known) for name, known in protocols.items()},
            models=models,
            extractors=extractors,
            baselines=baselines,
        )
    )
    decode(text.encode(), ManifestFile, "The manifest")
    return text


def _examples_of(manifest: Manifest) -> dict[str, str]:
    """What most figures of each dataset are measured on, as their protocols begin."""
    found: dict[str, collections.Counter[str]] = {}
    rows = [entry.metrics for entry in manifest.models.values()]
    rows += [
        {key: figures}
        for key, baselines in manifest.baselines.items()
        for figures in baselines.values()
    ]
    for row in rows:
        for dataset, figures in row.items():
            begins = (m.protocol.partition(_OF) for m in figures.values())
            counted = found.setdefault(dataset, collections.Counter())
            counted.update(before for before, between, _ in begins if between)
    return {
        dataset: counted.most_common(1)[0][0]
        for dataset, counted in sorted(found.items())
        if counted
    }


def manifest_schema() -> dict[str, Any]:
    """JSON schema of a manifest's file, made from the records."""
    schema = msgspec.json.schema(ManifestFile)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "aezoo weights manifest",
        **schema,
    }


# --- Public look-ups -----------------------------------------------------------------


@functools.cache
def installed() -> Manifest:
    """The installed manifest."""
    return read_manifest(manifest_path())


def entries() -> Mapping[str, WeightsEntry]:
    """All models of the installed manifest, by name."""
    return MappingProxyType(installed().models)


def extractors() -> Mapping[str, ExtractorEntry]:
    """All feature extractors of the installed manifest, by name."""
    return MappingProxyType(installed().extractors)


def baselines() -> Mapping[str, Mapping[str, Mapping[str, Metric]]]:
    """Figures of what models must beat: by `dataset/split`, baseline, metric."""
    rows: Mapping[str, Any] = frozen(installed().baselines)
    return rows


def weights_folder() -> Path:
    """Where the package has the files of the zoo."""
    return PACKAGE / "weights"


def bundled_file(name: str) -> Path:
    """A file of the zoo in the package, whether it is there or not.

    Raises:
        UnsafeFileError: If its name leaves the folder.
    """
    return path_inside(weights_folder(), name)


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
        task: What it can do, e.g. `"sampling"` or `"restoration"`.
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
