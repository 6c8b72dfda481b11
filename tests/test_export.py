"""Exported graphs, and the light engine that runs them: the same answers as Keras."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

import aezoo
from aezoo import registry
from aezoo.cli import main
from aezoo.engines.entry import ENTRY, PARTS, Port, read_entry
from aezoo.errors import (
    ChecksumError,
    ExportError,
    ManifestError,
    UnsafeFileError,
    UnsupportedOperationError,
)
from aezoo.inference import priors
from aezoo.models.families import compose

if keras.backend.backend() != "tensorflow":
    pytest.skip("graphs are made by TensorFlow", allow_module_level=True)
pytest.importorskip("tf2onnx", reason="needs tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

from aezoo.engines.graphs import Graph  # noqa: E402
from aezoo.engines.onnx_graphs import convert  # noqa: E402
from aezoo.engines.onnx_runtime import open_graph  # noqa: E402
from training import exports  # noqa: E402

# The module: `aezoo.export` is the function.
export_module = importlib.import_module("aezoo.engines.export")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def keras_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return compose(
        registry.find_family("conv_vae"),
        input_shape=(8, 8, 1),
        latent_dim=3,
        filters=(4, 6),
        hidden_units=(8,),
        name="tiny",
    )


@pytest.fixture(scope="module")
def folder(keras_model, tmp_path_factory) -> Path:
    return aezoo.export(keras_model, tmp_path_factory.mktemp("exports") / "tiny")


@pytest.fixture
def engine(folder):
    return aezoo.load(folder, engine="onnx")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (5, 8, 8, 1), dtype="uint8")


def close(found, wanted) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    tolerance = 1 if wanted.dtype == np.uint8 else TOLERANCE
    np.testing.assert_allclose(
        found.astype("float64"), wanted.astype("float64"), rtol=1e-4, atol=tolerance
    )


def test_the_engine_answers_as_keras_does(engine, keras_model, images) -> None:
    floats = images.astype("float32") / 255.0
    for x in (images, floats, floats.astype("float64"), images > 127):
        close(engine.encode(x), keras_model.encode(x))
        close(engine.reconstruct(x), keras_model.reconstruct(x))
    np.testing.assert_array_equal(engine.encode(images), engine.encode(floats))
    z = keras_model.encode(images)
    close(engine.decode(z), keras_model.decode(z))
    close(engine.sample(4, seed=7), keras_model.sample(4, seed=7))
    drawn = engine.sample(4, seed=7, noise=True)
    assert np.mean(drawn != keras_model.sample(4, seed=7, noise=True)) < 0.01
    for x in (images, floats):
        close(
            engine.interpolate(x[0], x[1], steps=4),
            keras_model.interpolate(x[0], x[1], steps=4),
        )
        close(engine.traverse(x, 1, (-1, 1)), keras_model.traverse(x, 1, (-1, 1)))
    close(engine.interpolate(z[0], z[1]), keras_model.interpolate(z[0], z[1]))


def test_its_posterior_answers_as_that_of_keras(engine, keras_model, images) -> None:
    found, wanted = engine.posterior(images), keras_model.posterior(images)
    close(found.mean, wanted.mean)
    close(found.mode(), wanted.mode())
    close(found.kl(), wanted.kl())
    close(found.sample(3), wanted.sample(3))
    assert (found.sample() != found.sample()).all()
    close(found.log_prob(found.mean), wanted.log_prob(wanted.mean))
    assert found.parameters().keys() == wanted.parameters().keys()
    close(found.z_log_var, wanted.parameters()["z_log_var"])
    z, log_prob = found.sample_with_log_prob(3)
    close(found.log_prob(z), log_prob)
    with pytest.raises(ValueError, match="one code per example"):
        found.log_prob(z[:2])
    with pytest.raises(AttributeError, match="no 'z_scale'"):
        _ = found.z_scale


def test_answers_do_not_depend_on_the_batch(engine, keras_model) -> None:
    x = np.random.default_rng(0).random((70, 8, 8, 1), "float32")
    wanted = keras_model.reconstruct(x)
    for batch_size in (7, 256):
        close(engine.reconstruct(x, batch_size), wanted)
    drawn = engine.posterior(x).sample(5)
    close(drawn, keras_model.posterior(x).sample(5))
    close(engine.sample(70, seed=1), keras_model.sample(70, seed=1))
    with pytest.raises(ValueError, match="`batch_size` must be an integer"):
        engine.encode(x, 0)


def test_it_refuses_what_keras_refuses(engine, images) -> None:
    with pytest.raises(ValueError, match="must have shape"):
        engine.encode(images[0])
    with pytest.raises(ValueError, match="float with values in"):
        engine.reconstruct(images.astype("float32"))
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        engine.decode(np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="`n` must be an integer"):
        engine.sample(0)
    with pytest.raises(ValueError, match="is told nothing"):
        engine.encode(images, labels=3)
    with pytest.raises(UnsupportedOperationError, match="no sampler 'gmm'"):
        engine.sample(1, sampler="gmm")
    with pytest.raises(UnsupportedOperationError, match="`beams` is for models"):
        engine.reconstruct(images, beams=2)


def test_what_is_not_finite_is_refused(engine) -> None:
    with pytest.raises(ValueError, match="computes is not finite"):
        engine.decode(np.full((1, 3), 3e38, "float32"))


def test_the_engine_needs_neither_tensorflow_nor_keras(folder) -> None:
    program = f"""
import sys
import numpy as np
import aezoo
model = aezoo.load({str(folder)!r}, engine="onnx")
x = np.zeros((2, 8, 8, 1), "uint8")
assert model.reconstruct(x).shape == x.shape
model.posterior(x).sample(0), model.sample(2, seed=0, noise=True)
model.interpolate(x[0], x[1]), model.traverse(x, 0)
print(sorted({{"keras", "tensorflow", "jax", "torch", "onnx"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_graphs_say_what_they_take(folder) -> None:
    session = onnxruntime.InferenceSession(str(folder / "reconstruct.onnx"))
    (given,), (got,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == (
        "x",
        "tensor(float)",
        ["batch", 8, 8, 1],
    )
    assert (got.name, got.shape) == ("x_hat", ["batch", 8, 8, 1])
    stated = session.get_modelmeta().custom_metadata_map
    assert stated["inputs"] == "x: float32 (batch, 8, 8, 1)"
    assert stated["model"] == "tiny"
    for n in (1, 3):
        x = np.zeros((n, 8, 8, 1), "float32")
        assert session.run(None, {"x": x})[0].shape == x.shape
    entry = read_entry(folder)
    assert entry.deviation <= entry.tolerance == TOLERANCE
    assert set(entry.graphs) == {name for names in PARTS.values() for name in names} - {
        "write"
    }


def test_a_graph_that_computes_something_else_is_refused(
    keras_model, tmp_path, monkeypatch
) -> None:
    def wrong(content: bytes, name: str):
        function = open_graph(content, name)
        return lambda feeds: {k: 1.01 * v for k, v in function(feeds).items()}

    monkeypatch.setattr("aezoo.engines.onnx_runtime.open_graph", wrong)
    with pytest.raises(ExportError, match=r"'tiny' .*'decode' deviates by 0\.0"):
        aezoo.export(keras_model, tmp_path / "out", parts=["decode"])
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_refused(keras_model, folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="`format` must be one of 'onnx'"):
        aezoo.export(keras_model, tmp_path / "out", "tflite")
    with pytest.raises(ValueError, match="Did you mean 'encode'"):
        aezoo.export(keras_model, tmp_path / "out", parts=["encoder"])
    with pytest.raises(ValueError, match="in a sequence"):
        aezoo.export(keras_model, tmp_path / "out", parts="encode")
    with pytest.raises(FileExistsError, match="pass `overwrite=True`"):
        aezoo.export(keras_model, folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"only what `aezoo\.export` wrote"):
        aezoo.export(keras_model, tmp_path / "mine", overwrite=True)
    with pytest.raises(ValueError, match="`engine` must be one of 'keras', 'onnx'"):
        aezoo.load(folder, engine="torch")
    with pytest.raises(ManifestError, match="engine='onnx'"):
        aezoo.load(folder)


def test_files_of_others_are_data(folder, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = bytearray((copy / "decode.onnx").read_bytes())
    content[-1] ^= 1
    (copy / "decode.onnx").write_bytes(content)
    model = aezoo.load(copy, engine="onnx")
    assert model.encode(np.zeros((1, 8, 8, 1), "uint8")).shape == (1, 3)
    with pytest.raises(ChecksumError, match="does not match its hash"):
        model.decode(np.zeros((1, 3)))
    with pytest.raises(UnsafeFileError, match="data in other files"):
        open_graph(b"\x0a\x08location\x12\x0b/etc/passwd", "decode")
    entry = json.loads((copy / ENTRY).read_text())
    entry["modality"]["kind"] = "sound"
    (copy / ENTRY).write_text(json.dumps(entry))
    with pytest.raises(ManifestError, match="Unknown modality 'sound'"):
        aezoo.load(copy, engine="onnx")
    (copy / ENTRY).write_text("{}")
    with pytest.raises(ManifestError, match="schema_version"):
        aezoo.load(copy, engine="onnx")


def test_what_was_left_out_says_why(folder, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    entry = json.loads((copy / ENTRY).read_text())
    del entry["graphs"]["decode"]
    entry["left_out"]["decode"] = "there is no such operation"
    (copy / ENTRY).write_text(json.dumps(entry))
    model = aezoo.load(copy, engine="onnx")
    with pytest.raises(UnsupportedOperationError, match="there is no such operation"):
        model.decode(np.zeros((1, 3)))


def test_graphs_are_cached_by_the_weights(
    keras_model, folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    saved = aezoo.save(keras_model, tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    calls = []

    def exported(*_, **options):
        calls.append(options["source"])
        return files

    monkeypatch.setattr(export_module, "exported_files", exported)
    x = np.zeros((1, 8, 8, 1), "uint8")
    for _ in range(2):
        close(
            aezoo.load(saved, engine="onnx").reconstruct(x), keras_model.reconstruct(x)
        )
    weights = json.loads((saved / "aezoo.json").read_text())["weights"]["sha256"]
    assert calls == [weights]
    (cached,) = (tmp_path / "cache/aezoo/onnx").iterdir()
    assert cached.name.startswith(weights[:32])
    (cached / "decode.onnx").unlink()  # half of it was removed
    aezoo.load(saved, engine="onnx").decode(np.zeros((1, 3)))
    assert len(calls) == 2


def test_graphs_of_the_engine_leave_the_checks_to_it(
    keras_model, folder, tmp_path
) -> None:
    """What anybody may call checks its examples; the engine has done so before."""
    onnx = pytest.importorskip("onnx")
    export_module.export_to_cache(keras_model, tmp_path / "cached", source=None)
    sessions = {}
    for place in (folder, tmp_path / "cached"):
        path = place / "encode.onnx"
        operations = [node.op_type for node in onnx.load(path).graph.node]
        assert "Shape" not in operations  # the batch alone is open
        sessions[place.name] = (operations, onnxruntime.InferenceSession(path))
    assert "Where" in sessions["tiny"][0]
    assert "Where" not in sessions["cached"][0]
    x = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    answers = [session.run(None, {"x": x})[0] for _, session in sessions.values()]
    close(*answers)
    outside = 255.0 * x
    assert np.isnan(sessions["tiny"][1].run(None, {"x": outside})[0]).all()
    assert np.isfinite(sessions["cached"][1].run(None, {"x": outside})[0]).all()
    engine = export_module.folders.open_export(tmp_path / "cached")
    with pytest.raises(ValueError, match="Divide values of 0 to 255 by 255"):
        engine.encode(outside)


def test_commands_take_the_engine(folder, tmp_path) -> None:
    output = tmp_path / "samples.png"
    result = CliRunner().invoke(
        main,
        ["sample", str(folder), "-n", "4", "--engine", "onnx", "-o", str(output)],
    )
    assert result.exit_code == 0, result.output
    assert output.is_file()
    result = CliRunner().invoke(main, ["sample", str(folder), "-o", str(output)])
    assert result.exit_code == 2
    assert "which Keras does not read. Add `--engine onnx`" in result.output
    table = ["encode", str(folder), "mnist/test", "--engine", "onnx", "-o", "x.parquet"]
    result = CliRunner().invoke(main, table)
    assert "--engine belongs to .npz files" in result.output


@pytest.mark.parametrize(
    "prior",
    [
        priors.StandardNormal((2, 3)),
        priors.UniformSphere((3,)),
        priors.UniformClasses(2, 3),
        priors.NormalAndClass(2, 3),
        priors.GaussianMixture(
            np.log(np.full(2, 0.5, "float32")),
            np.ones((2, 3), "float32"),
            np.zeros((2, 3), "float32"),
        ),
    ],
    ids=lambda prior: prior.kind,
)
def test_priors_are_numbers_and_arrays(prior) -> None:
    config, arrays = priors.to_parts(prior)
    again = priors.from_parts(json.loads(json.dumps(config)), arrays)
    drawn = prior.sample(4, np.random.default_rng(0))
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, again.sample(4, np.random.default_rng(0)))
    few = again.sample(2, np.random.default_rng(0))
    np.testing.assert_array_equal(few, drawn[:2])


def test_unknown_priors_are_refused() -> None:
    with pytest.raises(ValueError, match="Unknown prior 'cauchy'"):
        priors.from_parts({"kind": "cauchy"}, {})
    with pytest.raises(ValueError, match="'uniform_sphere' is not valid"):
        priors.from_parts({"kind": "uniform_sphere", "radius": 2}, {})


def converted(function) -> open_graph:
    graph = Graph(
        "test", "A test.", lambda x: {"y": function(x)}, (Port("x", "float32", (4,)),)
    )
    return open_graph(convert(graph, {})[0], "test")


def test_operations_that_tf2onnx_does_not_know() -> None:
    x = np.array([[-1e-6, 1e-6, 0.5, -0.0], [-3.0, 3.0, 0.0, 1e-3]], "float32")
    expm1 = converted(ops.expm1)({"x": x})["y"]
    np.testing.assert_allclose(expm1, np.expm1(x), rtol=1e-5)
    above = np.array([[-1e-6, 1e-9, 0.5, 0.0], [-0.9, 3e4, 1e-4, 2.0]], "float32")
    log1p = converted(ops.log1p)({"x": above})["y"]
    np.testing.assert_allclose(log1p, np.log1p(above), rtol=1e-6)
    erfc = converted(ops.erfc)({"x": x})["y"]
    np.testing.assert_allclose(erfc, ops.erfc(x), atol=1e-6)
    signs = converted(lambda x: ops.cast(ops.signbit(x), "int32"))({"x": x})["y"]
    np.testing.assert_array_equal(signs, np.signbit(x))


def test_an_operation_without_a_graph_says_so() -> None:
    with pytest.raises(ExportError, match="ONNX cannot hold 'test'"):
        converted(lambda x: ops.cast(ops.view(x, "int32"), "float32"))


def test_litert_answers_as_keras_does(keras_model, images, tmp_path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs aezoo[litert]")
    path = aezoo.export(keras_model, tmp_path / "tiny", "litert")
    entry = read_entry(path)
    assert entry.format == "litert"
    assert {f"{name}.tflite" for name in entry.graphs} < {
        p.name for p in path.iterdir()
    }
    engine = aezoo.load(path, engine="onnx")  # as the folder says: by LiteRT
    test_the_engine_answers_as_keras_does(engine, keras_model, images)
    test_its_posterior_answers_as_that_of_keras(engine, keras_model, images)
    for n in (1, 3, 70):  # any batch size
        x = np.resize(images, (n, 8, 8, 1))
        close(engine.encode(x), keras_model.encode(x))
    damaged = path / "encode.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match=r"encode\.tflite"):
        aezoo.load(path, engine="onnx").encode(images)


def test_what_litert_cannot_hold_is_named(tmp_path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs aezoo[litert]")
    found = registry.find_family("ppca")
    model = compose(found, **found.tiny)
    with pytest.raises(ExportError, match=r"LiteRT.*Pass `format='saved_model'`"):
        aezoo.export(model, tmp_path / "out", "litert")
    assert not (tmp_path / "out").exists()


def test_the_table_says_what_can_be_exported(folder) -> None:
    entry = read_entry(folder)
    found = {
        ("conv_vae", "onnx"): entry,
        ("draw", "onnx"): "Node 'a/b/Foo' [a/b: Foo] has no twin.",
        ("fsq", "onnx"): "Node 'c/d/Foo' [c/d: Foo] has no twin.",
        ("conv_vae", "saved_model"): entry,
    }
    text = exports.document(found)
    row = next(line for line in text.splitlines() if line.startswith("| `conv_vae`"))
    assert row.count("yes") == len(entry.graphs) + 1  # the KL of the posterior
    assert "- `draw`, `fsq`: encode: " in text


# --- All families, formats and conditions -------------------------------------------

# As `docs/exports.md` says.
NOT_IN_ONNX = {"ppca"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("family", registry.list_families())
def test_every_family_that_can_be_exported_is(family, tmp_path) -> None:
    found = registry.find_family(family)
    model = compose(found, **found.tiny)
    model.ensure_built()
    if family in NOT_IN_ONNX:
        with pytest.raises(ExportError, match=family):
            aezoo.export(model, tmp_path / "out")
    else:
        assert aezoo.export(model, tmp_path / "out").is_dir()  # compares all answers


@pytest.mark.exhaustive
def test_labels_are_an_input_of_the_graph(tmp_path) -> None:
    found = registry.find_family("conditional_vae")
    model = compose(found, **found.tiny)
    model.ensure_built()
    path = aezoo.export(model, tmp_path / "out", "saved_model")
    engine = aezoo.load(path, engine="onnx")
    x = model.modality.examples(3)
    for labels in (None, 1, [0, 2, -1]):
        close(engine.encode(x, labels=labels), model.encode(x, labels=labels))
        close(engine.reconstruct(x, labels=labels), model.reconstruct(x, labels=labels))
    close(engine.sample(3, 0, labels=2), model.sample(3, 0, labels=2))
    with pytest.raises(ValueError, match="Labels must be from 0"):
        engine.encode(x, labels=9)


@pytest.mark.exhaustive
def test_a_saved_model_has_a_signature_for_each_function(
    keras_model, images, tmp_path
) -> None:
    path = aezoo.export(keras_model, tmp_path / "out", "saved_model", ["encode"])
    assert (path / "saved_model" / "saved_model.pb").is_file()
    engine = aezoo.load(path, engine="onnx")
    close(engine.encode(images), keras_model.encode(images))
    with pytest.raises(UnsupportedOperationError, match=r"parts=\['encode'\]"):
        engine.decode(np.zeros((1, 3)))
    # the other format takes its place, and nothing of it stays
    aezoo.export(keras_model, path, parts=["decode"], overwrite=True)
    assert sorted(p.name for p in path.iterdir()) == ["decode.onnx", ENTRY]


@pytest.mark.exhaustive
def test_the_command_exports_models_of_the_zoo(tmp_path) -> None:
    output = tmp_path / "out"
    result = CliRunner().invoke(
        main, ["export", "contractive_ae_mnist", "-o", str(output)]
    )
    assert result.exit_code == 0, result.output
    assert "largest deviation from the golden tensors" in result.output
    engine = aezoo.load(output, engine="onnx")
    model = aezoo.load("contractive_ae_mnist")
    close(engine.sample(4, 0, sampler="gmm"), model.sample(4, 0, sampler="gmm"))
    assert engine.entry.source == aezoo.describe(model.name).weights.sha256
