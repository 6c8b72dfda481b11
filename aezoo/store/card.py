"""The model card and its pictures, from a model's entry and its golden tensors.

An entry is what `aezoo.json` holds: the fields of `manifest.WeightsEntry` for a model
of the zoo, fewer for anyone's own. Its texts may come from anyone, so they are escaped.
"""

import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo import modalities
from aezoo.metrics import higher_is_better
from aezoo.modalities import Modality

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
    "reconstruction": "`model.reconstruct({noun}s)`: {noun}s through the code and "
    "back. Detail that the code has no room for is lost.",
    "features": "`model.encode({noun}s)`: codes for retrieval, clustering or a "
    "classifier. They keep the biases of the training data.",
    "sampling": "`model.sample(n, seed=0)`: new {noun}s like those of the training "
    "data. They show what the model has learned; they are no data.",
}


def pictures(
    fields: Mapping[str, Any], golden: Mapping[str, np.ndarray]
) -> dict[str, bytes]:
    """The card's pictures as PNG files by name, drawn from golden tensors.

    Args:
        fields: The model's entry.
        golden: Its golden tensors.

    Returns:
        `samples.png` where the model can sample, and `reconstruction.png`, golden
        inputs above their reconstructions, where the inputs are drawn digits.
    """
    images = {}
    for name in _picture_names(fields):
        if name == SAMPLES:
            rows = [golden["samples"]]
        else:
            rows = [modality_of(fields).unrounded(golden["inputs"])]
            rows.append(golden["reconstruction"])
        images[name] = _png(modality_of(fields), rows)
    return images


def modality_of(fields: Mapping[str, Any]) -> Modality:
    """What an example of a model is.

    Args:
        fields: The model's entry.
    """
    described = fields["config"].get("modality")
    if described is None:
        return modalities.Image(*fields["input_shape"])
    return modalities.from_config(dict(described))


def model_card(fields: Mapping[str, Any], address: str = ADDRESS) -> "ModelCard":
    """The model card of an entry.

    Args:
        fields: The model's entry: what its `aezoo.json` holds.
        address: What `aezoo.load` takes to load it, e.g. `"hf://organisation/name"`.

    Returns:
        The card; `str(card)` is the content of `README.md`.
    """
    from huggingface_hub import ModelCard, ModelCardData

    results = list(_eval_results(fields))
    license_id, license_name = _license(fields.get("license"))
    data = ModelCardData(
        license=license_id,
        license_name=license_name,
        library_name="keras",
        pipeline_tag=_pipeline_tag(fields),
        tags=["aezoo", "autoencoder", _slug(fields["family"]), *_tags(fields)],
        datasets=_datasets(fields) or None,
        model_name=_line(fields["name"]) if results else None,
        eval_results=results or None,
    )
    body = "\n\n".join(_sections(fields, address))
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n")


# --- Front matter --------------------------------------------------------------------


def _license(name: str | None) -> tuple[str | None, str | None]:
    """The Hub's identifier of a licence, and the name of one that it does not know."""
    if not name:
        return None, None
    slug = _slug(name)
    return (slug, None) if slug in HUB_LICENSES else ("other", slug or "unnamed")


def _pipeline_tag(fields: Mapping[str, Any]) -> str:
    can_sample = "sampling" in fields["tasks"]
    return (
        "unconditional-image-generation" if can_sample else "image-feature-extraction"
    )


def _tags(fields: Mapping[str, Any]) -> list[str]:
    return ["vae"] if "vae" in fields["family"].split("_") else []


def _datasets(fields: Mapping[str, Any]) -> list[str]:
    data = fields.get("data")
    return [data["name"]] if data and _is_dataset_id(data["name"]) else []


def _is_dataset_id(name: str) -> bool:
    return re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name, re.ASCII) is not None


def _eval_results(fields: Mapping[str, Any]) -> Iterator["EvalResult"]:
    from huggingface_hub import EvalResult

    task = _pipeline_tag(fields)
    for key, metrics in fields["metrics"].items():
        dataset, _, split = key.rpartition("/") if "/" in key else (key, "", "")
        for name, metric in metrics.items():
            arguments = {"unit": metric["unit"], "protocol": metric["protocol"]}
            arguments = {field: _line(text) for field, text in arguments.items()}
            error = metric.get("standard_error")
            yield EvalResult(
                task_type=task,
                dataset_type=_slug(dataset),
                dataset_name=_line(dataset),
                dataset_split=_line(split) or None,
                metric_type=_slug(name),
                metric_name=_line(name),
                metric_value=metric["value"],
                metric_args=arguments
                | ({} if error is None else {"standard_error": error}),
            )


# --- Body ----------------------------------------------------------------------------


def _sections(fields: Mapping[str, Any], address: str) -> Iterator[str]:
    yield f"# {_text(fields['name'])}"
    kind = f"A `{_slug(fields['family'])}` model of aezoo, for Keras 3."
    yield _text(fields["description"]) if fields.get("description") else kind
    yield from _shown(fields)
    yield from ("## Use", _usage(fields, address))
    yield from ("## Intended use and limits", _limits(fields))
    yield from ("## Licence", _licenses(fields))
    yield from ("## Metrics", *_metrics(fields))
    yield from ("## Training", _training(fields))
    if fields.get("recipe"):
        yield from ("## Reproduce", _reproduction(fields))
    yield from ("## Files", _files(fields))
    yield from ("## Citation", _citation(fields))


def _picture_names(fields: Mapping[str, Any]) -> list[str]:
    modality = modality_of(fields)
    if modality.is_text or not modality.is_shown:
        return []
    names = [SAMPLES] if "sampling" in fields["tasks"] else []
    return [*names, RECONSTRUCTION] if modality.has_drawn_examples else names


def _shown(fields: Mapping[str, Any]) -> Iterator[str]:
    legends = {
        SAMPLES: "Samples from the prior, seed 0",
        RECONSTRUCTION: "Drawn examples (top) and their reconstructions (bottom)",
    }
    for name in _picture_names(fields):
        yield f"![{legends[name]}]({name})\n\n*{legends[name]}.*"


def _usage(fields: Mapping[str, Any], address: str) -> str:
    modality = modality_of(fields)
    noun = f"{modality.noun}s"
    shape = ", ".join(map(str, ("4", *modality.shape)))
    codes = ", ".join(map(str, ("n", *fields["latent_shape"])))
    lines = [
        "```python",
        "import aezoo",
        "import numpy as np",
        "",
        f"model = aezoo.load({json.dumps(address)})  # a keras.Model",
        f'{noun} = np.zeros(({shape}), "uint8")  # yours; or floats in [0, 1]',
        f"codes = model.encode({noun})  # ({codes})",
        f"reconstructions = model.reconstruct({noun})  # uint8, as the {noun}",
    ]
    if "sampling" in fields["tasks"]:
        lines.append("samples = model.sample(16, seed=0)  # floats in [0, 1]")
    for kind in fields.get("samplers") or ():
        lines.append(
            f'samples = model.sample(16, seed=0, sampler="{_slug(kind)}")  # fitted'
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
    if fields.get("recipe"):
        name = _slug(fields["name"])
        lines += ["", f'The same weights come with aezoo: `aezoo.load("{name}")`.']
    return "\n".join(lines)


def _limits(fields: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, fields["input_shape"]))
    noun = modality_of(fields).noun
    lines = [
        f"- {TASKS[task].format(noun=noun)}"
        for task in fields["tasks"]
        if task in TASKS
    ]
    data = fields.get("data")
    trained = f", trained on {_text(data['name'])} alone" if data else ""
    measured = sorted(
        {_text(key.rpartition("/")[0] or key) for key in _results(fields)}
    )
    where = f"outside {', '.join(measured)}" if measured else "on any data"
    lines.append(
        f"- It is made for {noun}s of {shape}{trained}; its quality {where} was not "
        "measured."
    )
    return "\n".join(lines)


def _results(fields: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return {key: metrics for key, metrics in fields["metrics"].items() if metrics}


def _licenses(fields: Mapping[str, Any]) -> str:
    weights, data = fields.get("license"), fields.get("data")
    lines = [f"- Weights: {_text(weights or 'not stated; ask the author before use')}"]
    if data:
        lines.append(
            f"- Training data, {_text(data['name'])}: {_text(data['license'])}"
        )
    else:
        lines.append("- Training data: not stated")
    return "\n".join(lines)


def _metrics(fields: Mapping[str, Any]) -> Iterator[str]:
    results = _results(fields)
    if not results:
        yield "None stated."
    ways = {True: "higher", False: "lower", None: "neither"}
    for key, metrics in results.items():
        rows = []
        for name, metric in metrics.items():
            error = metric.get("standard_error")
            spread = "" if error is None else f" ± {error:.2g}"
            rows.append(
                (
                    _text(name),
                    f"{metric['value']:.6g}{spread}",
                    _text(metric["unit"]),
                    ways[higher_is_better(name)],
                    _text(metric["protocol"]),
                )
            )
        yield f"On {_text(key)}; ± is one standard error."
        yield _table(rows, ("metric", "value", "unit", "better", "how measured"))


def _training(fields: Mapping[str, Any]) -> str:
    facts: dict[str, str | None] = {}
    data, made = fields.get("data"), fields.get("training")
    if data:
        facts["Data"] = f"{data['name']} {data['version']}, split {data['split']}"
    if fields.get("seed") is not None:
        facts["Seed"] = f"{fields['seed']}"
    if made:
        facts["Hardware"] = made["hardware"]
        facts["Time"] = f"{made['seconds']:,.0f} s"
        facts["Started from"] = made.get("start_from")
    facts["Backend"] = (made or fields).get("backend")
    versions = (made or fields).get("versions") or {}
    which = "Versions" if made else "Versions when saved"
    facts[which] = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts["Parameters"] = f"{fields['num_params']:,}"
    lines = [f"- {what}: {_text(fact)}" for what, fact in facts.items() if fact]
    config = json.dumps(dict(fields["config"]))
    return "\n".join((*lines, "", "```json", config, "```"))


def _reproduction(fields: Mapping[str, Any]) -> str:
    name = _slug(fields["name"])
    return "\n".join(
        (
            f"In a checkout of aezoo; the recipe is {_text(fields['recipe'])}.",
            "",
            "```bash",
            f"python -m training.train {name}",
            f"python -m training.evaluate {name} --check  # every figure above",
            f"aezoo verify {name}  # hashes and golden tensors",
            "```",
        )
    )


def _files(fields: Mapping[str, Any]) -> str:
    weights, golden = fields["weights"], fields["golden"]
    rows = [
        (_text(weights["file"]), f"weights, {weights['bytes']:,} bytes", weights),
        (_text(golden["file"]), "inputs, and what the model must answer", golden),
    ]
    for kind, file in (fields.get("samplers") or {}).items():
        rows.append((_text(file["file"]), f"fitted sampler {_text(kind)}", file))
    return _table(
        [(name, what, f"`{_slug(file['sha256'])}`") for name, what, file in rows],
        ("file", "content", "SHA-256"),
    )


def _citation(fields: Mapping[str, Any]) -> str:
    lines = [
        "```bibtex",
        "@software{aezoo,",
        "  title = {aezoo: pretrained autoencoders for Keras},",
        "  year = {2026},",
        "  license = {Apache-2.0}",
        "}",
        "```",
    ]
    if re.fullmatch(r"https://[^\s<>]+", fields.get("paper") or ""):
        lines = [f"The paper behind the family: <{fields['paper']}>.", "", *lines]
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
    from PIL import Image

    pixels = modality.sheet(np.concatenate(rows), len(rows[0]), PICTURE_SIDE // 2)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(
        file, "png"
    )
    return file.getvalue()
