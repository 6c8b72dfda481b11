"""What users pass as images: taken as it is, or refused with what to do instead."""

from pathlib import Path

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from aezoo.modalities.image.check import TOLERANCE, check_images
from aezoo.modalities.image.tiling import to_uint8

SHAPE = (6, 8, 1)
X = np.random.default_rng(0).random((4, *SHAPE), "float32")
GREY = (255 * X).astype("uint8")

TAKEN = {
    "float16": X.astype("float16"),
    "bfloat16": X.astype(ml_dtypes.bfloat16),
    "float64": X.astype("float64"),
    "big-endian": X.astype(">f4"),
    "bool": X > 0.5,
    "list of arrays": list(X),
    "tuple of tensors": tuple(tf.constant(x) for x in X),
    "tensor in half precision": tf.cast(X, "bfloat16"),
    "Keras tensor": keras.ops.convert_to_tensor(X),
    "nested lists": X.tolist(),
    "one byte above 1": X + np.float32(TOLERANCE / 8) * (X.max() == X),
    "a view": X[::-1],
    "one column of many": X.repeat(2, axis=2)[:, :, ::2],
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_holds_images_is_taken(case) -> None:
    images = check_images(TAKEN[case], SHAPE)
    expected = np.asarray(TAKEN[case]).astype("float32")
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    np.testing.assert_allclose(images, expected, atol=1e-6)


def test_levels_of_0_to_255_stay_as_they_are() -> None:
    for images in (GREY, list(GREY), tf.constant(GREY)):
        found = check_images(images, SHAPE)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, GREY)


def test_pictures_are_images() -> None:
    pictures = [Image.fromarray(image.repeat(3, -1)) for image in GREY]
    found = check_images(pictures, (6, 8, 3))
    np.testing.assert_array_equal(found, GREY.repeat(3, -1))


@pytest.mark.parametrize(
    ("dtype", "excess"),
    [
        ("float32", 2e-7),
        ("float32", 9e-7),
        ("float64", 9e-7),
        ("float16", 2.0**-10),
        (ml_dtypes.bfloat16, 2.0**-7),
    ],
)
def test_rounding_beyond_the_range_is_clipped(dtype, excess) -> None:
    x = np.zeros((1, *SHAPE), dtype)
    x[0, 0], x[0, 1] = 1.0 + excess, -min(excess, 9e-7)
    before = x.copy()
    assert float(x.max()) > 1.0
    images = check_images(x, SHAPE)
    assert (images.min(), images.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(x, before)


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(X)


class Sequence(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> np.ndarray:
        return X


REFUSED = {
    "path": ("digits", r"not a path.*datasets\.open_dataset\(path, modality"),
    "path object": (Path("a.png"), r"not a path"),
    "paths": ([Path("a.png")], r"`x\[0\]` must be an array of images, not a path"),
    "dictionary": ({"image": X, "label": 0}, r"keys 'image', 'label'.*`x\['image'\]`"),
    "other dictionary": ({"pixels": X}, r"keys 'pixels'\. Pass the array that"),
    "examples": ([{"image": x} for x in X], r"`x\[0\]`.*`x\[0\]\['image'\]`"),
    "dataset": (dataset(), r"not a dataset.*open_dataset\(x\)\.examples"),
    "generator": ((x for x in X), r"not a dataset or an iterator. Received: generator"),
    "Keras dataset": (Sequence(), r"not a dataset.*Received: Sequence"),
    "nothing": (None, r"must be an array of images. Received: NoneType"),
    "a function": (len, r"Received: builtin_function"),
    "sizes": ([X[0], X[1, :3]], r"x\[1\]: float32, \(3, 8, 1\)"),
    "kinds": ([X[0], GREY[0]], r"of one shape and dtype.*x\[1\]: uint8"),
    "pair": ((X, np.arange(4)), r"Of images and labels pass `x\[0\]`"),
    "batches": ([X, X], r"Put batches together with `np\.concatenate\(x\)`"),
    "ragged lists": ([[[1.0]], [[1.0], [2.0]]], r"NumPy cannot take"),
    "ragged tensor": (tf.ragged.constant([[1.0], [1.0, 2.0]]), r"must be an array"),
    "objects": (np.array([None, X], object), r"Python objects.*np\.stack"),
    "text": (X.astype(str), r"must be uint8, or float.*Convert with"),
    "complex": (X.astype("complex64"), r"dtype=complex64. Convert with"),
    "columns": (X.reshape(4, -1), r"`np\.reshape\(x, \(-1, 6, 8, 1\)\)`"),
    "one column": (X[0].ravel(), r"`np\.reshape\(x, \(-1, 6, 8, 1\)\)`"),
    "one grey image": (X[0, ..., 0], r"`x\[None, \.\.\., None\]`"),
    "one image": (X[0], r"`x\[None\]`"),
    "channels first": (np.moveaxis(X, -1, 1), r"`np\.moveaxis\(x, 1, -1\)`"),
    "RGB": (X.repeat(3, -1), r"rgb_to_grayscale\(x\)`"),
    "RGBA": (X.repeat(4, -1), r"rgb_to_grayscale\(x\[\.\.\., :3\]\)`"),
    "size": (np.zeros((2, 7, 9, 1)), r"image\.resize\(x, \(6, 8\), antialias=True\)`"),
    "none": (X[:0], r"`x` is empty"),
    "a number": (0.5, r"Received: x\.shape=\(\)"),
    "0 to 255": (255 * X, r"Divide values of 0 to 255 by 255"),
    "-1 to 1": (2 * X - 1, r"If they are in \[-1, 1\], pass `\(x \+ 1\) / 2`"),
    "slightly above": (1.00001 * X / X.max(), r"max=1\.00001\b.*np\.clip\(x, 0, 1\)"),
    "slightly below": (X - X.min() - 1e-5, r"min=-1e-05.*np\.clip\(x, 0, 1\)"),
    "16 bits as floats": (65535 * X, r"`x / 65535` of 16 bits"),
    "standardised": ((X - 0.1) / 0.3, r"Undo their standardisation"),
    "NaN": (np.where(X.max() == X, np.nan, X), r"holds NaN or infinity"),
    "infinity": (np.where(X.max() == X, np.inf, X), r"holds NaN or infinity"),
    "huge": (X.astype("float64") * 1e300, r"max=\d\S+e\+299.* Divide by the largest"),
    "int64": (GREY.astype("int64"), r"dtype=int64. Pass `np.asarray\(x\).astype\('u"),
    "zeros and ones": ((X > 0.5).astype(int), r"'float32'\)` for values of 0 and 1"),
    "16 bits": ((65535 * X).astype("uint16"), r"Levels are \d+ to 65\d+: scale"),
    "negative": (GREY.astype("int8"), r"Levels are -\d+ to \d+"),
    "buffer": (memoryview(b"a"), r"Received: x\.shape=\(1,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_none_is_refused_with_the_next_step(case) -> None:
    value, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        check_images(value, SHAPE)


def test_grey_images_for_colour_are_told_how() -> None:
    for x, message in (
        (X, r"Make it RGB with `np\.repeat\(x, 3, axis=-1\)`"),
        (X[..., 0], r"`np\.repeat\(x\[\.\.\., None\], 3, axis=-1\)`"),
        (X.repeat(4, -1), r"Drop transparency with `x\[\.\.\., :3\]`"),
        (np.moveaxis(X.repeat(3, -1), -1, 1)[0], r"`np\.moveaxis\(x, 0, -1\)\[None\]`"),
    ):
        with pytest.raises(ValueError, match=message):
            check_images(x, (6, 8, 3))


def test_what_the_hints_say_is_taken() -> None:
    resize, grey = keras.ops.image.resize, keras.ops.image.rgb_to_grayscale
    for x in (GREY, X):
        large = x.repeat(3, 1).repeat(3, 2)
        check_images(resize(large, (6, 8), antialias=True), SHAPE)
        check_images(grey(x.repeat(3, -1)), SHAPE)
        check_images(np.reshape(x.reshape(4, -1), (-1, 6, 8, 1)), SHAPE)


@pytest.mark.parametrize("value", [-0.0, 1e-45, 1.0, 0.5])
def test_the_whole_range_is_taken_in_any_byte_order(value: float) -> None:
    for order in "<>":
        x = np.full((1, 2, 2, 1), value, f"{order}f4")
        found = check_images(x, (2, 2, 1))
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("value", [-1e-3, 1.01, 32.0, np.nan, np.inf, -np.inf])
def test_what_leaves_the_range_is_refused_in_any_byte_order(value: float) -> None:
    """The bytes of 32 in the other order are those of a number next to 0."""
    x = np.full((1, 2, 2, 1), 0.0, "float32")
    x[0, 1, 1, 0] = value
    for images in (x, x.astype(">f4"), x[:, ::-1]):
        with pytest.raises(ValueError, match="`x`"):
            check_images(images, (2, 2, 1))


def test_symbols_are_refused() -> None:
    seen = []

    @tf.function
    def inside(x: tf.Tensor) -> tf.Tensor:
        with pytest.raises(ValueError, match=r"is symbolic. Inside `dataset.map`"):
            check_images(x, SHAPE)
        seen.append(x)
        return x

    inside(tf.constant(X))
    assert seen
    with pytest.raises(ValueError, match=r"is symbolic.*feature_extractor"):
        check_images(keras.Input(SHAPE), SHAPE)


def test_levels_of_pictures_follow_the_same_rule() -> None:
    np.testing.assert_array_equal(to_uint8(X + 1e-7), to_uint8(X))
    np.testing.assert_array_equal(
        to_uint8(X.astype(ml_dtypes.bfloat16)),
        np.round(255 * X.astype(ml_dtypes.bfloat16).astype("float32")),
    )
    with pytest.raises(ValueError, match="Divide values of 0 to 255"):
        to_uint8(255 * X)
