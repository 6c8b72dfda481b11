"""The manifest: parsed strictly, filtered, frozen, valid against its schema."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aezoo
from aezoo import manifest
from aezoo.errors import ManifestError, UnknownModelError

SCHEMA = manifest.PACKAGE / "weights_manifest.schema.json"


@pytest.fixture
def document(tiny_zoo: Path) -> dict:
    return json.loads((tiny_zoo / "weights_manifest.json").read_text())


@pytest.fixture
def fields(document: dict) -> dict:
    return document["models"]["conv_vae_mnist_z16"]


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "weights_manifest.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_bundled_manifest_is_valid_against_its_schema() -> None:
    document = json.loads(manifest.manifest_path().read_text())
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("weights", "sha256"), "abc"),
        (("weights", "file"), "../outside.weights.h5"),
        (("weights", "bytes"), 0),
        (("metrics",), {}),
        (("tasks",), ["flying"]),
        (("paper",), "some paper"),
        (("surprise",), 1),
    ],
)
def test_the_schema_rejects_a_wrong_field(
    fields: dict, path: tuple[str, ...], value: object
) -> None:
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    document = {"schema_version": 1, "models": {"conv_vae_mnist_z16": fields}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))


def test_an_entry_survives_a_round_trip(fields: dict) -> None:
    assert manifest.parse_entry("a_b", fields).to_dict() == fields


@given(
    st.dictionaries(
        st.text("abc_", min_size=1),
        st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
    )
)
def test_any_metrics_survive_a_round_trip(values: dict[str, float]) -> None:
    record = {
        "mnist/test": {
            name: {"value": value, "unit": "u", "protocol": "p", "standard_error": 0.5}
            for name, value in values.items()
        }
    }
    entry = next(iter(manifest.entries().values())).to_dict()
    parsed = manifest.parse_entry("x", {**entry, "metrics": record})
    assert parsed.to_dict()["metrics"] == record


def test_entries_cannot_be_changed(fields: dict) -> None:
    entry = manifest.parse_entry("a_b", fields)
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        entry.config["latent_dim"] = 3  # type: ignore[index]
    with pytest.raises(TypeError):
        entry.metrics["mnist/test"]["mse"] = None  # type: ignore[index]


def test_repr_is_readable(tiny_zoo: Path) -> None:  # noqa: ARG001
    text = repr(aezoo.describe("conv_vae_mnist_z16"))
    for part in ("conv_vae_mnist_z16", "28 x 28 x 1", "elbo", "sha256"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"familly": "x"}, r"unknown=\['familly'\]"),
        ({"weights": None}, "`weights` must be an object"),
        ({"data": {"name": "mnist"}}, r"`data` has .* missing=\['license', 'split'"),
        ({"golden": {"file": "a", "sha256": "b", "c": 1}}, r"unknown=\['c'\]"),
    ],
)
def test_a_malformed_entry_names_entry_and_field(
    fields: dict, change: dict, message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        manifest.parse_entry("bad_entry", {**fields, **change})
    assert "bad_entry" in str(caught.value)


def test_a_missing_field_is_named(fields: dict) -> None:
    del fields["seed"]
    with pytest.raises(ManifestError, match=r"missing=\['seed'\]"):
        manifest.parse_entry("a_b", fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "Cannot read the manifest"),
        ({"schema_version": 2, "models": {}}, "schema_version=2.*Upgrade aezoo"),
        ([], "must be an object"),
    ],
)
def test_a_malformed_manifest_says_what_is_wrong(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        manifest.read_manifest(write(tmp_path, content))


def test_an_unknown_name_offers_the_closest(tiny_zoo: Path) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError, match=r"Did you mean 'conv_vae_mnist_z16'"):
        aezoo.describe("conv_vae_mnist_z61")


@pytest.mark.usefixtures("tiny_zoo")
class TestListModels:
    def test_lists_all_by_name(self) -> None:
        assert aezoo.list_models() == sorted(manifest.entries())
        assert len(aezoo.list_models()) > 0

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"pattern": "conv_*"}, ["conv_ae_mnist_z32", "conv_vae_mnist_z16"]),
            (
                {"family": "*vae*", "dataset": "mnist"},
                ["conv_vae_mnist_z16", "dense_vae_mnist_z2"],
            ),
            ({"task": "sampling", "latent_dim": 2}, ["dense_vae_mnist_z2"]),
            ({"latent_dim": 16}, ["conv_vae_mnist_z16"]),
            ({"dataset": "cifar10"}, []),
            ({"max_params": 1}, []),
        ],
    )
    def test_filters(self, filters: dict, expected: list[str]) -> None:
        assert aezoo.list_models(**filters) == expected

    def test_max_params_is_inclusive(self) -> None:
        entry = aezoo.describe("dense_vae_mnist_z2")
        assert entry.name in aezoo.list_models(max_params=entry.num_params)
        assert entry.name not in aezoo.list_models(max_params=entry.num_params - 1)

    def test_sorts_by_a_metric_with_the_best_first_and_the_unmeasured_last(
        self,
    ) -> None:
        names = aezoo.list_models(sort="mse")
        assert names[:2] == ["conv_ae_mnist_z32", "denoising_conv_ae_mnist_z32"]
        assert len(names) == len(manifest.entries())

    def test_unknown_task_and_metric_say_what_there_is(self) -> None:
        with pytest.raises(ValueError, match=r"Did you mean 'sampling'"):
            aezoo.list_models(task="samplin")
        with pytest.raises(ValueError, match=r"`sort` must be a metric.*'mse'"):
            aezoo.list_models(sort="mes")


def test_log_likelihood_sorts_highest_first(
    fields: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(value: float) -> dict:
        metric = {"value": value, "unit": "nats", "protocol": "p"}
        return {**fields, "metrics": {"mnist/test": {"log_likelihood": metric}}}

    models = {"a_1": changed(-5.0), "b_1": changed(7.0)}
    path = write(tmp_path, {"schema_version": 1, "models": models})
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    manifest.entries.cache_clear()
    assert aezoo.list_models(sort="log_likelihood") == ["b_1", "a_1"]


def test_looking_at_the_manifest_imports_no_heavy_package() -> None:
    code = (
        "import sys, aezoo; aezoo.list_models(); aezoo.list_families();"
        "repr(aezoo.describe(aezoo.list_models()[0]));"
        "heavy = {'tensorflow', 'keras', 'jax', 'numpy', 'h5py', 'PIL'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
