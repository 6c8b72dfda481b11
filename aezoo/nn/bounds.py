"""Bounds on log p(x) from importance weights, and gradients of them."""

import math
from typing import Any

from keras import ops

from aezoo.nn import losses

Tensor = Any


def importance_weighted_bound(
    log_weights: Tensor, num_samples: int, elbo_share: float = 0.0
) -> Tensor:
    """The bound of log p(x) that the weights of several codes give.

    `elbo_share` times the ELBO plus the rest of the mean of bounds of `num_samples`
    codes each: Burda et al. (2016), https://arxiv.org/abs/1509.00519, equation 8;
    Rainforth et al. (2018), https://arxiv.org/abs/1802.04537, equations 11 and 13.

    Args:
        log_weights: `log p(x|z) + log p(z) - log q(z|x)`, `(batch, codes)`.
        num_samples: Codes of one bound; divides `codes`.
        elbo_share: From 0 to 1.

    Returns:
        Nats, `(batch,)`.
    """
    elbo = ops.mean(log_weights, axis=1)
    # relative to the ELBO, so that what the bound gains keeps its digits
    centred = ops.reshape(
        log_weights - elbo[:, None], (-1, *_bounds(log_weights, num_samples))
    )
    gain = ops.logsumexp(centred, axis=-1) - math.log(num_samples)
    return elbo + (1.0 - elbo_share) * ops.mean(gain, axis=-1)


def doubly_reparameterised(
    log_weights: Tensor, gate: Tensor, num_samples: int, elbo_share: float = 0.0
) -> Tensor:
    """Zeros `(batch,)` with the gradient of the bound by Tucker et al. (2019).

    With normalised weights `v`, the decoder's gradient is that of `sum(v * log w)` and
    the encoder's has `v**2` in place of `v`, through the codes alone (equation 8,
    https://arxiv.org/abs/1810.04152). The ELBO is the bound of one sample, where `v`
    is 1.

    Args:
        log_weights: As in `importance_weighted_bound`, of codes from `gate_gradient`;
            with a density q(z|x) that passes no gradient to its parameters.
        gate: What `gate_gradient` returned beside the codes, `(batch, codes, 2)`.
        num_samples: As in `importance_weighted_bound`.
        elbo_share: As there.
    """
    shape = num_bounds, _ = _bounds(log_weights, num_samples)
    v = ops.softmax(ops.reshape(log_weights, (-1, *shape)), axis=-1)
    v = ops.reshape(ops.stop_gradient(v), (-1, log_weights.shape[1]))
    one, rest = 1.0 / num_samples, 1.0 - elbo_share
    decoder = elbo_share * one + rest * v
    encoder = elbo_share * one + rest * ops.square(v)
    ratio = encoder / ops.maximum(decoder, 1e-30)
    surrogate = ops.sum(decoder * log_weights, axis=1) / num_bounds
    zeros = losses.sum_per_example(
        gate * ops.stack([ratio, ops.ones_like(ratio)], axis=-1)
    )
    return surrogate - ops.stop_gradient(surrogate) + zeros


def _bounds(log_weights: Tensor, num_samples: int) -> tuple[int, int]:
    """How many bounds there are, and of how many codes each."""
    return log_weights.shape[1] // num_samples, num_samples


def gate_gradient(z: Tensor) -> tuple[Tensor, Tensor]:
    """Codes whose gradient is scaled by a number that is known only later.

    The encoder's gradient is to be weighted by what the decoder makes of the codes.
    So two zeros per code are returned beside the codes: whoever adds `a` times the
    first and `b` times the second to the objective scales the gradient that passes
    back through the codes by `a / b`. (Derivatives are linear, so `b` takes along
    whatever the objective is scaled with; where it is 0, so is the gradient.)

    Args:
        z: Codes `(n, latent_dim)`.

    Returns:
        The codes, and zeros `(n, 2)`.
    """

    def gate(z: Tensor) -> Any:
        def backward(*gradients: Tensor, upstream: Tensor | None = None) -> Tensor:
            # Keras names it on PyTorch, after what was computed from
            gradient = gradients[0] if upstream is None else upstream
            scale, unit = gradient[:, -2:-1], gradient[:, -1:]
            is_used = unit != 0.0
            scale = ops.where(is_used, scale / ops.where(is_used, unit, 1.0), 0.0)
            return scale * gradient[:, :-2]

        return ops.pad(z, ((0, 0), (0, 2))), backward

    gated = ops.custom_gradient(gate)(z)
    return gated[:, :-2], gated[:, -2:]
