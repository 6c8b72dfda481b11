"""What every posterior over codes can do, and the simplest: points."""

import math
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from aezoo.nn import losses
from aezoo.nn.backend import is_concrete
from aezoo.nn.codes import check_codes
from aezoo.nn.distributions.noise import IndexedNoise

Tensor = Any


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
        """Log q(z|x) of one code per example. Nats, shape `(batch,)`.

        Raises:
            ValueError: If shape or dtype are wrong, or a value is not finite.
        """

    def parameters(self) -> dict[str, Tensor]:
        """The arguments that rebuild this object, by name."""


class Measured:
    """`log_prob`, which checks what people pass, by `log_density`, which does not."""

    @property
    def code_shape(self: Any) -> tuple[Any, ...]:
        """`(batch, *latent_shape)`."""
        return tuple(self.mean.shape)

    def log_prob(self: Any, z: Tensor) -> Tensor:
        """Log q(z|x), as in `Posterior`; checks codes that have values."""
        is_tensor = keras.ops.is_tensor(z) or isinstance(z, keras.KerasTensor)
        if is_tensor and not is_concrete(z):
            return self.log_density(z)
        n, *shape = self.code_shape
        codes = check_codes(z, shape, n=n)
        # the tensor itself, through which a gradient may pass
        return self.log_density(ops.cast(z if is_tensor else codes, "float32"))


class SampledThenMeasured(Measured):
    """`sample_with_log_prob` for posteriors whose density is as cheap at any code."""

    def sample_with_log_prob(self: Any, seed: Any = None) -> tuple[Tensor, Tensor]:
        """One code per example, and its log density `(batch,)`."""
        z = self.sample(seed)
        return z, self.log_density(z)


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
        return ops.full((ops.shape(self.mean)[0],), float("inf"), "float32")

    def log_density(self, z: Tensor) -> Tensor:
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


class EstimatedKL(Measured):
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
