"""What follows a code: a recurrent network with mixtures of Gaussians at its end."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
# Of log standard deviations of a component.
LOWEST, HIGHEST = -5.0, 3.0


class MixtureDynamics(keras.layers.Layer):
    """The next code given those before and what was done: an LSTM, then mixtures.

    Each unit of the change of the code has a mixture of Gaussians of its own (Bishop,
    1994; Graves, 2013, https://arxiv.org/abs/1308.0850, equations 23 to 25).

    Args:
        latent_dim: Units of a code.
        units: Units of the LSTM.
        components: Gaussians of a mixture.
    """

    def __init__(
        self, latent_dim: int, units: int, components: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.units = units
        self.components = components
        self.lstm = keras.layers.LSTM(units, return_sequences=True, name="lstm")
        self.head = keras.layers.Dense(3 * components * latent_dim, name="mixtures")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build for sequences `(batch, steps, latent_dim + numbers of an action)`."""
        self.lstm.build((None, None, input_shape[-1]))
        self.head.build((None, None, self.units))

    def call(self, inputs: Tensor) -> Tensor:
        """Parameters of what follows each step, as `parameters` takes them."""
        return self.head(self.lstm(inputs))

    def states(self, inputs: Tensor) -> Tensor:
        """What the LSTM knows after each step, `(batch, steps, units)`."""
        return self.lstm(inputs)

    def step(
        self, inputs: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One step: parameters `(batch, ...)`, and the states after it.

        Args:
            inputs: Code and action, `(batch, latent_dim + numbers of an action)`.
            states: Hidden state and cell, `(batch, units)` each.
        """
        output, found = self.lstm.cell(inputs, list(states))
        return self.head(output), found

    def mixtures(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means, log standard deviations: `(..., units, components)`."""
        shape = (*ops.shape(parameters)[:-1], self.latent_dim, 3 * self.components)
        parameters = ops.reshape(ops.cast(parameters, "float32"), shape)
        logits, means, log_stds = ops.split(parameters, 3, axis=-1)
        return ops.log_softmax(logits), means, ops.clip(log_stds, LOWEST, HIGHEST)

    def log_prob(self, parameters: Tensor, change: Tensor) -> Tensor:
        """Log density of changes of codes `(..., latent_dim)`, in nats, `(...)`."""
        log_weights, means, log_stds = self.mixtures(parameters)
        distance = (change[..., None] - means) * ops.exp(-log_stds)
        log_normal = -0.5 * (ops.square(distance) + math.log(2.0 * math.pi)) - log_stds
        return ops.sum(ops.logsumexp(log_weights + log_normal, axis=-1), axis=-1)

    def draw(
        self, parameters: Tensor, share: Tensor, noise: Tensor, temperature: Tensor
    ) -> Tensor:
        """Changes of codes, `(..., latent_dim)`.

        Args:
            parameters: Of the mixtures.
            share: Uniform in [0, 1), of the components, `(..., latent_dim)`.
            noise: Standard normal, as `share`.
            temperature: Divides the logits; its root multiplies the noise (Ha & Eck,
                2017, https://arxiv.org/abs/1704.03477, section 3.3); `(..., 1)`.
        """
        log_weights, means, log_stds = self.mixtures(parameters)
        weights = ops.softmax(log_weights / temperature[..., None])
        passed = ops.cast(ops.cumsum(weights, axis=-1) < share[..., None], "int32")
        chosen = ops.minimum(ops.sum(passed, axis=-1), self.components - 1)
        picked = ops.one_hot(chosen, self.components, dtype="float32")
        mean = ops.sum(picked * means, axis=-1)
        std = ops.exp(ops.sum(picked * log_stds, axis=-1))
        return mean + std * noise * ops.sqrt(temperature)
