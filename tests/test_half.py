"""Weights in half precision: rounded once, and then nothing is lost."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.errors import ManifestError
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.weights import StoredWeights, weights_bytes
from training.half import halved, is_half, round_weights
from training.halve import halve

CONFIG = {"input_shape": (8, 8, 1), "hidden_units": (16,), "latent_dim": 3}


def make_model(seed: int = 0) -> Autoencoder:
    model = aezoo.create("dense_vae", **CONFIG)
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_rounded_weights_are_close_and_rounding_twice_changes_nothing() -> None:
    model = make_model()
    before = model.get_weights()
    assert not is_half(model)
    round_weights(model)
    assert is_half(model)
    rounded = model.get_weights()
    for old, new in zip(before, rounded, strict=True):
        np.testing.assert_allclose(new, old, rtol=2.0**-11, atol=2.0**-25)
        assert new.dtype == old.dtype == np.float32
    round_weights(model)
    for first, second in zip(rounded, model.get_weights(), strict=True):
        np.testing.assert_array_equal(second, first)


def test_a_halved_file_has_half_the_bytes_and_reads_the_same(tmp_path: Path) -> None:
    model = make_model()
    round_weights(model)
    path = tmp_path / "a.weights.h5"
    whole = weights_bytes(model)
    half = halved(whole)
    saved = 2 * model.count_params()
    assert len(whole) - len(half) == pytest.approx(saved, rel=0.2)
    path.write_bytes(half)
    other = make_model(1)
    StoredWeights(half, model.count_params(), "file").read_into(other, "the model")
    for first, second in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(second, first)
    assert halved(weights_bytes(model)) == half
    with h5py.File(path) as file:
        kinds: set[str] = set()
        file.visititems(
            lambda _, item: (
                kinds.add(str(item.dtype)) if hasattr(item, "dtype") else None
            )
        )
    assert "float32" not in kinds


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
def test_numbers_beyond_half_precision_are_refused(value: float) -> None:
    model = make_model()
    weights = model.get_weights()
    weights[1][2] = value
    model.set_weights(weights)
    with pytest.raises(ValueError, match=r"float16 cannot. Received: "):
        round_weights(model)
    assert not is_half(model)


def test_bundled_weights_are_stored_anew_and_all_else_stays(own_zoo: Path) -> None:
    name, path = "dense_vae_mnist_z2", own_zoo / "weights_manifest.json"
    arguments = (name, own_zoo / "weights", path)
    before = manifest.read_manifest(path).models
    weights = aezoo.load(name).get_weights()
    assert halve(*arguments) == (
        before[name].weights.bytes,
        (own_zoo / "weights" / f"{name}__2.weights.h5").stat().st_size,
    )
    assert not (own_zoo / "weights" / f"{name}.weights.h5").exists(), "it is unused"
    after = manifest.read_manifest(path).models
    half, whole = after[name], before[name]
    assert half.weights.dtype == "float16"
    assert half.weights.bytes < 0.7 * whole.weights.bytes
    after[name] = replace(half, weights=whole.weights, golden=whole.golden)
    assert after == before
    manifest.installed.cache_clear()
    for old, new in zip(weights, aezoo.load(name).get_weights(), strict=True):
        np.testing.assert_allclose(new, old, rtol=2.0**-11, atol=2.0**-25)
    assert aezoo.verify(name).ok  # golden tensors are the rounded model's
    assert len(set(halve(*arguments))) == 1  # nothing is left to do


def test_published_weights_are_not_rounded(own_zoo: Path) -> None:
    name, path = "dense_vae_mnist_z2", own_zoo / "weights_manifest.json"
    document = json.loads(path.read_text())
    hub_fields = {"repo_id": "o/n", "revision": "0" * 40}
    document["models"][name]["weights"]["hub"] = hub_fields
    path.write_text(json.dumps(document))
    weights = own_zoo / "weights" / f"{name}.weights.h5"
    before = weights.read_bytes()
    with pytest.raises(ManifestError, match="are published"):
        halve(name, own_zoo / "weights", path)
    assert weights.read_bytes() == before
