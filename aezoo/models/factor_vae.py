"""Variational autoencoder whose code units a discriminator holds independent."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import sizes, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn.distributions import IndexedNoise
from aezoo.nn.layers.discriminators import Discriminator
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "factor_vae", network=Conv(), tiny={**TINY_CONV, "discriminator_units": (8,)}
)
class FactorVAE(VAE):
    """FactorVAE of Kim & Mnih (2018).

    "Disentangling by factorising" (https://arxiv.org/abs/1802.05983), equation 2: the
    negative ELBO plus `gamma` times the total correlation of the code. A
    discriminator tells codes from codes whose units were exchanged between the
    examples of the batch, `discriminator`; its log-odds estimate the total
    correlation (equation 3), `total_correlation`. Both train in one step, each on
    its own optimiser.

    Args:
        gamma: Weight of the total correlation.
        discriminator_units: Width of each hidden layer of the discriminator.
        **kwargs: As in `VAE`.
    """

    gamma: float = weight(10.0)
    discriminator_units: tuple[int, ...] = sizes((256, 256, 256))

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"discriminator"})
    adversary_term = "discriminator"

    def create_layers(self) -> None:
        """Create encoder, decoder and the discriminator between codes."""
        super().create_layers()
        self.adversary = Discriminator(self.discriminator_units)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {
            **super().loss_weights,
            "discriminator": 0.0,
            "total_correlation": self.gamma,
        }

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z = outputs["z"]
        log_odds = self.adversary(z)  # of a code against an exchanged one
        exchanged = ops.stop_gradient(exchange_units(z))
        against = ops.softplus(-self.adversary(ops.stop_gradient(z)))
        against = against + ops.softplus(self.adversary(exchanged))
        return {
            **super().compute_terms(x, outputs, step),
            "total_correlation": log_odds,
            "discriminator": 0.5 * against,
        }


def exchange_units(z: Tensor) -> Tensor:
    """Codes whose units come from different examples of the batch.

    Algorithm 1 of the paper permutes each unit at random; in a shuffled batch, taking
    unit `j` from the example `j + 1` places on draws as well from the product of the
    marginals, and never takes two units from one example. A batch smaller than the code
    has too few examples for that: there each unit of each row comes from an example of
    its own draw, so that two share one as often as under the paper's permutations,
    once in `batch` cases.

    Args:
        z: Codes `(batch, latent_dim)`.

    Returns:
        Same shape.
    """
    batch, dim = ops.shape(z)[0], z.shape[-1]
    moved = ops.arange(batch)[:, None] + ops.arange(1, dim + 1)[None, :]
    draws = IndexedNoise(0).uniform((batch, dim))
    drawn = ops.cast(draws * ops.cast(batch, "float32"), moved.dtype)
    rows = ops.where(batch >= dim, ops.mod(moved, batch), drawn)
    return ops.take_along_axis(z, rows, axis=0)
