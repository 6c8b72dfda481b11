"""Plain NumPy in float64, which faster code of the package is compared with."""

import math
from typing import Any

import numpy as np

from aezoo.nn.losses import (
    MS_SSIM_WEIGHTS,
    SSIM_C1,
    SSIM_C2,
    SSIM_SIGMA,
    SSIM_WINDOW,
)


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
    """
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
