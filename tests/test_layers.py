"""Upsampling layers against their definitions, and the sizes of decoders."""

import keras
import numpy as np
import pytest
from keras import ops

from aezoo.networks.conv import ConvDecoder, ConvEncoder
from aezoo.nn.layers.conv3d import Conv3D, Conv3DTranspose
from aezoo.nn.layers.normalization import GroupNormalization
from aezoo.nn.layers.upsampling import (
    UPSAMPLING,
    ResizeConv2D,
    SubpixelConv2D,
    SubpixelInitializer,
    upsampling_layer,
)

SIZES = [(4, 4), (3, 5), (1, 1), (7, 2)]


def resize_conv_pair(size, rng) -> tuple:
    """A `ResizeConv2D` and the two layers it stands for, with the same weights."""
    height, width = size
    one = ResizeConv2D(5)
    one.build((None, height, width, 3))
    conv = keras.layers.Conv2D(5, 3, padding="same")
    conv.build((None, 2 * height, 2 * width, 3))
    weights = [rng.normal(size=(3, 3, 3, 5)), rng.normal(size=5)]
    one.set_weights(weights)
    conv.set_weights(weights)
    upsample = keras.layers.UpSampling2D(2, interpolation="nearest")
    images = rng.normal(size=(2, height, width, 3)).astype("float32")
    return one, conv, upsample, images


@pytest.mark.parametrize("size", SIZES)
def test_resize_conv_is_upsampling_then_convolution(rng, size) -> None:
    one, conv, upsample, images = resize_conv_pair(size, rng)
    np.testing.assert_allclose(one(images), conv(upsample(images)), atol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tf.GradientTape"
)
@pytest.mark.parametrize("size", SIZES)
def test_resize_conv_has_the_gradients_of_the_two(rng, size) -> None:
    import tensorflow as tf

    one, conv, upsample, images = resize_conv_pair(size, rng)
    x = tf.Variable(images)
    gradients = []
    for layer, function in ((one, one), (conv, lambda x: conv(upsample(x)))):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.sin(function(x)))
        gradients.append(tape.gradient(loss, [x, *layer.trainable_weights]))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def phases(images: np.ndarray) -> list[np.ndarray]:
    """The four pixel lattices of stride two, without the border."""
    inner = np.asarray(images)[:, 2:-2, 2:-2]
    return [inner[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


@pytest.mark.parametrize("kind", ["resize_conv", "subpixel"])
def test_no_checkerboard_before_training(rng, kind) -> None:
    layer = upsampling_layer(kind, 4, "relu", "up")
    flat = np.tile(rng.random((1, 1, 1, 3)), (1, 6, 6, 1)).astype("float32")
    first, *others = phases(layer(flat))
    assert np.any(first != 0.0)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_transposed_convolution_has_one() -> None:
    """The measure above can tell: the plain layer does not pass it."""
    layer = upsampling_layer("transposed_conv", 4, None, "up")
    first, *others = phases(layer(ops.ones((1, 6, 6, 3))))
    assert any(np.abs(other - first).max() > 1e-2 for other in others)


def test_subpixel_puts_channels_into_place(rng) -> None:
    layer = SubpixelConv2D(2)
    images = rng.random((1, 3, 4, 1)).astype("float32")
    outputs = np.asarray(layer(images))
    channels = np.asarray(layer.conv(images))
    for row, column in np.ndindex(2, 2):
        start = 2 * (2 * row + column)
        np.testing.assert_array_equal(
            outputs[:, row::2, column::2], channels[..., start : start + 2]
        )


def test_subpixel_kernels_start_equal_for_each_output_channel() -> None:
    kernel = np.asarray(SubpixelInitializer()((3, 3, 2, 20)))
    blocks = np.split(kernel, 4, axis=-1)
    for block in blocks[1:]:
        np.testing.assert_array_equal(block, blocks[0])
    assert len(np.unique(blocks[0])) > 50


@pytest.mark.parametrize("kind", UPSAMPLING)
@pytest.mark.parametrize("size", [(7, 9), (28, 28), (5, 8), (1, 3)])
@pytest.mark.parametrize("strides", [(2, 2), (2, 1, 2), (1, 1)])
def test_decoders_meet_any_size(kind, size, strides) -> None:
    filters = (4, 6, 5)[: len(strides)]
    shape = (*size, 3)
    decoder = ConvDecoder(filters, strides, (8,), "relu", shape, kind)
    assert decoder(ops.ones((2, 5))).shape == (2, *shape)


@pytest.mark.parametrize("strides", [(2, 2), (2, 1, 2)])
def test_encoder_and_decoder_agree_on_the_smallest_map(strides) -> None:
    filters = (4, 6, 5)[: len(strides)]
    encoder = ConvEncoder(filters, strides, (), "relu", {"z": 3})
    x = ops.ones((2, 7, 9, 3))
    encoder(x)
    for conv in encoder.convs:
        x = conv(x)
    decoder = ConvDecoder(filters, strides, (), "relu", (7, 9, 3), "resize_conv")
    assert tuple(x.shape[1:]) == decoder.start_shape


@pytest.mark.parametrize("cls", [ResizeConv2D, SubpixelConv2D])
def test_layers_survive_a_keras_file(rng, tmp_path, cls) -> None:
    model = keras.Sequential([keras.Input((4, 4, 2)), cls(3, activation="relu")])
    assert model.output_shape == (None, 8, 8, 3)
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    images = rng.normal(size=(2, 4, 4, 2)).astype("float32")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.layers[0].get_config() == model.layers[0].get_config()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_groups_are_normalised_as_defined(rng, dtype) -> None:
    layer = GroupNormalization(2, epsilon=1e-3, dtype=dtype)
    layer.build((None, 3, 4, 6))
    gamma, beta = rng.normal(size=(2, 6))
    layer.set_weights([gamma, beta])
    x = 20.0 + rng.normal(size=(2, 3, 4, 6))  # far from 0, where squares would cancel
    x = x.astype(layer.compute_dtype)
    grouped = x.astype("float64").reshape(2, 3, 4, 2, 3)
    moments = {"axis": (1, 2, 4), "keepdims": True}
    centred = grouped - grouped.mean(**moments)
    scaled = centred / np.sqrt((centred**2).mean(**moments) + 1e-3)
    wanted = scaled.reshape(x.shape) * gamma + beta
    found = layer(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(found.dtype) == layer.compute_dtype
    tolerance = 1e-4 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=tolerance)
    own = keras.layers.GroupNormalization(2, epsilon=1e-3)
    own.build((None, 3, 4, 6))
    assert [w.name for w in own.weights] == [w.name for w in layer.weights]


@pytest.mark.parametrize("size", [(4, 6, 5), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (Conv3D, keras.layers.Conv3D),
        (Conv3DTranspose, keras.layers.Conv3DTranspose),
    ],
)
def test_3d_convolutions_are_those_of_keras(own, theirs, size, stride) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    product = own(5, stride, activation="tanh")
    keras_own = theirs(
        5,
        3,
        strides=stride,
        padding="same",
        activation="tanh",
        data_format="channels_last",
    )
    for layer in (product, keras_own):
        layer.build(x.shape)
    weights = [rng.normal(size=w.shape) for w in product.get_weights()]
    for layer in (product, keras_own):
        layer.set_weights(weights)
    np.testing.assert_allclose(product(x), keras_own(x), atol=1e-5)
