"""Training of samplers that need gradients, by Keras."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.nn.optimizers import Adam

Tensor = Any


class LikelihoodNetwork(keras.Model):
    """Maps examples to their negative log-likelihood, in nats, `(batch,)`.

    Args:
        initial: Initial weights, by name; drawn by NumPy, so that they are the same
            on every backend.
    """

    def __init__(self, initial: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._arrays = {
            name: self.add_weight(
                shape=value.shape,
                initializer=keras.initializers.Constant(value),
                dtype="float32",
                name=name,
            )
            for name, value in initial.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """The weights, by name."""
        return {n: ops.convert_to_tensor(v) for n, v in self._arrays.items()}

    def minimize(
        self,
        data: np.ndarray,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        clipnorm: float,
        seed: int,
        warm_up: float = 0.0,
    ) -> dict[str, np.ndarray]:
        """Maximise the likelihood by Adam.

        Args:
            data: Examples, `(n, ...)`.
            epochs: Passes over them.
            batch_size: Examples per step; all of them if they are fewer.
            learning_rate: The highest; it decays to 0 as half a cosine.
            clipnorm: Largest norm of all gradients together.
            seed: Of the order.
            warm_up: Fraction of the steps over which the rate first rises from 0.

        Returns:
            The weights by name, float32.
        """
        size = min(batch_size, len(data))
        steps = epochs * (len(data) // size)
        rising = int(warm_up * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if rising else learning_rate,
            steps - rising,
            warmup_target=learning_rate if rising else None,
            warmup_steps=rising,
        )
        self.compile(Adam(rate, global_clipnorm=clipnorm), loss=_mean_of_outputs)
        generator = np.random.default_rng(seed)
        whole = len(data) // size * size  # whole batches, so that one graph serves all
        nothing = np.zeros(whole, "float32")
        for _ in range(epochs):
            order = generator.permutation(len(data))[:whole]
            self.fit(data[order], nothing, batch_size=size, shuffle=False, verbose=0)
        return {name: np.asarray(v, "float32") for name, v in self._arrays.items()}


def _mean_of_outputs(_: Tensor, nll: Tensor) -> Tensor:
    return ops.mean(nll)
