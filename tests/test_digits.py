"""Drawn digits: what MNIST-like means, and that seeds do what they promise."""

import numpy as np
import pytest

from aezoo.modalities.image.digits import draw_digits


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return draw_digits(100, seed=0)


def test_shapes_and_dtypes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert images.shape == (100, 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_same_seed_same_digits_and_more_of_them_begin_the_same(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    again, _ = draw_digits(20, seed=0)
    np.testing.assert_array_equal(again, digits[0][:20])
    other, _ = draw_digits(20, seed=1)
    assert all((a != b).any() for a, b in zip(again, other, strict=True))


def test_no_two_digits_are_alike(digits: tuple[np.ndarray, np.ndarray]) -> None:
    assert len({image.tobytes() for image in digits[0]}) == 100


def test_labels_choose_the_digits() -> None:
    images, labels = draw_digits(3, seed=0, labels=[7, 1, 0])
    assert labels.tolist() == [7, 1, 0]
    hole = images[:, 12:16, 12:16].mean((1, 2, 3))
    assert hole[2] < 30 < hole[1], "a zero is hollow, a one is not"


def test_they_have_the_statistics_of_mnist(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images = digits[0][..., 0] / 255.0
    # MNIST's training split: mean 0.1307, standard deviation 0.3081.
    assert images.mean() == pytest.approx(0.1307, abs=0.02)
    assert images.std() == pytest.approx(0.3081, abs=0.03)
    assert (images.max((1, 2)) == 1.0).all()

    mass = images.sum((1, 2))
    offsets = np.arange(28) - 13.5
    for axis in (1, 2):
        centre = (images.sum(axis) * offsets).sum(1) / mass
        assert np.abs(centre).max() < 1.0, "centred by centre of mass"
        extent = (images > 0.25).any(axis).sum(1)
        assert extent.max() <= 21, "fits the box of 20 x 20, but for soft edges"


def test_a_classifier_of_one_seed_reads_the_digits_of_another(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, labels = (a[:100] for a in digits)
    templates = np.stack([images[labels == k].mean(0) for k in range(10)])
    unseen, truth = draw_digits(100, seed=1)
    errors = ((unseen[:, None] - templates[None]) ** 2).sum((2, 3, 4))
    assert (errors.argmin(1) == truth).mean() >= 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "`n` must be an integer of at least 1"),
        ({"n": 2.5}, "`n` must be an integer of at least 1"),
        ({"n": 1, "seed": -1}, "`seed` must be a non-negative integer.*seed=-1"),
        ({"n": 1, "seed": 0.5}, "`seed` must be a non-negative integer"),
        ({"n": 2, "labels": [1]}, "`labels` must hold n=2 integers"),
        ({"n": 1, "labels": [1.5]}, "`labels` must hold n=1 integers"),
        ({"n": 1, "labels": [10]}, "`labels` must be from 0 to 9"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_digits(**arguments)
