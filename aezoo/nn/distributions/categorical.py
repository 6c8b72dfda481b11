"""Posteriors over classes."""

import math
from typing import Any

from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.noise import gumbel
from aezoo.nn.distributions.posterior import SampledThenMeasured

Tensor = Any


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

    @property
    def code_shape(self) -> tuple[Any, ...]:
        """`(batch, num_variables, num_classes)`."""
        return tuple(self.z_logits.shape)

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

    def log_density(self, z: Tensor) -> Tensor:
        """Log of the probability mass at one-hot rows; minus infinity elsewhere."""
        log_p = ops.log_softmax(self.z_logits, axis=-1)
        mass = losses.sum_per_example(ops.where(z == 1.0, log_p, 0.0))
        differs = ops.cast(ops.not_equal(z, _largest(z)), "float32")
        return ops.where(losses.sum_per_example(differs) == 0.0, mass, -math.inf)

    def parameters(self) -> dict[str, Tensor]:
        """`{"z_logits"}`."""
        return {"z_logits": self.z_logits}


def _largest(values: Tensor) -> Tensor:
    """One-hot at the largest value of the last axis, float32."""
    return ops.one_hot(ops.argmax(values, axis=-1), values.shape[-1], dtype="float32")
