"""How much of an image is checkerboard: the artefact of strided upsampling."""

import numpy as np


def checkerboard_energy(images: np.ndarray, stride: int = 2) -> float:
    """Share of the images' variance that repeats with the stride of upsampling.

    A transposed convolution whose kernel its stride does not divide writes some
    output pixels more often than others (Odena et al., 2016,
    https://distill.pub/2016/deconv-checkerboard). What that adds to an image has the
    stride's period: it depends on a pixel's phase, its row and column modulo the
    stride, alone. So every image is averaged over the pixels of each of the
    `stride x stride` phases, and the variance of these averages is divided by the
    variance of all pixels. By Parseval's theorem that is the energy of the discrete
    Fourier transform at the non-zero multiples of `1 / stride`, as a share of the
    energy at all non-zero frequencies.

    White noise of `n` pixels scores `(stride**2 - 1) / (n - 1)` on average, which is
    also about what an image without the artefact scores.

    Args:
        images: Shape `(n, height, width, channels)`, any float or integer dtype. Cut
            borders, where padding acts, before. Rows and columns beyond a multiple of
            `stride` are left out.
        stride: Stride of the upsampling to look for; at least 2. With two layers of
            stride 2, 4 finds what both leave together.

    Returns:
        From 0 (no pixel depends on its phase) to 1 (every pixel depends on its phase
        alone). Variances are averaged over images and channels before the division;
        0 for constant images.

    Raises:
        ValueError: If `images` has another rank, is smaller than one period, or
            `stride` is below 2.

    Example:
        >>> rows, columns = np.indices((8, 8))
        >>> checkerboard_energy(((rows + columns) % 2)[None, :, :, None])
        1.0
    """
    if stride < 2:
        raise ValueError(f"`stride` must be at least 2. Received: stride={stride}.")
    if images.ndim != 4 or images.size == 0 or min(images.shape[1:3]) < stride:
        raise ValueError(
            "`images` must have shape (n, height, width, channels), height and width "
            f"at least `stride`. Received: images.shape={images.shape}, "
            f"stride={stride}."
        )
    n, height, width, channels = images.shape
    rows, columns = height // stride, width // stride
    pixels = images[:, : rows * stride, : columns * stride].astype("float64")
    cells = pixels.reshape(n, rows, stride, columns, stride, channels)
    phases = cells.mean(axis=(1, 3))  # (n, stride, stride, channels)
    total = pixels.var(axis=(1, 2)).mean()
    return float(phases.var(axis=(1, 2)).mean() / total) if total > 0.0 else 0.0
