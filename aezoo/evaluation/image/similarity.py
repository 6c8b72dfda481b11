"""How alike two images look: PSNR, SSIM at one scale and at several."""

import numpy as np
from keras import ops

from aezoo.evaluation.context import Chunk
from aezoo.evaluation.metrics.reconstruction import squared_error
from aezoo.metrics.image import DENOISING_SIGMA, SMALLEST_MSE
from aezoo.nn.losses import SSIM_SIGMA, check_ssim_size, multi_scale_ssim
from aezoo.utils.extras import require


def psnr(chunk: Chunk) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, `(n,)`."""
    error = squared_error(chunk.x, chunk.x_hat)
    return -10.0 * np.log10(np.maximum(error, SMALLEST_MSE))


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


def ms_ssim(chunk: Chunk) -> np.ndarray:
    """Multi-scale structural similarity of each image, `(n,)`."""
    return ops.convert_to_numpy(multi_scale_ssim(chunk.x, chunk.x_hat)).astype(
        "float64"
    )


def denoising_mse(chunk: Chunk) -> np.ndarray:
    """Squared error per pixel of a noisy image against the clean one, `(n,)`."""
    noise = ops.convert_to_numpy(chunk.noise().normal(chunk.x.shape))
    noisy = np.clip(chunk.x + DENOISING_SIGMA * noise, 0.0, 1.0)
    return squared_error(chunk.x, chunk.model.reconstruct(noisy, given=chunk.given))
