"""Variational autoencoder with weights on the three parts of its KL term."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import count, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.registry import register_family

Tensor = Any


@register_family("beta_tcvae", network=Conv(), tiny={**TINY_CONV, "dataset_size": 10})
class BetaTCVAE(VAE):
    """Beta-TCVAE of Chen et al. (2018).

    "Isolating sources of disentanglement in variational autoencoders"
    (https://arxiv.org/abs/1802.04942), equation 4: the KL term of the ELBO is, on
    average over the data, the sum of the terms `mutual_information` of example and code
    (weight `alpha`), `total_correlation` of the code's units (weight `beta`) and
    `dimension_wise_kl` of each unit to its prior (weight `gamma`). The aggregate
    posterior in them is estimated from the batch, by stratified sampling (appendix
    C.2). With all weights at 1 it is the VAE.

    Args:
        dataset_size: Number of training examples.
        alpha: Weight of the mutual information.
        beta: Weight of the total correlation.
        gamma: Weight of the dimension-wise KL.
        **kwargs: As in `VAE`; `kl_warmup_steps` warms all three up. The term `kl`
            is reported only.
    """

    dataset_size: int = count(60_000, low=1)
    alpha: float = weight(1.0)
    beta: float = weight(6.0)
    gamma: float = weight(1.0)

    PARTS: ClassVar[tuple[str, ...]] = (
        "mutual_information",
        "total_correlation",
        "dimension_wise_kl",
    )
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset(PARTS)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        weights = zip(self.PARTS, (self.alpha, self.beta, self.gamma), strict=True)
        return {**super().loss_weights, "kl": 0.0, **dict(weights)}

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """The KL term's warm-up, for each of its parts."""
        factors = super().loss_schedule(step).values()
        return {name: factor for factor in factors for name in self.PARTS}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z = outputs["z"]
        log_q, log_q_units = losses.aggregate_posterior_log_density(
            z, outputs["z_mean"], outputs["z_log_var"], self.dataset_size
        )
        log_q_product = ops.sum(log_q_units, axis=-1)
        values = (
            self.make_posterior(outputs).log_prob(z) - log_q,
            log_q - log_q_product,
            log_q_product - self.log_prior(z),
        )
        terms = super().compute_terms(x, outputs, step)
        return {**terms, **dict(zip(self.PARTS, values, strict=True))}
