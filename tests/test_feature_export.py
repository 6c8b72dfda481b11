"""Feature extractors inside other models, saved and exported."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo.features import FeatureExtractor

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    model = aezoo.create(
        "conv_ae", input_shape=SHAPE, filters=(4, 6), hidden_units=(5,), latent_dim=3
    )
    return aezoo.feature_extractor(
        model,
        layer=["stage2", "latent"],
        input_shape=(8, 8, 3),
        convert_channels=True,
    )


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((3, 8, 8, 3), "float32")


def test_functional_models_take_layers_by_name(extractor, images, tmp_path) -> None:
    inputs = keras.Input((8, 8, 3))
    features = extractor(inputs)
    pooled = keras.layers.GlobalMaxPooling2D()(features["stage2"])
    model = keras.Model(
        inputs, keras.layers.Concatenate()([pooled, features["latent"]])
    )
    expected = extractor(images)
    np.testing.assert_allclose(
        model(images),
        np.concatenate(
            [np.max(np.asarray(expected["stage2"]), axis=(1, 2)), expected["latent"]],
            axis=-1,
        ),
        atol=1e-6,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_extractors_survive_a_keras_file(extractor, images, tmp_path) -> None:
    aezoo.freeze_until(extractor, "stage1")
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras")
    assert loaded.get_config() == extractor.get_config()
    assert loaded.frozen_until == "stage1"
    for name, value in extractor(images).items():
        np.testing.assert_array_equal(loaded(images)[name], value)
    assert [w.shape for w in loaded.trainable_weights] == [
        w.shape for w in extractor.trainable_weights
    ]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own format"
)
def test_exports_to_a_saved_model(extractor, images, tmp_path) -> None:
    import tensorflow as tf

    extractor.export(str(tmp_path / "model"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    served = loaded.serve(images)
    for name, value in extractor(images).items():
        np.testing.assert_allclose(served[name], value, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf2onnx takes TensorFlow's graphs"
)
def test_exports_to_onnx(images, tmp_path) -> None:
    pytest.importorskip("tf2onnx", reason="needs tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    model = aezoo.create("conv_ae", input_shape=(8, 8, 3), filters=(4, 6))
    extractor = aezoo.feature_extractor(model, layer="pool")
    path = str(tmp_path / "model.onnx")
    extractor.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(found, extractor(images), atol=1e-5)
