"""The manifest: read strictly, filtered, frozen, valid against its schema."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.manifest import Manifest, Metric, as_stated, manifest_text, read_manifest
from aezoo.metrics.listing import WIDTH, table, telling
from training.files import write_manifest

SCHEMA = json.loads((manifest.PACKAGE / "weights_manifest.schema.json").read_text())
NAME = "conv_vae_mnist_z16"


@pytest.fixture
def document(tiny_zoo: Path) -> dict:
    return json.loads((tiny_zoo / "weights_manifest.json").read_text())


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "weights_manifest.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_bundled_manifest_is_valid_against_its_schema() -> None:
    document = json.loads(manifest.manifest_path().read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)


def test_the_bundled_manifest_is_small_and_names_each_protocol_once() -> None:
    text = manifest.manifest_path().read_text(encoding="utf-8")
    assert len(text.encode()) <= 400_000
    figures = [
        figure
        for entry in manifest.entries().values()
        for figures in entry.metrics.values()
        for figure in figures.values()
    ]
    assert len(figures) > 2000
    # whatever the dataset, whose examples are named once, too
    for words in {figure.protocol.partition("; ")[2] for figure in figures}:
        assert text.count(json.dumps(words, ensure_ascii=False)) == 1, words


def test_the_bundled_manifest_is_as_it_would_be_written() -> None:
    """Whatever wrote it; so the next command that does changes only what it means."""
    path = manifest.manifest_path()
    document = read_manifest(path)
    assert manifest_text(document) == path.read_text(encoding="utf-8")
    texts = json.loads(manifest.texts_path(path).read_bytes())
    assert list(texts.items()) == list(manifest.manifest_texts(document).items())


def with_words(document: Manifest, words: str) -> Manifest:
    config = {"modality": {"kind": "text", "words": words}}
    models = {NAME: replace(document.models[NAME], config=config)}
    return Manifest(models=models, extractors={}, baselines={})


def test_long_texts_stand_beside_the_manifest(tiny_zoo: Path, tmp_path: Path) -> None:
    """Written before it, read with it, and gone when it no longer refers to them."""
    document = read_manifest(tiny_zoo / "weights_manifest.json")
    path = tmp_path / "weights_manifest.json"
    words = " ".join(f"wörd{index}" for index in range(1000))
    write_manifest(with_words(document, words), path)
    assert words not in path.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    assert read_manifest(path).models[NAME].arguments["modality"]["words"] == words
    write_manifest(with_words(document, "few words"), path)
    assert json.loads(manifest.texts_path(path).read_bytes()) == {}


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[]", b"{}", "other"])
def test_a_text_that_is_missing_or_another_is_told(
    tiny_zoo: Path, tmp_path: Path, content: bytes | str | None
) -> None:
    document = read_manifest(tiny_zoo / "weights_manifest.json")
    path = tmp_path / "weights_manifest.json"
    write_manifest(with_words(document, "word " * 1000), path)
    texts = manifest.texts_path(path)
    if content is None:
        texts.unlink()
    elif isinstance(content, bytes):
        texts.write_bytes(content)
    else:
        (sha256,) = json.loads(texts.read_bytes())
        texts.write_text(json.dumps({sha256: content}))
    with pytest.raises(ManifestError, match=r"texts .*weights_manifest\.texts\.json"):
        read_manifest(path)


WRONG = [
    (("weights", "sha256"), "abc", "[0-9a-f]{64}"),
    (("weights", "sha256"), "0" * 64 + "\n", "[0-9a-f]{64}"),
    (("weights", "file"), "../outside.weights.h5", "weights"),
    (("weights", "bytes"), 0, "`int` >= 1"),
    (("weights", "bytes"), True, "`int`"),
    (("weights", "bytes"), 10**400, "`int` <= 9223372036854775807"),
    (("weights", "hub"), {"repo_id": None, "revision": None}, "`str`"),
    (("metrics",), {}, "`object` of length >= 1"),
    (("metrics", "mnist/test"), {}, "`object` of length >= 1"),
    (("metrics", "mnist/test", "elbo"), {"value": 1}, "`array`"),
    (("metrics", "mnist/test", "elbo"), ["1"], "`float`"),
    (("metrics", "mnist/test", "elbo"), [1, -0.5], "`float` >= 0"),
    (("tasks",), ["flying"], "reconstruction|features|sampling|restoration"),
    (("tasks",), [], "`array` of length >= 1"),
    (("paper",), "some paper", "https://"),
    (("license",), ["MIT"], "`str`"),
    (("license",), "", "`str` of length >= 1"),
    (("seed",), -1, "`int` >= 0"),
    (("latent_shape",), [0], "`int` >= 1"),
    (("training", "seconds"), 0, "`float` > 0"),
    (("golden",), "golden.npz", "`object`"),
    (("samplers",), {"gmm": 3}, "`object`"),
    (("weights",), None, "`object`"),
]


@pytest.mark.parametrize(("path", "value", "rule"), WRONG)
def test_schema_and_reader_refuse_a_wrong_field_alike(
    document: dict, tmp_path: Path, path: tuple[str, ...], value: Any, rule: str
) -> None:
    """The message names field and rule, and shows what was received."""
    jsonschema.validate(document, SCHEMA)
    place = document["models"][NAME]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path, document))
    message = str(caught.value)
    assert f"`models.{NAME}.{'.'.join(path)}" in message
    assert rule in message
    assert "Received: " in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(familly="x"), r"`models\.conv\w+16\.familly` is unknown"),
        (lambda e: e.pop("seed"), r"`models\.conv_vae_mnist_z16\.seed` is missing"),
        (lambda e: e["data"].pop("split"), r"z16\.data\.split` is missing"),
        (lambda e: e["golden"].update(c=1), r"z16\.golden\.c` is unknown"),
    ],
)
def test_unknown_and_missing_fields_are_named(
    document: dict, tmp_path: Path, change: Any, message: str
) -> None:
    change(document["models"][NAME])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, document))


def test_names_that_are_none_are_refused(document: dict, tmp_path: Path) -> None:
    document["models"]["No Name"] = document["models"][NAME]
    with pytest.raises(ManifestError, match=r"each name in `models` .*: 'No Name'"):
        read_manifest(write(tmp_path, document))


@pytest.mark.parametrize("reference", [[1.0, None, 1], [1.0, None, 10**9]])
def test_a_figure_without_its_protocol_is_refused(
    document: dict, tmp_path: Path, reference: list
) -> None:
    document["models"][NAME]["metrics"]["mnist/test"]["elbo"] = reference
    with pytest.raises(ManifestError, match=r"lack number 1\d* of 'elbo', which"):
        read_manifest(write(tmp_path, document))
    document["models"][NAME]["metrics"] = {"mnist/test": {"unheard_of": [1.0]}}
    with pytest.raises(ManifestError, match=r"lack number 0 of 'unheard_of'"):
        read_manifest(write(tmp_path, document))


def test_words_follow_what_the_dataset_is_measured_on(
    document: dict, tmp_path: Path
) -> None:
    how = {"words": "mean error", "unit": "none"}
    document["protocols"] = {"mse": [how], "elbo": [how]}
    with pytest.raises(ManifestError, match=r"`examples` lack 'mnist/test'"):
        read_manifest(write(tmp_path, document))
    document["examples"] = {"mnist/test": "mnist/test, all 10,000 images"}
    models = dict(read_manifest(write(tmp_path, document)).models)
    (stated,) = models[NAME].metrics["mnist/test"].values()
    assert stated.protocol == "mnist/test, all 10,000 images; mean error"
    # what is measured on others is written as a whole, and read as it was
    few = replace(stated, protocol="mnist/test, first 10 of 10,000 images; mean error")
    metrics = {"mnist/test": {"mse": stated, "psnr": few, "mae": stated}}
    models[NAME] = replace(models[NAME], metrics=metrics)
    text = manifest_text(Manifest(models=models))
    protocols = json.loads(text)["protocols"]
    assert protocols["mae"] == [how]
    assert protocols["psnr"] == [{**how, "words": few.protocol, "is_whole": True}]
    assert read_manifest(write(tmp_path, text)) == Manifest(models=models)


@given(
    st.dictionaries(
        st.text("abc_", min_size=1),
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from(["nats", "dB", "units"]),
            st.sampled_from(["one way", "another", "a third, “in words”"]),
            # written with six digits
            st.none() | st.floats(0, 1e9).map(lambda error: float(f"{error:.6g}")),
            st.none() | st.just((0.5, -1.25)),
        ),
        min_size=1,
    )
)
def test_any_metrics_survive_a_round_trip(values: dict[str, tuple]) -> None:
    figures = {name: as_stated(Metric(*value)) for name, value in values.items()}
    entry = replace(manifest.describe(NAME), metrics={"mnist/test": figures})
    other = replace(entry, name="other_model", metrics={"a/b": figures})
    document = Manifest(
        {e.name: e for e in (entry, other)}, {}, {"a/b": {"x": figures}}
    )
    path = Path(manifest.manifest_path()).with_name("never written")
    text = manifest_text(document)
    again = manifest.parse_manifest(text.encode(), path)
    assert again == document
    assert manifest_text(again) == text


def test_parts_of_figures_keep_their_digits(tmp_path: Path) -> None:
    metric = Metric(1 / 3, "nats", "some way", 1 / 7, (1 / 3, -2e-9 / 3, 12345678.0))
    entry = replace(manifest.describe(NAME), metrics={"mnist/test": {"kl": metric}})
    path = write(tmp_path, manifest_text(Manifest({NAME: entry})))
    kept = read_manifest(path).models[NAME].metrics["mnist/test"]["kl"]
    assert kept.value == 0.333333333
    assert kept.standard_error == 0.14286
    assert kept.values == (0.33333, -6.6667e-10, 12346000.0)
    assert kept == as_stated(metric)


@pytest.mark.usefixtures("tiny_zoo")
def test_entries_cannot_be_changed() -> None:
    entry = manifest.describe(NAME)
    with pytest.raises(AttributeError, match="immutable"):
        entry.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        entry.config["latent_dim"] = 3  # type: ignore[index]
    with pytest.raises(TypeError):
        entry.metrics["mnist/test"]["mse"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        manifest.entries()["x"] = entry  # type: ignore[index]
    assert isinstance(entry.config["filters"], tuple)


@pytest.mark.parametrize("name", sorted(manifest.entries()))
def test_what_is_told_of_a_model_fits_a_screen(name: str) -> None:
    entry = aezoo.describe(name)
    lines = repr(entry).splitlines()
    assert 15 <= len(lines) <= 40
    start = next(i for i, line in enumerate(lines) if line.startswith("  metrics on"))
    assert max(map(len, lines[start:])) <= WIDTH
    assert lines[0] == name
    (figures,) = entry.metrics.values()
    first = next(iter(figures))
    rows = {line.split()[0]: line for line in lines[start:]}
    assert first in rows, "the one that its recipe names"
    if "reconstruction" in entry.tasks:
        assert rows.keys() & {"mse", "iou", "token_accuracy", "note_accuracy"}
    assert "better" in "".join(lines)
    told = entry.summary(protocols=True)
    plain = " ".join(told.split())
    for metric, figure in figures.items():
        assert f"\n    {metric}  " in told
        assert " ".join(figure.protocol.split()) in plain


def test_a_table_of_figures_says_value_error_direction_and_unit() -> None:
    figures = {
        "elbo": Metric(-95.438, "nats per image", "p", 0.2438),
        "kl": Metric(23.2878, "nats per image", "p"),
        "linear_probe": Metric(0.92051, "fraction of images", "p", 0.0027),
        "odd_score": Metric(
            7.25,
            "a unit in words of which there are more than a line has room for",
            "p",
        ),
        "mse": Metric(1e-5, "squared error", "p"),
    }
    rows = [line.split("  ") for line in table(figures)]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["value", "better", "unit"],
        ["elbo", "-95.44", "± 0.24", "higher", "nats per image"],
        ["kl", "23.29", "nats per image"],
        ["linear_probe", "92.05%", "± 0.27%", "higher", "fraction of images"],
        ["odd_score", "7.25", "a unit in words of which there are more …"],
        ["mse", "0.00001", "lower", "squared error"],
    ]
    starts = {line.index(unit) for line, unit in zip(
        table(figures), ("unit", "nats", "nats", "fraction", "a unit", "squared"),
        strict=True,
    )}  # fmt: skip
    assert len(starts) == 1, "columns are aligned"
    assert telling(figures) == ["elbo", "kl", "linear_probe", "mse"]
    assert telling({"odd_score": figures["odd_score"]}) == ["odd_score"]
    assert telling({}) == []


def test_repr_is_readable(tiny_zoo: Path) -> None:  # noqa: ARG001
    text = repr(aezoo.describe("conv_vae_mnist_z16"))
    for part in ("conv_vae_mnist_z16", "28 x 28 x 1", "elbo", "sha256"):
        assert part in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "is not JSON"),
        ('{"schema_version": 2, "models": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"schema_version": 3, "models": {}}, "schema_version=3.*Upgrade aezoo"),
        ({"schema_version": 1, "models": {}}, "`schema_version` 2.*schema_version=1"),
        ({"schema_version": True}, "schema_version=True"),
        ({"schema_version": 2, "protocols": {}}, "`models` is missing"),
        ([], "must be `object`. Received: "),
    ],
)
def test_a_malformed_manifest_says_what_is_wrong(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, content))
    with pytest.raises(ManifestError, match="Cannot read the manifest"):
        read_manifest(tmp_path / "none.json")


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
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = read_manifest(tiny_zoo / "weights_manifest.json").models[NAME]
    models = {
        name: replace(
            entry,
            name=name,
            metrics={"mnist/test": {"log_likelihood": Metric(value, "nats", "p")}},
        )
        for name, value in (("a_1", -5.0), ("b_1", 7.0))
    }
    path = write(tmp_path, manifest_text(Manifest(models)))
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    manifest.installed.cache_clear()
    assert aezoo.list_models(sort="log_likelihood") == ["b_1", "a_1"]


def test_looking_at_the_manifest_imports_no_heavy_package() -> None:
    code = (
        "import sys, aezoo; aezoo.list_models(); aezoo.list_families();"
        "repr(aezoo.describe(aezoo.list_models()[0]));"
        "heavy = {'tensorflow', 'keras', 'jax', 'numpy', 'h5py', 'PIL'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_records_and_samplers_name_the_same_kinds() -> None:
    from aezoo.samplers import KINDS

    assert tuple(KINDS) == manifest.SAMPLER_KINDS
