"""Adversarial autoencoder: a discriminator tells codes from codes of the prior."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import AE, TINY_CONV
from aezoo.models.arguments import sizes, weight
from aezoo.networks import Conv
from aezoo.nn.layers.discriminators import Discriminator
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "adversarial_ae", network=Conv(), tiny={**TINY_CONV, "discriminator_units": (8,)}
)
class AdversarialAE(AE):
    """Adversarial autoencoder of Makhzani et al. (2015).

    "Adversarial autoencoders" (https://arxiv.org/abs/1511.05644), section 2: a
    discriminator learns to tell codes of examples from codes of the prior, a standard
    normal, `discriminator`; the encoder learns to be taken for the prior,
    `adversarial`, which is `-log D(z)` (the non-saturating loss of Goodfellow et al.,
    2014, https://arxiv.org/abs/1406.2661, section 3), beside the reconstruction error.
    Both train in one step, each on its own optimiser. With the squared error it is the
    WAE-GAN of Tolstikhin et al. (2018). `sample` decodes codes from the prior.

    Args:
        adversarial_weight: Weight of the encoder's part against the discriminator.
        discriminator_units: Width of each hidden layer of the discriminator.
        **kwargs: As in `AE`.
    """

    adversarial_weight: float = weight(1.0)
    discriminator_units: tuple[int, ...] = sizes((256, 256))

    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    SAMPLES: ClassVar[str] = "decoded codes from the prior"
    adversary_term = "discriminator"

    def create_layers(self) -> None:
        """Create encoder, decoder and the discriminator between codes."""
        super().create_layers()
        self.adversary = Discriminator(self.discriminator_units)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; the discriminator's own loss has none."""
        return {
            **super().loss_weights,
            "discriminator": 0.0,
            "adversarial": self.adversarial_weight,
        }

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `prior_z`, a code from the prior per example.

        Args:
            inputs: Examples `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the codes from the prior.
            **given: As in `Autoencoder`.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        shape = ops.shape(outputs["z"])
        return {**outputs, "prior_z": self.noise(shape, training, sample_seed)}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        z = outputs["z"]
        against = ops.softplus(self.adversary(ops.stop_gradient(z)))
        against = against + ops.softplus(-self.adversary(outputs["prior_z"]))
        return {
            **super().compute_terms(x, outputs, step),
            "adversarial": ops.softplus(-self.adversary(z)),
            "discriminator": 0.5 * against,
        }
