"""The checkerboard measure against closed forms."""

import numpy as np
import pytest

from aezoo.evaluation.image.checkerboard import checkerboard_energy

ROWS, COLUMNS = np.indices((16, 16))


def _images(*planes: np.ndarray) -> np.ndarray:
    return np.stack(planes)[..., None].astype("float64")


def test_constant_images_have_none() -> None:
    assert checkerboard_energy(np.full((2, 8, 8, 3), 0.7)) == 0.0


@pytest.mark.parametrize("stride", [2, 4])
def test_a_pattern_of_the_stride_is_all_checkerboard(stride: int) -> None:
    pattern = np.random.default_rng(0).normal(size=(1, stride, stride, 2))
    images = np.tile(pattern, (1, 16 // stride, 16 // stride, 1))
    assert checkerboard_energy(images, stride) == pytest.approx(1.0)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_ramp_has_its_closed_form(stride: int) -> None:
    # The variance of 0, 1, ..., n - 1 is (n^2 - 1) / 12, for phases and pixels alike.
    expected = (stride**2 - 1) / (16**2 - 1)
    assert checkerboard_energy(_images(ROWS), stride) == pytest.approx(expected)


def test_waves_slower_than_the_stride_have_none() -> None:
    waves = np.sin(2 * np.pi * ROWS / 8) + np.cos(2 * np.pi * (ROWS + COLUMNS) / 16)
    assert checkerboard_energy(_images(waves)) == pytest.approx(0.0, abs=1e-12)


def test_a_mixture_has_the_share_of_its_energies() -> None:
    wave = np.sqrt(2.0) * np.sin(2 * np.pi * ROWS / 8)  # variance 1
    board = 1.0 - 2.0 * ((ROWS + COLUMNS) % 2)  # variance 1
    mixed = 3.0 * wave + 0.5 * board + 10.0
    assert checkerboard_energy(_images(mixed)) == pytest.approx(0.25 / 9.25)


@pytest.mark.parametrize("stride", [2, 4])
def test_it_is_the_fourier_energy_at_multiples_of_the_stride(stride: int) -> None:
    image = np.random.default_rng(1).normal(size=(16, 16))
    energy = np.abs(np.fft.fft2(image)) ** 2
    energy[0, 0] = 0.0
    step = 16 // stride
    expected = energy[::step, ::step].sum() / energy.sum()
    assert checkerboard_energy(_images(image), stride) == pytest.approx(expected)


def test_white_noise_has_its_expected_share() -> None:
    noise = np.random.default_rng(2).normal(size=(2000, 8, 8, 1))
    assert checkerboard_energy(noise) == pytest.approx(3 / 63, rel=0.05)


def test_scale_offset_and_dtype_do_not_matter() -> None:
    images = np.random.default_rng(3).integers(0, 256, (4, 9, 9, 2), dtype="uint8")
    scaled = images.astype("float32") / 255.0 - 3.0
    assert checkerboard_energy(scaled) == pytest.approx(
        checkerboard_energy(images), rel=1e-4
    )


def test_images_weigh_by_their_variance() -> None:
    board = (ROWS + COLUMNS) % 2
    flat = np.zeros_like(board)
    assert checkerboard_energy(_images(board, flat)) == pytest.approx(1.0)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"at least 2.*stride=1"):
        checkerboard_energy(np.zeros((1, 8, 8, 1)), stride=1)
    with pytest.raises(ValueError, match=r"images.shape=\(8, 8\)"):
        checkerboard_energy(np.zeros((8, 8)))
    with pytest.raises(ValueError, match=r"images.shape=\(1, 3, 8, 1\), stride=4"):
        checkerboard_energy(np.zeros((1, 3, 8, 1)), stride=4)
    with pytest.raises(ValueError, match=r"images.shape=\(0, 8, 8, 1\)"):
        checkerboard_energy(np.zeros((0, 8, 8, 1)))
