"""Pretrained encoders inside other Keras models."""

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.errors import UnknownModelError
from aezoo.features import FeatureExtractor
from aezoo.registry import find_family
from tests.draws import image_families, some_cases

NAME = "conv_ae_mnist_z32"
VAE = "conv_vae_mnist_z16"
# Of tensors, wherever they are and whether gradients are asked for or not.
values = ops.convert_to_numpy


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (6, 28, 28, 1)).astype("uint8")


@pytest.fixture
def extractor(tiny_zoo) -> FeatureExtractor:  # noqa: ARG001
    return aezoo.feature_extractor(NAME)


@pytest.mark.parametrize("name", [NAME, VAE])
def test_features_are_codes(tiny_zoo, images, name) -> None:  # noqa: ARG001
    expected = aezoo.load(name).encode(images)
    extractor = aezoo.feature_extractor(name)
    assert extractor.name == f"{name}_features"
    np.testing.assert_allclose(values(extractor(images)), expected, atol=1e-5)
    features = values(extractor(images / 255.0))
    np.testing.assert_allclose(features, expected, atol=1e-5)
    np.testing.assert_allclose(
        extractor.predict(images / 255.0, verbose=0), expected, atol=1e-5
    )


def test_features_are_codes_in_a_sequential_model(extractor, images) -> None:
    model = keras.Sequential([keras.Input((28, 28, 1)), extractor])
    wanted = values(extractor(images / 255.0))
    np.testing.assert_allclose(values(model(images / 255.0)), wanted, atol=1e-5)
    assert model.output_shape == (None, 32)


def test_uint8_passes_through_an_input_of_that_dtype(extractor, images) -> None:
    inputs = keras.Input((28, 28, 1), dtype="uint8")
    model = keras.Model(inputs, extractor(inputs))
    wanted = values(extractor(images))
    np.testing.assert_allclose(values(model(images)), wanted, atol=1e-5)
    np.testing.assert_allclose(model.predict(images, verbose=0), wanted, atol=1e-5)


def classifier(extractor: FeatureExtractor) -> keras.Model:
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(extractor(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model


@pytest.mark.parametrize("trainable", [False, True])
def test_fine_tuning_is_a_choice(tiny_zoo, images, trainable) -> None:  # noqa: ARG001
    extractor = aezoo.feature_extractor(NAME, trainable=trainable)
    model = classifier(extractor)
    assert len(model.trainable_weights) == 2 + trainable * len(extractor.weights)
    before = {w.path: values(w) for w in extractor.weights}
    model.fit(images / 255.0, np.arange(6) % 3, verbose=0)
    for weight in extractor.weights:  # from the first layer to the last
        moved = np.any(values(weight) != before[weight.path])
        assert moved == trainable, weight.path


def test_a_vaes_variance_is_never_trained(tiny_zoo) -> None:  # noqa: ARG001
    extractor = aezoo.feature_extractor(VAE, trainable=True)
    trainable = [w.path for w in extractor.trainable_weights]
    assert any("z_mean" in path for path in trainable)
    assert not any("z_log_var" in path for path in trainable)
    assert not any("decoder" in w.path for w in extractor.weights)


def test_classifiers_survive_a_keras_file(extractor, images, tmp_path) -> None:
    model = classifier(extractor)
    model.fit(images / 255.0, np.arange(6) % 3, verbose=0)
    model.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    found, wanted = (values(each(images / 255.0)) for each in (loaded, model))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert loaded.layers[1].trainable == extractor.trainable is False


def test_extractors_survive_a_keras_file(extractor, images, tmp_path) -> None:
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    found, wanted = (values(each(images)) for each in (loaded, extractor))
    np.testing.assert_array_equal(found, wanted)
    assert loaded.get_config() == extractor.get_config()


def test_features_do_not_depend_on_training(extractor, images) -> None:
    one, other = (values(extractor(images, training=t)) for t in (True, False))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype("float32"), "Divide values of 0 to 255 by 255"),
        (lambda x: ops.convert_to_tensor(x, "float32"), "Divide values of 0 to 255"),
        (lambda x: x[..., 0], r"Add the channel axis"),
        (lambda x: x[:, :14], r"must have shape \(n, 28, 28, 1\)"),
        (lambda x: x * np.nan, "`inputs` holds NaN"),
    ],
)
def test_wrong_images_are_refused(extractor, images, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        extractor(change(images))


def test_wrong_symbols_are_refused(extractor) -> None:
    with pytest.raises(ValueError, match=r"takes images of shape \(batch, 28, 28, 1\)"):
        extractor(keras.Input((32, 32, 3)))


def test_unknown_models_get_the_closest_match(tiny_zoo) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError, match=f"Did you mean {NAME!r}"):
        aezoo.feature_extractor("conv_ae_mnist_32")
    with pytest.raises(UnknownModelError, match=f"Did you mean {NAME!r}"):
        aezoo.load("conv_ae_mnist_32")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_extractors_take_a_dtype(images, policy) -> None:
    config = {"hidden_units": (8,), "filters": (4, 6), "latent_dim": 3}
    extractor = FeatureExtractor("conv_vae", config, dtype=policy)
    features = values(extractor(images))
    assert extractor.encoder.convs[0].compute_dtype == policy.removeprefix("mixed_")
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


@pytest.mark.parametrize("family", some_cases(image_families(), 2))
def test_every_family_gives_features(family, rng) -> None:
    found = find_family(family)
    model = aezoo.create(family, **found.tiny)
    extractor = FeatureExtractor(family, model.config)
    extractor.build((None, *model.input_shape))
    extractor.encoder.set_weights(model.encoder.get_weights())
    x = rng.random((3, *model.input_shape), "float32")
    np.testing.assert_allclose(values(extractor(x)), model.encode(x), atol=1e-5)
    shape = extractor.compute_output_shape((None, *model.input_shape))
    assert shape == (None, *model.latent_shape)
