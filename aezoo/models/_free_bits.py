"""Free bits: some of the KL of a VAE costs nothing."""

from typing import Any

from keras import ops

from aezoo.models.arguments import number
from aezoo.models.vae import VAE

Tensor = Any


class FreeBits(VAE):
    """A VAE some of whose KL costs nothing (Kingma et al., 2016, appendix C.8).

    "Improved variational inference with inverse autoregressive flow"
    (https://arxiv.org/abs/1606.04934). The term `free_bits` is what the KL lacks to
    them, and weighs as the KL does. Here that is the KL of each example, so that
    `kl + free_bits` is `max(free_bits, kl)`; a family may have other groups, by
    `lacking`.

    Args:
        free_bits: Nats that cost nothing; 0 leaves the term out.
        **kwargs: As in `VAE`.
    """

    free_bits: float = number(0.0, low=0.0)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; free bits count as the KL does."""
        weights = super().loss_weights
        return {**weights, "free_bits": self.beta} if self.free_bits else weights

    def loss_schedule(self, step: Tensor) -> dict[str, Tensor]:
        """As in `VAE`, for both terms of the KL."""
        schedule = super().loss_schedule(step)
        return {**schedule, "free_bits": schedule["kl"]} if schedule else {}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        terms = super().compute_terms(x, outputs, step)
        if self.free_bits:
            terms["free_bits"] = self.lacking(outputs, terms["kl"])
        return terms

    def lacking(
        self,
        outputs: dict[str, Tensor],  # noqa: ARG002
        kl: Tensor,
    ) -> Tensor:
        """What the KL lacks to the free bits, nats, `(batch,)`.

        Args:
            outputs: Of `call`.
            kl: KL of each example, `(batch,)`.
        """
        return ops.maximum(self.free_bits - kl, 0.0)

    def lacking_on_average(self, kl: Tensor) -> Tensor:
        """What the mean KL of each group of units lacks, summed over groups.

        Args:
            kl: Of examples and groups, `(batch, groups)`.

        Returns:
            The same number for each example, nats, `(batch,)`.
        """
        lacking = ops.sum(ops.maximum(self.free_bits - ops.mean(kl, axis=0), 0.0))
        return lacking * ops.ones_like(kl[:, 0])
