"""Distributions over codes and pixels, as objects with one interface.

Posteriors (`PointMass`, `DiagonalGaussian`, `FullGaussian`) answer `.mean`,
`.mode()`, `.sample(seed)`, `.kl()` and `.log_prob(z)`, so that callers never branch
on the family. Observation models (`Bernoulli`, `Gaussian`, `Laplace`) describe pixels
given a code. All use `keras.ops` and work eagerly, in `tf.function` and in `jax.jit`.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from aezoo import losses

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
    """

    def __init__(
        self, seed: int, start: Any = 0, draws: int = 1, first_draw: Any = 0
    ) -> None:
        self.seed = check_seed(seed) or 0
        self.start = start
        self.draws = draws
        self.first_draw = first_draw

    def uniform(self, shape: Sequence[Any]) -> Tensor:
        """Uniform in the open interval (0, 1). Float32 of shape `(batch, ...)`."""
        units = math.prod(shape[1:])
        examples = ops.arange(shape[0] // self.draws)
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

    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)) to the standard-normal prior. Nats, shape `(batch,)`."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log q(z|x). Nats, shape `(batch,)`."""

    def parameters(self) -> dict[str, Tensor]:
        """The arguments that rebuild this object, by name."""


class PointMass:
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
        z_encoded: Vectors before quantisation, `(batch, h, w, code_dim)`.
        codes: Their codes, same shape.
        indices: Indices of the codes, int32, `(batch, h, w)`.
        num_codes: Number of possible codes.
    """

    def __init__(
        self, z_encoded: Tensor, codes: Tensor, indices: Tensor, num_codes: int
    ) -> None:
        self.z_encoded = ops.convert_to_tensor(z_encoded)
        self.indices = ops.convert_to_tensor(indices)
        self.num_codes = num_codes
        # the difference is 0, and so the code exact
        difference = self.z_encoded - ops.stop_gradient(self.z_encoded)
        super().__init__(ops.stop_gradient(codes) + difference)

    def kl(self) -> Tensor:
        """KL to equally probable codes: the constant of section 3.1. `(batch,)`."""
        positions = math.prod(self.indices.shape[1:])
        constant = positions * math.log(self.num_codes)
        return ops.full((ops.shape(self.mean)[0],), constant, "float32")

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_encoded", "indices"}`."""
        return {"z_encoded": self.z_encoded, "indices": self.indices}


class DiagonalGaussian:
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


class FullGaussian:
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
