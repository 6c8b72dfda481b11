"""Variational autoencoder whose code units are held uncorrelated."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import choice, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "dip_vae", network=Conv(), tiny={**TINY_CONV, "lambda_od": 0.2, "lambda_d": 0.2}
)
class DIPVAE(VAE):
    """DIP-VAE (disentangled inferred prior) of Kumar et al. (2018).

    "Variational inference of disentangled latent concepts from unlabeled
    observations" (https://arxiv.org/abs/1711.00848): the negative ELBO plus the
    squared distance of the code's covariance over the batch to that of the prior, the
    identity: `covariance_off_diagonal`, the sum of its squared elements beside the
    diagonal (weight `lambda_od`), and `covariance_diagonal`, that of the squared
    differences to 1 on it (weight `lambda_d`).

    Args:
        kind: `"i"`, the covariance of the posterior means (equation 6), or `"ii"`,
            of the codes themselves, which adds the posteriors' mean variance
            (equation 7).
        lambda_od: Weight of the elements beside the diagonal.
        lambda_d: Weight of the elements on the diagonal; the paper takes
            `10 * lambda_od` for `"i"` and `lambda_od` for `"ii"`.
        **kwargs: As in `VAE`.
    """

    kind: str = choice("ii", ("i", "ii"))
    lambda_od: float = weight(10.0)
    lambda_d: float = weight(10.0)

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset(
        {"covariance_off_diagonal", "covariance_diagonal"}
    )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {
            **super().loss_weights,
            "covariance_off_diagonal": self.lambda_od,
            "covariance_diagonal": self.lambda_d,
        }

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z_mean, z_log_var = outputs["z_mean"], outputs["z_log_var"]
        covariance = losses.covariance(z_mean)  # (latent_dim, latent_dim)
        identity = ops.eye(self.latent_dim, dtype="float32")
        if self.kind == "ii":
            variance = ops.mean(ops.exp(z_log_var), axis=0)
            covariance = covariance + identity * variance
        squares = ops.square(covariance - identity)
        batch = (ops.shape(z_mean)[0],)
        return {
            **super().compute_terms(x, outputs, step),
            "covariance_off_diagonal": ops.broadcast_to(
                ops.sum(squares * (1.0 - identity)), batch
            ),
            "covariance_diagonal": ops.broadcast_to(ops.sum(squares * identity), batch),
        }
