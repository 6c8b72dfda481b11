"""Training of the masked autoregressive flow that `aezoo.samplers` evaluates."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.optimizers import Adam

Tensor = Any
BATCH_SIZE = 256
LEARNING_RATE = 1e-3


class Flow(keras.Model):
    """Maps standardised codes to their negative log-likelihood, in nats.

    Args:
        masks: Of the three layers, as `aezoo.samplers.made_masks` returns them.
        log_scale: Bound of the logarithms of scales.
        num_steps: Steps, with the order of the units reversed in between.
        seed: Of the initial weights.
    """

    def __init__(
        self, masks: Sequence[np.ndarray], log_scale: float, num_steps: int, seed: int
    ) -> None:
        super().__init__()
        self.masks = [np.asarray(mask) for mask in masks]
        self.log_scale = log_scale
        self.num_steps = num_steps
        generator = np.random.default_rng(seed)  # the same on every backend
        self.tensors = {}
        for i, mask in enumerate(self.masks):
            # The last layer starts at 0, and so the flow as the identity.
            is_last = i == len(self.masks) - 1
            bound = 0.0 if is_last else np.sqrt(6.0 / sum(mask.shape))
            kernel = generator.uniform(-bound, bound, (num_steps, *mask.shape))
            bias = np.zeros((num_steps, mask.shape[1]))
            for name, value in ((f"kernel_{i}", kernel), (f"bias_{i}", bias)):
                self.tensors[name] = self.add_weight(
                    shape=value.shape,
                    initializer=keras.initializers.Constant(value),
                    dtype="float32",
                    name=name,
                )

    def call(self, z: Tensor) -> Tensor:
        """Negative log-likelihood of codes `(batch, units)`; `(batch,)`."""
        weights = {n: ops.convert_to_tensor(v) for n, v in self.tensors.items()}
        total: Tensor = 0.0
        for step in range(self.num_steps):
            z = ops.flip(z, axis=1) if step else z
            hidden = z
            for i, mask in enumerate(self.masks):
                hidden = ops.relu(hidden) if i else hidden
                kernel = weights[f"kernel_{i}"][step] * mask
                hidden = ops.matmul(hidden, kernel) + weights[f"bias_{i}"][step]
            shift, log_scale = ops.split(hidden, 2, axis=1)
            log_scale = self.log_scale * ops.tanh(log_scale / self.log_scale)
            z = (z - shift) * ops.exp(-log_scale)
            total = total + ops.sum(log_scale, axis=1)
        constant = float(np.log(2.0 * np.pi))
        return total + 0.5 * ops.sum(ops.square(z) + constant, axis=1)


def train_flow(
    codes: np.ndarray,
    masks: Sequence[np.ndarray],
    log_scale: float,
    num_steps: int,
    epochs: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Fit a flow to codes by maximum likelihood.

    Args:
        codes: Standardised, float32, `(n, units)`.
        masks: As in `Flow`.
        log_scale: As in `Flow`.
        num_steps: As in `Flow`.
        epochs: Passes over the codes; the learning rate decays to 0 over them.
        seed: Of initial weights and order.

    Returns:
        `kernel_0` to `bias_2`, float32, each with the steps first.
    """
    flow = Flow(masks, log_scale, num_steps, seed)
    size = min(BATCH_SIZE, len(codes))
    steps = epochs * (len(codes) // size)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    flow.compile(Adam(rate, clipnorm=10.0), loss=_mean_of_outputs)
    generator = np.random.default_rng(seed)
    whole = len(codes) // size * size  # whole batches, so that one graph serves all
    nothing = np.zeros(whole, "float32")
    for _ in range(epochs):
        data = codes[generator.permutation(len(codes))[:whole]]
        flow.fit(data, nothing, batch_size=size, shuffle=False, verbose=0)
    return {name: np.asarray(v, "float32") for name, v in flow.tensors.items()}


def _mean_of_outputs(_: Tensor, nll: Tensor) -> Tensor:
    return ops.mean(nll)
