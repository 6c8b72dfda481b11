"""Distributions over codes and pixels, as objects with one interface.

Posteriors (`PointMass`, `DiagonalGaussian`, `GaussianChain`...) answer `.mean`,
`.mode()`, `.sample(seed)`, `.kl()` and `.log_prob(z)`, so that callers never branch
on the family. Observation models (`Bernoulli`, `Gaussian`, `Laplace`,
`DiscretizedLogisticMixture`) describe pixels given a code. All use `keras.ops` and
work eagerly, in `tf.function` and in `jax.jit`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import keras
import numpy as np
from keras import ops

from aezoo.nn import losses

Tensor = Any
Seed = "int | keras.random.SeedGenerator | IndexedNoise | None"


class IndexedNoise:
    """Noise that depends on the seed and an example's position, not on its batch.

    Evaluating 10 examples at once or as 7 + 3 then gives the same numbers, on every
    backend and machine, and a second evaluation repeats the first. The generator is
    the integer hash "lowbias32" of C. Wellons over (seed, position, unit).

    Args:
        seed: A non-negative integer below 2**31.
        start: Position of the batch's first example; an integer or a scalar tensor.
        draws: Rows per example: row `r` of the batch is another draw for example
            `start + r // draws`. Draws differ, and do not depend on how many are
            asked for at once.
        first_draw: Number of the first of these draws; an integer or a scalar tensor.
        is_shared: Gives all examples the noise of the first one, so that nothing
            depends on an example's place.
    """

    def __init__(
        self,
        seed: int,
        start: Any = 0,
        draws: int = 1,
        first_draw: Any = 0,
        is_shared: bool = False,
    ) -> None:
        self.seed = check_seed(seed) or 0
        self.start = start
        self.draws = draws
        self.first_draw = first_draw
        self.is_shared = is_shared

    def with_draws(self, draws: int, first_draw: Any = 0) -> "IndexedNoise":
        """The same noise with another number of draws per example."""
        return IndexedNoise(self.seed, self.start, draws, first_draw, self.is_shared)

    def uniform(self, shape: Sequence[Any]) -> Tensor:
        """Uniform in the open interval (0, 1). Float32 of shape `(batch, ...)`."""
        units = math.prod(shape[1:])
        examples = ops.arange(shape[0] // self.draws) * (not self.is_shared)
        rows = ops.cast(examples, "int32") + ops.cast(self.start, "int32")
        # (examples, 1), hashed before the units so that rows cannot alias one another
        keys = _hash32(ops.cast(rows, "uint32")[:, None] + _uint32(_mix(self.seed)))
        columns = _uint32(np.arange(self.draws * units))
        columns = columns + ops.cast(self.first_draw * units, "uint32")
        bits = _hash32(keys + columns * _uint32(0x9E3779B9))
        # 23 bits, since float32 rounds the half of the 24th up to 1.0 and beyond
        top23 = ops.cast(ops.right_shift(bits, _uint32(9)), "float32")
        return ops.reshape((top23 + 0.5) * 2.0**-23, shape)

    def normal(self, shape: Sequence[Any]) -> Tensor:
        """Standard normal. Float32 of shape `(batch, ...)`."""
        return math.sqrt(2.0) * ops.erfinv(2.0 * self.uniform(shape) - 1.0)


def _uint32(value: Any) -> Tensor:
    return ops.convert_to_tensor(np.asarray(value, "uint32"))


def _mix(seed: int) -> int:
    """Spread small seeds over 32 bits, so that seeds 0 and 1 share no stream."""
    return (seed * 0x85EBCA6B + 0xC2B2AE35) & 0xFFFFFFFF


def _hash32(x: Tensor) -> Tensor:
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(16))) * _uint32(0x7FEB352D)
    x = ops.bitwise_xor(x, ops.right_shift(x, _uint32(15))) * _uint32(0x846CA68B)
    return ops.bitwise_xor(x, ops.right_shift(x, _uint32(16)))


def check_seed(seed: int | None) -> int | None:
    """Return `seed` if it is None or a non-negative integer below 2**31."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}.")
    if not 0 <= seed < 2**31:
        raise ValueError(f"`seed` must be in [0, 2**31). Received: seed={seed}.")
    return int(seed)


def standard_normal(shape: Sequence[Any], seed: Any) -> Tensor:
    """Standard normal noise, float32.

    An integer seed (or None: fresh entropy) draws with NumPy, so that the same seed
    gives the same numbers on every backend. A `keras.random.SeedGenerator` draws in
    the graph, and `IndexedNoise` by position.
    """
    if isinstance(seed, IndexedNoise):
        return seed.normal(shape)
    if isinstance(seed, keras.random.SeedGenerator):
        return keras.random.normal(shape, dtype="float32", seed=seed)
    generator = np.random.default_rng(check_seed(seed))
    return ops.convert_to_tensor(generator.standard_normal(tuple(shape), "float32"))


def uniform(shape: Sequence[Any], seed: Any) -> Tensor:
    """Uniform noise in [0, 1), float32; seeds as in `standard_normal`."""
    if isinstance(seed, IndexedNoise):
        return seed.uniform(shape)
    if isinstance(seed, keras.random.SeedGenerator):
        return keras.random.uniform(shape, dtype="float32", seed=seed)
    generator = np.random.default_rng(check_seed(seed))
    return ops.convert_to_tensor(generator.random(tuple(shape), "float32"))


# --- Over codes ----------------------------------------------------------------


class Posterior(Protocol):
    """What every family's `posterior(x)` returns: q(z|x) for a batch.

    Fields and results are backend tensors; `np.asarray` converts them.
    """

    @property
    def mean(self) -> Tensor:
        """Mean, shape `(batch, *latent_shape)`."""

    def mode(self) -> Tensor:
        """Most probable code, shape `(batch, *latent_shape)`."""

    def sample(self, seed: Any = None) -> Tensor:
        """One code per example, shape `(batch, *latent_shape)`."""

    def sample_with_log_prob(self, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example and its `log_prob`, which may come cheaper with it."""

    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)) to the model's prior. Nats, shape `(batch,)`."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log q(z|x). Nats, shape `(batch,)`."""

    def parameters(self) -> dict[str, Tensor]:
        """The arguments that rebuild this object, by name."""


class SampledThenMeasured:
    """`sample_with_log_prob` for posteriors whose density is as cheap at any code."""

    def sample_with_log_prob(self: Any, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example, and its log density `(batch,)`."""
        z = self.sample(seed)
        return z, self.log_prob(z)


class PointMass(SampledThenMeasured):
    """All probability on one code: the posterior of a deterministic autoencoder.

    Args:
        z: Codes, shape `(batch, *latent_shape)`.
    """

    def __init__(self, z: Tensor) -> None:
        self.mean = ops.convert_to_tensor(z)

    def mode(self) -> Tensor:
        """The code itself, shape `(batch, *latent_shape)`."""
        return self.mean

    def sample(self, seed: Any = None) -> Tensor:  # noqa: ARG002
        """The code itself, whatever the seed."""
        return self.mean

    def kl(self) -> Tensor:
        """Infinity: no density has a finite divergence from a point mass."""
        return ops.full((ops.shape(self.mean)[0],), float("inf"))

    def log_prob(self, z: Tensor) -> Tensor:
        """Log of the probability mass at `z`: 0 at the code, minus infinity elsewhere.

        Mass, not density: relative to the counting measure on the code.
        """
        equal = ops.cast(ops.equal(z, self.mean), "float32")
        return ops.where(losses.sum_per_example(1.0 - equal) == 0.0, 0.0, -math.inf)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z"}`."""
        return {"z": self.mean}


class QuantizedCode(PointMass):
    """All probability on one code per position, out of finitely many.

    The posterior of van den Oord et al. (2017), https://arxiv.org/abs/1711.00937,
    equations 1 and 2. Its gradient is straight-through: that of the code is that of
    the vector which was quantised.

    Args:
        z_encoded: Vectors before quantisation, `(batch, h, w, code_dim)`, or with
            any other axes of positions.
        codes: Their codes, same shape.
        indices: Indices of the codes, int32, `(batch, h, w)`.
        num_codes: Number of possible codes; of each position, if it is an array.
    """

    def __init__(
        self, z_encoded: Tensor, codes: Tensor, indices: Tensor, num_codes: Any
    ) -> None:
        self.z_encoded = ops.convert_to_tensor(z_encoded)
        self.indices = ops.convert_to_tensor(indices)
        self.num_codes = num_codes
        # the difference is 0, and so the code exact
        difference = self.z_encoded - ops.stop_gradient(self.z_encoded)
        super().__init__(ops.stop_gradient(codes) + difference)

    def kl(self) -> Tensor:
        """KL to equally probable codes: the constant of section 3.1. `(batch,)`."""
        counts = np.broadcast_to(self.num_codes, self.indices.shape[1:])
        constant = float(np.log(counts).sum())
        return ops.full((ops.shape(self.mean)[0],), constant, "float32")

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_encoded", "indices"}`."""
        return {"z_encoded": self.z_encoded, "indices": self.indices}


class DiagonalGaussian(SampledThenMeasured):
    """Gaussian with independent units: the posterior of a VAE.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
    """

    def __init__(self, z_mean: Tensor, z_log_var: Tensor) -> None:
        self.mean = ops.convert_to_tensor(z_mean)
        self.log_var = ops.convert_to_tensor(z_log_var)

    @property
    def std(self) -> Tensor:
        """Standard deviation, shape `(batch, latent_dim)`."""
        return ops.exp(0.5 * self.log_var)

    def mode(self) -> Tensor:
        """The mean, shape `(batch, latent_dim)`."""
        return self.mean

    def sample(self, seed: Any = None) -> Tensor:
        """`mean + std * noise`, differentiable in both (reparameterised)."""
        return self.mean + self.std * standard_normal(ops.shape(self.mean), seed)

    def kl(self) -> Tensor:
        """KL to the standard normal, in nats, shape `(batch,)`; non-negative."""
        return losses.gaussian_kl(self.mean, self.log_var)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        return -losses.gaussian_nll(z, self.mean, 0.5 * self.log_var)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_log_var"}`."""
        return {"z_mean": self.mean, "z_log_var": self.log_var}


class EstimatedKL:
    """`kl` for posteriors whose divergence from the prior has no closed form.

    They have `prior`, called without arguments, which gives log p(z) as a function of
    codes, and `draws`, the number of codes to estimate from.
    """

    def estimate_kl(self: Any, noise: IndexedNoise) -> Tensor:
        """KL(q(z|x) || p(z)): the mean of log q - log p over `draws` codes.

        Args:
            noise: Where the codes come from.

        Returns:
            Nats, `(batch,)`; unbiased, so it may be negative close to 0.
        """
        log_prior = self.prior()
        total: Tensor = 0.0
        for draw in range(self.draws):  # so that memory does not grow with them
            z, log_q = self.sample_with_log_prob(noise.with_draws(1, draw))
            total = total + (log_q - log_prior(z))
        return total / self.draws

    def kl(self) -> Tensor:
        """KL to the prior, estimated from fixed draws and at least 0, `(batch,)`."""
        return ops.maximum(self.estimate_kl(IndexedNoise(0, is_shared=True)), 0.0)


class GaussianUnderPrior(EstimatedKL, DiagonalGaussian):
    """Gaussian with independent units, where the prior is no standard normal.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_log_var: Natural log of the variance, same shape.
        prior: Called without arguments, gives log p(z) as a function of codes.
        draws: Codes from which `kl` is estimated.
    """

    def __init__(
        self,
        z_mean: Tensor,
        z_log_var: Tensor,
        prior: Callable[[], Callable[[Tensor], Tensor]],
        draws: int,
    ) -> None:
        super().__init__(z_mean, z_log_var)
        self.prior = prior
        self.draws = draws


class FlowPosterior(EstimatedKL):
    """A diagonal Gaussian after a normalising flow.

    Rezende & Mohamed (2015), https://arxiv.org/abs/1505.05770, equation 5: the
    density of a code is that of its origin over the flow's change of volume. A sample
    has it at once; a given code is traced back first.

    Args:
        base_mean: Mean of the Gaussian, float, shape `(batch, latent_dim)`.
        base_log_var: Natural log of its variance, same shape.
        context: What the flow depends on, `(batch, context_dim)`.
        flow: Has `forward(z, context)` and `inverse(z, context)`, each with the log
            determinant of `forward` as the second result.
        prior: Called without arguments, gives log p(z) as a function of codes.
        draws: Codes from which `mean` and `kl` are estimated.
    """

    def __init__(
        self,
        base_mean: Tensor,
        base_log_var: Tensor,
        context: Tensor,
        flow: Any,
        prior: Callable[[], Callable[[Tensor], Tensor]],
        draws: int,
    ) -> None:
        self.base = DiagonalGaussian(base_mean, base_log_var)
        self.context = ops.convert_to_tensor(context)
        self.flow = flow
        self.prior = prior
        self.draws = draws

    def push(self, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Codes that start as `origin` in the Gaussian, and their log density."""
        z, log_det = self.flow.forward(origin, self.context)
        return z, self.base.log_prob(origin) - log_det

    @property
    def mean(self) -> Tensor:
        """Mean, estimated from fixed draws, shape `(batch, latent_dim)`."""
        noise = IndexedNoise(0, is_shared=True)
        draws = range(self.draws)
        total = sum(self.sample(noise.with_draws(1, draw)) for draw in draws)
        return total / self.draws

    def mode(self) -> Tensor:
        """The flow of the Gaussian's mode; close to the mode, which has no formula."""
        return self.flow.forward(self.base.mode(), self.context)[0]

    def sample(self, seed: Any = None) -> Tensor:
        """One code per example, differentiable in the Gaussian and the flow."""
        return self.sample_with_log_prob(seed)[0]

    def sample_with_log_prob(self, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example and its log density, without an inverse."""
        return self.push(self.base.sample(seed))

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        origin, log_det = self.flow.inverse(z, self.context)
        return self.base.log_prob(origin) - log_det

    def parameters(self) -> dict[str, Tensor]:
        """`{"base_mean", "base_log_var", "context"}`."""
        return {
            "base_mean": self.base.mean,
            "base_log_var": self.base.log_var,
            "context": self.context,
        }


class GaussianChain(EstimatedKL):
    """Gaussian latents one after another: each depends on the image and those before.

    `q(z|x) = q(z_1|x) q(z_2|z_1, x) q(z_3|z_1, z_2, x) ...`, with independent units in
    each factor, under a standard-normal prior: the posterior of sequential (Gregor et
    al., 2015, https://arxiv.org/abs/1502.04623, equation 10) and of hierarchical VAEs.
    Only a walk along the chain tells its factors, so it keeps the image alone.

    Args:
        x: Images that the chain depends on, float, `(batch, height, width, channels)`.
        walk: Called with `x` and either `noise` or `z`, both `(batch, *latent_shape)`,
            walks along the chain with the codes that the standard normal noise draws,
            or with those given. Answers with `z`, and with `z_mean` and `z_log_var` of
            each latent given the ones before it; all of that shape.
        latent_shape: Shape of the code, all latents together.
        draws: Walks from which `kl` is estimated.
    """

    def __init__(
        self,
        x: Tensor,
        walk: Callable[..., dict[str, Tensor]],
        latent_shape: Sequence[int],
        draws: int,
    ) -> None:
        self.x = x
        self.walk = walk
        self.latent_shape = tuple(latent_shape)
        self.draws = draws

    @property
    def mean(self) -> Tensor:
        """The same as `mode()`: the mean over all walks has no formula."""
        return self.mode()

    def mode(self) -> Tensor:
        """Each latent at the mode of its factor, given the ones before it."""
        return self.walk(self.x, noise=ops.zeros(self._shape))["z"]

    def sample(self, seed: Any = None) -> Tensor:
        """One code per example, differentiable in all factors (reparameterised)."""
        return self._draw(seed)["z"]

    def sample_with_log_prob(self, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example, and its log density `(batch,)`, in one walk."""
        path = self._draw(seed)
        return path["z"], _log_prob_of_path(path)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, *latent_shape)`. Nats, `(batch,)`."""
        return _log_prob_of_path(self.walk(self.x, z=z))

    def estimate_kl(self, noise: IndexedNoise) -> Tensor:
        """KL(q(z|x) || p(z)): the mean over `draws` walks of their factors' KLs.

        Each factor's is in closed form, so there is less noise in it than in
        `log q - log p` of the code.

        Args:
            noise: Where the codes come from.

        Returns:
            Nats, `(batch,)`; unbiased, and not negative.
        """
        total: Tensor = 0.0
        for draw in range(self.draws):
            path = self._draw(noise.with_draws(1, draw))
            total = total + losses.gaussian_kl(path["z_mean"], path["z_log_var"])
        return total / self.draws

    def _draw(self, seed: Any) -> dict[str, Tensor]:
        return self.walk(self.x, noise=standard_normal(self._shape, seed))

    @property
    def _shape(self) -> tuple[Any, ...]:
        return (ops.shape(self.x)[0], *self.latent_shape)

    def parameters(self) -> dict[str, Tensor]:
        """`{"x"}`."""
        return {"x": self.x}


def _log_prob_of_path(path: dict[str, Tensor]) -> Tensor:
    return DiagonalGaussian(path["z_mean"], path["z_log_var"]).log_prob(path["z"])


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

    def log_prob(self, z: Tensor) -> Tensor:
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
    points, weights = np.polynomial.legendre.leggauss(32)
    angle = 2.0 * ops.arcsin(ops.sqrt(0.5 * drop))  # (batch, 1)
    mean_drop = 1.0 - bessel_ratio(order, kappa_now)
    is_upper = drop < mean_drop
    # where the density has vanished beside that at `w`
    far = ops.minimum(angle + 7.0 / ops.sqrt(kappa_now), math.pi)
    start = ops.where(is_upper, 0.0, angle)
    stop = ops.where(is_upper, angle, far)
    half = 0.5 * (stop - start)
    theta = start + half * (1.0 + np.asarray(points, "float32"))  # (batch, points)
    drops = 2.0 * ops.square(ops.sin(0.5 * theta))
    sine = ops.maximum(ops.sin(theta), 1e-20)
    sine_now = ops.maximum(ops.sin(angle), 1e-20)
    log_ratio = kappa_now * (drop - drops) + power * (ops.log(sine) - ops.log(sine_now))
    integrand = ops.abs(mean_drop - drops) * ops.exp(ops.minimum(log_ratio, 60.0))
    integral = half * ops.sum(
        integrand * np.asarray(weights, "float32"), axis=-1, keepdims=True
    )
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


class Categorical(SampledThenMeasured):
    """Independent categorical variables, as one-hot rows: discrete codes.

    Args:
        z_logits: Log-odds of the classes, up to a constant for each variable. Float,
            shape `(batch, num_variables, num_classes)`.
    """

    def __init__(self, z_logits: Tensor) -> None:
        self.z_logits = ops.convert_to_tensor(z_logits)

    @property
    def mean(self) -> Tensor:
        """Probabilities, shape of the logits."""
        return ops.softmax(self.z_logits, axis=-1)

    @property
    def indices(self) -> Tensor:
        """The most probable class of each variable, `(batch, num_variables)`."""
        return ops.cast(ops.argmax(self.z_logits, axis=-1), "int32")

    def mode(self) -> Tensor:
        """The most probable classes, one-hot: the lowest class of several.

        Its gradient is straight-through: that of the probabilities.
        """
        # the difference is 0, and so the code exact
        difference = self.mean - ops.stop_gradient(self.mean)
        return _largest(self.z_logits) + difference

    def sample(self, seed: Any = None) -> Tensor:
        """One-hot classes, by the largest of logits with Gumbel noise."""
        return _largest(self.z_logits + gumbel(ops.shape(self.z_logits), seed))

    def sample_relaxed(
        self, seed: Any, temperature: Tensor | float, is_hard: bool = False
    ) -> Tensor:
        """A draw that passes a gradient: Gumbel-softmax.

        Jang et al. (2017), https://arxiv.org/abs/1611.01144, equation 2; the concrete
        distribution of Maddison et al. (2017), https://arxiv.org/abs/1611.00712. One
        seed gives `sample` and this the same largest class.

        Args:
            seed: Source of noise.
            temperature: Above 0; the lower, the nearer to one-hot.
            is_hard: One-hot, with the gradient of the relaxed draw (section 2.2).

        Returns:
            Shape of the logits; sums to 1 over classes.
        """
        noisy = self.z_logits + gumbel(ops.shape(self.z_logits), seed)
        soft = ops.softmax(noisy / temperature, axis=-1)
        if not is_hard:
            return soft
        return _largest(noisy) + (soft - ops.stop_gradient(soft))

    def kl(self) -> Tensor:
        """KL to equally probable classes, in nats, `(batch,)`; non-negative."""
        return losses.categorical_kl(self.z_logits)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log of the probability mass at one-hot rows; minus infinity elsewhere."""
        log_p = ops.log_softmax(self.z_logits, axis=-1)
        mass = losses.sum_per_example(ops.where(z == 1.0, log_p, 0.0))
        differs = ops.cast(ops.not_equal(z, _largest(z)), "float32")
        return ops.where(losses.sum_per_example(differs) == 0.0, mass, -math.inf)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_logits"}`."""
        return {"z_logits": self.z_logits}


def gumbel(shape: Sequence[Any], seed: Any) -> Tensor:
    """Standard Gumbel noise, float32; seeds as in `standard_normal`."""
    tiny = 1e-37  # of a uniform draw of 0, and of the log of one near 1
    exponential = -ops.log(ops.maximum(uniform(shape, seed), tiny))
    return -ops.log(ops.maximum(exponential, tiny))


def _largest(values: Tensor) -> Tensor:
    """One-hot at the largest value of the last axis, float32."""
    return ops.one_hot(ops.argmax(values, axis=-1), values.shape[-1], dtype="float32")


class FullGaussian(SampledThenMeasured):
    """Gaussian with correlated units: the exact posterior of a linear model.

    Args:
        z_mean: Mean, float, shape `(batch, latent_dim)`.
        z_scale_tril: Lower Cholesky factor of the covariance, shape
            `(batch, latent_dim, latent_dim)`, positive on the diagonal.
    """

    def __init__(self, z_mean: Tensor, z_scale_tril: Tensor) -> None:
        self.mean = ops.convert_to_tensor(z_mean)
        self.scale_tril = ops.convert_to_tensor(z_scale_tril)

    def mode(self) -> Tensor:
        """The mean, shape `(batch, latent_dim)`."""
        return self.mean

    def sample(self, seed: Any = None) -> Tensor:
        """`mean + scale_tril @ noise`, differentiable in both."""
        noise = standard_normal(ops.shape(self.mean), seed)
        return self.mean + ops.einsum("bij,bj->bi", self.scale_tril, noise)

    def kl(self) -> Tensor:
        """KL to the standard normal, in nats, shape `(batch,)`; non-negative."""
        # The diagonal's part as in `losses.gaussian_kl`, which cannot turn negative.
        diagonal = ops.diagonal(self.scale_tril, axis1=-2, axis2=-1)
        below = losses.sum_per_example(ops.square(ops.tril(self.scale_tril, k=-1)))
        return losses.gaussian_kl(self.mean, 2.0 * ops.log(diagonal)) + 0.5 * below

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density at `z` of shape `(batch, latent_dim)`. Nats, `(batch,)`."""
        centred = (z - self.mean)[..., None]  # (batch, latent_dim, 1)
        noise = ops.solve_triangular(self.scale_tril, centred, lower=True)
        dim = self.mean.shape[-1]
        square = losses.sum_per_example(ops.square(noise))
        return -0.5 * (square + dim * losses.LOG_2PI) - self._half_log_det()

    def _half_log_det(self) -> Tensor:
        diagonal = ops.diagonal(self.scale_tril, axis1=-2, axis2=-1)
        return ops.sum(ops.log(diagonal), axis=-1)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_mean", "z_scale_tril"}`."""
        return {"z_mean": self.mean, "z_scale_tril": self.scale_tril}


def gaussian_mixture_log_prob(
    z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor
) -> Tensor:
    """Log density of a mixture of Gaussians with independent units.

    Args:
        z: Codes `(batch, latent_dim)`.
        log_weights: Logs of the components' weights, which sum to 1, `(components,)`.
        means: Means `(components, latent_dim)`.
        log_vars: Natural logs of the variances, same shape.

    Returns:
        Nats, `(batch,)`.
    """
    # (batch, components, latent_dim); squared after the difference, which keeps digits
    scaled = (z[:, None] - means) * ops.exp(-0.5 * log_vars)
    log_norms = -0.5 * ops.sum(log_vars + losses.LOG_2PI, axis=-1)
    log_probs = log_norms - 0.5 * ops.sum(ops.square(scaled), axis=-1)
    return ops.logsumexp(log_weights + log_probs, axis=-1)


# --- Over pixels ---------------------------------------------------------------


class Bernoulli:
    """Independent Bernoulli pixels: p(x|z) for binary or grey images.

    Args:
        logits: Log-odds, shape `(batch, height, width, channels)`.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        """Probability of ink, in [0, 1], shape of the images."""
        return ops.sigmoid(self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-likelihood of images in [0, 1]. Nats, shape `(batch,)`."""
        return -losses.bernoulli_nll(x, self.logits)

    def sample(self, seed: Any = None) -> Tensor:
        """Binary images, 0.0 or 1.0."""
        draws = uniform(ops.shape(self.logits), seed)
        return ops.cast(draws < self.mean, "float32")


class Gaussian:
    """Independent Gaussian pixels of one standard deviation.

    Args:
        mean: Means, shape `(batch, height, width, channels)`.
        log_scale: Natural log of the standard deviation, a scalar.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor | float) -> None:
        self.mean = mean
        self.log_scale = ops.convert_to_tensor(log_scale, "float32")

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of images. Nats, shape `(batch,)`."""
        return -losses.gaussian_nll(x, self.mean, self.log_scale)

    def sample(self, seed: Any = None) -> Tensor:
        """Images with pixel noise; values may leave [0, 1]."""
        noise = standard_normal(ops.shape(self.mean), seed)
        return self.mean + ops.exp(self.log_scale) * noise


class Laplace:
    """Independent Laplace pixels of one scale.

    Args:
        mean: Means, shape `(batch, height, width, channels)`.
        log_scale: Natural log of the scale `b`, a scalar.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor | float) -> None:
        self.mean = mean
        self.log_scale = ops.convert_to_tensor(log_scale, "float32")

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of images. Nats, shape `(batch,)`."""
        return -losses.laplace_nll(x, self.mean, self.log_scale)

    def sample(self, seed: Any = None) -> Tensor:
        """Images with pixel noise; values may leave [0, 1]."""
        # Inverse CDF; the bounds keep log1p finite at the ends of [0, 1).
        centred = uniform(ops.shape(self.mean), seed) - 0.5
        magnitude = ops.minimum(2.0 * ops.abs(centred), 1.0 - 1e-7)
        noise = -ops.sign(centred) * ops.log1p(-magnitude)
        return self.mean + ops.exp(self.log_scale) * noise


class DiscretizedLogisticMixture:
    """Pixels of 256 levels, each drawn from a mixture of logistics and then rounded.

    Salimans et al. (2017), "PixelCNN++" (https://arxiv.org/abs/1701.05517), section 2:
    a component is chosen per pixel, for all channels at once; within it, the mean of a
    channel is linear in the values of the channels before it. A level has the
    probability between the middles to its neighbours, the lowest and the highest one
    all that is beyond, so that the levels' probabilities sum to 1.

    Args:
        parameters: Float, `(batch, height, width, num)`, with `num` from
            `num_parameters`: log-odds of the components, then means and log scales of
            each channel, then how channels depend on those before them. On a scale
            where the lowest level is -1, and the highest one 1.
        channels: Channels of the images.
    """

    LEVELS: ClassVar[int] = 256
    MIN_LOG_SCALE: ClassVar[float] = -7.0  # a ninth of a level

    def __init__(self, parameters: Tensor, channels: int) -> None:
        size = parameters.shape[-1] // self.num_parameters(1, channels)
        pairs = channels * (channels - 1) // 2
        ends = size * np.cumsum([1, channels, channels])
        logits, means, log_scales, slopes = ops.split(parameters, ends, axis=-1)
        start = ops.shape(parameters)[:-1]  # no -1: grey images have no pairs
        self.channels = channels
        self.logits = logits  # (batch, h, w, size)
        # (batch, h, w, channels, size), and (batch, h, w, pairs, size)
        self.means = ops.reshape(means, (*start, channels, size))
        log_scales = ops.maximum(log_scales, self.MIN_LOG_SCALE)
        self.log_scales = ops.reshape(log_scales, (*start, channels, size))
        self.slopes = ops.reshape(ops.tanh(slopes), (*start, pairs, size))

    @staticmethod
    def num_parameters(num_components: int, channels: int) -> int:
        """Number of parameters of a pixel."""
        return num_components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _mean_of(self, channel: int, before: list[Tensor]) -> Tensor:
        """Means of a channel given those before it, `(batch, h, w, size)`."""
        mean = self.means[..., channel, :]
        first = channel * (channel - 1) // 2
        for i, value in enumerate(before):
            mean = mean + self.slopes[..., first + i, :] * value
        return mean

    @property
    def mean(self) -> Tensor:
        """Mean of the components' means, in [0, 1], shape of the images.

        Each is that of the logistic, cut to the range, not of what is left of it there.
        """
        means: list[Tensor] = []
        for channel in range(self.channels):
            means.append(ops.clip(self._mean_of(channel, means), -1.0, 1.0))
        weights = ops.softmax(self.logits, axis=-1)
        mixed = [ops.sum(weights * mean, axis=-1) for mean in means]
        return 0.5 * (ops.stack(mixed, axis=-1) + 1.0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of images in [0, 1], multiples of 1/255. Nats, `(batch,)`."""
        values = 2.0 * x[..., None] - 1.0  # (batch, h, w, channels, 1)
        half = 1.0 / (self.LEVELS - 1)
        total = ops.log_softmax(self.logits, axis=-1)
        for channel in range(self.channels):
            value = values[..., channel, :]
            mean = self._mean_of(channel, [values[..., i, :] for i in range(channel)])
            precision = ops.exp(-self.log_scales[..., channel, :])
            upper = precision * (value - mean + half)
            lower = precision * (value - mean - half)
            # log(sigmoid(upper) - sigmoid(lower)), without a difference of the two
            below, above = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
            within = below + above + ops.log(-ops.expm1(-2.0 * half * precision))
            log_p = ops.where(value < -1.0 + half, below, within)
            total = total + ops.where(value > 1.0 - half, above, log_p)
        return losses.sum_per_example(ops.logsumexp(total, axis=-1))

    def sample(self, seed: Any = None) -> Tensor:
        """Images of 256 levels in [0, 1]."""
        size = self.logits.shape[-1]
        shape = (*ops.shape(self.logits)[:-1], size + self.channels)
        draws = ops.clip(uniform(shape, seed), 1e-6, 1.0 - 1e-6)
        gumbel_noise = -ops.log(-ops.log(draws[..., :size]))
        chosen = _largest(self.logits + gumbel_noise)
        draws = draws[..., size:]
        logistic = ops.log(draws) - ops.log1p(-draws)  # (batch, h, w, channels)
        values: list[Tensor] = []
        for channel in range(self.channels):
            scale = ops.exp(self.log_scales[..., channel, :])
            noisy = (
                self._mean_of(channel, values) + scale * logistic[..., channel, None]
            )
            value = ops.sum(chosen * noisy, axis=-1, keepdims=True)
            values.append(self._to_level(value))
        return 0.5 * (ops.concatenate(values, axis=-1) + 1.0)

    def _to_level(self, values: Tensor) -> Tensor:
        """Values of any size to the nearest of the levels from -1 to 1."""
        half = 0.5 * (self.LEVELS - 1)
        return ops.clip(ops.round(half * (values + 1.0)), 0.0, 2.0 * half) / half - 1.0


# --- Paths ---------------------------------------------------------------------


def interpolate_codes(
    a: np.ndarray, b: np.ndarray, steps: int, method: str
) -> np.ndarray:
    """Codes on a path between two batches of codes.

    Args:
        a: Start codes, shape `(n, *latent_shape)`.
        b: End codes, same shape.
        steps: Codes per path, both ends included.
        method: `"linear"`, or `"spherical"`: the direction turns at an even rate
            (Shoemake, 1985, https://doi.org/10.1145/325334.325242) while the norm
            changes linearly, so that the ends are met exactly. Falls back to linear
            where the directions agree, oppose each other or a code is zero.

    Returns:
        Float32, shape `(n, steps, *latent_shape)`.
    """
    flat_a, flat_b = (v.reshape(len(v), 1, -1).astype("float64") for v in (a, b))
    t = np.linspace(0.0, 1.0, steps)[None, :, None]
    path = (1.0 - t) * flat_a + t * flat_b
    if method == "spherical":
        norm_a, norm_b = (
            np.linalg.norm(v, axis=-1, keepdims=True) for v in (flat_a, flat_b)
        )
        safe = np.where(norm_a * norm_b > 0.0, norm_a * norm_b, 1.0)
        cosine = np.sum(flat_a * flat_b, axis=-1, keepdims=True) / safe
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        sine = np.sin(angle)
        turns = (sine > 1e-6) & (norm_a * norm_b > 0.0)
        sine = np.where(turns, sine, 1.0)
        unit_a = flat_a / np.where(norm_a > 0.0, norm_a, 1.0)
        unit_b = flat_b / np.where(norm_b > 0.0, norm_b, 1.0)
        direction = (
            np.sin((1.0 - t) * angle) * unit_a + np.sin(t * angle) * unit_b
        ) / sine
        path = np.where(turns, ((1.0 - t) * norm_a + t * norm_b) * direction, path)
    return path.reshape(len(a), steps, *a.shape[1:]).astype("float32")
