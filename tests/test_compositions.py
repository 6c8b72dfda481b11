"""Every objective on every network and modality that makes sense; networks of users."""

import dataclasses

import keras
import numpy as np
import pytest

import aezoo
from aezoo.modalities import Image, Voxels
from aezoo.networks import NetworkError
from tests.bits import Bits
from tests.checks import given_for, labels_for
from tests.draws import exhaustive
from training import compositions as table

FAMILIES = {family.name: family for family in table.objectives()}
NETWORKS = {network.kind: network for network in table.networks()}
# Cells of a default run: networks and modalities that the families do not put together.
DEFAULT = {
    *(("vae", kind, "image") for kind in ("vit", "resnet")),
    ("wae", "grid3d", "voxels"),
    ("iwae", "recurrent", "text"),
    *((name, "dense", "image") for name in ("factor_vae", "flow_vae", "rae")),
    ("conditional_vae", "dense", "image"),
    ("kl_autoencoder", "vit", "image"),
}


def cells() -> list:
    """Every cell that is not refused."""
    return [
        pytest.param(
            *cell, id="-".join(cell), marks=[] if cell in DEFAULT else [exhaustive]
        )
        for cell in table.cells()
    ]


MODALITIES = {modality.kind: modality for modality in table.MODALITIES}


@pytest.mark.parametrize(("name", "kind", "modality"), cells())
def test_a_cell_is_trained_and_makes_a_round_trip(name, kind, modality) -> None:
    model = table.model_of(FAMILIES[name], NETWORKS[kind], MODALITIES[modality])
    x = model.modality.examples(6)
    told = given_for(model, x)
    y = labels_for(model, x).get("y")
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(x, y, batch_size=6, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    again = aezoo.create(model.family, **model.config)
    again.set_weights(model.get_weights())
    codes = again.encode(x, **told)
    np.testing.assert_array_equal(codes, model.encode(x, **told))
    shown = again.modality.check(again.reconstruct(x, **told))
    assert shown.shape == x.shape
    assert shown.dtype == x.dtype


def test_every_objective_has_a_cell_and_every_network_too() -> None:
    found = list(table.cells())
    assert {name for name, _, _ in found} == set(FAMILIES)
    assert {kind for _, kind, _ in found} == set(NETWORKS)
    assert {modality for _, _, modality in found} == set(MODALITIES)
    assert set(found) >= DEFAULT
    assert len(found) > 120


def test_the_page_is_what_the_table_says() -> None:
    assert table.DOCUMENT.read_text(encoding="utf-8") == table.document()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vq_vae", "network": "dense"}, "'dense' cannot carry a map"),
        ({"name": "vae", "network": "grid3d"}, "'grid3d' cannot carry images"),
        ({"name": "draw", "network": "conv"}, "'top_down' or 'draw'"),
        ({"name": "vae", "network": "top_down"}, "cannot carry a flat latent"),
        ({"name": "masked_ae", "network": "conv"}, "needs the network 'vit'"),
        ({"name": "vae", "network": "convv"}, "Did you mean 'conv'"),
        ({"name": "vae", "network": 3}, "`network` must be the name of a network"),
        ({"name": "vae", "modality": "image"}, "must be one of `aezoo.modalities`"),
        (
            {"name": "vae", "modality": Image(8, 8, 1), "input_shape": (8, 8, 1)},
            "the modality has a shape of its own",
        ),
        (
            {"name": "vae", "modality": Bits(8), "network": "conv"},
            "'conv' cannot carry words",
        ),
        (
            {"name": "vae", "modality": Bits(8), "network": "dense", "likelihood": "x"},
            "`likelihood` must be one of 'bernoulli' for words",
        ),
        (
            {"name": "ae", "modality": Bits(8), "network": "dense"},
            "`corruption` must be one of None for words",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(arguments, message) -> None:
    config = dict(arguments)
    if message.startswith("`corruption`"):
        config["corruption"] = "gaussian"
    with pytest.raises(ValueError, match=message):
        aezoo.create(config.pop("name"), **config)


# --- Networks of users ---------------------------------------------------------------


def functional() -> tuple[keras.Model, keras.Model]:
    x = keras.Input((8, 8, 1))
    y = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="edges")(x)
    y = keras.layers.Flatten(name="flat")(y)
    y = keras.layers.Dense(12, activation="relu", name="features")(y)
    return keras.Model(x, y), sequential()[1]


def sequential() -> tuple[keras.Model, keras.Model]:
    layers = keras.layers
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(name="flat"),
            layers.Dense(12, activation="relu", name="features"),
        ]
    )
    decoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(64), layers.Reshape((8, 8, 1))]
    )
    return encoder, decoder


@keras.saving.register_keras_serializable("tests")
class Halves(keras.Model):
    """A subclassed encoder that gives the heads of a VAE itself."""

    def __init__(self, width: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.flat = keras.layers.Flatten()
        self.mean = keras.layers.Dense(width)
        self.log_var = keras.layers.Dense(width)

    def call(self, x):
        flat = self.flat(x)
        return {"z_mean": self.mean(flat), "z_log_var": self.log_var(flat)}

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def subclassed() -> tuple[keras.Model, keras.Model]:
    return Halves(), sequential()[1]


def test_a_network_of_the_users_own_is_like_any_other(tmp_path) -> None:
    x = Image(8, 8, 1).examples(12)
    for name, make, more in (
        ("factor_vae", functional, {}),
        ("wae", sequential, {}),
        ("vae", subclassed, {"input_shape": (8, 8, 1)}),
    ):
        networks = dict(zip(("encoder", "decoder"), make(), strict=True))
        encoder = networks["encoder"]
        model = aezoo.create(name, **networks, latent_dim=3, **more)
        assert model.input_shape == (8, 8, 1)
        model.compile(keras.optimizers.Adam(0.01))
        before = encoder.get_weights()
        model.fit(x, verbose=0)
        assert any(
            np.any(a != b) for a, b in zip(before, encoder.get_weights(), strict=True)
        )
        again = aezoo.create(model.family, **model.config)
        again.set_weights(model.get_weights())
        np.testing.assert_allclose(again.encode(x), model.encode(x), atol=1e-6)
    # the subclassed one, through files
    folder = aezoo.save(model, tmp_path / "mine")
    loaded = aezoo.load(folder)
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1)
    model.save(tmp_path / "mine.keras")
    loaded = keras.saving.load_model(tmp_path / "mine.keras")
    np.testing.assert_allclose(loaded.encode(x), model.encode(x), atol=1e-6)


def test_its_layers_are_features_by_name() -> None:
    encoder, decoder = functional()
    model = aezoo.create("vae", encoder=encoder, decoder=decoder, latent_dim=3)
    infos = {info.name: info.shape for info in aezoo.feature_info(model)}
    assert infos["features"] == (12,)
    assert infos["latent"] == (3,)
    extractor = aezoo.feature_extractor(model, layer="features")
    x = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    np.testing.assert_allclose(extractor(x), encoder(x), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": None}, "`encoder` needs `decoder` beside it"),
        ({"encoder": None}, "`decoder` needs `encoder` beside it"),
        ({"encoder": "text"}, "`encoder` must be a Keras model"),
        ({"network": "conv"}, "exclude each other"),
        ({"latent_dim": 5}, r"`decoder` must take inputs of shape \(None, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(change, message) -> None:
    encoder, decoder = sequential()
    arguments = {"encoder": encoder, "decoder": decoder, "latent_dim": 3, **change}
    with pytest.raises(ValueError, match=message):
        aezoo.create("vae", **{k: v for k, v in arguments.items() if v is not None})


def test_an_encoder_that_does_not_say_what_it_takes_needs_a_shape() -> None:
    encoder, decoder = subclassed()
    with pytest.raises(NetworkError, match=r"pass `input_shape=.* is None"):
        aezoo.create("vae", encoder=encoder, decoder=decoder, latent_dim=3)
    words = keras.Sequential([keras.Input((8,)), keras.layers.Dense(12)])
    with pytest.raises(NetworkError, match=r"`input_shape` is \(None, 8\)"):
        aezoo.create("vae", encoder=words, decoder=decoder, latent_dim=3)


def test_shapes_that_do_not_fit_are_printed() -> None:
    encoder, _ = sequential()
    small = keras.Sequential([keras.Input((3,)), keras.layers.Dense(64)])
    with pytest.raises(NetworkError, match=r"\(None, 8, 8, 1\).*\(None, 64\)"):
        aezoo.create("vae", encoder=encoder, decoder=small, latent_dim=3)
    image = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, padding="same")]
    )
    with pytest.raises(NetworkError, match="features of shape"):
        aezoo.create("vae", encoder=image, decoder=sequential()[1], latent_dim=3)


def test_a_compiled_network_is_refused() -> None:
    encoder, decoder = sequential()
    encoder.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must not be compiled"):
        aezoo.create("vae", encoder=encoder, decoder=decoder, latent_dim=3)


def test_a_folder_with_a_foreign_layer_builds_nothing() -> None:
    encoder, decoder = sequential()
    model = aezoo.create("vae", encoder=encoder, decoder=decoder, latent_dim=3)
    config = model.config
    code = keras.layers.Lambda(lambda x: x * 2.0, name="code")
    config["encoder"]["config"]["layers"].append(
        keras.saving.serialize_keras_object(code)
    )
    with pytest.raises(ValueError, match="safe mode"):
        aezoo.create("vae", **config)


def test_voxels_are_a_modality_like_any_other(tmp_path) -> None:
    modality = Voxels(8, 8, 8)
    model = aezoo.create("vae", modality=modality, network="grid3d", latent_dim=4)
    x = modality.examples(8)
    model.compile("adam")
    model.fit(x, verbose=0)
    loaded = aezoo.load(aezoo.save(model, tmp_path / "shapes"))
    assert loaded.modality == modality
    assert loaded.reconstruct(x).dtype == x.dtype
    assert loaded.sample(2, seed=0).shape == (2, 8, 8, 8)
    with pytest.raises(ValueError, match=r"must have shape \(n, 8, 8, 8\)"):
        model.encode(x[:, :4])
    with pytest.raises(ValueError, match="integers 0 and 1"):
        model.encode(x * 3)
    assert dataclasses.asdict(modality) == {"depth": 8, "height": 8, "width": 8}
