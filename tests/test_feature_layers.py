"""Named layers of encoders: what they give, for which images, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.errors import UnknownLayerError, UnknownModelError
from aezoo.features import FeatureExtractor
from aezoo.registry import find_family
from tests.draws import image_families, some_cases
from tests.hub_server import HubServer
from tests.zoo_fixtures import change_entry, publish_zoo

NAME = "conv_ae_mnist_z32"
FAMILIES = image_families()


def tiny(family: str, **config) -> keras.Model:
    found = find_family(family)
    return aezoo.create(family, **{**found.tiny, **config})


def random_images(model: keras.Model, rng, n: int = 2) -> np.ndarray:
    return rng.random((n, *model.input_shape), "float32")


def gradients_of(extractor: FeatureExtractor, images: np.ndarray) -> dict:
    """Of a number that depends on all features, by weight; None where there is none."""
    variables = extractor.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        def number(values: list) -> object:
            others = [v.value for v in extractor.non_trainable_variables]
            features, _ = extractor.stateless_call(values, others, images)
            return uneven_sum(features)

        found = jax.grad(number)([v.value for v in variables])
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            number = uneven_sum(extractor(images))
        found = tape.gradient(number, [v.value for v in variables])
    return {v.path: g for v, g in zip(variables, found, strict=True)}


def uneven_sum(features: object) -> object:
    flat = ops.reshape(features, (-1,))
    return ops.sum(ops.cos(flat + 0.1 * np.arange(flat.shape[0], dtype="float32")))


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    """Two stages of stride 2, for RGB images; every weight is drawn."""
    model = tiny("resnet_ae", input_shape=(8, 8, 3), residual_blocks=1)
    rng = np.random.default_rng(0)
    for weight in model.encoder.weights:
        weight.assign(0.3 * rng.standard_normal(weight.shape))
    return model


@pytest.fixture(scope="module")
def transformer() -> keras.Model:
    return tiny("masked_ae")


# --- What they give ---------------------------------------------------------------


@pytest.mark.parametrize("family", some_cases(FAMILIES, 2))
def test_every_family_names_its_layers(family, rng) -> None:
    model = tiny(family)
    infos = {info.name: info for info in aezoo.feature_info(model)}
    assert list(infos)[-1] == "latent"
    if family not in ("linear_ae", "ppca", "contractive_ae", "draw"):  # of one layer
        assert len(infos) >= 2
    extractor = aezoo.feature_extractor(model, trainable=True, layer=list(infos))
    images = random_images(model, rng)
    size, _, channels = model.input_shape
    features = extractor(images)
    assert list(features) == list(infos)
    for name, info in infos.items():
        value = np.asarray(features[name])
        assert value.shape == (2, *info.shape), name
        assert info.num_channels == info.shape[-1]
        assert np.isfinite(value).all()
        if info.takes_any_size and len(info.shape) == 3:
            larger = aezoo.feature_info(model, input_shape=(16, 16, channels))
            shape = next(other.shape for other in larger if other.name == name)
            assert (shape[0] - info.shape[0]) * info.stride == 16 - size
    np.testing.assert_allclose(features["latent"], model.encode(images), atol=1e-5)
    symbols = extractor(keras.Input(model.input_shape))
    assert {n: s.shape for n, s in symbols.items()} == {
        n: (None, *info.shape) for n, info in infos.items()
    }


@pytest.mark.parametrize("family", some_cases(FAMILIES, 2))
def test_what_is_trained_is_what_the_codes_depend_on(family, rng) -> None:
    """The gradient reaches every weight, from the first layer to the last."""
    model = tiny(family)
    rng = np.random.default_rng(1)
    for weight in model.encoder.weights:  # some start at 0, and block the gradient
        if not weight.path.endswith("usage"):
            weight.assign(0.3 * rng.standard_normal(weight.shape))
    extractor = aezoo.feature_extractor(model, trainable=True)
    gradients = gradients_of(extractor, random_images(model, rng, 4))
    assert gradients
    assert not [path for path, g in gradients.items() if g is None]
    still = [path for path, g in gradients.items() if not np.any(np.asarray(g))]
    # scores are the same whatever a bias of theirs, and so is a direction of one unit
    assert not [path for path in still if not path.endswith("bias")]
    assert len(still) <= len(gradients) // 4


def test_stages_are_the_networks(resnet, rng) -> None:
    images = random_images(resnet, rng)
    features = aezoo.feature_extractor(resnet, layer=["stage1", "stage2", "pool"])(
        images
    )
    encoder = resnet.encoder
    x = encoder.blocks[0][0](encoder.convs[0](images))
    np.testing.assert_allclose(features["stage1"], x, atol=1e-5)
    x = ops.relu(encoder.blocks[1][0](encoder.convs[1](x)))
    np.testing.assert_allclose(features["stage2"], x, atol=1e-5)
    np.testing.assert_allclose(
        features["pool"], np.mean(np.asarray(x), axis=(1, 2)), atol=1e-5
    )
    assert np.asarray(features["stage2"]).std() > 0.01


def test_dense_layers_follow_one_another(rng) -> None:
    model = tiny("dense_ae", hidden_units=(7, 5))
    images = random_images(model, rng)
    features = aezoo.feature_extractor(model, layer=["hidden2", "hidden1"])(images)
    assert list(features) == ["hidden2", "hidden1"]
    hidden = model.encoder.hidden
    np.testing.assert_allclose(
        hidden[1](features["hidden1"]), features["hidden2"], atol=1e-6
    )
    np.testing.assert_allclose(
        hidden[0](images.reshape(2, -1)), features["hidden1"], atol=1e-6
    )


def test_tokens_and_blocks_end_in_the_code(transformer, rng) -> None:
    names = [info.name for info in aezoo.feature_info(transformer)]
    assert names[:2] == ["tokens", "block1"]
    assert names[-2:] == ["pool", "latent"]
    features = aezoo.feature_extractor(transformer, layer=names)(
        random_images(transformer, rng)
    )
    np.testing.assert_array_equal(features[names[-3]], features["latent"])
    np.testing.assert_allclose(
        features["pool"], np.mean(np.asarray(features["latent"]), axis=1), atol=1e-6
    )


def test_vectors_before_quantisation_are_a_layer(rng) -> None:
    model = tiny("vq_vae")
    images = random_images(model, rng)
    features = aezoo.feature_extractor(model, layer=["encoded", "latent"])(images)
    nearest = model.quantizer.nearest(features["encoded"])
    np.testing.assert_array_equal(nearest, model.encode_indices(images))
    np.testing.assert_array_equal(features["latent"], model.quantizer.lookup(nearest))


def test_what_lies_above_the_layer_is_left_out(resnet) -> None:
    whole = aezoo.feature_extractor(resnet)
    part = aezoo.feature_extractor(resnet, layer="stage1")
    assert 0 < part.count_params() < whole.count_params()
    assert all("conv_1" in w.path or "block_1" in w.path for w in part.weights)
    one = aezoo.feature_extractor(resnet, layer=["stage1"])
    assert isinstance(one(np.zeros((1, 8, 8, 3), "float32")), dict)


# --- feature_info -----------------------------------------------------------------


def test_infos_need_no_weights(tiny_zoo, monkeypatch) -> None:  # noqa: ARG001
    monkeypatch.setattr("aezoo.engines.load.load", None)
    infos = aezoo.feature_info(NAME)
    rows = [
        (i.name, i.shape, i.stride, i.num_channels, i.takes_any_size) for i in infos
    ]
    assert rows == [
        ("stage1", (14, 14, 4), 2, 4, True),
        ("stage2", (7, 7, 6), 4, 6, True),
        ("pool", (6,), None, 6, True),
        ("hidden1", (8,), None, 8, False),
        ("latent", (32,), None, 32, False),
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        infos[0].stride = 1


def test_infos_of_folders_and_addresses(own_zoo, tmp_path) -> None:  # noqa: ARG001
    expected = aezoo.feature_info(NAME)
    folder = aezoo.save(aezoo.load(NAME), tmp_path / "own")
    assert aezoo.feature_info(folder) == expected
    assert aezoo.feature_info(str(folder)) == expected
    (folder / "model.weights.h5").unlink()
    assert aezoo.feature_info(folder) == expected
    with pytest.raises(ValueError, match="`revision` belongs to models on the Hub"):
        aezoo.feature_info(folder, revision="main")
    with pytest.raises(ValueError, match="`revision` belongs to models on the Hub"):
        aezoo.feature_info(NAME, revision="main")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        aezoo.feature_info(tmp_path / "other")


def test_infos_of_an_address_fetch_no_weights(own_zoo, tmp_path) -> None:
    with HubServer() as server:
        publish_zoo(own_zoo, server, [NAME])
        options = {"cache_dir": tmp_path / "cache", "endpoint": server.url}
        infos = aezoo.feature_info(f"hf://zoo/{NAME}", **options)
    assert infos == aezoo.feature_info(NAME)
    assert server.downloads() == server.downloads("aezoo.json") == 1


def test_infos_for_another_size(resnet) -> None:
    infos = aezoo.feature_info(resnet, input_shape=(20, 24, 3))
    assert [(i.name, i.shape) for i in infos] == [
        ("stage1", (10, 12, resnet.network.filters[0])),
        ("stage2", (5, 6, resnet.network.filters[1])),
        ("pool", (resnet.network.filters[1],)),
    ]
    assert len(aezoo.feature_info(resnet, input_shape=(8, 8, 3))) > len(infos)


def test_infos_of_unknown_models_name_the_closest(tiny_zoo) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError, match=f"Did you mean {NAME!r}"):
        aezoo.feature_info("conv_ae_mnist_32")


def test_infos_of_an_invalid_entry_say_so(own_zoo) -> None:
    from aezoo.errors import ManifestError

    change_entry(own_zoo, NAME, lambda entry: entry["config"].update(strides=[3, 3]))
    with pytest.raises(ManifestError, match="does not describe a valid 'conv_ae'"):
        aezoo.feature_info(NAME)


# --- What an extractor is made of --------------------------------------------------


def test_folders_and_models_give_the_features_of_names(
    tiny_zoo,  # noqa: ARG001
    tmp_path,
    rng,
) -> None:
    model = aezoo.load(NAME)
    images = random_images(model, rng)
    expected = aezoo.feature_extractor(NAME, layer="stage2", pooling="max")(images)
    folder = aezoo.save(model, tmp_path / "own")
    for source in (model, folder, str(folder)):
        extractor = aezoo.feature_extractor(source, layer="stage2", pooling="max")
        np.testing.assert_array_equal(extractor(images), expected)
    model.encoder.convs[0].bias.assign_add(np.ones(4))  # the extractor has a copy
    np.testing.assert_array_equal(extractor(images), expected)


def test_unknown_layers_are_refused(tiny_zoo) -> None:  # noqa: ARG001
    for layer in ("stage11", ["stage2", "stage11"]):
        with pytest.raises(
            UnknownLayerError,
            match=r"Unknown layer 'stage11' .*Did you mean 'stage1'.*Layers: stage1, ",
        ):
            aezoo.feature_extractor(NAME, layer=layer)


@pytest.mark.parametrize("layer", [[], ["pool", "pool"]])
def test_layers_must_be_some_and_different(resnet, layer) -> None:
    with pytest.raises(ValueError, match="`layer` must be the name of a layer, or a s"):
        aezoo.feature_extractor(resnet, layer=layer)


def test_options_of_loading_belong_to_names(resnet) -> None:
    with pytest.raises(
        ValueError, match="`revision` belongs to names, folders and add"
    ):
        aezoo.feature_extractor(resnet, revision="main")


# --- Pooling ----------------------------------------------------------------------


def test_poolings(resnet, rng) -> None:
    images = random_images(resnet, rng)
    x = np.asarray(aezoo.feature_extractor(resnet, layer="stage1")(images))
    expected = {
        "avg": x.mean(axis=(1, 2)),
        "max": x.max(axis=(1, 2)),
        "flatten": x.reshape(2, -1),
    }
    for pooling, value in expected.items():
        extractor = aezoo.feature_extractor(resnet, layer="stage1", pooling=pooling)
        np.testing.assert_allclose(extractor(images), value, atol=1e-6)
        symbol = extractor(keras.Input(resnet.input_shape))
        assert symbol.shape == (None, *value.shape[1:])


def test_tokens_are_pooled_over_patches(transformer, rng) -> None:
    images = random_images(transformer, rng)
    codes = transformer.encode(images)
    extractor = aezoo.feature_extractor(transformer, pooling="max")
    np.testing.assert_allclose(extractor(images), codes.max(axis=1), atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_vectors_are_not_pooled(resnet, pooling) -> None:
    for layer in ("latent", "pool", ["stage1", "latent"]):
        with pytest.raises(
            ValueError, match=r"is a vector of .* units.*among stage1, st"
        ):
            aezoo.feature_extractor(resnet, layer=layer, pooling=pooling)
    with pytest.raises(ValueError, match=r"is a vector of 3 units.*Drop it\.$"):
        aezoo.feature_extractor(tiny("ppca"), pooling=pooling)


def test_unknown_poolings_are_refused(resnet) -> None:
    with pytest.raises(ValueError, match=r"`pooling` must be one of None, 'avg'.*mean"):
        aezoo.feature_extractor(resnet, layer="stage1", pooling="mean")


# --- Other images -----------------------------------------------------------------


def test_convolutions_take_other_sizes(resnet, rng) -> None:
    """The features of an image are those of its parts, away from the borders."""
    large = rng.random((1, 24, 32, 3), "float32")
    extractor = aezoo.feature_extractor(
        resnet, layer=["stage1", "pool"], input_shape=(24, 32, 3)
    )
    features = extractor(large)
    assert features["stage1"].shape == (1, 12, 16, resnet.network.filters[0])
    assert features["pool"].shape == (1, resnet.network.filters[1])
    own = resnet.encoder.convs[0](large)
    np.testing.assert_allclose(
        features["stage1"], resnet.encoder.blocks[0][0](own), atol=1e-5
    )
    with pytest.raises(ValueError, match=r"must have shape \(n, 24, 32, 3\)"):
        extractor(large[:, :8, :8])


def test_transformers_take_other_sizes(transformer, rng) -> None:
    size = transformer.network.patch_size
    shape = (3 * size, 5 * size, transformer.input_shape[-1])
    extractor = aezoo.feature_extractor(transformer, input_shape=shape)
    images = rng.random((2, *shape), "float32")
    assert extractor(images).shape == (2, 15, transformer.latent_dim)
    resized = aezoo.create(
        "masked_ae", **{**transformer.config, "input_shape": list(shape)}
    )
    resized.set_weights(transformer.get_weights())
    np.testing.assert_allclose(extractor(images), resized.encode(images), atol=1e-5)


def test_codes_of_other_sizes_are_refused(resnet) -> None:
    for layer in ("latent", ["stage1", "latent"]):
        with pytest.raises(
            ValueError,
            match=r"'latent' .* size \(8, 8\) alone.*\(16, 16\).*: stage1, stage2",
        ):
            aezoo.feature_extractor(resnet, layer=layer, input_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="None does"):
        aezoo.feature_extractor(
            tiny("dense_ae"), layer="hidden1", input_shape=(16, 16, 1)
        )
    with pytest.raises(UnknownLayerError, match=r"Did you mean 'stage[12]'"):
        aezoo.feature_extractor(resnet, layer="stage", input_shape=(16, 16, 3))


@pytest.mark.parametrize("layer", ["stage2", "pool"])
def test_images_that_leave_nothing_of_a_layer_are_refused(resnet, layer) -> None:
    with pytest.raises(
        ValueError, match=r"size \(3, 16\) leave nothing for .* 4x4 pixels"
    ):
        aezoo.feature_extractor(resnet, layer=layer, input_shape=(3, 16, 3))
    with pytest.raises(
        ValueError, match=r"`input_shape.1.` must be an integer of at lea"
    ):
        aezoo.feature_extractor(resnet, layer=layer, input_shape=(16, 0, 3))
    aezoo.feature_extractor(resnet, layer="stage1", input_shape=(3, 16, 3))


def test_grey_images_become_rgb_when_asked(resnet, rng) -> None:
    grey = rng.random((2, 8, 8, 1), "float32")
    with pytest.raises(ValueError, match="Pass `convert_channels=True`, which repeats"):
        aezoo.feature_extractor(resnet, input_shape=(8, 8, 1))
    extractor = aezoo.feature_extractor(
        resnet, input_shape=(8, 8, 1), convert_channels=True
    )
    expected = resnet.encode(np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(extractor(grey), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"must have shape \(n, 8, 8, 1\)"):
        extractor(np.repeat(grey, 3, axis=-1))


def test_rgb_images_become_grey_as_pillow_does_it(rng) -> None:
    from PIL import Image

    model = tiny("conv_ae", input_shape=(8, 8, 1))
    rgb = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    with pytest.raises(
        ValueError, match="Pass `convert_channels=True`, which makes RGB"
    ):
        aezoo.feature_extractor(model, input_shape=(8, 8, 3))
    extractor = aezoo.feature_extractor(
        model, input_shape=(8, 8, 3), convert_channels=True, layer="stage1"
    )
    grey = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in rgb])
    expected = aezoo.feature_extractor(model, layer="stage1")(grey[..., None])
    np.testing.assert_allclose(extractor(rgb), expected, atol=0.01)  # L is rounded
    with pytest.raises(ValueError, match=r"Only grey \(1\) and RGB \(3\)"):
        aezoo.feature_extractor(model, input_shape=(8, 8, 4), convert_channels=True)


def test_channels_and_size_change_together(resnet, rng) -> None:
    extractor = aezoo.feature_extractor(
        resnet, layer="pool", input_shape=(16, 12, 1), convert_channels=True
    )
    model = keras.Sequential([keras.Input((16, 12, 1)), extractor])
    images = rng.random((2, 16, 12, 1), "float32")
    np.testing.assert_allclose(model(images), extractor(images), atol=1e-6)
    loaded = FeatureExtractor.from_config(extractor.get_config())
    assert loaded.modality.shape == (16, 12, 1)
