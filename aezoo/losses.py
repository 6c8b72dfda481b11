"""Per-example terms of the objectives, as pure functions.

Every function maps tensors whose first axis is the batch to a tensor of shape
`(batch,)`: terms are summed over pixels or latent units, never over the batch, so
that weights such as `beta` keep their unit. Likelihood terms are in nats.
"""

import math
from typing import Any

from keras import ops

Tensor = Any
LOG_2PI = math.log(2.0 * math.pi)


def sum_per_example(values: Tensor) -> Tensor:
    """Sum over all axes but the first: `(batch, ...)` to `(batch,)`."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error, summed over pixels.

    Twice the negative log-likelihood of a unit-variance Gaussian, up to a constant.

    Args:
        x: Images, float, shape `(batch, ...)`.
        x_hat: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    return sum_per_example(ops.square(x - x_hat))


def absolute_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Absolute error, summed over pixels.

    Args:
        x: Images, float, shape `(batch, ...)`.
        x_hat: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    return sum_per_example(ops.abs(x - x_hat))


def smooth_l1(x: Tensor, x_hat: Tensor, beta: float = 1.0) -> Tensor:
    """Smooth L1 (Huber) error of Girshick (2015), summed over pixels.

    `0.5 d**2 / beta` where `|d| < beta`, else `|d| - 0.5 beta`
    (https://arxiv.org/abs/1504.08083, equation 3, with the transition at `beta`).

    Args:
        x: Images, float, shape `(batch, ...)`.
        x_hat: Reconstructions, same shape.
        beta: Error at which the quadratic part meets the linear one; above 0.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    if beta <= 0:
        raise ValueError(f"`beta` must be above 0. Received: beta={beta}.")
    error = ops.abs(x - x_hat)
    quadratic = ops.minimum(error, beta)  # keeps the unused branch's gradient finite
    return sum_per_example(0.5 * quadratic**2 / beta + (error - quadratic))


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    """Negative log-likelihood of a Bernoulli per pixel, from logits.

    For grey values it is the cross-entropy between `x` and the predicted
    probability, the convention of Kingma & Welling (2014), appendix C.1
    (https://arxiv.org/abs/1312.6114); its minimum is then the entropy of `x`, not 0.

    Args:
        x: Targets in [0, 1], float, shape `(batch, ...)`.
        logits: Log-odds, same shape.

    Returns:
        Nats per example, shape `(batch,)`; non-negative.
    """
    _check_same_shape(x=x, logits=logits)
    return sum_per_example(ops.softplus(logits) - x * logits)


def gaussian_nll(x: Tensor, mean: Tensor, log_scale: Tensor | float = 0.0) -> Tensor:
    """Negative log-density of a Gaussian per pixel.

    Args:
        x: Targets, float, shape `(batch, ...)`.
        mean: Means, same shape.
        log_scale: Natural log of the standard deviation, broadcastable to `x`.

    Returns:
        Nats per example, shape `(batch,)`; a density, so it may be negative.
    """
    _check_same_shape(x=x, mean=mean)
    scaled = (x - mean) * ops.exp(-log_scale)
    return sum_per_example(0.5 * (LOG_2PI + ops.square(scaled)) + log_scale)


def laplace_nll(x: Tensor, mean: Tensor, log_scale: Tensor | float = 0.0) -> Tensor:
    """Negative log-density of a Laplace distribution per pixel.

    Args:
        x: Targets, float, shape `(batch, ...)`.
        mean: Means, same shape.
        log_scale: Natural log of the scale `b`, broadcastable to `x`.

    Returns:
        Nats per example, shape `(batch,)`; a density, so it may be negative.
    """
    _check_same_shape(x=x, mean=mean)
    scaled = ops.abs(x - mean) * ops.exp(-log_scale)
    return sum_per_example(math.log(2.0) + scaled + log_scale)


def gaussian_kl(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """KL divergence from a diagonal-Gaussian posterior to the standard normal.

    `1/2 sum(z_mean**2 + exp(z_log_var) - 1 - z_log_var)`, the closed form of Kingma
    & Welling (2014), appendix B (https://arxiv.org/abs/1312.6114). Computed as
    `expm1(v) - v`, which stays non-negative in float32 close to the prior.

    Args:
        z_mean: Posterior mean. Float, shape `(batch, latent_dim)`.
        z_log_var: Natural log of the variance. Same shape; below about 88.

    Returns:
        Nats per example, shape `(batch,)`; non-negative, 0 iff q is the prior.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> float(gaussian_kl(ops.ones((1, 2)), ops.zeros((1, 2)))[0])
        1.0
    """
    _check_same_shape(z_mean=z_mean, z_log_var=z_log_var)
    variance_term = ops.expm1(z_log_var) - z_log_var
    return 0.5 * sum_per_example(ops.square(z_mean) + variance_term)


def _check_same_shape(**tensors: Tensor) -> None:
    (first, a), (second, b) = tensors.items()
    if len(a.shape) != len(b.shape) or any(
        m is not None and n is not None and m != n
        for m, n in zip(a.shape, b.shape, strict=True)
    ):
        raise ValueError(
            f"`{first}` and `{second}` must have the same shape. "
            f"Received: {first}.shape={tuple(a.shape)}, "
            f"{second}.shape={tuple(b.shape)}."
        )
