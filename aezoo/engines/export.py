"""A model as graphs for other runtimes: written, once they compute the same."""

import contextlib
import dataclasses
import io
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from aezoo.engines import folder as folders
from aezoo.engines.entry import (
    ENTRY,
    NEEDED,
    PARAMETER,
    PARTS,
    PRIOR,
    SAMPLERS,
    SAVED_MODEL,
    SCHEMA_VERSION,
    SUFFIXES,
    ExportEntry,
    GraphRecord,
    graph_file,
    parse_entry,
)
from aezoo.engines.graphs import Graph, graphs_of
from aezoo.engines.model import ExportedModel, Function
from aezoo.errors import ExportError
from aezoo.inference import priors
from aezoo.manifest import MAX_GOLDEN_BYTES, BundledFile
from aezoo.modalities import checked_before
from aezoo.models.autoencoder import Autoencoder
from aezoo.samplers import sampler_bytes
from aezoo.store import golden, reference
from aezoo.store.folder import check_target, file_record, json_bytes, target_of
from aezoo.store.load import load
from aezoo.store.verify import golden_content
from aezoo.utils.archives import read_npz
from aezoo.utils.extras import check_installed, installed_versions
from aezoo.utils.folders import write_folder
from aezoo.utils.progress import with_progress
from aezoo.utils.validation import check_choice

FORMATS = ("onnx", "litert", "saved_model")
# Names of formats, and the packages that each needs, of an extra of its name.
_TITLES = {"onnx": "ONNX", "litert": "LiteRT"}
_NEEDED = {
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
}
_PACKAGES = (
    *("aezoo", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime"),
    "ai-edge-litert",
)
# Golden tensors by the name of the graph that gives them. Of all other answers the two
# models are only compared with each other, and a graph that fails is left out.
_GOLDEN = ("codes", "reconstruction", "samples", "mean", "mode", "kl")
# Elements that may differ by more, of answers that are rounded or drawn.
_SHARE = 0.01
_SEED = 0


def export(
    model: Autoencoder | str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str = "onnx",
    parts: Sequence[str] = tuple(PARTS),
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model as graphs that run without Keras.

    The folder holds a file for each function, or one SavedModel with a signature for
    each; the prior and the fitted samplers; and `export.json`, which states inputs
    and outputs, and the hash of every file. `aezoo.load(folder, engine="onnx")` gives
    the methods of the model back, without TensorFlow.

    Graphs take any batch size. Those of images take floats in [0, 1]; divide uint8 by
    255 as float32, and the answer is the model's own. Before anything is written, the
    format's own runtime must reproduce the golden tensors of the model.

    Args:
        model: A model; or a name, folder or address as `aezoo.load` takes it.
        path: The folder to create; its parent must exist.
        format: `"onnx"`, by tf2onnx, checked by ONNX Runtime; `"litert"`, by
            TensorFlow's converter, of built-in operations alone, checked by LiteRT; or
            `"saved_model"` of TensorFlow.
        parts: Of `"encode"` (codes and posterior), `"decode"`, `"reconstruct"` and
            `"sample"`.
        overwrite: Replace a folder that `export` wrote before.

    Returns:
        The folder.

    Raises:
        ExportError: If the format has no such operation, or the graphs compute
            something else than the model; says which and how far. A ValueError.
        ValueError: If `format` or a part is unknown.
        FileExistsError: If the folder exists, and is not to be overwritten or holds
            files that `export` did not write.
        FileNotFoundError: If the parent folder does not exist.
        MissingDependencyError: If a package of `aezoo[onnx]` or `aezoo[litert]`, which
            the format needs, is not installed.

    Example:
        >>> aezoo.export("conv_vae_mnist_z16", "my_export")
        >>> model = aezoo.load("my_export/", engine="onnx")
    """
    check_choice("format", format, FORMATS)
    wanted = _check_parts(parts)
    _check_backend()
    for package in _NEEDED.get(format, ()):
        check_installed(package, format, f"Exporting to {_TITLES[format]}")
    target = target_of(Path(path))

    def check() -> None:
        check_target(target, overwrite, written(target), "aezoo.export")

    check()
    source = expected = None
    if not isinstance(model, Autoencoder):
        content = golden_content(model)
        source = getattr(reference.find_entry(model).weights, "sha256", None)
        if content is not None:
            expected = read_npz(io.BytesIO(content), MAX_GOLDEN_BYTES, "golden file")
        model = load(model)
    model.ensure_built()
    model.check_can_be_saved()
    write_folder(
        target,
        exported_files(model, format, wanted, expected, source),
        written(target),
        check,
    )
    return Path(path)


def export_to_cache(model: Autoencoder, folder: Path, source: str | None) -> None:
    """Write the graphs of a model where `aezoo.load` finds them again.

    Args:
        model: The model.
        folder: The folder, which others may be writing, too.
        source: Hash of its weights file.

    Raises:
        ExportError: As `export`.
    """
    _check_backend()
    files = exported_files(model, "onnx", tuple(PARTS), source=source, is_checked=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_folder(folder, files, written(folder), lambda: None)


def written(target: Path) -> set[str]:
    """Names of all files, and folders, that may be in a folder of `export`."""
    known = [name for names in PARTS.values() for name in names]
    graphs = {graph_file(name, format) for name in known for format in SUFFIXES}
    inner = target / SAVED_MODEL
    saved = {p.relative_to(target).as_posix() for p in inner.rglob("*")}
    return {ENTRY, PRIOR, *SAMPLERS.values(), *graphs, SAVED_MODEL, *saved}


def _check_backend() -> None:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "Models are exported by TensorFlow. Received: the backend "
            f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow."
        )


def _check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(parts, str) or not parts:
        raise ValueError(
            f"`parts` must be some of {', '.join(map(repr, PARTS))}, in a sequence. "
            f"Received: parts={parts!r}."
        )
    for part in parts:
        check_choice("parts", part, tuple(PARTS))
    return tuple(part for part in PARTS if part in parts)


@dataclasses.dataclass(frozen=True)
class _Converted:
    """Graphs in a format: their files, what they state, and how they are called."""

    files: dict[str, bytes]
    records: dict[str, GraphRecord]
    functions: dict[str, Function]
    left_out: dict[str, str]


def exported_files(
    model: Autoencoder,
    format: str,
    parts: tuple[str, ...],
    expected: Mapping[str, np.ndarray] | None = None,
    source: str | None = None,
    is_checked: bool = False,
) -> dict[str, bytes]:
    """All files of an export, once its graphs compute what the model does.

    Args:
        model: The model, built.
        format: One of `FORMATS`.
        parts: Some of `PARTS`.
        expected: Golden tensors; None for those that the model gives now.
        source: Hash of the weights file.
        is_checked: Whether who calls the graphs has checked all examples, as the
            engine does, so that the graphs need not.

    Raises:
        ExportError: As `export`.
    """
    names = [name for part in parts for name in PARTS[part]]
    graphs = [graph for name, graph in graphs_of(model).items() if name in names]
    with checked_before() if is_checked else contextlib.nullcontext():
        converted = _convert(model, graphs, format)
    files, left_out = dict(converted.files), dict(converted.left_out)
    for graph in graphs:
        left_out |= graph.remarks
    if not model.has_encoder:
        missing = {*names} & {*PARTS["encode"], *PARTS["reconstruct"]}
        left_out |= dict.fromkeys(missing, "the model has no encoder")
    can_sample = "sample" in parts and "sampling" in model.TASKS
    prior = None
    if can_sample:
        prior, arrays = priors.to_parts(model.make_prior())
        if arrays:
            file = io.BytesIO()
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            files[PRIOR] = file.getvalue()
    samplers = dict(model.samplers) if "sample" in parts else {}
    entry = ExportEntry(
        schema_version=SCHEMA_VERSION,
        name=model.name,
        family=model.family,
        format=format,
        parts=parts,
        modality=model.modality.to_config(),
        given={name: told.to_config() for name, told in model.given.items()},
        required=model.required_conditions,
        latent_shape=tuple(model.latent_shape),
        tasks=model.TASKS,
        codes=model.CODES,
        network=model.network.kind,
        has_levels=model.has_levels,
        is_autoregressive=model.is_autoregressive,
        graphs=converted.records,
        left_out=left_out,
        files=(),
        tolerance=golden.golden_tolerance(model),
        deviation=0.0,
        prior=prior,
        source=source,
        license=model.license,
        versions=installed_versions(_PACKAGES),
    )
    exported = folders.build(entry, converted.functions, files.get(PRIOR))
    deviation, failed = _compare(model, exported, expected, can_sample)
    for name, reason in failed.items():
        if format in SUFFIXES:
            files.pop(graph_file(name, format), None)
        left_out[name] = reason
    records = {k: v for k, v in converted.records.items() if k not in failed}
    of_samplers: dict[str, BundledFile] = {}
    for kind, sampler in samplers.items():
        files[SAMPLERS[kind]] = sampler_bytes(sampler)
        of_samplers[kind] = file_record(SAMPLERS[kind], files[SAMPLERS[kind]])
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    fields |= {
        "graphs": records,
        "left_out": left_out,
        "deviation": deviation,
        "samplers": of_samplers,
        "files": tuple(
            file_record(name, content)
            for name, content in sorted(files.items())
            if name not in SAMPLERS.values()
        ),
    }
    content = json_bytes(ExportEntry(**fields).to_dict())
    parse_entry(content, "What is to be exported")
    return {**files, ENTRY: content}


def _convert(model: Autoencoder, graphs: Sequence[Graph], format: str) -> _Converted:
    if format == "saved_model":
        return _as_saved_model(graphs)
    if format == "onnx":
        from aezoo.engines.onnx_graphs import convert
    else:
        from aezoo.engines.litert_graphs import convert

    open_graph = folders.runtime_of(format)
    about = {"model": model.name, "family": model.family, "producer": "aezoo"}
    converted = _Converted({}, {}, {}, {})
    for graph in with_progress(graphs, "Exporting", "graph"):
        try:
            content, record = convert(graph, about)
            function = open_graph(content, graph.name)
        except Exception as error:  # of converters and runtimes, of any kind
            reason = " ".join(str(error).split())[:300]
            if graph.name in NEEDED:
                raise ExportError(
                    f"The family {model.family!r} on the network "
                    f"{model.network.kind!r} cannot be exported to {_TITLES[format]}: "
                    f"{reason.rstrip('.')}. Pass `format='saved_model'`."
                ) from error
            converted.left_out[graph.name] = reason
            continue
        converted.files[graph_file(graph.name, format)] = content
        converted.records[graph.name] = record
        converted.functions[graph.name] = function
    return converted


def _as_saved_model(graphs: Sequence[Graph]) -> _Converted:
    from aezoo.engines.tensorflow_graphs import open_saved_model, saved_model

    files, records = saved_model(graphs)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        functions = open_saved_model(Path(scratch))
    return _Converted(files, records, functions, {})


# --- Whether it computes the same ----------------------------------------------------


def _compare(
    model: Autoencoder,
    exported: ExportedModel,
    expected: Mapping[str, np.ndarray] | None,
    can_sample: bool,
) -> tuple[float, dict[str, str]]:
    """The largest deviation from golden tensors, and which other graphs failed.

    Raises:
        ExportError: If it is above the tolerance; names the tensor.
    """
    graphs = set(exported.entry.graphs)
    inputs = expected["inputs"] if expected else golden.golden_inputs(model)
    told = golden.golden_conditions(model, len(inputs))
    for name in told if expected else ():
        told[name] = expected[golden.GIVEN + name]  # type: ignore[index]
    wanted = answers(model, model, inputs, graphs, can_sample, told)
    stated = {k: v for k, v in (expected or {}).items() if k in wanted}
    wanted |= stated
    found = answers(exported, model, inputs, graphs, can_sample, told)
    tolerance, worst, failed = exported.entry.tolerance, 0.0, {}
    for name, value in wanted.items():
        graph = name.partition(":")[0]
        is_golden = name in _GOLDEN or name.startswith(PARAMETER)
        deviation = _deviation(found[name], value, is_relative=name not in stated)
        if is_golden:
            worst = max(worst, deviation)
        if deviation <= tolerance:  # false for NaN
            continue
        reason = f"{name!r} deviates by {deviation:.2g} from the Keras model"
        if is_golden or graph in NEEDED:
            raise ExportError(
                f"The exported {model.name!r} ({model.family}) computes something "
                f"else: {reason}, of at most {tolerance:g}. Nothing was written."
            )
        failed[graph] = reason
    return worst, failed


def answers(
    model: Any,
    original: Autoencoder,
    inputs: np.ndarray,
    graphs: Collection[str],
    can_sample: bool,
    told: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """What a model answers, in Keras or exported, by `graph` or `graph:what`.

    Golden tensors have the names that they have in golden files.

    Args:
        model: The model.
        original: The Keras model, whose codes both decode.
        inputs: Examples.
        graphs: Names of the functions to ask.
        can_sample: Whether it has a prior.
        told: What both must be told of the examples.
    """
    x = model.modality.unrounded(inputs)
    if original.has_encoder:
        codes = original.encode(x, given=told)
    else:
        codes = original.sample_prior(len(x), np.random.default_rng(_SEED))
    found: dict[str, Any] = {}
    if "encode" in graphs:
        found["codes"] = model.encode(x, given=told)
    if "encode_parameters" in graphs:
        posterior = model.posterior(x, given=told)
        for name, value in posterior.parameters().items():
            found[PARAMETER + name] = value
        found |= {"mean": posterior.mean, "mode": posterior.mode()}
        if not original.KL_DRAWS:
            found["kl"] = posterior.kl()
        if "sample_posterior" in graphs:
            found["sample_posterior"] = posterior.sample(_SEED)
        if "log_prob" in graphs:
            found["log_prob"] = posterior.log_prob(posterior.mode())
    if "decode" in graphs:
        found["decode"] = model.run("decode", codes, len(codes), **told)
    if "reconstruct" in graphs:
        # as rows of numbers, also of sentences
        of_inputs = model.modality.check(model.reconstruct(inputs, given=told))
        found["reconstruct"] = of_inputs
        if not model.is_autoregressive:
            found["reconstruction"] = model.reconstruct(x, given=told)
    if can_sample and "decode" in graphs:
        n = golden.NUM_INPUTS
        drawn_for = golden.repeated(told, n)
        if not model.is_autoregressive:
            found["samples"] = model.sample(n, seed=_SEED, given=drawn_for)
        if "draw_elements" in graphs:
            found["draw_elements"] = model.sample(
                n, seed=_SEED, noise=True, given=drawn_for
            )
        if "write" in graphs:
            drawn = model.sample(n, seed=_SEED, noise=True, given=drawn_for)
            found["write"] = model.modality.check(drawn)
    return {name: np.asarray(value) for name, value in found.items()}


def _deviation(found: np.ndarray, wanted: np.ndarray, is_relative: bool) -> float:
    """How far two answers are apart, or how far relative to what is larger than 1.

    Of answers in integers and of drawn ones, zero if few elements differ: what is
    rounded or drawn at a threshold may fall on either side.
    """
    if found.shape != wanted.shape:
        return float("inf")
    a, b = found.astype("float64"), wanted.astype("float64")
    with np.errstate(invalid="ignore"):
        unit = np.maximum(1.0, np.abs(b)) if is_relative else 1.0
        apart = np.where(a == b, 0.0, np.abs(a - b) / unit)
    is_rounded = wanted.dtype.kind in "iu" or np.isin(wanted, (0.0, 1.0)).all()
    if is_rounded and np.mean(apart > 0.0) <= _SHARE:
        return 0.0
    return float(apart.max(initial=0.0))
