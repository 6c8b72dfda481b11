"""Corruption processes for denoising autoencoders."""

from typing import Any

from keras import ops

from aezoo.nn.distributions import standard_normal, uniform

Tensor = Any
CORRUPTIONS = ("gaussian", "masking", "salt_and_pepper")


def apply_corruption(x: Tensor, kind: str, level: float, seed: Any) -> Tensor:
    """Corrupt images for a denoising autoencoder (Vincent et al., 2010).

    The three processes of section 3.3 of
    https://www.jmlr.org/papers/v11/vincent10a.html.

    Args:
        x: Images in [0, 1], shape `(batch, height, width, channels)`.
        kind: `"gaussian"` adds noise of standard deviation `level` and clips to
            [0, 1]; `"masking"` sets a pixel to 0 with probability `level`;
            `"salt_and_pepper"` sets it to 0 or 1, evenly, with probability `level`.
        level: Standard deviation or probability.
        seed: As in `aezoo.distributions.standard_normal`.

    Returns:
        Images in [0, 1], same shape.
    """
    shape = ops.shape(x)
    if kind == "gaussian":
        noise = ops.cast(standard_normal(shape, seed), x.dtype)
        return ops.clip(x + level * noise, 0.0, 1.0)
    draws = uniform(shape, seed)
    if kind == "masking":
        return ops.where(draws < level, ops.zeros_like(x), x)
    x = ops.where(draws < level / 2, ops.zeros_like(x), x)
    return ops.where(draws > 1 - level / 2, ops.ones_like(x), x)
