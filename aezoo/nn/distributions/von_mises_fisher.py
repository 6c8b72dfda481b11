"""Posteriors on the sphere."""

import math
from typing import Any

import numpy as np
from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.noise import standard_normal
from aezoo.nn.distributions.posterior import SampledThenMeasured

Tensor = Any


class VonMisesFisher(SampledThenMeasured):
    """The Gaussian's counterpart on the unit sphere, against a uniform prior there.

    Davidson et al. (2018), https://arxiv.org/abs/1804.00891, section 3: density
    proportional to `exp(concentration * direction'z)`. Densities are relative to the
    sphere's surface.

    Args:
        z_direction: Unit vectors, float, shape `(batch, latent_dim)`, two units or
            more.
        z_concentration: Above 0, shape `(batch, 1)`.
    """

    # Proposals of the sampler; each is taken in about two of three cases or more.
    PROPOSALS = 16

    def __init__(self, z_direction: Tensor, z_concentration: Tensor) -> None:
        self.direction = ops.convert_to_tensor(z_direction)
        self.concentration = ops.convert_to_tensor(z_concentration)
        self.dim = int(self.direction.shape[-1])
        self.order = self.dim / 2.0 - 1.0

    @property
    def mean(self) -> Tensor:
        """Mean, inside of the sphere, shape `(batch, latent_dim)`."""
        return bessel_ratio(self.order, self.concentration) * self.direction

    def mode(self) -> Tensor:
        """The direction, shape `(batch, latent_dim)`."""
        return self.direction

    def sample(self, seed: Any = None) -> Tensor:
        """Unit vectors, differentiable in direction and concentration.

        Wood (1994), https://doi.org/10.1080/03610919408813161: the cosine with the
        direction by rejection, the first of `PROPOSALS` that is accepted; the rest of
        the vector in a uniform direction. The cosine's derivative is that of its
        distribution function, not of the proposal (Figurnov et al., 2018,
        https://arxiv.org/abs/1805.08498), so that rejection leaves no bias.
        """
        tries, dim = self.PROPOSALS, self.dim
        batch = ops.shape(self.direction)[0]
        noise = standard_normal((batch, tries * (dim + 1) + dim), seed)
        proposals = ops.reshape(noise[:, : tries * dim], (-1, tries, dim))
        chances = noise[:, tries * dim : tries * (dim + 1)]
        tangent = noise[:, tries * (dim + 1) :]
        kappa = ops.stop_gradient(self.concentration)  # (batch, 1)
        drop = _accepted_drop(kappa, proposals, chances, dim)
        drop = _with_derivative(drop, self.concentration, self.order)
        along = ops.sum(tangent * self.direction, axis=-1, keepdims=True)
        tangent = tangent - along * self.direction
        norm = ops.sqrt(ops.sum(ops.square(tangent), axis=-1, keepdims=True))
        tangent = tangent / ops.maximum(norm, 1e-12)
        # the drop is one minus the cosine, which would have no digits close to 1
        sine = ops.sqrt(drop * (2.0 - drop))
        return (1.0 - drop) * self.direction + sine * tangent

    def kl(self) -> Tensor:
        """KL to the uniform distribution on the sphere, in nats, `(batch,)`."""
        kappa, border = self.concentration, _bessel_border(self.order)
        ratio = bessel_ratio(self.order, kappa)
        # equal; each keeps the digits where the other loses them
        near = kappa * ratio - _log_bessel_series(self.order, kappa)
        far = kappa * (ratio - 1.0) - self._log_mean_exp()
        return ops.where(kappa < border, near, far)[:, 0]

    @property
    def code_shape(self) -> tuple[Any, ...]:
        """`(batch, latent_dim)`."""
        return tuple(self.direction.shape)

    def log_density(self, z: Tensor) -> Tensor:
        """Log density in the direction of `z`, `(batch, latent_dim)`; `(batch,)`."""
        norm = ops.sqrt(ops.sum(ops.square(z), axis=-1, keepdims=True))
        difference = z / ops.maximum(norm, 1e-12) - self.direction
        drop = 0.5 * ops.sum(ops.square(difference), axis=-1, keepdims=True)
        log_prob = -self.concentration * drop - self._log_mean_exp()
        return log_prob[:, 0] - log_sphere_area(self.dim)

    def _log_mean_exp(self) -> Tensor:
        """Log of the mean of `exp(concentration * (cosine - 1))` over the sphere."""
        log_power = self.order * ops.log(0.5 * self.concentration)
        log_bessel = log_bessel_scaled(self.order, self.concentration)
        return log_bessel - log_power + math.lgamma(self.order + 1.0)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_direction", "z_concentration"}`."""
        return {"z_direction": self.direction, "z_concentration": self.concentration}


def _accepted_drop(
    kappa: Tensor, proposals: Tensor, chances: Tensor, dim: int
) -> Tensor:
    """One minus the cosine with the direction, by rejection, `(batch, 1)`.

    Args:
        kappa: Concentrations `(batch, 1)`.
        proposals: Standard normal, `(batch, tries, dim)`.
        chances: Standard normal, `(batch, tries)`.
        dim: Units of a code.
    """
    b = (dim - 1.0) / (2.0 * kappa + ops.sqrt(4.0 * kappa**2 + (dim - 1.0) ** 2))
    # A coordinate of a uniform direction is 2 beta - 1, both parameters (dim - 1) / 2.
    norm = ops.sqrt(ops.sum(ops.square(proposals), axis=-1))
    beta = 0.5 * (1.0 + proposals[:, :, 0] / ops.maximum(norm, 1e-12))
    drops = 2.0 * b * beta / (1.0 - (1.0 - b) * beta)  # (batch, tries)
    best = 2.0 * b / (1.0 + b)  # the drop where acceptance is certain
    x0 = 1.0 - best
    ratio = (best + x0 * drops) / (best * (1.0 + x0))
    log_accept = kappa * (best - drops) + (dim - 1.0) * ops.log(ratio)
    uniforms = 0.5 * ops.erfc(chances / math.sqrt(2.0))
    is_accepted = ops.log(ops.maximum(uniforms, 1e-30)) < log_accept
    first = ops.argmax(ops.cast(is_accepted, "int32"), axis=1)
    chosen = ops.take_along_axis(drops, first[:, None], axis=1)
    # not to the poles, where the root of drop * (2 - drop) has no derivative
    return ops.clip(chosen, 1e-12, 2.0 - 1e-6)


def _with_derivative(drop: Tensor, kappa: Tensor, order: float) -> Tensor:
    """The drop, with its derivative by the concentration at a fixed quantile.

    With the density `f` of the cosine `w` and its mean `A`, the derivative of `w` is
    the integral of `(t - A) f(t) / f(w)` over `t` from `w` to 1, or that of
    `(A - t) f(t) / f(w)` from -1 to `w`: whichever has one sign, over the angle, where
    the integrand is smooth.
    """
    kappa_now, power = ops.stop_gradient(kappa), 2.0 * order  # dim - 2
    points, weights = (
        ops.convert_to_tensor(v, "float32") for v in np.polynomial.legendre.leggauss(32)
    )
    angle = 2.0 * ops.arcsin(ops.sqrt(0.5 * drop))  # (batch, 1)
    mean_drop = 1.0 - bessel_ratio(order, kappa_now)
    is_upper = drop < mean_drop
    # where the density has vanished beside that at `w`
    far = ops.minimum(angle + 7.0 / ops.sqrt(kappa_now), math.pi)
    start = ops.where(is_upper, 0.0, angle)
    stop = ops.where(is_upper, angle, far)
    half = 0.5 * (stop - start)
    theta = start + half * (1.0 + points)  # (batch, points)
    drops = 2.0 * ops.square(ops.sin(0.5 * theta))
    sine = ops.maximum(ops.sin(theta), 1e-20)
    sine_now = ops.maximum(ops.sin(angle), 1e-20)
    log_ratio = kappa_now * (drop - drops) + power * (ops.log(sine) - ops.log(sine_now))
    integrand = ops.abs(mean_drop - drops) * ops.exp(ops.minimum(log_ratio, 60.0))
    integral = half * ops.sum(integrand * weights, axis=-1, keepdims=True)
    slope = ops.stop_gradient(-sine_now * integral)
    return ops.stop_gradient(drop) + slope * (kappa - kappa_now)


def log_sphere_area(dim: int) -> float:
    """Log of the surface of the unit sphere in `dim` dimensions."""
    half = 0.5 * dim
    return math.log(2.0) + half * math.log(math.pi) - math.lgamma(half)


def bessel_ratio(order: float, x: Tensor) -> Tensor:
    """`I_{order+1}(x) / I_order(x)` of modified Bessel functions of the first kind.

    By the recurrence of Amos (1974), https://doi.org/10.2307/2005830, downwards, where
    errors shrink.

    Args:
        order: At least 0.
        x: Above 0.

    Returns:
        In (0, 1), shape of `x`.
    """
    return _bessel_ratios(order, x)[0]


# Orders above the one that is asked for, where formulas for large orders are exact.
_BESSEL_STEPS = 24


def _bessel_ratios(order: float, x: Tensor) -> list[Tensor]:
    """`I_{v+1}(x) / I_v(x)` for `v` from `order` to `order + _BESSEL_STEPS - 1`."""
    top = order + _BESSEL_STEPS + 8  # where a guess will do: errors shrink from here
    ratio = x / (top + 0.5 + ops.sqrt(ops.square(x) + (top + 1.0) ** 2 - 0.25))
    ratios = []
    for step in range(_BESSEL_STEPS + 7, -1, -1):
        # no common denominator, which would cost the derivative its digits
        ratio = 1.0 / (2.0 * (order + step + 1.0) / x + ratio)
        ratios.append(ratio)
    return ratios[: -_BESSEL_STEPS - 1 : -1]


def log_bessel_scaled(order: float, x: Tensor) -> Tensor:
    """Log of `exp(-x) I_order(x)`, modified Bessel function of the first kind.

    For small `x` by the power series; else by the uniform expansion for large orders
    (https://dlmf.nist.gov/10.41.E3) at a large one, and ratios down from it.

    Args:
        order: At least 0.
        x: Above 0.

    Returns:
        Shape of `x`; accurate in float32 for any `x` from 1e-3 to 1e4 and more.
    """
    log_power = order * ops.log(0.5 * x) - math.lgamma(order + 1.0)
    small = log_power + _log_bessel_series(order, x) - x
    v = order + _BESSEL_STEPS
    s = ops.sqrt(ops.square(x) + v * v)
    t = v / s
    t2 = ops.square(t)
    u1 = t * (3.0 - 5.0 * t2) / 24.0
    u2 = t2 * (81.0 - t2 * (462.0 - 385.0 * t2)) / 1152.0
    u3 = t * t2 * (30375.0 - t2 * (369603.0 - t2 * (765765.0 - 425425.0 * t2)))
    series = u1 / v + u2 / v**2 + u3 / (414720.0 * v**3)
    rest = v * v / (s + x)  # s - x, without cancellation
    exponent = rest - v * ops.log1p((v + rest) / x)
    large = exponent - 0.5 * (ops.log(s) + losses.LOG_2PI) + ops.log1p(series)
    for ratio in _bessel_ratios(order, x):
        large = large - ops.log(ratio)
    return ops.where(x < _bessel_border(order), small, large)


def _bessel_border(order: float) -> float:
    """Where the power series is still short."""
    return 2.0 * math.sqrt(order + 1.0)


def _log_bessel_series(order: float, x: Tensor) -> Tensor:
    """Log of `I_order(x)` over the first term of its series, for small `x`.

    Finite, with finite derivatives, for all others.
    """
    square = 0.25 * ops.square(ops.minimum(x, _bessel_border(order)))
    series = 0.0
    for n in range(14, 0, -1):
        series = square / (n * (order + n)) * (1.0 + series)
    return ops.log1p(series)
