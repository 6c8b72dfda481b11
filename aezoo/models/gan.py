"""Generative adversarial network: a decoder alone, against a discriminator."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import sizes, units
from aezoo.models.autoencoder import Autoencoder
from aezoo.networks import Conv, NetworkError
from aezoo.nn.layers.discriminators import ImageDiscriminator
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "gan", network=Conv(), tiny={**TINY_CONV, "discriminator_filters": (4, 4)}
)
class GAN(Autoencoder):
    """Generative adversarial network of Goodfellow et al. (2014), by convolutions.

    "Generative adversarial nets" (https://arxiv.org/abs/1406.2661): a generator, here
    the decoder, maps codes from a standard normal prior to examples that a
    discriminator shall take for real ones. `discriminator` is its cross-entropy (the
    negative of equation 1), `generator` that of decoded codes being taken for real, the
    form that does not saturate (section 3). With convolutions on both sides it is the
    DCGAN of Radford et al. (2016, https://arxiv.org/abs/1511.06434), but for the
    normalisation: layers of the discriminator are normalised over each image in place
    of the batch, so that no image sees another, and those of the generator as the
    network says.

    There is no encoder: `encode`, `posterior` and `reconstruct` refuse, and `project`
    finds codes of examples by optimisation. `call` decodes a code of the prior for each
    example that it is given. Radford et al. train with a `beta_1` of 0.5 for Adam.

    Args:
        latent_dim: Number of latent units.
        discriminator_filters: Channels of each convolution of the discriminator,
            which halve the image.
        **kwargs: As in `Autoencoder`; without a code of examples there is no
            `sparsity`, and without an input no `corruption`.
    """

    latent_dim: int = units(64)
    discriminator_filters: tuple[int, ...] = sizes((32, 64, 128), minimum=1)
    sparsity = 0.0
    corruption = None
    corruption_level = 0.0

    TASKS: ClassVar[tuple[str, ...]] = ("sampling",)
    # of the noise that all examples of a batch share, outside training
    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"generator"})
    has_encoder: ClassVar[bool] = False
    adversary_term = "discriminator"

    def check_arguments(self) -> None:
        """Refuse what has no two axes to convolve, or no values to be moved."""
        super().check_arguments()
        if len(self.modality.positions) != 2 or not self.modality.is_continuous:
            raise NetworkError(
                f"{self.family!r} discriminates by convolutions over two axes, and "
                f"cannot learn from {self.modality.nouns}."
            )

    @property
    def heads(self) -> dict[str, int]:
        """None, as nothing is encoded."""
        return {}

    def create_layers(self) -> None:
        """Create the decoder and the discriminator."""
        super().create_layers()
        filters = self.discriminator_filters
        self.adversary = ImageDiscriminator(filters, len(filters))

    @property
    def adversary_input_shape(self) -> tuple[int, ...]:
        """Examples."""
        return self.modality.tensor_shape

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Decode a code of the prior for each example of a batch, inside a graph.

        Args:
            inputs: Examples `(batch, *input_shape)`, of which only the number counts.
            training: Whether codes are drawn from the model's own source.
            sample_seed: Source of the codes; None, when not training, gives all
                examples the same code.
            **given: Nothing.

        Returns:
            As in `Autoencoder`.
        """
        shape = (ops.shape(inputs)[0], *self.latent_shape)
        z = self.noise(shape, training, sample_seed)
        decoder_output = self.decode_parameters(z, training=training, **given)
        x_hat = self.point(decoder_output)
        return {"x_hat": x_hat, "decoder_output": decoder_output, "z": z}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; the discriminator's own loss has none."""
        return {"generator": 1.0, "discriminator": 0.0}

    def compute_terms(
        self,
        x: Tensor,
        outputs: dict[str, Tensor],
        step: Tensor | None = None,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        seen = ops.stack([x, outputs["x_hat"]], axis=1)  # (batch, 2, h, w, c)
        _, logits = self.adversary(ops.reshape(seen, (-1, *self.modality.tensor_shape)))
        logits = ops.reshape(logits, (-1, 2))
        real, fake = logits[:, 0], logits[:, 1]
        # One pass serves both players: each moves its own weights only.
        return {
            "generator": ops.softplus(-fake),
            "discriminator": ops.softplus(-real) + ops.softplus(fake),
        }
