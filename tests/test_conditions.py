"""What a model must be told reaches everything that computes with it, or is refused."""

import io
import json
import re

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import ops

import aezoo
from aezoo.cli import main
from aezoo.data.datasets import DatasetError
from aezoo.errors import ManifestError, UnsupportedOperationError
from aezoo.modalities import Image
from aezoo.models.arguments import conditions
from aezoo.nn.backend import BACKEND, compile_inference
from aezoo.registry import find_family
from aezoo.store.golden import golden_deviation
from tests import checks
from tests.bits import Bits, ToldBitsVAE

FAMILY = find_family("told_bits_vae")
TINY = dict(FAMILY.tiny)
X = np.concatenate([Bits(4).examples(400), Bits(4).examples(400, seed=1)], axis=1)
HALF = X[:, :4]


@pytest.fixture(scope="module")
def model() -> ToldBitsVAE:
    """A model that is told the first half of a word, and so need not encode it."""
    keras.utils.set_random_seed(0)
    model = aezoo.create("told_bits_vae", latent_dim=4, hidden_units=(32,))
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(X, {"half": HALF}, epochs=30, batch_size=50, verbose=0)
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return aezoo.save(model, tmp_path_factory.mktemp("told") / "bits")


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__[6:])
def test_every_common_check_holds(check) -> None:
    check(FAMILY, TINY)


@pytest.mark.parametrize(
    "check", checks.FILE_CHECKS, ids=lambda check: check.__name__[6:]
)
def test_every_common_check_of_files_holds(check, tmp_path) -> None:
    check(FAMILY, TINY, tmp_path)


def test_what_is_told_is_made_use_of(model) -> None:
    told = Bits(4).check(np.array([[1, 0, 1, 0], [0, 1, 0, 1]], "uint8"))
    for half in told:
        drawn = model.sample(50, seed=0, given={"half": half})
        assert np.mean((drawn[:, :4] >= 0.5) == half) > 0.95
    each = model.sample(2, seed=0, given={"half": told})
    np.testing.assert_allclose(
        each[1], model.sample(2, seed=0, given={"half": told[1]})[1], atol=1e-6
    )
    path = model.interpolate(X[0], X[1], steps=3, given={"half": HALF[0]})
    assert np.all((path[:, :4] >= 0.5) == HALF[0])


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.encode(X),
        lambda m: m.posterior(X),
        lambda m: m.reconstruct(X),
        lambda m: m.decode(np.zeros((2, 4), "float32")),
        lambda m: m.sample(2),
        lambda m: m.interpolate(X[0], X[1]),
        lambda m: m.traverse(X[0], 0),
        lambda m: m.likelihood_of(np.zeros((2, 4), "float32")),
        lambda m: m(X[:2].astype("float32")),
        lambda m: aezoo.fit_sampler(m, X, "gmm"),
    ],
)
def test_what_is_missing_is_named_with_the_call_that_passes_it(model, call) -> None:
    message = r"must be told half beside each word: pass `given=\{'half': \.\.\.\}`"
    with pytest.raises(ValueError, match=message):
        call(model)


def test_what_is_superfluous_or_of_another_shape_is_refused(model) -> None:
    told = {"half": HALF[0], "colour": HALF[0]}
    with pytest.raises(ValueError, match=r"is not told 'colour'\. It is told: half"):
        model.sample(2, given=told)
    with pytest.raises(ValueError, match=r"`half` must have shape \(2, 4\), or be one"):
        model.sample(2, given={"half": HALF[:3]})
    with pytest.raises(ValueError, match="is not told 'colour'"):
        model.fit(X, {"half": HALF, "colour": HALF}, verbose=0)
    with pytest.raises(ValueError, match=r"is told half .* pass batches"):
        model.fit(X, {}, verbose=0)
    plain = aezoo.create("vae", modality=Bits(8), network="dense")
    with pytest.raises(ValueError, match=r"is not told 'half'\. It is told nothing"):
        plain.encode(X, given={"half": HALF})


def test_what_depends_on_examples_alone_is_refused(model) -> None:
    for use in (
        lambda: aezoo.feature_extractor(model),
        lambda: aezoo.attribute_vector(model, X[:5], X[5:9]),
        lambda: model.export("nowhere"),
    ):
        with pytest.raises(UnsupportedOperationError, match="must also be told half"):
            use()


def test_golden_tensors_hold_what_was_told(model, folder) -> None:
    with np.load(folder / "golden.npz") as golden:
        assert golden["given_half"].shape == (8, 4)
        told = {"half": golden["given_half"]}
        x = Bits(8).unrounded(golden["inputs"])
        codes = model.encode(x, given=told)
        np.testing.assert_allclose(codes, golden["codes"], atol=1e-6)
        arrays = dict(golden)
    assert aezoo.verify(folder).ok
    loaded = aezoo.load(folder)
    assert loaded.required_conditions == ("half",)
    for change, message in (
        ({"given_half": 1 - arrays["given_half"]}, None),
        ({"given_half": arrays["given_half"][:, :3]}, "must have shape"),
        ({"given_half": None}, "must be told half"),
    ):
        changed = {**arrays, **change}
        changed = {k: v for k, v in changed.items() if v is not None}
        content = npz_bytes(**changed)
        if message is None:
            assert golden_deviation(loaded, content)["codes"] > 0.01
            continue
        with pytest.raises(ManifestError, match=message):
            golden_deviation(loaded, content)


def npz_bytes(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_entry_and_card_say_what_it_must_be_told(folder) -> None:
    entry = json.loads((folder / "aezoo.json").read_text())
    assert entry["given"] == {"half": {"kind": "bits", "length": 4}}
    card = (folder / "README.md").read_text()
    assert 'half = np.zeros((4, 4), "uint8")' in card
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    assert "given={" in code
    exec(code.replace("path/to/this/folder", str(folder)), {})


def test_figures_are_measured_with_what_is_told(model, tmp_path) -> None:
    names = ["elbo", "kl", "mse", "iwae_nll", "active_units"]
    told = aezoo.evaluate(
        model, (X, {"half": HALF}), metrics=names, importance_samples=20
    )
    wrong = aezoo.evaluate(model, (X, {"half": 1 - HALF}), metrics=["elbo", "mse"])
    assert told["elbo"].value > wrong["elbo"].value + 1
    assert told["mse"].value < wrong["mse"].value
    assert told["iwae_nll"].value <= -told["elbo"].value + 0.1
    np.savez(tmp_path / "test.npz", examples=X, given_half=HALF)
    again = aezoo.evaluate(model, tmp_path / "test.npz", metrics=["elbo"], limit=400)
    np.testing.assert_allclose(again["elbo"].value, told["elbo"].value, rtol=1e-6)
    with pytest.raises(DatasetError, match="`given_half`"):
        aezoo.evaluate(model, X, metrics=["elbo"])
    with pytest.raises(DatasetError, match="one row per example"):
        aezoo.evaluate(model, (X, {"half": HALF[:5]}), metrics=["elbo"])


def test_a_sampler_is_fitted_to_codes_of_examples_and_what_is_told(model) -> None:
    aezoo.fit_sampler(model, X, "gmm", given={"half": HALF}, num_components=2)
    drawn = model.sample(20, seed=0, sampler="gmm", given={"half": HALF[0]})
    assert np.mean((drawn[:, :4] >= 0.5) == HALF[0]) > 0.9
    del model.samplers["gmm"]


def test_the_command_line_takes_what_is_told_from_files(folder, tmp_path) -> None:
    run = CliRunner().invoke
    for name, bits in (("half", "1010"), ("word", "10100110"), ("other", "10101111")):
        (tmp_path / f"{name}.txt").write_text(f"{bits}\n")
    told = ["--given", f"half={tmp_path / 'half.txt'}"]
    word, other = str(tmp_path / "word.txt"), str(tmp_path / "other.txt")
    for arguments in (
        ["sample", str(folder), "-n", "3"],
        ["reconstruct", str(folder), word],
        ["interpolate", str(folder), word, other, "--steps", "3"],
        ["traverse", str(folder), word, "--dim", "0"],
        ["encode", str(folder), word, "-o", str(tmp_path / "z.npz")],
    ):
        result = run(main, [*arguments, *told])
        assert result.exit_code == 0, result.output
        if arguments[0] != "encode":
            assert re.search(r"\b1010[01]{4}\b", result.output)
        missing = run(main, arguments)
        assert missing.exit_code == 1
        assert "must be told half" in missing.output
    result = run(main, ["sample", str(folder), "--given", "half"])
    assert "is not like name=file" in result.output
    result = run(main, ["sample", str(folder), "--given", f"colour={word}"])
    assert "is not told 'colour'" in result.output
    result = run(main, ["sample", str(folder), "-n", "3", *told, *told])
    assert "once, or for each of the 3 words" in result.output


def test_labels_stay_optional() -> None:
    model = aezoo.create("conditional_vae", **find_family("conditional_vae").tiny)
    assert model.required_conditions == ()
    x = model.modality.examples(3)
    assert model.encode(x).shape == model.encode(x, labels=[0, 1, 2]).shape


def test_a_symbol_in_a_graph_is_told_and_checked(model) -> None:
    def graph(x, half):
        return model.encode(x, given={"half": half})

    compiled = compile_inference(graph, model, ((8,), "uint8"), ((4,), "uint8"))
    found = ops.convert_to_numpy(compiled(X[:3], HALF[:3]))
    expected = model.encode(X[:3], given={"half": HALF[:3]})
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow exports")
def test_an_export_is_told_as_the_model_is(model, tmp_path) -> None:
    folder = aezoo.export(model, tmp_path / "graphs", format="saved_model")
    entry = json.loads((folder / "export.json").read_text())
    assert entry["required"] == ["half"]
    assert entry["deviation"] < 1e-4


def test_conditions_of_an_argument_are_checked() -> None:
    check = conditions({}).check
    found = check("given", {"image": Image(8, 8, 1).to_config()})
    assert dict(found) == {"image": Image(8, 8, 1)}
    for value, message in (
        ({}, "must be a dictionary of modalities"),
        ({"A b": Image(8, 8, 1)}, "must be lower-case words"),
        ({"image": 3}, "must be one of `aezoo.modalities`"),
    ):
        with pytest.raises(ValueError, match=message):
            check("given", value)
