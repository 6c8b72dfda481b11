"""Loading: verified bytes, a model that fits its entry, or a named error."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import aezoo
from aezoo import manifest
from aezoo.errors import ChecksumError, ManifestError, UnknownModelError
from aezoo.store.load import build_entry, load_entry
from aezoo.utils.files import sha256_of
from tests import zoo_fixtures

NAME = "conv_vae_mnist_z16"


@pytest.fixture
def zoo(own_zoo: Path) -> Path:
    """A copy of the tiny zoo that a test may damage."""
    return own_zoo


def change_entry(zoo: Path, change: Callable[[dict], None]) -> None:
    zoo_fixtures.change_entry(zoo, NAME, change)


def weights_file(zoo: Path) -> Path:
    return zoo / "weights" / f"{NAME}.weights.h5"


def rehash(zoo: Path) -> None:
    path = weights_file(zoo)
    facts = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    change_entry(zoo, lambda entry: entry["weights"].update(facts))


def test_a_loaded_model_is_ready_and_carries_the_files_weights(zoo: Path) -> None:
    model = aezoo.load(NAME)
    assert isinstance(model, keras.Model)
    assert model.built
    assert model.name == NAME
    with h5py.File(weights_file(zoo)) as file:
        stored: dict[str, np.ndarray] = {}
        file.visititems(
            lambda name, item: (
                stored.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    sums = sorted(float(np.sum(v, dtype="float64")) for v in stored.values())
    loaded = sorted(float(np.sum(w, dtype="float64")) for w in model.get_weights())
    np.testing.assert_allclose(loaded, sums, rtol=1e-6)


@pytest.mark.usefixtures("zoo")
def test_a_loaded_model_can_be_initialised_anew() -> None:
    """Loading skips random initialisation; the layers keep their initialisers."""
    model = aezoo.load(NAME)
    copy = keras.models.clone_model(model)
    copy.build((None, *copy.input_shape))
    assert np.std(copy.encoder.get_weights()[0]) > 0
    kernel = model.encoder.convs[0].kernel_initializer
    assert isinstance(kernel, keras.initializers.GlorotUniform)


@pytest.mark.usefixtures("zoo")
def test_a_loaded_model_can_be_trained_further() -> None:
    model = aezoo.load(NAME)
    model.compile("adam")
    images = np.zeros((4, 28, 28, 1), "uint8")
    history = model.fit(images, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_unknown_names_offer_the_closest(zoo: Path) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError, match=f"Did you mean '{NAME}'"):
        aezoo.load("conv_vae_mnist_z15")


def test_a_flipped_byte_is_a_checksum_error(zoo: Path) -> None:
    data = bytearray(weights_file(zoo).read_bytes())
    data[len(data) // 2] ^= 1
    weights_file(zoo).write_bytes(data)
    with pytest.raises(ChecksumError, match=r"does not match its hash.*Reinstall"):
        aezoo.load(NAME)


def test_a_truncated_file_is_a_checksum_error(zoo: Path) -> None:
    data = weights_file(zoo).read_bytes()
    weights_file(zoo).write_bytes(data[: len(data) // 2])
    with pytest.raises(ChecksumError, match=f"{len(data) // 2:,} bytes"):
        aezoo.load(NAME)


def test_a_missing_file_is_a_checksum_error(zoo: Path) -> None:
    weights_file(zoo).unlink()
    with pytest.raises(ChecksumError, match=r"is missing"):
        aezoo.load(NAME)


def test_a_path_out_of_the_weights_folder_is_refused(zoo: Path) -> None:
    change_entry(zoo, lambda e: e["weights"].update(file="../weights_manifest.json"))
    with pytest.raises(ManifestError, match=r"weights\.file` must .*: '\.\./"):
        aezoo.load(NAME)


def test_a_file_with_external_links_is_refused(zoo: Path) -> None:
    with h5py.File(weights_file(zoo), "a") as file:
        file["stolen"] = h5py.ExternalLink("secret.h5", "/")
    rehash(zoo)
    with pytest.raises(aezoo.errors.UnsafeFileError, match=r"ExternalLink at '/st"):
        aezoo.load(NAME)


def test_an_entry_of_another_size_is_refused_before_building(zoo: Path) -> None:
    change_entry(zoo, lambda e: e.update(num_params=5))
    with pytest.raises(ManifestError, match=r"expected 5 values, received"):
        aezoo.load(NAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 4}, "does not fit its configuration"),
        ({"latent_dim": -1}, "`latent_dim` must be an integer of at least 1"),
        ({"latent_dims": 4}, "Unknown argument `latent_dims`.*'latent_dim'"),
        ({"upsampling": "magic"}, "`upsampling` must be one of"),
    ],
)
def test_a_wrong_configuration_is_refused(
    zoo: Path, change: dict, message: str
) -> None:
    change_entry(zoo, lambda e: e["config"].update(change))
    with pytest.raises(ManifestError, match=message):
        aezoo.load(NAME)


def test_an_unknown_family_is_refused(zoo: Path) -> None:
    change_entry(zoo, lambda e: e.update(family="conv_va"))
    with pytest.raises(ManifestError, match=r"Did you mean 'conv_vae'"):
        aezoo.load(NAME)


def test_another_models_weights_are_refused(zoo: Path) -> None:
    """As many values, but in other shapes."""
    entry = manifest.entries()[NAME]
    path = zoo / "weights" / "other.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("vars").create_dataset("0", data=np.zeros(entry.num_params))
    with pytest.raises(ChecksumError, match=r"does not match what is stated"):
        load_entry(entry, path)
    with pytest.raises(ManifestError, match=f"does not fit the manifest.*{NAME}"):
        build_entry(entry, path.read_bytes(), path)


@pytest.mark.usefixtures("zoo")
def test_create_takes_the_architecture_of_pretrained_weights() -> None:
    entry = aezoo.describe(NAME)
    model = aezoo.create(NAME, beta=4.0)
    assert model.count_params() == entry.num_params
    assert model.beta == 4.0
    loaded = aezoo.load(NAME)
    assert not np.allclose(model.get_weights()[0], loaded.get_weights()[0])


@pytest.mark.usefixtures("zoo")
def test_create_names_families_when_nothing_matches() -> None:
    with pytest.raises(UnknownModelError, match=r"Did you mean 'conv_vae'.*Families"):
        aezoo.create("conv_vea")
    with pytest.raises(ValueError, match=r"Unknown argument `latent_dims`"):
        aezoo.create("conv_vae", latent_dims=3)


def test_entries_are_frozen_records(zoo: Path) -> None:  # noqa: ARG001
    with pytest.raises(AttributeError, match="immutable"):
        aezoo.describe(NAME).weights.sha256 = "0"  # type: ignore[misc]
