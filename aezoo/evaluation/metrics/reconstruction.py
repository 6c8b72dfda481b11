"""How near reconstructions come to the images."""

import math
from typing import Any

import numpy as np

from aezoo.evaluation.context import Chunk
from aezoo.evaluation.definition import per_image_metric
from aezoo.nn.losses import (
    MS_SSIM_WEIGHTS,
    SSIM_C1,
    SSIM_C2,
    SSIM_SIGMA,
    SSIM_WINDOW,
    check_ssim_size,
)
from aezoo.utils.extras import require

# Standard deviation of the noise in `denoising_mse`.
DENOISING_SIGMA = 0.5
# An error below 1e-10 counts as that, so that a perfect image has a finite PSNR.
SMALLEST_MSE = 1e-10
_FROM_THE_MODE = "from the mode of the posterior, reconstruction clipped to [0, 1]"
_UNIT = "squared error per pixel, pixels in [0, 1]"


def _squared_error(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    difference = (x - x_hat).reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / np.float64(
        difference.shape[1]
    )


@per_image_metric(
    "mse",
    unit=_UNIT,
    protocol="mean over images and pixels of (x - reconstruct(x))^2, " + _FROM_THE_MODE,
)
def mse(chunk: Chunk) -> np.ndarray:
    """Squared error per pixel, `(n,)`."""
    return _squared_error(chunk.x, chunk.x_hat)


@per_image_metric(
    "mae",
    unit="absolute error per pixel, pixels in [0, 1]",
    protocol="mean over images and pixels of |x - reconstruct(x)|, " + _FROM_THE_MODE,
)
def mae(chunk: Chunk) -> np.ndarray:
    """Absolute error per pixel, `(n,)`."""
    return np.mean(np.abs(chunk.x - chunk.x_hat), axis=(1, 2, 3), dtype="float64")


@per_image_metric(
    "psnr",
    unit="dB, peak 1",
    protocol="mean over images of -10 log10(mean over pixels of (x - reconstruct(x))^2)"
    ", an error below 1e-10 taken as 1e-10, " + _FROM_THE_MODE,
    higher_is_better=True,
)
def psnr(chunk: Chunk) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, `(n,)`."""
    error = _squared_error(chunk.x, chunk.x_hat)
    return -10.0 * np.log10(np.maximum(error, SMALLEST_MSE))


@per_image_metric(
    "ssim",
    unit="structural similarity, 1 for equal images",
    protocol="mean over images of SSIM(x, reconstruct(x)): Gaussian window of 11 x 11 "
    "pixels, sigma 1.5, K1 0.01, K2 0.03, range 1, mean over channels and over "
    "the pixels whose window lies inside the image (scikit-image), " + _FROM_THE_MODE,
    higher_is_better=True,
    package="skimage",
    reference="https://doi.org/10.1109/TIP.2003.819861",
)
def ssim(chunk: Chunk) -> np.ndarray:
    """Structural similarity of each image (Wang et al., 2004), `(n,)`."""
    metrics = require("skimage.metrics", "evaluation", "SSIM")
    check_ssim_size(*chunk.x.shape[1:3])
    return np.array(
        [
            metrics.structural_similarity(
                x,
                x_hat,
                data_range=1.0,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=SSIM_SIGMA,
                use_sample_covariance=False,
            )
            for x, x_hat in zip(chunk.x, chunk.x_hat, strict=True)
        ],
        "float64",
    )


@per_image_metric(
    "ms_ssim",
    unit="structural similarity, 1 for equal images",
    protocol="mean over images of multi-scale SSIM(x, reconstruct(x)): the window of "
    "SSIM on as many scales as keep 11 pixels of the shorter side (at most 5; 2 for "
    "28 pixels), 2 x 2 means between them, the weights of the first scales divided by "
    "their sum, " + _FROM_THE_MODE,
    higher_is_better=True,
    reference="https://doi.org/10.1109/ACSSC.2003.1292216",
)
def ms_ssim(chunk: Chunk) -> np.ndarray:
    """Multi-scale structural similarity of each image, `(n,)`."""
    return multi_scale_ssim(chunk.x, chunk.x_hat)


def multi_scale_ssim(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Multi-scale SSIM of Wang, Simoncelli & Bovik (2003), equation 7.

    Contrast and structure of each scale, and the luminance of the coarsest, to the
    powers of the paper's weights. Small images have fewer scales: as many as keep 11
    pixels of the shorter side, with their weights scaled to the sum 1.

    Args:
        x: Images in [0, 1], float, `(n, height, width, channels)`.
        x_hat: Images to compare, same shape.

    Returns:
        From 0 to 1, 1 for equal images; float64, `(n,)`; means over channels.

    Raises:
        ValueError: If the shapes differ, or a side has fewer than 11 pixels.
    """
    if x.shape != x_hat.shape or x.ndim != 4:
        raise ValueError(
            "`x` and `x_hat` must have the same shape (n, height, width, channels). "
            f"Received: x.shape={x.shape}, x_hat.shape={x_hat.shape}."
        )
    check_ssim_size(*x.shape[1:3])
    scales = 1 + int(math.log2(min(x.shape[1:3]) / SSIM_WINDOW))
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    weights /= weights.sum()
    x, x_hat = x.astype("float64"), x_hat.astype("float64")
    product: Any = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, x_hat = _halve(x), _halve(x_hat)
        luminance, structure = _similarity(x, x_hat)
        part = structure if scale < len(weights) - 1 else luminance * structure
        similarity = part.mean(axis=(1, 2))  # (n, channels)
        product = product * np.maximum(similarity, 0.0) ** weight
    return np.asarray(product.mean(axis=-1))


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast times structure, where the window lies inside."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance, (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)


def _blur(images: np.ndarray) -> np.ndarray:
    """Gaussian means over windows that lie inside: sides shrink by 10."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    kernel = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        windows = np.lib.stride_tricks.sliding_window_view(images, SSIM_WINDOW, axis)
        images = windows @ kernel
    return images


def _halve(images: np.ndarray) -> np.ndarray:
    n, height, width, channels = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(n, height // 2, 2, width // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(2, 4)))


@per_image_metric(
    "denoising_mse",
    unit=_UNIT,
    protocol="mean over images and pixels of (x - reconstruct(noisy))^2 against the "
    "clean x, noisy = clip(x + 0.5 * N(0, 1), 0, 1), seed {seed}",
)
def denoising_mse(chunk: Chunk) -> np.ndarray:
    """Squared error per pixel of a noisy image against the clean one, `(n,)`."""
    noise = np.asarray(chunk.noise().normal(chunk.x.shape))
    noisy = np.clip(chunk.x + DENOISING_SIGMA * noise, 0.0, 1.0)
    return _squared_error(chunk.x, chunk.model.reconstruct(noisy))
