"""Corruption: how much, within which range, and only in training."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo.modalities import Image
from aezoo.modalities.image.corruption import apply_corruption

NOISES = Image.noises
# A level of each of the others; they are the same at every call.
RULES = {"downsample": 3, "grayscale": 0.0, "jpeg": 20.0, "blur": 1.5}
IMAGES = np.random.default_rng(0).uniform(0.2, 0.8, (20, 30, 30, 1)).astype("float32")


def corrupted(kind: str, level: float, seed: int = 0) -> np.ndarray:
    return np.asarray(apply_corruption(IMAGES, kind, level, seed))


def test_all_are_tested() -> None:
    assert {*NOISES, *RULES} == set(Image.corruptions)


@pytest.mark.parametrize(("kind", "level"), RULES.items())
def test_what_rules_leave_is_of_the_same_size(kind, level) -> None:
    colours = np.random.default_rng(0).random((4, 30, 36, 3), "float32")
    x = np.asarray(apply_corruption(colours, kind, level, 0))
    assert x.shape == colours.shape
    assert x.dtype == np.float32
    assert x.min() >= 0.0
    assert x.max() <= 1.0
    assert np.mean((x - colours) ** 2) > 1e-3
    np.testing.assert_array_equal(
        x, np.asarray(apply_corruption(colours, kind, level, 1))
    )


def test_low_resolution_and_grey_are_shown_at_full_size() -> None:
    colours = np.random.default_rng(0).random((4, 30, 36, 3), "float32")
    low = np.asarray(apply_corruption(colours, "downsample", 3, 0))
    squares = low.reshape(4, 10, 3, 12, 3, 3)
    assert np.all(squares == squares[:, :, :1, :, :1])
    grey = np.asarray(apply_corruption(colours, "grayscale", 0.0, 0))
    np.testing.assert_allclose(
        grey,
        np.repeat(colours @ np.array([[0.299], [0.587], [0.114]]), 3, -1),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_images_stay_images(kind, level) -> None:
    x = corrupted(kind, level)
    assert x.shape == IMAGES.shape
    assert x.dtype == np.float32
    assert x.min() >= 0.0
    assert x.max() <= 1.0


@pytest.mark.parametrize("kind", NOISES)
def test_level_zero_changes_nothing(kind) -> None:
    np.testing.assert_array_equal(corrupted(kind, 0.0), IMAGES)


@pytest.mark.parametrize("kind", NOISES)
def test_seeds_repeat_and_differ(kind) -> None:
    np.testing.assert_array_equal(corrupted(kind, 0.3), corrupted(kind, 0.3))
    assert np.any(corrupted(kind, 0.3) != corrupted(kind, 0.3, seed=1))


def test_gaussian_noise_has_its_standard_deviation() -> None:
    noise = corrupted("gaussian", 0.05) - IMAGES  # too little to be clipped
    assert noise.std() == pytest.approx(0.05, rel=0.03)
    assert abs(noise.mean()) < 0.05 * 5 / IMAGES.size**0.5


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_masking_blackens_that_share_of_pixels(level) -> None:
    x = corrupted("masking", level)
    assert np.mean(x == 0.0) == pytest.approx(level, abs=0.02)
    np.testing.assert_array_equal(x[x != 0.0], IMAGES[x != 0.0])


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_salt_and_pepper_come_in_equal_parts(level) -> None:
    x = corrupted("salt_and_pepper", level)
    assert np.mean(x == 0.0) == pytest.approx(level / 2, abs=0.02)
    assert np.mean(x == 1.0) == pytest.approx(level / 2, abs=0.02)
    kept = (x > 0.0) & (x < 1.0)
    np.testing.assert_array_equal(x[kept], IMAGES[kept])


def test_at_level_one_masking_leaves_nothing() -> None:
    assert corrupted("masking", 1.0).max() == 0.0


@pytest.mark.parametrize("kind", NOISES)
def test_models_corrupt_in_training_only(kind) -> None:
    config = {"input_shape": (6, 6, 1), "latent_dim": 2, "hidden_units": (8,)}
    keras.utils.set_random_seed(0)
    model = aezoo.create("dense_ae", corruption=kind, corruption_level=0.5, **config)
    clean = aezoo.create("dense_ae", **config)
    clean.set_weights(model.get_weights())
    x = IMAGES[:, :6, :6]
    np.testing.assert_array_equal(model.encode(x), clean.encode(x))
    np.testing.assert_array_equal(
        model(x, training=False)["z"], clean(x, training=False)["z"]
    )
    first, second = (np.asarray(model(x, training=True)["z"]) for _ in range(2))
    assert np.any(first != model.encode(x))
    assert np.any(first != second)


@pytest.mark.parametrize("kind", NOISES)
def test_the_target_is_the_clean_image(kind) -> None:
    model = aezoo.create(
        "linear_ae", input_shape=(6, 6, 1), latent_dim=2, corruption=kind
    )
    model.compile()
    x = IMAGES[:, :6, :6]
    _, target, _, _ = model.unpack(x)
    np.testing.assert_array_equal(target, x)


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("guassian", 0.1, "Did you mean 'gaussian'"),
        ("masking", 1.5, "`corruption_level` must be a finite number"),
        ("gaussian", -0.1, "`corruption_level` must be a finite number at least 0"),
    ],
)
def test_wrong_corruptions_are_refused(kind, level, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("dense_ae", corruption=kind, corruption_level=level)
