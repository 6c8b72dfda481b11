"""The model card and its pictures, from a model's entry and its golden tensors.

An entry is what `aezoo.json` holds: of a model of the zoo all that the manifest states,
of anyone's own less. Its texts may come from anyone, so they are escaped.
"""

import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo.manifest import Metrics
from aezoo.metrics import higher_is_better
from aezoo.modalities import Modality
from aezoo.store.entry import FolderEntry, given_of, modality_of

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

SAMPLES, RECONSTRUCTION = "samples.png", "reconstruction.png"
# Shorter side that a picture of eight images is enlarged to reach, in pixels.
PICTURE_SIDE = 160
ADDRESS = "path/to/this/folder"
# Identifiers of the Hub, which are SPDX's in lower case.
HUB_LICENSES = frozenset(
    {
        *("apache-2.0", "mit", "isc", "zlib", "ncsa", "unlicense", "wtfpl", "pddl"),
        *("bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "afl-3.0"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
        *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0"),
        *("cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
        *("cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0"),
        *("gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-2.1", "lgpl-3.0", "mpl-2.0"),
        *("ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "etalab-2.0"),
        *("artistic-2.0", "ms-pl", "odbl", "ofl-1.1", "osl-3.0", "postgresql"),
    }
)
TASKS = {
    "reconstruction": "`model.reconstruct({nouns})`: {nouns} through the code and "
    "back. Detail that the code has no room for is lost.",
    "features": "`model.encode({nouns})`: codes for retrieval, clustering or a "
    "classifier. They keep the biases of the training data.",
    "sampling": "`model.sample(n, seed=0)`: new {nouns} like those of the training "
    "data. They show what the model has learned; they are no data.",
    "restoration": "`model.restore({nouns})`: {nouns} of any size without the "
    "degradation that the model has learned to undo. What it puts there is likely, "
    "and need not be true.",
    "surfaces": "`model.mesh(codes)`: surfaces at any resolution.",
}


def pictures(entry: FolderEntry, golden: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The card's pictures as PNG files by name, drawn from golden tensors.

    Args:
        entry: The model's entry.
        golden: Its golden tensors.

    Returns:
        `samples.png` where the model can sample, and `reconstruction.png`, golden
        inputs above their reconstructions, where the inputs are drawn digits.
    """
    pictures = {}
    for name in _picture_names(entry):
        if name == SAMPLES:
            rows = [golden["samples"]]
        else:
            rows = [modality_of(entry).unrounded(golden["inputs"])]
            rows.append(golden["reconstruction"])
        pictures[name] = _png(modality_of(entry), rows)
    return pictures


def model_card(entry: FolderEntry, address: str = ADDRESS) -> "ModelCard":
    """The model card of an entry.

    Args:
        entry: The model's entry: what its `aezoo.json` holds.
        address: What `aezoo.load` takes to load it, e.g. `"hf://organisation/name"`.

    Returns:
        The card; `str(card)` is the content of `README.md`.
    """
    from huggingface_hub import ModelCard, ModelCardData

    results = list(_eval_results(entry))
    license_id, license_name = _license(entry.license)
    data = ModelCardData(
        license=license_id,
        license_name=license_name,
        library_name="keras",
        pipeline_tag=_pipeline_tag(entry),
        tags=["aezoo", "autoencoder", _slug(entry.family), *_tags(entry)],
        datasets=_datasets(entry) or None,
        model_name=_line(entry.name) if results else None,
        eval_results=results or None,
    )
    body = "\n\n".join(_sections(entry, address))
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n")


# --- Front matter --------------------------------------------------------------------


def _license(name: str | None) -> tuple[str | None, str | None]:
    """The Hub's identifier of a licence, and the name of one that it does not know."""
    if not name:
        return None, None
    slug = _slug(name)
    return (slug, None) if slug in HUB_LICENSES else ("other", slug or "unnamed")


def _pipeline_tag(entry: FolderEntry) -> str:
    if "restoration" in entry.tasks:
        return "image-to-image"
    return modality_of(entry).pipeline_tag("sampling" in entry.tasks)


def _tags(entry: FolderEntry) -> list[str]:
    return ["vae"] if "vae" in entry.family.split("_") else []


def _datasets(entry: FolderEntry) -> list[str]:
    data = entry.data
    return [data.name] if data and _is_dataset_id(data.name) else []


def _is_dataset_id(name: str) -> bool:
    return re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name, re.ASCII) is not None


def _eval_results(entry: FolderEntry) -> Iterator["EvalResult"]:
    from huggingface_hub import EvalResult

    task = _pipeline_tag(entry)
    for key, metrics in entry.metrics.items():
        dataset, _, split = key.rpartition("/") if "/" in key else (key, "", "")
        for name, metric in metrics.items():
            arguments = {"unit": metric.unit, "protocol": metric.protocol}
            arguments = {field: _line(text) for field, text in arguments.items()}
            error = metric.standard_error
            yield EvalResult(
                task_type=task,
                dataset_type=_slug(dataset),
                dataset_name=_line(dataset),
                dataset_split=_line(split) or None,
                metric_type=_slug(name),
                metric_name=_line(name),
                metric_value=metric.value,
                metric_args=arguments
                | ({} if error is None else {"standard_error": error}),
            )


# --- Body ----------------------------------------------------------------------------


def _sections(entry: FolderEntry, address: str) -> Iterator[str]:
    yield f"# {_text(entry.name)}"
    kind = f"A `{_slug(entry.family)}` model of aezoo, for Keras 3."
    yield _text(entry.description) if entry.description else kind
    yield from _shown(entry)
    yield from ("## Use", _usage(entry, address))
    yield from ("## Intended use and limits", _limits(entry))
    yield from ("## Licence", _licenses(entry))
    yield from ("## Metrics", *_metrics(entry))
    yield from ("## Training", _training(entry))
    if entry.recipe:
        yield from ("## Reproduce", _reproduction(entry))
    yield from ("## Files", _files(entry))
    yield from ("## Citation", _citation(entry))


def _picture_names(entry: FolderEntry) -> list[str]:
    modality = modality_of(entry)
    if modality.is_text or not modality.is_shown:
        return []
    if not modality.is_continuous:  # golden tensors hold probabilities in their place
        return []
    names = [SAMPLES] if "sampling" in entry.tasks else []
    is_drawn = modality.has_drawn_examples and "reconstruction" in entry.tasks
    return [*names, RECONSTRUCTION] if is_drawn else names


def _shown(entry: FolderEntry) -> Iterator[str]:
    legends = {
        SAMPLES: "Samples from the prior, seed 0",
        RECONSTRUCTION: "Drawn examples (top) and their reconstructions (bottom)",
    }
    for name in _picture_names(entry):
        yield f"![{legends[name]}]({name})\n\n*{legends[name]}.*"


def _usage(entry: FolderEntry, address: str) -> str:
    modality = modality_of(entry)
    nouns = modality.nouns
    codes = ", ".join(map(str, ("n", *entry.latent_shape)))
    lines = [
        "```python",
        "import aezoo",
        "import numpy as np",
        "",
        f"model = aezoo.load({json.dumps(address)})  # a keras.Model",
        _placeholder(nouns, modality, 4),
    ]
    given = given_of(entry)
    each = one = ""
    if given:
        for name, told in given.items():
            lines.append(_placeholder(_slug(name), told, 4))
        names = [_slug(name) for name in given]
        pairs = ", ".join(f'"{name}": {name}' for name in names)
        lines.append(f"told = {{{pairs}}}  # beside each of the {nouns}")
        first = ", ".join(f'"{name}": {name}[0]' for name in names)
        each, one = ", given=told", f", given={{{first}}}"
    dtype, floats = _dtype(modality), ""
    if dtype == "uint8":
        floats = "  # floats in [0, 1]"
    if "features" in entry.tasks:
        lines.append(f"codes = model.encode({nouns}{each})  # ({codes})")
    else:  # without an encoder
        lines.append(f"codes = model.project({nouns}{each})  # ({codes}), slowly")
    if "reconstruction" in entry.tasks:
        lines.append(
            f"reconstructions = model.reconstruct({nouns}{each})"
            f"  # {dtype}, as the {nouns}"
        )
    if "sampling" in entry.tasks:
        lines.append(f"samples = model.sample(16, seed=0{one}){floats}")
    for kind in entry.samplers:
        lines.append(
            f'samples = model.sample(16, seed=0, sampler="{_slug(kind)}"{one})'
            "  # fitted"
        )
    lines += [
        "```",
        "",
        "Plain Keras reads it as well, without aezoo's check of the weights' hash:",
        "",
        "```python",
        "import aezoo",
        "import keras",
        "",
        f"model = keras.saving.load_model({json.dumps(address)})",
        "```",
    ]
    if entry.recipe:
        name = _slug(entry.name)
        lines += ["", f'The same weights come with aezoo: `aezoo.load("{name}")`.']
    return "\n".join(lines)


def _dtype(modality: Modality) -> str:
    return modality.check(modality.examples(1)).dtype.name


def _placeholder(name: str, modality: Modality, n: int) -> str:
    """A line of code that makes blank examples of the right shape and dtype."""
    shape = ", ".join(map(str, (n, *modality.shape)))
    dtype = _dtype(modality)
    hint = "; or floats in [0, 1]" if dtype == "uint8" else ""
    return f'{name} = np.zeros(({shape}), "{dtype}")  # yours{hint}'


def _limits(entry: FolderEntry) -> str:
    shape = " x ".join(map(str, entry.input_shape))
    nouns = modality_of(entry).nouns
    lines = [
        f"- {TASKS[task].format(nouns=nouns)}" for task in entry.tasks if task in TASKS
    ]
    data = entry.data
    trained = f", trained on {_text(data.name)} alone" if data else ""
    measured = sorted({_text(key.rpartition("/")[0] or key) for key in _results(entry)})
    where = f"outside {', '.join(measured)}" if measured else "on any data"
    told = ", ".join(entry.given)
    if told:
        lines.append(
            f"- It must be told, beside each of the {nouns}, what it was told in "
            f"training: `given` holds {_text(told)}."
        )
    lines.append(
        f"- It is made for {nouns} of {shape}{trained}; its quality {where} was not "
        "measured."
    )
    return "\n".join(lines)


def _results(entry: FolderEntry) -> Metrics:
    return {key: metrics for key, metrics in entry.metrics.items() if metrics}


def _licenses(entry: FolderEntry) -> str:
    weights, data = entry.license, entry.data
    lines = [f"- Weights: {_text(weights or 'not stated; ask the author before use')}"]
    if data:
        lines.append(f"- Training data, {_text(data.name)}: {_text(data.license)}")
    else:
        lines.append("- Training data: not stated")
    return "\n".join(lines)


def _metrics(entry: FolderEntry) -> Iterator[str]:
    results = _results(entry)
    if not results:
        yield "None stated."
    ways = {True: "higher", False: "lower", None: "neither"}
    for key, metrics in results.items():
        rows = []
        for name, metric in metrics.items():
            error = metric.standard_error
            spread = "" if error is None else f" ± {error:.2g}"
            rows.append(
                (
                    _text(name),
                    f"{metric.value:.6g}{spread}",
                    _text(metric.unit),
                    ways[higher_is_better(name)],
                    _text(metric.protocol),
                )
            )
        yield f"On {_text(key)}; ± is one standard error."
        yield _table(rows, ("metric", "value", "unit", "better", "how measured"))


def _training(entry: FolderEntry) -> str:
    facts: dict[str, str | None] = {}
    data, made = entry.data, entry.training
    if data:
        facts["Data"] = f"{data.name} {data.version}, split {data.split}"
    if entry.seed is not None:
        facts["Seed"] = f"{entry.seed}"
    if made:
        facts["Hardware"] = made.hardware
        facts["Time"] = f"{made.seconds:,.0f} s"
        facts["Started from"] = made.start_from
    facts["Converted from"] = entry.origin
    facts["Backend"] = (made or entry).backend
    versions = (made or entry).versions
    which = "Versions" if made else "Versions when saved"
    facts[which] = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts["Parameters"] = f"{entry.num_params:,}"
    lines = [f"- {what}: {_text(fact)}" for what, fact in facts.items() if fact]
    config = json.dumps(entry.arguments)
    return "\n".join((*lines, "", "```json", config, "```"))


def _reproduction(entry: FolderEntry) -> str:
    name = _slug(entry.name)
    return "\n".join(
        (
            f"In a checkout of aezoo; the recipe is {_text(entry.recipe)}.",
            "",
            "```bash",
            f"python -m training.train {name}",
            f"python -m training.evaluate {name} --check  # every figure above",
            f"aezoo verify {name}  # hashes and golden tensors",
            "```",
        )
    )


def _files(entry: FolderEntry) -> str:
    weights, golden = entry.weights, entry.golden
    rows = [
        (weights.file, f"weights, {weights.bytes:,} bytes", weights.sha256),
        (golden.file, "inputs, and what the model must answer", golden.sha256),
    ]
    for kind, file in entry.samplers.items():
        rows.append((file.file, f"fitted sampler {_text(kind)}", file.sha256))
    return _table(
        [(_text(name), what, f"`{sha256}`") for name, what, sha256 in rows],
        ("file", "content", "SHA-256"),
    )


def _citation(entry: FolderEntry) -> str:
    lines = [
        "```bibtex",
        "@software{aezoo,",
        "  title = {aezoo: pretrained autoencoders for Keras},",
        "  year = {2026},",
        "  license = {Apache-2.0}",
        "}",
        "```",
    ]
    if re.fullmatch(r"https://[^\s<>]+", entry.paper or ""):
        lines = [f"The paper behind the family: <{entry.paper}>.", "", *lines]
    return "\n".join(lines)


# --- Text and pictures ---------------------------------------------------------------


def _line(text: Any) -> str:
    """Anything as one line of printable characters."""
    words = " ".join(str(text).split())
    return "".join(letter for letter in words if letter.isprintable())


def _text(text: Any) -> str:
    """Anything as one line that Markdown shows as it is, wherever it stands."""
    line = html.escape(_line(text), quote=False)
    line = re.sub(r"([\\`*\[|~$]|(?<!\w)_|_(?!\w))", r"\\\1", line)
    return re.sub(r"^(\d*)([#+.)-])", r"\1\\\2", line)  # no heading, no list


def _slug(text: str) -> str:
    """Lower-case letters, digits and `._-` alone, as the Hub's identifiers are."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-")


def _table(rows: Sequence[tuple[str, ...]], headers: tuple[str, ...]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _png(modality: Modality, rows: Sequence[np.ndarray]) -> bytes:
    """Rows of examples as a PNG file."""
    from PIL.Image import fromarray

    sheet = modality.sheet(np.concatenate(rows), len(rows[0]), PICTURE_SIDE // 2)
    file = io.BytesIO()
    fromarray(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet).save(file, "png")
    return file.getvalue()
