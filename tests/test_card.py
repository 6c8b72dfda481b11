"""The model card: what it says, that the Hub reads it, and that no text breaks it."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt  # comes with rich
from msgspec.structs import replace
from PIL import Image

import aezoo
from aezoo import manifest
from aezoo.manifest import BundledFile
from aezoo.store.card import RECONSTRUCTION, SAMPLES, model_card, pictures
from aezoo.store.entry import FolderEntry, parse_entry, published_entry, read_entry
from aezoo.utils.records import recast
from tests.hub_server import HubServer

ADDRESS = "hf://org/name"
# Each would break out of some place where text of others stands.
HOSTILE = [
    "---\nlicense: mit\n---",
    "a | b\n| c |",
    "# Heading",
    "- item",
    "1. item",
    "``` \n```python\nimport os\n```",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[click](https://evil.example) ![](https://evil.example/x.png)",
    "**bold** _thin_ ~~gone~~ $x$ `code` \\",
    "key: value # {a: [b]} *anchor &alias !tag",
    "\"quoted\" and 'quoted'",
    "line\r\nline\u2028line\x00\x07\u202e",
    "&lt;b&gt;",
]


def zoo_entry(name: str = "conv_vae_mnist_z16") -> FolderEntry:
    entry = manifest.describe(name)
    weights = recast(entry.weights, BundledFile)
    return published_entry(entry, weights=weights)


def own_entry(**changes) -> FolderEntry:
    """What `aezoo.save` knows of a model of which nothing was told."""
    fields = {
        "schema_version": 1,
        "name": "mine",
        "family": "conv_ae",
        "config": {"latent_dim": 3, "dtype": "float32"},
        "description": None,
        "license": None,
        "input_shape": [8, 8, 4],
        "value_range": [0.0, 1.0],
        "latent_shape": [3],
        "num_params": 5,
        "tasks": ["reconstruction", "features"],
        "data": None,
        "weights": {"file": "model.weights.h5", "bytes": 10, "sha256": "0" * 64},
        "golden": {"file": "golden.npz", "sha256": "1" * 64},
        "metrics": {},
        "backend": "tensorflow",
        "versions": {"keras": "3.15.1"},
    }
    return parse_entry(json.dumps(fields | changes).encode(), "The entry")


def read(card: ModelCard) -> tuple[dict, str]:
    """Front matter and body as whoever reads the file sees them."""
    again = ModelCard(str(card))
    assert str(again) == str(card)
    _, front, body = str(card).split("---\n", 2)
    assert yaml.safe_load(front) == again.data.to_dict()
    return again.data.to_dict(), body


# --- Front matter --------------------------------------------------------------------


def test_the_front_matter_of_a_model_of_the_zoo() -> None:
    entry = zoo_entry()
    front, _ = read(model_card(entry, ADDRESS))
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "keras"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert front["datasets"] == ["mnist"]
    assert front["tags"] == ["aezoo", "autoencoder", "conv_vae", "vae"]
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] == "conv_vae_mnist_z16"
    assert result["dataset"] == {"name": "mnist", "type": "mnist", "split": "test"}
    metrics = {metric["name"]: metric for metric in result["metrics"]}
    assert list(metrics) == list(entry.metrics["mnist/test"])
    stated = entry.metrics["mnist/test"]["elbo"]
    assert metrics["elbo"]["value"] == stated.value
    assert metrics["elbo"]["args"] == {
        key: getattr(stated, key) for key in ("unit", "protocol", "standard_error")
    }


def test_every_model_of_the_zoo_has_a_card() -> None:
    names = aezoo.list_models()
    assert names
    for name in names:
        front, body = read(model_card(zoo_entry(name), ADDRESS))
        can_sample = "sampling" in manifest.describe(name).tasks
        kind = manifest.describe(name).kind
        if "restoration" in manifest.describe(name).tasks:
            assert front["pipeline_tag"] == "image-to-image"
            continue
        task = "unconditional-image-generation" if can_sample else "image-feature-extr"
        assert front["pipeline_tag"].startswith(
            task if kind == "image" else "feature-extr"
        )
        # those of music are heard, and sentences are read
        is_seen = kind in ("image", "trajectory", "voxels")
        assert (SAMPLES in body) == (can_sample and is_seen)
        assert f"\npython -m training.train {name}\n" in body
        assert manifest.describe(name).paper in body
        assert manifest.describe(name).weights.sha256 in body


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("CC BY-SA 3.0", {"license": "cc-by-sa-3.0"}),
        ("BSD-3-Clause", {"license": "bsd-3-clause"}),
        ("My own: ask!", {"license": "other", "license_name": "my-own-ask"}),
        ("许可", {"license": "other", "license_name": "unnamed"}),
        (None, {}),
    ],
)
def test_licences_are_spelled_as_the_hub_does(stated, expected: dict) -> None:
    front, body = read(model_card(own_entry(license=stated)))
    found = {key: front[key] for key in ("license", "license_name") if key in front}
    assert found == expected
    assert f"- Weights: {stated or 'not stated; ask the author'}" in body


def test_what_is_not_known_is_said_or_left_out() -> None:
    front, body = read(model_card(own_entry()))
    assert "model-index" not in front
    assert "datasets" not in front
    assert "## Metrics\n\nNone stated." in body
    assert "- Training data: not stated" in body
    assert "its quality on any data was not measured" in body
    assert "## Reproduce" not in body
    assert "![" not in body, "four channels are no picture"
    assert 'aezoo.load("path/to/this/folder")' in body


def test_datasets_that_are_no_identifiers_are_left_out() -> None:
    data = {"name": "my own photos", "version": "", "split": "", "license": "CC0-1.0"}
    front, body = read(model_card(own_entry(data=data)))
    assert "datasets" not in front
    assert "- Training data, my own photos: CC0-1.0" in body


# --- Text of others ------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_the_card(text: str) -> None:
    metric = {"value": 1.0, "unit": text, "protocol": text}
    data = {"name": text, "version": text, "split": text, "license": text}
    hostile = own_entry(
        name=text,
        description=text,
        license=text,
        data=data,
        paper=text,
        recipe=text,
        metrics={f"{text}/test": {text: metric}},
        versions={text: text},
        backend=text,
        config={"activation": text},
    )
    plain = own_entry(
        name="x",
        description="x",
        license="x",
        data=dict.fromkeys(data, "x"),
        paper="x",
        recipe="x",
        metrics={"x/test": {"x": {"value": 1.0, "unit": "x", "protocol": "x"}}},
        versions={"x": "x"},
        backend="x",
        config={"activation": "x"},
    )
    front, body = read(model_card(hostile, ADDRESS))
    expected, plain_body = read(model_card(plain, ADDRESS))
    assert set(front) - {"license_name", "datasets"} <= set(expected)
    assert front["license"] == "other"
    tokens = list(parse(body))
    assert [kind for kind, _ in tokens] == [kind for kind, _ in parse(plain_body)]
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())
    shown = [content for kind, content in tokens if kind == "text"]
    assert shown[:2] == [line, line], "heading and description show it as it is"
    assert shown.count(line) >= 4, "and so do the table's cells"


def parse(body: str) -> Iterator[tuple[str, str]]:
    """Kind and content of all parts of a Markdown text, as the Hub's parser reads it.

    Fences count as one part, whatever their content.
    """
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for token in parser.parse(body):
        yield token.type, token.content
        for child in token.children or ():
            yield child.type, child.content


# --- Pictures ------------------------------------------------------------------------


def test_pictures_are_drawn_from_the_golden_tensors() -> None:
    entry = own_entry(input_shape=[28, 28, 1], tasks=["reconstruction", "sampling"])
    rng = np.random.default_rng(0)
    golden = {
        "inputs": rng.integers(0, 256, (8, 28, 28, 1), dtype="uint8"),
        "reconstruction": rng.random((8, 28, 28, 1), dtype="float32"),
        "samples": rng.random((8, 28, 28, 1), dtype="float32"),
    }
    drawn = pictures(entry, golden)
    assert list(drawn) == [SAMPLES, RECONSTRUCTION]
    assert pictures(entry, golden) == drawn
    sheet = np.asarray(Image.open(io.BytesIO(drawn[RECONSTRUCTION])))
    scale = sheet.shape[0] // (2 * 30 + 2)
    assert scale >= 2
    pixels = sheet[::scale, ::scale]
    assert np.array_equal(pixels.repeat(scale, 0).repeat(scale, 1), sheet), "nearest"
    np.testing.assert_array_equal(pixels[2:30, 2:30], golden["inputs"][0, :, :, 0])
    below = np.round(255 * golden["reconstruction"][7, :, :, 0])
    np.testing.assert_array_equal(pixels[32:60, -30:-2], below)


@pytest.mark.parametrize(
    ("shape", "tasks", "expected"),
    [
        ([8, 8, 3], ["sampling"], [SAMPLES]),
        ([8, 8, 2], ["sampling"], []),
        ([8, 8, 1], ["reconstruction"], []),
        ([28, 28, 1], ["reconstruction"], [RECONSTRUCTION]),
    ],
)
def test_a_card_shows_the_pictures_that_there_are(shape, tasks, expected) -> None:
    entry = own_entry(input_shape=shape, tasks=tasks)
    images = np.zeros((8, *shape))
    golden = {"samples": images, "inputs": images, "reconstruction": images}
    drawn = pictures(entry, golden)
    assert list(drawn) == expected
    _, body = read(model_card(entry))
    assert re.findall(r"\((\w+\.png)\)", body) == expected
    for content in drawn.values():
        assert Image.open(io.BytesIO(content)).mode == ("L" if shape[2] == 1 else "RGB")


# --- Files ---------------------------------------------------------------------------


def test_a_saved_model_has_its_card(tmp_path: Path) -> None:
    model = aezoo.create("linear_ae", input_shape=(8, 8, 1), latent_dim=3)
    folder = aezoo.save(model, tmp_path / "model", description="Ünïcode | text")
    card = ModelCard.load(folder / "README.md")
    assert str(card) == str(model_card(read_entry(folder)))
    assert "Ünïcode \\| text" in card.text


def test_a_card_names_the_fitted_samplers_and_their_hashes() -> None:
    entry = zoo_entry()
    text = str(model_card(entry, ADDRESS))
    assert list(entry.samplers) == ["gmm"]
    assert 'model.sample(16, seed=0, sampler="gmm")' in text
    assert f"`{entry.samplers['gmm'].sha256}`" in text
    without = replace(entry, samplers={})
    assert "sampler=" not in str(model_card(without, ADDRESS))


def test_the_hubs_own_classes_accept_the_card_of_every_model() -> None:
    code = (
        "from aezoo import manifest\n"
        "from aezoo.store.card import model_card\n"
        "from tests.test_card import zoo_entry\n"
        "for name in manifest.entries():\n"
        "    model_card(zoo_entry(name)).validate()"
    )
    with HubServer() as hub:
        env = os.environ | {"HF_ENDPOINT": hub.url}
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert hub.count("validate-yaml") == len(manifest.entries()) >= 10
