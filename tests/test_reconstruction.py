"""Reconstruction metrics, against scikit-image and TensorFlow."""

import numpy as np
import pytest

import aezoo
from aezoo.evaluation import evaluate
from aezoo.nn.losses import multi_scale_ssim

skimage_metrics = pytest.importorskip("skimage.metrics")


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Smooth images and noisy copies, 176 pixels wide: five scales."""
    generator = np.random.default_rng(0)
    coarse = generator.random((3, 11, 11, 2))
    x = coarse.repeat(16, axis=1).repeat(16, axis=2)
    noisy = np.clip(x + 0.2 * generator.normal(size=x.shape), 0, 1)
    return x.astype("float32"), noisy.astype("float32")


@pytest.fixture(scope="module")
def measured() -> tuple[np.ndarray, np.ndarray, aezoo.evaluation.Report]:
    model = aezoo.load("linear_ae_mnist_z32")
    x = aezoo.digits.draw_digits(12, seed=0)[0]
    report = evaluate(model, x, metrics=["mse", "psnr", "ssim", "ms_ssim"])
    return x / np.float32(255), model.reconstruct(x / np.float32(255)), report


def test_psnr_is_scikit_images(measured) -> None:
    x, x_hat, report = measured
    expected = [
        skimage_metrics.peak_signal_noise_ratio(a, b, data_range=1.0)
        for a, b in zip(x, x_hat, strict=True)
    ]
    assert report["psnr"].value == pytest.approx(np.mean(expected), rel=1e-5)


def test_ssim_is_tensorflows(measured) -> None:
    tf = pytest.importorskip("tensorflow")
    x, x_hat, report = measured
    expected = np.mean(tf.image.ssim(x, x_hat, max_val=1.0))
    assert report["ssim"].value == pytest.approx(expected, rel=1e-4)


def test_multi_scale_ssim_is_tensorflows(pairs) -> None:
    tf = pytest.importorskip("tensorflow")
    x, noisy = pairs
    expected = tf.image.ssim_multiscale(x, noisy, max_val=1.0).numpy()
    np.testing.assert_allclose(multi_scale_ssim(x, noisy), expected, rtol=1e-4)


def test_small_images_have_fewer_scales(measured) -> None:
    """28 pixels: two scales, at the first two weights over their sum."""
    tf = pytest.importorskip("tensorflow")
    x, x_hat, report = measured
    weights = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    expected = tf.image.ssim_multiscale(x, x_hat, 1.0, power_factors=list(weights))
    assert report["ms_ssim"].value == pytest.approx(np.mean(expected), rel=1e-4)


def test_equal_images_are_perfect() -> None:
    x = np.random.default_rng(0).random((2, 16, 16, 1), "float32")
    np.testing.assert_allclose(multi_scale_ssim(x, x), 1.0, rtol=1e-6)
    model = aezoo.create("linear_ae", input_shape=(4, 4, 1), latent_dim=16)
    model.encoder.heads["z"].set_weights([np.eye(16), np.zeros(16)])
    model.decoder.pixels.set_weights([np.eye(16), np.zeros(16)])
    report = evaluate(model, x[:, :4, :4], metrics=["psnr"])
    assert report["psnr"].value >= 100.0 - 1e-6


def test_images_below_the_window_are_refused() -> None:
    model = aezoo.create("linear_ae", input_shape=(8, 20, 1))
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels.*height=8"):
        evaluate(model, np.zeros((2, 8, 20, 1), "uint8"), metrics=["ssim"])
    with pytest.raises(ValueError, match=r"must have the same shape"):
        multi_scale_ssim(np.zeros((2, 16, 16, 1)), np.zeros((1, 16, 16, 1)))
