"""Variational autoencoder with a weighted or scheduled KL term."""

from typing import Any

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import count, number, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.registry import register_family

Tensor = Any


@register_family("beta_vae", network=Conv(), tiny={**TINY_CONV, "beta": 4.0})
class BetaVAE(VAE):
    """Beta-VAE of Higgins et al. (2017), with the capacity schedule of Burgess (2018).

    "beta-VAE: learning basic visual concepts with a constrained variational
    framework" (https://openreview.net/forum?id=Sy2fzU9gl), equation 4: the negative
    ELBO with weight `beta` on the KL term. With `capacity` it is equation 8 of
    "Understanding disentangling in beta-VAE" (https://arxiv.org/abs/1804.03599): the
    term `capacity_gap`, `|KL - C|`, with weight `gamma`, while `C` grows linearly from
    0 to `capacity` over `capacity_steps` optimiser steps.

    Args:
        beta: Weight of the KL term; unused with `capacity`.
        capacity: Nats of KL that the code may take in the end, or None.
        capacity_steps: Optimiser steps until it may.
        gamma: Weight of the capacity gap.
        **kwargs: As in `VAE`.
    """

    beta: float = weight(4.0)
    capacity: float | None = number(None, low=0.0)
    capacity_steps: int = count(10_000)
    gamma: float = weight(100.0)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        weights = super().loss_weights
        if self.capacity is None:
            return weights
        return {**weights, "kl": 0.0, "capacity_gap": self.gamma}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        if self.capacity is not None:
            allowed = self.capacity
            if step is not None and self.capacity_steps:
                progress = ops.cast(step, "float32") / self.capacity_steps
                allowed = self.capacity * ops.minimum(progress, 1.0)
            terms["capacity_gap"] = ops.abs(terms["kl"] - allowed)
        return terms
