"""Variational autoencoder that matches the codes of all examples to the prior."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import choice, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv
from aezoo.nn import losses
from aezoo.registry import register_family

Tensor = Any


@register_family("info_vae", network=Conv(), tiny=TINY_CONV)
class InfoVAE(VAE):
    """InfoVAE of Zhao et al. (2019) with the maximum mean discrepancy: MMD-VAE.

    "InfoVAE: balancing learning and inference in variational autoencoders"
    (https://arxiv.org/abs/1706.02262), equation 6: the KL term of the ELBO, which
    pulls every example's posterior to the prior and so takes information from the code,
    is weakened by `1 - alpha`; the codes of all examples together are matched to the
    prior by the term `mmd`, their squared maximum mean discrepancy over the batch
    (section 3.3). With `alpha=0` and `mmd_weight=0` it is the VAE, with `alpha=1` the
    MMD-VAE.

    Args:
        alpha: How much less the KL term weighs, of `beta`: at most 1.
        mmd_weight: Weight of the discrepancy: `alpha + lambda - 1` in the paper, whose
            lambda is 1000.
        kernel: Kernel of the discrepancy: `"rbf"`, as in the paper, or `"imq"`; see
            `aezoo.losses.maximum_mean_discrepancy`.
        **kwargs: As in `VAE`.
    """

    alpha: float = weight(0.5, low=None, high=1.0)
    mmd_weight: float = weight(100.0)
    kernel: str = choice("rbf", losses.MMD_KERNELS)

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"mmd"})

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {
            **super().loss_weights,
            "kl": self.beta * (1.0 - self.alpha),
            "mmd": self.mmd_weight,
        }

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode and decode a batch; also draws codes from the prior, `prior_z`."""
        outputs = super().call(inputs, training, sample_seed, **given)
        # The second half: noise by position has the posterior's own in the first.
        shape = (ops.shape(outputs["z"])[0], 2 * self.latent_dim)
        noise = self.noise(shape, training, sample_seed)
        return {**outputs, "prior_z": noise[:, self.latent_dim :]}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z = outputs["z"]
        mmd = losses.maximum_mean_discrepancy(z, outputs["prior_z"], self.kernel)
        terms = super().compute_terms(x, outputs, step)
        return {**terms, "mmd": ops.broadcast_to(mmd, (ops.shape(z)[0],))}
