"""The bundled weights reproduce their golden tensors, on either backend."""

from pathlib import Path

import numpy as np
import pytest

import aezoo
from aezoo import manifest
from aezoo.errors import ManifestError
from aezoo.manifest import weights_folder
from aezoo.modalities.image.digits import draw_digits
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.backend import BACKEND
from aezoo.store.golden import (
    TOLERANCE,
    golden_deviation,
    golden_inputs,
    golden_tensors,
)
from aezoo.utils.files import read_verified
from tests.draws import chosen

ENTRIES = manifest.entries()
# The goldens are TensorFlow's; on other backends one model of each family by default.
OF_FAMILIES = {entry.family: name for name, entry in ENTRIES.items()}
CHOSEN = ENTRIES if BACKEND == "tensorflow" else OF_FAMILIES.values()


@pytest.fixture(scope="module", params=chosen(sorted(ENTRIES), CHOSEN))
def pretrained(request: pytest.FixtureRequest) -> Autoencoder:
    """Each bundled model, loaded and compiled once for all that is asked of it."""
    return aezoo.load(request.param)


def test_there_are_ten_models_to_check() -> None:
    assert len(ENTRIES) >= 10


def test_weights_reproduce_their_golden_tensors(pretrained: Autoencoder) -> None:
    entry = ENTRIES[pretrained.name]
    path = weights_folder() / entry.golden.file
    content = read_verified(path, entry.golden.sha256, "")
    deviation = golden_deviation(pretrained, content)
    shown = "log_probs" if pretrained.is_autoregressive else "reconstruction"
    needed = {"codes", shown} if pretrained.has_encoder else {"samples"}
    assert needed <= set(deviation)
    assert "inputs" not in deviation, "they are compared with nothing"
    if not pretrained.is_autoregressive:
        assert ("samples" in deviation) == ("sampling" in entry.tasks)
    too_far = {k: v for k, v in deviation.items() if not v <= TOLERANCE}
    assert not too_far


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the goldens are TensorFlow's")
def test_weights_compute_what_they_did_but_for_rounding(
    pretrained: Autoencoder,
) -> None:
    """Root mean square, as a share of the largest number: one rounding is 1e-7.

    On the machine that made the goldens it is 0; on others up to 1e-6 for the longest
    recurrence. An operation more, or in another place, shows.
    """
    path = weights_folder() / ENTRIES[pretrained.name].golden.file
    with np.load(path) as file:
        expected = dict(file)
    actual = golden_tensors(pretrained, expected["inputs"])
    assert set(actual) == set(expected)
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max()))
        error = np.asarray(actual[name], "float64") - value
        assert np.sqrt(np.mean(error**2)) <= 1e-6 * scale, name


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the goldens pin other backends")
def test_models_of_digits_reconstruct_some_they_have_never_seen(
    pretrained: Autoencoder,
) -> None:
    """Better than predicting the mean image of the digits themselves."""
    if ENTRIES[pretrained.name].data.name != "mnist":
        pytest.skip("has learnt other images")
    if not pretrained.has_encoder:
        pytest.skip("has no encoder")
    images = draw_digits(len(golden_inputs(pretrained)), seed=3)[0] / np.float32(255)
    error = np.mean((pretrained.reconstruct(images) - images) ** 2)
    assert error < np.mean((images.mean(axis=0) - images) ** 2)


def test_other_weights_deviate() -> None:
    """The golden check can fail: weights that are one step off are told apart."""
    model = aezoo.load("conv_vae_mnist_z16")
    path = weights_folder() / aezoo.describe("conv_vae_mnist_z16").golden.file
    bias = model.decoder.hidden[0].bias
    bias.assign(bias + 0.05)
    deviation = golden_deviation(model, path.read_bytes())
    assert deviation["codes"] <= TOLERANCE
    assert deviation["reconstruction"] > TOLERANCE
    assert deviation["samples"] > TOLERANCE


def test_goldens_of_another_family_are_refused() -> None:
    path = weights_folder() / aezoo.describe("conv_vae_mnist_z16").golden.file
    with pytest.raises(ManifestError, match=r"does not fit model 'conv_ae_mnist_z32'"):
        golden_deviation(aezoo.load("conv_ae_mnist_z32"), path.read_bytes())


def test_unreadable_goldens_are_refused() -> None:
    model = aezoo.create("dense_ae", latent_dim=2, hidden_units=(4,))
    with pytest.raises(ManifestError, match=r"x\.golden\.npz is not a readable .npz"):
        golden_deviation(model, b"no archive", "x.golden.npz")


@pytest.mark.parametrize("inputs", [np.zeros((8, 28, 28, 1)), np.zeros(3, "uint8")])
def test_goldens_with_other_inputs_are_refused(
    tmp_path: Path, inputs: np.ndarray
) -> None:
    path = tmp_path / "x.golden.npz"
    np.savez(path, inputs=inputs)
    model = aezoo.create("dense_ae", latent_dim=2, hidden_units=(4,))
    message = r"must hold `inputs` .* uint8, \(n, 28, 28, 1\)\. Received: "
    with pytest.raises(ManifestError, match=message):
        golden_deviation(model, path.read_bytes())


def test_models_of_other_image_sizes_have_golden_tensors_too() -> None:
    model = aezoo.create("dense_vae", input_shape=(6, 5, 3), hidden_units=(4,))
    tensors = golden_tensors(model, golden_inputs(model))
    assert tensors["reconstruction"].shape == (8, 6, 5, 3)
    again = golden_tensors(model, golden_inputs(model))
    np.testing.assert_array_equal(tensors["samples"], again["samples"])
