"""Variational autoencoder whose prior is its own posterior of learned examples."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo.models._priors import MixturePrior
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import units
from aezoo.networks import Conv, NetworkError
from aezoo.registry import register_family

Tensor = Any
BLENDED = 4  # examples in a pseudo-input that starts from data


@register_family("vamp_vae", network=Conv(), tiny={**TINY_CONV, "num_pseudo_inputs": 5})
class VampVAE(MixturePrior):
    """VAE with the VampPrior of Tomczak & Welling (2018).

    "VAE with a VampPrior" (https://arxiv.org/abs/1705.07120), equation 9: the prior
    is the equal mixture of the posteriors of learned pseudo-inputs,
    `p(z) = 1/K sum_k q(z|u_k)`. They are tensors of examples in [0, 1], trained on
    the ELBO like all weights, from noise or from examples (`init_pseudo_inputs`).

    Args:
        num_pseudo_inputs: Examples `u_k` whose posteriors are mixed.
        **kwargs: As in `VAE`.
    """

    num_pseudo_inputs: int = units(500)

    def check_arguments(self) -> None:
        """Refuse indices, which cannot be learnt as pseudo-inputs are."""
        super().check_arguments()
        if not self.modality.is_continuous:
            raise NetworkError(
                f"Pseudo-inputs are learnt by gradient, so {self.family!r} cannot "
                f"have {self.modality.nouns} as such."
            )

    def build_layers(self) -> None:
        """Create all weights, the pseudo-inputs among them."""
        super().build_layers()
        self.pseudo_inputs = self.add_weight(
            shape=(self.num_pseudo_inputs, *self.modality.tensor_shape),
            initializer=keras.initializers.RandomUniform(0.0, 1.0),
            constraint=UnitInterval(),
            dtype="float32",
            name="pseudo_inputs",
        )

    def init_pseudo_inputs(self, x: Any) -> None:
        """Set the pseudo-inputs, before training.

        Args:
            x: At least `num_pseudo_inputs` examples `(n, *input_shape)`; the first
                ones are taken.

        Raises:
            ValueError: If there are too few, or shape, dtype or range is wrong.
        """
        x = self.modality.check(x)
        if len(x) < self.num_pseudo_inputs:
            raise ValueError(
                f"`x` must hold at least {self.num_pseudo_inputs} examples, one for "
                f"each pseudo-input. Received: {len(x)}."
            )
        self.ensure_built()
        chosen = self.modality.to_model(x[: self.num_pseudo_inputs])
        self.pseudo_inputs.assign(chosen)

    def adapt(self, x: np.ndarray, seed: int = 0) -> None:
        """Set the pseudo-inputs to means of `BLENDED` examples each, drawn by seed.

        Blends start as close to the data as examples do, and the weights hold none
        of the training data.
        """
        generator = np.random.default_rng(seed)
        rows = generator.integers(len(x), size=(self.num_pseudo_inputs, BLENDED))
        blends = np.zeros(
            (self.num_pseudo_inputs, *self.modality.tensor_shape), "float32"
        )
        for chosen in rows.T:
            drawn = self.modality.check(x[chosen], "x")
            blends += ops.convert_to_numpy(self.modality.to_model(drawn)) / BLENDED
        self.init_pseudo_inputs(np.clip(blends, 0.0, 1.0))

    def prior_components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Equal weights, and the posteriors' means and log variances."""
        x = ops.cast(self.pseudo_inputs, self.compute_dtype)
        parameters = self.encode_parameters(x)
        count = self.num_pseudo_inputs
        log_weights = ops.full((count,), -math.log(count), dtype="float32")
        return log_weights, parameters["z_mean"], parameters["z_log_var"]


@keras.saving.register_keras_serializable("aezoo")
class UnitInterval(keras.constraints.Constraint):
    """Moves weights that left [0, 1] back to its ends, after each step."""

    def __call__(self, w: Tensor) -> Tensor:
        """The weights, clipped."""
        return ops.clip(w, 0.0, 1.0)
