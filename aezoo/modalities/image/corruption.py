"""Corruption processes for denoising autoencoders, and for what restores images."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from aezoo.modalities.image.colours import to_luma
from aezoo.modalities.image.jpeg import quantised
from aezoo.modalities.image.resampling import blur, resize
from aezoo.nn.distributions import standard_normal, uniform
from aezoo.utils.validation import check_number

Tensor = Any
FACTORS = (2, 3, 4)
# Blocks along the shorter side of an image.
BLOCKS = 8


def apply_corruption(x: Tensor, kind: str, level: Any, seed: Any) -> Tensor:
    """Corrupt images for a denoising autoencoder (Vincent et al., 2010).

    The first three are the processes of section 3.3 of
    https://www.jmlr.org/papers/v11/vincent10a.html.

    Args:
        x: Images in [0, 1], shape `(batch, height, width, channels)`.
        kind: `"gaussian"` adds noise of standard deviation `level` and clips to
            [0, 1]; `"masking"` sets a pixel to 0 with probability `level`;
            `"salt_and_pepper"` sets it to 0 or 1, evenly, with probability `level`;
            `"blocks"` sets squares of an eighth of the shorter side to 0 with
            probability `level`; `"downsample"` keeps a pixel, of bicubic
            interpolation, for every `level` x `level`; `"grayscale"` keeps the luma;
            `"jpeg"` keeps what a JPEG of quality `level` shows; `"blur"` blurs by a
            Gaussian of standard deviation `level`, in pixels.
        level: Standard deviation, probability, factor or quality.
        seed: As in `aezoo.distributions.standard_normal`.

    Returns:
        Images in [0, 1], same shape.
    """
    found = degraded(x, kind, level, seed)
    if kind == "downsample":
        return ops.repeat(ops.repeat(found, int(level), axis=1), int(level), axis=2)
    if kind == "grayscale":
        return ops.repeat(found, x.shape[-1], axis=-1)
    return found


def degraded(x: Tensor, kind: str, level: Any, seed: Any) -> Tensor:
    """As `apply_corruption`, in no more pixels and channels than are left.

    Args:
        x: As there.
        kind: As there.
        level: As there; of noises and blocks also a tensor `(batch, 1, 1, 1)`.
        seed: As there.

    Returns:
        Images in [0, 1], `(batch, *degraded_shape)`.
    """
    if kind == "downsample":
        height, width = (side // int(level) for side in x.shape[1:3])
        return ops.clip(resize(x, height, width), 0.0, 1.0)
    if kind == "grayscale":
        return to_luma(x)
    if kind == "jpeg":
        return quantised(x, float(level))
    if kind == "blur":
        return blur(x, float(level))
    if kind == "blocks":
        return ops.where(_in_blocks(x, level, seed), ops.zeros_like(x), x)
    shape = ops.shape(x)
    if kind == "gaussian":
        noise = ops.cast(standard_normal(shape, seed), x.dtype)
        return ops.clip(x + level * noise, 0.0, 1.0)
    draws = uniform(shape, seed)
    if kind == "masking":
        return ops.where(draws < level, ops.zeros_like(x), x)
    x = ops.where(draws < level / 2, ops.zeros_like(x), x)
    return ops.where(draws > 1 - level / 2, ops.ones_like(x), x)


def _in_blocks(x: Tensor, level: Any, seed: Any) -> Tensor:
    """Whether each pixel is in a block that is hidden, `(batch, h, w, 1)`."""
    _, height, width, _ = x.shape
    side = math.ceil(min(height, width) / BLOCKS)
    grid = math.ceil(height / side), math.ceil(width / side)
    hidden = uniform((ops.shape(x)[0], *grid, 1), seed) < level
    hidden = ops.repeat(ops.repeat(hidden, side, axis=1), side, axis=2)
    return hidden[:, :height, :width]


def degraded_shape(
    shape: Sequence[int], kind: str, level: float
) -> tuple[int, int, int]:
    """Shape of what `degraded` makes of one image.

    Args:
        shape: `(height, width, channels)`.
        kind: As in `apply_corruption`.
        level: As there.
    """
    height, width, channels = shape
    if kind == "downsample":
        return height // int(level), width // int(level), channels
    return height, width, 1 if kind == "grayscale" else channels


def check_corruption(shape: Sequence[int], kind: str, level: float) -> None:
    """Refuse a level, or images, that make no sense for a corruption.

    Args:
        shape: `(height, width, channels)`.
        kind: As in `apply_corruption`.
        level: As there.

    Raises:
        ValueError: Says what does.
    """
    name, (height, width, channels) = "corruption_level", shape
    if kind in ("masking", "salt_and_pepper", "blocks"):
        check_number(name, level, low=0.0, high=1.0)
    elif kind == "jpeg":
        check_number(name, level, low=1.0, high=100.0)
    elif kind == "blur":
        check_number(name, level, above=0.0, high=float(max(height, width)))
    elif kind == "downsample" and (
        level not in FACTORS or height % level or width % level
    ):
        raise ValueError(
            "`corruption='downsample'` needs a `corruption_level` of "
            f"{', '.join(map(str, FACTORS))} that divides both sides. Received: "
            f"corruption_level={level!r}, input_shape={tuple(shape)}."
        )
    needed = {"grayscale": (3,), "jpeg": (1, 3)}.get(kind, (channels,))
    if channels not in needed:
        raise ValueError(
            f"`corruption={kind!r}` is of images of {' or '.join(map(str, needed))} "
            f"channels. Received: input_shape={tuple(shape)}."
        )
