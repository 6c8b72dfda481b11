"""Weights as bytes: that none is left out is proven, whatever Keras does."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import aezoo
from aezoo.errors import ManifestError
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn import weights
from aezoo.nn.backend import BACKEND
from aezoo.nn.weights import StoredWeights, keras_files, weights_bytes
from aezoo.registry import find_family


def tiny(family: str = "dense_vae", **config: Any) -> Autoencoder:
    return aezoo.create(family, **{**find_family(family).tiny, **config})


def read(content: bytes, model: keras.Model) -> None:
    file = StoredWeights(content, model.count_params(), "weights file x")
    file.read_into(model, "the model")


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "bfloat16", "float64"])
def test_weights_are_written_and_read_in_memory(dtype: str) -> None:
    model, other = tiny(dtype=dtype), tiny(dtype=dtype)
    for content in (weights_bytes(model), keras_files(model)[1]):
        read(content, other)
        for ours, theirs in zip(model.weights, other.weights, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_keras_reads_what_is_written(tmp_path: Path) -> None:
    model, other = tiny(), tiny()
    (tmp_path / "x.weights.h5").write_bytes(weights_bytes(model))
    other.load_weights(tmp_path / "x.weights.h5")
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Forgetful(keras.Model):
    """Some of whose weights Keras neither writes nor reads, as in nested lists once."""

    def __init__(self, forgets: bool) -> None:
        super().__init__(name="forgetful")
        self.forgets = forgets
        self.layer = keras.layers.Dense(2)
        self.other = keras.layers.Dense(3)
        if forgets:
            self.other.save_own_variables = lambda _: None
            self.other.load_own_variables = lambda _: None

    def get_config(self) -> dict[str, Any]:
        return {"forgets": self.forgets}

    def build(self, _: Any = None) -> None:
        self.layer.build((None, 2))
        self.other.build((None, 2))


def test_a_weight_that_keras_does_not_write_is_an_error() -> None:
    model = Forgetful(forgets=True)
    model.build()
    with pytest.raises(ValueError, match=r"does not write.*: 2 of 4 arrays are mi"):
        weights_bytes(model)
    with pytest.raises(ValueError, match=r"does not write.*Install another version"):
        keras_files(model)


def test_a_weight_that_keras_does_not_read_is_an_error() -> None:
    whole, model = Forgetful(forgets=False), Forgetful(forgets=True)
    for each in (whole, model):
        each.build()
    content = weights_bytes(whole)
    read(content, whole)
    with pytest.raises(ManifestError, match=r"does not read.*/kernel' is missing. Ins"):
        read(content, model)


def test_arrays_of_other_sizes_or_number_are_refused() -> None:
    content = weights_bytes(tiny(latent_dim=2))
    with pytest.raises(ManifestError, match=r"does not fit its entry: expected 7 va"):
        StoredWeights(content, 7, "weights file x")
    model = tiny("linear_ae")
    num_params = tiny(latent_dim=2).count_params()
    file = StoredWeights(content, num_params, "weights file x")
    with pytest.raises(ManifestError, match=r"not fit the model: expected \d+ arr"):
        file.read_into(model, "the model")


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has float64 only where asked for")
def test_numbers_too_large_for_the_model_are_refused() -> None:
    model = tiny("linear_ae", dtype="float64")
    model.weights[0].assign(np.full(model.weights[0].shape, 1e300))
    with pytest.raises(ManifestError, match=r"too large for 'linear_.*' of type flo"):
        read(weights_bytes(model), tiny("linear_ae"))


def test_keras_takes_a_file_in_memory_that_has_a_name() -> None:
    """It does so from 3.10 on, which is not documented; no private name is used."""
    assert "keras.src" not in Path(weights.__file__).read_text()
    model, other = tiny("linear_ae"), tiny("linear_ae")
    file = weights._NamedBuffer()
    model.save_weights(file)
    other.load_weights(weights._NamedBuffer(file.getvalue()))
    np.testing.assert_array_equal(model.weights[0], other.weights[0])


def test_keras_says_what_is_wrong_with_a_model_that_it_cannot_build(
    tmp_path: Path,
) -> None:
    """Rather than return one without weights, and warn."""
    path = aezoo.save(tiny("linear_ae"), tmp_path / "model")
    document = json.loads((path / "config.json").read_text())
    document["build_config"]["input_shape"] = [None, 9, 9, 1]
    (path / "config.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"takes images of shape \(batch, 8, 8, 1\)"):
        keras.saving.load_model(path)
