"""Likelihoods p(x|z): distributions over the elements of an example."""

from typing import Any, ClassVar, Protocol

import numpy as np
from keras import ops

from aezoo.nn import losses
from aezoo.nn.distributions.categorical import _largest
from aezoo.nn.distributions.noise import standard_normal, uniform

Tensor = Any


class Likelihood(Protocol):
    """What every likelihood can do; the twin of `Posterior`."""

    @classmethod
    def width(cls, channels: int) -> int:
        """Parameters that a position of `channels` elements needs."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-likelihood of examples as tensors. Nats, shape `(batch,)`."""

    def point(self) -> Tensor:
        """What is shown: the mean, or the mode where there is none."""

    def sample(self, seed: Any = None) -> Tensor:
        """Examples drawn from it, as tensors; may leave the modality's range."""


class Bernoulli:
    """Independent Bernoulli elements: p(x|z) for values in [0, 1].

    Args:
        logits: Log-odds, shape `(batch, *positions, channels)`.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = ops.convert_to_tensor(logits)

    @property
    def mean(self) -> Tensor:
        """Probability of a 1, in [0, 1], shape of the examples."""
        return ops.sigmoid(self.logits)

    @classmethod
    def width(cls, channels: int) -> int:
        """One parameter an element."""
        return channels

    def point(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-likelihood of values in [0, 1]. Nats, shape `(batch,)`."""
        return -losses.bernoulli_nll(ops.convert_to_tensor(x), self.logits)

    def sample(self, seed: Any = None) -> Tensor:
        """Binary examples, 0.0 or 1.0."""
        draws = uniform(ops.shape(self.logits), seed)
        return ops.cast(draws < self.mean, "float32")


class Gaussian:
    """Independent Gaussian elements of one standard deviation.

    Args:
        mean: Means, shape `(batch, *positions, channels)`.
        log_scale: Natural log of the standard deviation, a scalar.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor | float) -> None:
        self.mean = ops.convert_to_tensor(mean)
        self.log_scale = ops.convert_to_tensor(log_scale, "float32")

    @classmethod
    def width(cls, channels: int) -> int:
        """One parameter an element."""
        return channels

    def point(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of examples. Nats, shape `(batch,)`."""
        x = ops.convert_to_tensor(x)
        return -losses.gaussian_nll(x, self.mean, self.log_scale)

    def sample(self, seed: Any = None) -> Tensor:
        """Examples with noise on each element; may leave the modality's range."""
        noise = standard_normal(ops.shape(self.mean), seed)
        return self.mean + ops.exp(self.log_scale) * noise


class Laplace:
    """Independent Laplace elements of one scale.

    Args:
        mean: Means, shape `(batch, *positions, channels)`.
        log_scale: Natural log of the scale `b`, a scalar.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor | float) -> None:
        self.mean = ops.convert_to_tensor(mean)
        self.log_scale = ops.convert_to_tensor(log_scale, "float32")

    @classmethod
    def width(cls, channels: int) -> int:
        """One parameter an element."""
        return channels

    def point(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of examples. Nats, shape `(batch,)`."""
        x = ops.convert_to_tensor(x)
        return -losses.laplace_nll(x, self.mean, self.log_scale)

    def sample(self, seed: Any = None) -> Tensor:
        """Examples with noise on each element; may leave the modality's range."""
        # Inverse CDF; the bounds keep log1p finite at the ends of [0, 1).
        centred = uniform(ops.shape(self.mean), seed) - 0.5
        magnitude = ops.minimum(2.0 * ops.abs(centred), 1.0 - 1e-7)
        noise = -ops.sign(centred) * ops.log1p(-magnitude)
        return self.mean + ops.exp(self.log_scale) * noise


class DiscretizedLogisticMixture:
    """Elements of 256 levels, each drawn from a mixture of logistics and then rounded.

    Salimans et al. (2017), "PixelCNN++" (https://arxiv.org/abs/1701.05517), section 2:
    a component is chosen per position, for all channels at once; within it, the mean
    of a channel is linear in the values of the channels before it. A level has the
    probability between the middles to its neighbours, the lowest and the highest one
    all that is beyond, so that the levels' probabilities sum to 1.

    Args:
        parameters: Float, `(batch, *positions, num)`, with `num` from
            `num_parameters`: log-odds of the components, then means and log scales of
            each channel, then how channels depend on those before them. On a scale
            where the lowest level is -1, and the highest one 1.
        channels: Elements at a position.
    """

    LEVELS: ClassVar[int] = 256
    NUM_COMPONENTS: ClassVar[int] = 10
    MIN_LOG_SCALE: ClassVar[float] = -7.0  # a ninth of a level

    def __init__(self, parameters: Tensor, channels: int) -> None:
        size = parameters.shape[-1] // self.num_parameters(1, channels)
        pairs = channels * (channels - 1) // 2
        ends = size * np.cumsum([1, channels, channels])
        logits, means, log_scales, slopes = ops.split(parameters, ends, axis=-1)
        start = ops.shape(parameters)[:-1]  # no -1: one channel has no pairs
        self.channels = channels
        self.logits = logits  # (batch, *positions, size)
        # (batch, *positions, channels, size), and the same of pairs
        self.means = ops.reshape(means, (*start, channels, size))
        log_scales = ops.maximum(log_scales, self.MIN_LOG_SCALE)
        self.log_scales = ops.reshape(log_scales, (*start, channels, size))
        self.slopes = ops.reshape(ops.tanh(slopes), (*start, pairs, size))

    @staticmethod
    def num_parameters(num_components: int, channels: int) -> int:
        """Number of parameters of a position."""
        return num_components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _mean_of(self, channel: int, before: list[Tensor]) -> Tensor:
        """Means of a channel given those before it, `(batch, *positions, size)`."""
        mean = self.means[..., channel, :]
        first = channel * (channel - 1) // 2
        for i, value in enumerate(before):
            mean = mean + self.slopes[..., first + i, :] * value
        return mean

    @property
    def mean(self) -> Tensor:
        """Mean of the components' means, in [0, 1], shape of the examples.

        Each is that of the logistic, cut to the range, not of what is left of it there.
        """
        means: list[Tensor] = []
        for channel in range(self.channels):
            means.append(ops.clip(self._mean_of(channel, means), -1.0, 1.0))
        weights = ops.softmax(self.logits, axis=-1)
        mixed = [ops.sum(weights * mean, axis=-1) for mean in means]
        return 0.5 * (ops.stack(mixed, axis=-1) + 1.0)

    @classmethod
    def width(cls, channels: int) -> int:
        """Parameters of a mixture of `NUM_COMPONENTS`, as in the paper."""
        return cls.num_parameters(cls.NUM_COMPONENTS, channels)

    def point(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of values in [0, 1], multiples of 1/255. Nats, `(batch,)`."""
        x = ops.convert_to_tensor(x)
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
        """Examples of 256 levels in [0, 1]."""
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
