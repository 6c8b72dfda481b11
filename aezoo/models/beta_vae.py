"""Variational autoencoder with a weighted or scheduled KL term."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.conv_vae import ConvVAE
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any


@register_family("beta_vae")
class BetaVAE(ConvVAE):
    """Beta-VAE of Higgins et al. (2017), with the capacity schedule of Burgess (2018).

    "beta-VAE: learning basic visual concepts with a constrained variational
    framework" (https://openreview.net/forum?id=Sy2fzU9gl), equation 4: the negative
    ELBO with weight `beta` on the KL term. With `capacity` it is equation 8 of
    "Understanding disentangling in beta-VAE" (https://arxiv.org/abs/1804.03599): the
    term `capacity_gap`, `|KL - C|`, with weight `gamma`, while `C` grows linearly from
    0 to `capacity` over `capacity_steps` optimiser steps.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        beta: Weight of the KL term; unused with `capacity`.
        capacity: Nats of KL that the code may take in the end, or None.
        capacity_steps: Optimiser steps until it may.
        gamma: Weight of the capacity gap.
        **kwargs: As in `ConvVAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**ConvVAE.TINY_CONFIG, "beta": 4.0}

    def __init__(
        self,
        *args: Any,
        beta: float = 4.0,
        capacity: float | None = None,
        capacity_steps: int = 10_000,
        gamma: float = 100.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, beta=beta, **kwargs)
        if capacity is not None:
            check_number("capacity", capacity, low=0.0)
        self.capacity = capacity
        self.capacity_steps = int(check_number("capacity_steps", capacity_steps, low=0))
        self.gamma = check_number("gamma", gamma, low=0.0)

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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "capacity": self.capacity,
            "capacity_steps": self.capacity_steps,
            "gamma": self.gamma,
        }
