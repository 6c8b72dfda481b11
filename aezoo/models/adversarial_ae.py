"""Adversarial autoencoder: a discriminator tells codes from codes of the prior."""

from collections.abc import Sequence
from typing import Any, ClassVar

from keras import ops

from aezoo.models._networks import CodeDiscriminator
from aezoo.models.conv_ae import ConvAE
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any


@register_family("adversarial_ae")
class AdversarialAE(CodeDiscriminator, ConvAE):
    """Adversarial autoencoder of Makhzani et al. (2015).

    "Adversarial autoencoders" (https://arxiv.org/abs/1511.05644), section 2: a
    discriminator learns to tell codes of images from codes of the prior, a standard
    normal, `discriminator`; the encoder learns to be taken for the prior,
    `adversarial`, which is `-log D(z)` (the non-saturating loss of Goodfellow et al.,
    2014, https://arxiv.org/abs/1406.2661, section 3), beside the reconstruction error.
    Both train in one step, each on its own optimiser. With the squared error it is the
    WAE-GAN of Tolstikhin et al. (2018). `sample` decodes codes from the prior.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        adversarial_weight: Weight of the encoder's part against the discriminator.
        discriminator_units: As in `CodeDiscriminator`.
        **kwargs: As in `CodeDiscriminator` and `ConvAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **ConvAE.TINY_CONFIG,
        "discriminator_units": (8,),
    }
    TASKS: ClassVar[tuple[str, ...]] = ("reconstruction", "features", "sampling")
    SAMPLES: ClassVar[str] = "decoded codes from the prior"

    def __init__(
        self,
        *args: Any,
        adversarial_weight: float = 1.0,
        discriminator_units: Sequence[int] = (256, 256),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, discriminator_units=discriminator_units, **kwargs)
        self.adversarial_weight = check_number(
            "adversarial_weight", adversarial_weight, low=0.0
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`."""
        return {
            **super().loss_weights,
            "adversarial": self.adversarial_weight,
        }

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; also `prior_z`, a code from the prior per image.

        Args:
            inputs: Images `(batch, *input_shape)`.
            training: As in `Autoencoder`.
            sample_seed: Draws the codes from the prior.
        """
        outputs = super().call(inputs, training, sample_seed)
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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "adversarial_weight": self.adversarial_weight,
        }
