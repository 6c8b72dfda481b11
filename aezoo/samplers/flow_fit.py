"""Fitting a masked autoregressive flow, by Keras."""

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from aezoo.samplers.base import COUNT, drawn_codes, moments
from aezoo.samplers.flow import FlowSampler, made_masks
from aezoo.samplers.training import LikelihoodNetwork
from aezoo.utils.validation import check_positive_int

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.nn.distributions import Posterior

Tensor = Any
_BATCH_SIZE = 256
_LEARNING_RATE = 1e-3


class FlowNetwork(LikelihoodNetwork):
    """The flow in Keras, for standardised codes.

    Args:
        units: Code units.
        num_steps: Steps, with the order of the units reversed in between.
        width: Of the hidden layers.
        seed: Of the initial weights.
    """

    def __init__(self, units: int, num_steps: int, width: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        masks = made_masks(units, width)
        initial = {}
        for i, mask in enumerate(masks):
            # The last layer starts at 0, and so the flow as the identity.
            is_last = i == len(masks) - 1
            bound = 0.0 if is_last else np.sqrt(6.0 / sum(mask.shape))
            shape = (num_steps, *mask.shape)
            initial[f"kernel_{i}"] = generator.uniform(-bound, bound, shape)
            initial[f"bias_{i}"] = np.zeros((num_steps, mask.shape[1]))
        super().__init__(initial)
        self.masks = masks
        self.num_steps = num_steps

    def call(self, z: Tensor) -> Tensor:
        """Negative log-likelihood of codes `(batch, units)`; `(batch,)`."""
        weights = self.tensors()
        total: Tensor = 0.0
        for step in range(self.num_steps):
            z = ops.flip(z, axis=1) if step else z
            hidden = z
            for i, mask in enumerate(self.masks):
                hidden = ops.relu(hidden) if i else hidden
                kernel = weights[f"kernel_{i}"][step] * mask
                hidden = ops.matmul(hidden, kernel) + weights[f"bias_{i}"][step]
            shift, log_scale = ops.split(hidden, 2, axis=1)
            log_scale = FlowSampler.LOG_SCALE * ops.tanh(
                log_scale / FlowSampler.LOG_SCALE
            )
            z = (z - shift) * ops.exp(-log_scale)
            total = total + ops.sum(log_scale, axis=1)
        constant = float(np.log(2.0 * np.pi))
        return total + 0.5 * ops.sum(ops.square(z) + constant, axis=1)


def fit_flow(
    model: "Autoencoder",
    posterior: "Posterior",
    seed: int,
    num_steps: int = 5,
    width: int = 128,
    epochs: int = 20,
) -> FlowSampler:
    """Maximum likelihood by Adam, on codes scaled to unit variance."""
    for name, value in (("num_steps", num_steps), ("width", width), ("epochs", epochs)):
        check_positive_int(name, value)
    codes = drawn_codes(posterior, seed)
    centre, scale = moments(codes)
    network = FlowNetwork(codes.shape[1], num_steps, width, seed)
    arrays = network.minimize(
        ((codes - centre) / scale).astype("float32"),
        epochs=epochs,
        batch_size=_BATCH_SIZE,
        learning_rate=_LEARNING_RATE,
        clipnorm=10.0,
        seed=seed,
    )
    fit = {"num_steps": num_steps, "width": width, "epochs": epochs}
    return FlowSampler(
        model.latent_shape,
        {COUNT: len(codes), "seed": seed, **fit},
        centre.astype("float32"),
        scale.astype("float32"),
        **arrays,
    )
