"""Per-example terms of the objectives, as pure functions.

Every function maps tensors whose first axis is the batch to a tensor of shape
`(batch,)`: terms are summed over elements or latent units, never over the batch, so
that weights such as `beta` keep their unit. Likelihood terms are in nats.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from aezoo.nn.backend import jacobian_product

Tensor = Any
LOG_2PI = math.log(2.0 * math.pi)
# Wang, Simoncelli & Bovik (2003): weights of the scales, finest first.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
# Of an element's likelihood, where the scale is fitted.
MIN_LOG_SCALE = -6.0
MMD_KERNELS = ("rbf", "imq")
# Of the inverse multiquadratic kernel in `maximum_mean_discrepancy`.
IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def sum_per_example(values: Tensor) -> Tensor:
    """Sum over all axes but the first: `(batch, ...)` to `(batch,)`."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error, summed over elements.

    Twice the negative log-likelihood of a unit-variance Gaussian, up to a constant.

    Args:
        x: Examples, float, shape `(batch, ...)`.
        x_hat: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    return sum_per_example(ops.square(x - x_hat))


def absolute_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Absolute error, summed over elements.

    Args:
        x: Examples, float, shape `(batch, ...)`.
        x_hat: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    return sum_per_example(ops.abs(x - x_hat))


def smooth_l1(x: Tensor, x_hat: Tensor, beta: float = 1.0) -> Tensor:
    """Smooth L1 (Huber) error of Girshick (2015), summed over elements.

    `0.5 d**2 / beta` where `|d| < beta`, else `|d| - 0.5 beta`
    (https://arxiv.org/abs/1504.08083, equation 3, with the transition at `beta`).

    Args:
        x: Examples, float, shape `(batch, ...)`.
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
    """Negative log-likelihood of a Bernoulli per element, from logits.

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
    """Negative log-density of a Gaussian per element.

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
    """Negative log-density of a Laplace distribution per element.

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


def gaussian_log_scale(x: Tensor, mean: Tensor) -> Tensor:
    """The one log standard deviation under which Gaussian elements are most probable.

    `0.5 log(mean squared error)`, the closed form of Rybkin et al. (2021), section 3.2
    (https://arxiv.org/abs/2006.13202); at least -6, as in their code: less than half a
    step of 8-bit images.

    Args:
        x: Targets, float, shape `(batch, ...)`.
        mean: Means, same shape.

    Returns:
        A scalar.
    """
    _check_same_shape(x=x, mean=mean)
    error = ops.mean(ops.square(x - mean))
    return 0.5 * ops.log(ops.maximum(error, math.exp(2.0 * MIN_LOG_SCALE)))


def laplace_log_scale(x: Tensor, mean: Tensor) -> Tensor:
    """The one log scale b under which Laplace elements are most probable.

    `log(mean absolute error)`; at least -6, as in `gaussian_log_scale`.

    Args:
        x: Targets, float, shape `(batch, ...)`.
        mean: Means, same shape.

    Returns:
        A scalar.
    """
    _check_same_shape(x=x, mean=mean)
    error = ops.mean(ops.abs(x - mean))
    return ops.log(ops.maximum(error, math.exp(MIN_LOG_SCALE)))


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
    variance_term = ops.subtract(ops.expm1(z_log_var), z_log_var)
    return 0.5 * sum_per_example(ops.square(z_mean) + variance_term)


def aggregate_posterior_log_density(
    z: Tensor, z_mean: Tensor, z_log_var: Tensor, dataset_size: int
) -> tuple[Tensor, Tensor]:
    """Log q(z), and log q(z_j) of each unit, of codes: the posteriors' mean, estimated.

    The minibatch stratified sampling of Chen et al. (2018), appendix C.2
    (https://arxiv.org/abs/1802.04942): in the mean over all N examples, the code's own
    posterior has its true weight 1/N, and the other posteriors of the batch stand for
    the N - 1 other examples. The paper gives one of them what remains of the weight;
    here each has its equal share, which has the same expectation and less variance.
    A batch of the whole dataset gives the exact mean.

    Args:
        z: One code from each posterior. Float, shape `(batch, latent_dim)`.
        z_mean: Posterior means, same shape.
        z_log_var: Natural log of the posterior variances, same shape.
        dataset_size: Number of examples, N; a larger batch counts as the dataset.

    Returns:
        Log q(z) of the codes, shape `(batch,)`, and log q(z_j), shape
        `(batch, latent_dim)`. In nats.
    """
    _check_same_shape(z=z, z_mean=z_mean)
    _check_same_shape(z_mean=z_mean, z_log_var=z_log_var)
    positions = ops.arange(ops.shape(z)[0])
    batch = ops.cast(ops.shape(z)[0], "float32")
    own = 1.0 / ops.where(batch > 1.0, ops.maximum(batch, dataset_size), 1.0)
    other = (1.0 - own) / ops.maximum(batch - 1.0, 1.0)
    is_own = positions[:, None] == positions[None, :]
    log_weights = ops.log(ops.where(is_own, own, other))  # (batch, batch)
    errors = (z[:, None] - z_mean[None]) * ops.exp(-0.5 * z_log_var)[None]
    log_q = -0.5 * (LOG_2PI + z_log_var[None] + ops.square(errors))  # (b, b, dim)
    return (
        ops.logsumexp(log_weights + ops.sum(log_q, axis=-1), axis=1),
        ops.logsumexp(log_weights[..., None] + log_q, axis=1),
    )


def sliced_wasserstein(z: Tensor, prior_z: Tensor, directions: Tensor) -> Tensor:
    """Squared sliced Wasserstein-2 distance of two sets of codes, estimated.

    Along a direction, optimal transport moves the k-th smallest of one set to the
    k-th smallest of the other; the mean over directions of its mean squared move is
    algorithm 1 of Kolouri et al. (2018), https://arxiv.org/abs/1804.01947.

    Args:
        z: Codes, float, shape `(batch, latent_dim)`.
        prior_z: As many codes from the prior, same shape.
        directions: Directions, float, not 0, shape `(num, latent_dim)`; their length
            does not matter.

    Returns:
        A scalar, non-negative; 0 if both sets are the same. Two sets of one
        distribution are apart by a distance that falls with `batch`.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_same_shape(z=z, prior_z=prior_z)
    length = ops.sqrt(ops.sum(ops.square(directions), axis=-1, keepdims=True))
    axes = ops.transpose(directions / length)  # (latent_dim, num)
    moves = ops.sort(ops.matmul(z, axes), axis=0) - ops.sort(
        ops.matmul(prior_z, axes), axis=0
    )
    return ops.mean(ops.square(moves))


def squared_jacobian_norm(
    function: Callable[[Tensor], Tensor], x: Tensor, noise: Tensor
) -> Tensor:
    """Unbiased estimate of the squared Frobenius norm of a function's Jacobian.

    `E[||J v||^2] = ||J||_F^2` for directions `v` whose entries are -1 or 1 with even
    odds: the estimator of Hutchinson (1990), https://doi.org/10.1080/03610919008812866,
    for the trace of `J'J`; one derivative along one direction per example.

    Args:
        function: Maps `x` to a tensor `(batch, ...)`, each example by itself.
        x: Where, float, shape `(batch, ...)`.
        noise: Noise symmetric about 0, same shape; its signs are the direction.

    Returns:
        Shape `(batch,)`, non-negative.
    """
    _check_same_shape(x=x, noise=noise)
    x = ops.convert_to_tensor(x)
    direction = ops.where(noise < 0.0, -1.0, 1.0)
    product = jacobian_product(function, x, ops.cast(direction, x.dtype))
    return sum_per_example(ops.square(ops.cast(product, "float32")))


def covariance(z: Tensor) -> Tensor:
    """Covariance matrix of codes over the batch: the mean product of deviations.

    Args:
        z: Codes, float, shape `(batch, latent_dim)`.

    Returns:
        Shape `(latent_dim, latent_dim)`, symmetric; zero for a batch of one.
    """
    centred = z - ops.mean(z, axis=0, keepdims=True)
    count = ops.cast(ops.shape(z)[0], "float32")
    return ops.matmul(ops.transpose(centred), centred) / count


def maximum_mean_discrepancy(z: Tensor, prior_z: Tensor, kernel: str = "imq") -> Tensor:
    """Squared maximum mean discrepancy of two sets of codes, unbiased.

    Gretton et al. (2012), equation 3 (https://jmlr.org/papers/v13/gretton12a.html):
    the mean kernel between two codes of one set, for both sets, less twice that
    between the sets. With d the squared distance and C = 2 * latent_dim, its mean
    between two codes of a standard normal prior, the kernels are

    - `"rbf"`: `exp(-d / C)`, as in Zhao et al. (2019, https://arxiv.org/abs/1706.02262);
    - `"imq"`: the mean of `s C / (s C + d)` over the scales s of 0.1, 0.2, 0.5, 1, 2,
      5, 10, as in the code of Tolstikhin et al. (2018,
      https://arxiv.org/abs/1711.01558), whose heavier tails also pull far codes.

    Args:
        z: Codes, float, shape `(batch, latent_dim)`.
        prior_z: As many codes from the prior, independent of `z`.
        kernel: `"rbf"` or `"imq"`.

    Returns:
        A scalar; 0 in expectation if both come from one distribution, so it may be
        negative. 0 for batches of one, which have no two codes.

    Raises:
        ValueError: If the shapes differ.
    """
    _check_same_shape(z=z, prior_z=prior_z)
    batch, bandwidth = ops.shape(z)[0], 2.0 * z.shape[-1]
    count = ops.cast(batch, "float32")

    def mean_kernel(a: Tensor, b: Tensor, pairs: Tensor | float) -> Tensor:
        # (batch, batch); not by |a|^2 + |b|^2 - 2ab, which cancels in float32
        distance = ops.sum(ops.square(a[:, None] - b[None]), axis=-1) / bandwidth
        if kernel == "rbf":
            values = ops.exp(-distance)
        else:
            values = sum(s / (s + distance) for s in IMQ_SCALES) / len(IMQ_SCALES)
        return ops.sum(values * pairs) / ops.maximum(count * (count - 1.0), 1.0)

    positions = ops.arange(batch)
    others = ops.cast(positions[:, None] != positions[None, :], "float32")
    within = mean_kernel(z, z, others) + mean_kernel(prior_z, prior_z, others)
    between = mean_kernel(z, prior_z, (count - 1.0) / count)
    return within - 2.0 * between


def ms_ssim_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """One minus the multi-scale structural similarity, times the number of pixels.

    The perceptual loss of Snell et al. (2017), section 3.2
    (https://arxiv.org/abs/1511.06409); as many units as other losses that are summed
    over pixels.

    Args:
        x: Images in [0, 1], float, shape `(batch, height, width, channels)`.
        x_hat: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`, from 0 to the number of pixels and channels.
    """
    return math.prod(x.shape[1:]) * (1.0 - multi_scale_ssim(x, x_hat))


def perceptual_error(
    features: Sequence[Tensor], features_hat: Sequence[Tensor]
) -> Tensor:
    """Squared distance of feature maps whose vectors are scaled to unit length.

    Zhang et al. (2018), https://arxiv.org/abs/1801.03924, equation 1, with equal
    weights of all channels: the sum over layers of the mean over positions.

    Args:
        features: Feature maps of images, one per layer, `(batch, h, w, channels)`.
        features_hat: Those of reconstructions, of the same shapes.

    Returns:
        Shape `(batch,)`; from 0 to 4 per layer, or 2 where features are rectified.
    """
    total = 0.0
    for a, b in zip(features, features_hat, strict=True):
        squares = ops.sum(ops.square(_unit_length(a) - _unit_length(b)), axis=-1)
        total = total + ops.mean(squares, axis=(1, 2))
    return total


def _unit_length(vectors: Tensor) -> Tensor:
    # The floor bounds the gradient where no feature is active.
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(squares + 1e-6)


def multi_scale_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Multi-scale structural similarity, differentiable in `x_hat`.

    Equation 7 of Wang, Simoncelli & Bovik (2003,
    https://doi.org/10.1109/ACSSC.2003.1292216): contrast and structure of each scale,
    and the luminance of the coarsest, to the powers of the paper's weights. Windows lie
    inside the image. Small images have fewer scales: as many as keep 11 pixels of the
    shorter side, with their weights scaled to the sum 1. The same figure as the metric
    `ms_ssim`. Where structures oppose each other it is 0, yet has a gradient.

    Args:
        x: Images in [0, 1], float, shape `(batch, height, width, channels)`.
        x_hat: Images to compare, same shape.

    Returns:
        Shape `(batch,)`, from 0 to 1, 1 for equal images; means over channels.

    Raises:
        ValueError: If the shapes differ, or a side has fewer than 11 pixels.
    """
    _check_same_shape(x=x, x_hat=x_hat)
    height, width, channels = x.shape[1:]
    check_ssim_size(height, width)
    scales = 1 + int(math.log2(min(height, width) / SSIM_WINDOW))
    weights = MS_SSIM_WEIGHTS[:scales]
    pair = ops.concatenate([x, x_hat], axis=-1)  # (batch, h, w, 2 * channels)
    exact: Tensor = 1.0
    smooth: Tensor = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            pair = ops.average_pool(
                pair, 2, strides=2, padding="valid", data_format="channels_last"
            )
        x, x_hat = pair[..., :channels], pair[..., channels:]
        moments = [pair, ops.square(pair), x * x_hat]
        means = _window_means(ops.concatenate(moments, axis=-1))
        mean_x, mean_y, xx, yy, xy = ops.split(means, 5, axis=-1)
        contrast = 2.0 * (xy - mean_x * mean_y) + SSIM_C2
        squares = ops.square(mean_x) + ops.square(mean_y)
        part = contrast / (xx + yy - squares + SSIM_C2)
        if scale == scales - 1:
            part = part * (2.0 * mean_x * mean_y + SSIM_C1) / (squares + SSIM_C1)
        similarity = ops.mean(part, axis=(1, 2))  # (batch, channels)
        power = weight / sum(weights)
        exact = exact * ops.maximum(similarity, 0.0) ** power
        smooth = smooth * _above_zero(similarity) ** power
    # the figure of the one, the gradient of the other
    return ops.mean(smooth + ops.stop_gradient(exact - smooth), axis=-1)


def check_ssim_size(height: int, width: int) -> None:
    """Raise if an image is smaller than the window of SSIM."""
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, the "
            f"size of its window. Received: height={height}, width={width}."
        )


def _window_means(images: Tensor) -> Tensor:
    """Gaussian means over windows that lie inside: sides shrink by 10."""
    height, width = images.shape[1:3]
    down, across = _window_matrix(height), _window_matrix(width)
    return ops.einsum("ih,bhwc,jw->bijc", down, images, across)


def _window_matrix(side: int) -> np.ndarray:
    """Weights of the pixels of a row or column in each window, `(side - 10, side)`."""
    start = np.arange(side - SSIM_WINDOW + 1)[:, None]
    offsets = np.arange(side)[None] - start - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    weights *= np.abs(offsets) <= SSIM_WINDOW // 2
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def _above_zero(x: Tensor, floor: float = 0.01) -> Tensor:
    """`x` above `floor`; below, what goes on from there with its slope, towards 0."""
    return ops.where(x > floor, x, floor**2 / (2.0 * floor - ops.minimum(x, floor)))


def categorical_kl(logits: Tensor) -> Tensor:
    """KL divergence from independent categoricals to equally probable classes.

    `sum p (log p + log C)`, here as the mean over classes of `t log t - t + 1` with
    `t = C p`, whose summands cannot be negative.

    Args:
        logits: Log-odds of the classes, up to a constant. Float, shape
            `(batch, ..., num_classes)`.

    Returns:
        Nats per example, shape `(batch,)`; non-negative, 0 iff all are equal.
    """
    num_classes = logits.shape[-1]
    log_ratio = ops.log_softmax(logits, axis=-1) + math.log(num_classes)
    terms = ops.exp(log_ratio) * log_ratio - ops.expm1(log_ratio)
    return sum_per_example(ops.maximum(terms, 0.0)) / num_classes  # rounding aside


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
