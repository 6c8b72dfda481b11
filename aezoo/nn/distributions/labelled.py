"""Posteriors of a class and a Gaussian that depends on it."""

import math
from typing import Any

from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.noise import standard_normal
from aezoo.nn.distributions.posterior import SampledThenMeasured

Tensor = Any
# Log-odds of a class that is known; in float32 the others' probabilities are then 0.
CERTAIN = 1e4


class ClassPosterior(SampledThenMeasured):
    """q(y|x) q(z|x, y): a class, and a Gaussian that depends on it.

    A code is the pair: the units of z, then the class y as a one-hot row.

    Args:
        class_logits: Log-odds of the classes. Float, `(batch, num_classes)`.
        z_mean: Mean of z for each class, `(batch, num_classes, latent_dim)`.
        z_log_var: Natural log of its variance, for all classes `(batch, latent_dim)`.
    """

    def __init__(self, class_logits: Tensor, z_mean: Tensor, z_log_var: Tensor) -> None:
        self.class_logits = ops.convert_to_tensor(class_logits)
        self.z_mean = ops.convert_to_tensor(z_mean)
        self.z_log_var = ops.convert_to_tensor(z_log_var)
        self.num_classes, self.latent_dim = self.z_mean.shape[1:]

    @property
    def probabilities(self) -> Tensor:
        """q(y|x), `(batch, num_classes)`."""
        return ops.softmax(self.class_logits, axis=-1)

    @property
    def mean(self) -> Tensor:
        """Mean of z over all classes, and their probabilities."""
        return self._pair(self.z_mean, self.probabilities)

    def mode(self) -> Tensor:
        """The most probable class, and the mean of z for it."""
        return self._pair(self.z_mean, self.one_hot(ops.argmax(self.class_logits, -1)))

    def sample(self, seed: Any = None) -> Tensor:
        """A class, then z for it; differentiable in the Gaussian alone."""
        batch = ops.shape(self.class_logits)[0]
        noise = standard_normal((batch, 1 + self.latent_dim), seed)
        chance = 0.5 * ops.erfc(noise[:, :1] / math.sqrt(2.0))  # uniform, (batch, 1)
        borders = ops.cumsum(self.probabilities, axis=-1)[:, :-1]
        drawn = ops.sum(ops.cast(chance > borders, "int32"), axis=-1)
        return self._pair(self.sample_of_every_class(noise[:, 1:]), self.one_hot(drawn))

    def sample_of_every_class(self, noise: Tensor) -> Tensor:
        """One z for each class, from noise `(batch, latent_dim)` common to them.

        Returns:
            Shape `(batch, num_classes, latent_dim)`.
        """
        return self.z_mean + (ops.exp(0.5 * self.z_log_var) * noise)[:, None]

    def kl(self) -> Tensor:
        """KL to equally probable classes and a standard normal z. Nats, `(batch,)`."""
        log_var = ops.repeat(self.z_log_var, self.num_classes, axis=0)
        flat = losses.gaussian_kl(
            ops.reshape(self.z_mean, (-1, self.latent_dim)), log_var
        )
        by_class = ops.reshape(flat, (-1, self.num_classes))
        of_class = losses.categorical_kl(self.class_logits)
        return of_class + ops.sum(self.probabilities * by_class, axis=-1)

    def log_density(self, z: Tensor) -> Tensor:
        """Log of q(y|x) q(z|x, y) at codes; minus infinity if y is not one-hot."""
        z, y = z[:, : self.latent_dim], z[:, self.latent_dim :]
        differs = ops.not_equal(y, self.one_hot(ops.argmax(y, axis=-1)))
        log_class = ops.sum(y * ops.log_softmax(self.class_logits, axis=-1), axis=-1)
        mean = ops.einsum("ncd,nc->nd", self.z_mean, y)
        log_density = log_class - losses.gaussian_nll(z, mean, 0.5 * self.z_log_var)
        return ops.where(ops.any(differs, axis=-1), -math.inf, log_density)

    @property
    def code_shape(self) -> tuple[Any, ...]:
        """`(batch, latent_dim + num_classes)`."""
        return (self.z_mean.shape[0], self.latent_dim + self.num_classes)

    def given(self, classes: Tensor) -> "ClassPosterior":
        """The posterior once classes are known: one-hot rows, zeros where unknown.

        NaN where they are, which stands for classes out of range.
        """
        certain = CERTAIN * (classes - 1.0)
        logits = ops.where(is_known(classes), certain, self.class_logits)
        # the largest of logits that are NaN is a number: NaN must come by the mean
        z_mean = self.z_mean + (0.0 * classes)[..., None]
        return ClassPosterior(logits, z_mean, self.z_log_var)

    def parameters(self) -> dict[str, Tensor]:
        """`{"class_logits", "z_mean", "z_log_var"}`."""
        return {
            "class_logits": self.class_logits,
            "z_mean": self.z_mean,
            "z_log_var": self.z_log_var,
        }

    def one_hot(self, indices: Tensor) -> Tensor:
        """Classes `(batch,)` as float32 rows `(batch, num_classes)`."""
        return ops.one_hot(indices, self.num_classes, dtype="float32")

    def _pair(self, z: Tensor, classes: Tensor) -> Tensor:
        """Codes of z `(batch, num_classes, latent_dim)` averaged by `classes`."""
        return ops.concatenate([ops.einsum("ncd,nc->nd", z, classes), classes], axis=-1)


def is_known(classes: Tensor) -> Tensor:
    """Whether rows `(batch, num_classes)` have a class at all; `(batch, 1)`.

    NaN, which stands for classes out of range, counts as one, and so is not lost.
    """
    return ops.logical_not(ops.all(classes == 0.0, axis=-1, keepdims=True))
