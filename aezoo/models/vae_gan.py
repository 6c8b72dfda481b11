"""Variational autoencoder that compares examples by the features of a discriminator."""

from typing import Any, ClassVar

from keras import ops

from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import count, sizes, weight
from aezoo.models.vae import VAE
from aezoo.networks import Conv, NetworkError
from aezoo.nn import losses
from aezoo.nn.layers.discriminators import ImageDiscriminator
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any


@register_family(
    "vae_gan",
    network=Conv(),
    tiny={
        **TINY_CONV,
        "gamma": 20.0,
        "discriminator_filters": (4, 4),
        "feature_layer": 1,
    },
)
class VAEGAN(VAE):
    """VAE-GAN of Larsen et al. (2016).

    "Autoencoding beyond pixels using a learned similarity metric"
    (https://arxiv.org/abs/1512.09300), algorithm 1. A discriminator tells images from
    reconstructions and samples of the prior (`discriminator`, equation 10; the mean
    over the two). Images are compared by the features of one of its layers,
    `feature_error`: the negative log-likelihood of a Gaussian of unit variance
    (equation 7), less its constant. The encoder minimises
    `beta * kl + feature_error`, the decoder `gamma * feature_error + generator`, where
    `generator` is the discriminator's error on decoded images in the form that does
    not saturate (Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661, section 3).
    `reconstruction`, of pixels, is reported only.

    Args:
        gamma: Weight of the feature error in the decoder's objective; the higher,
            the closer are reconstructions, and the lower, the more real.
        discriminator_filters: Channels of each convolution of the discriminator,
            which halve the image.
        feature_layer: Number of the convolution whose output is compared, from 1;
            None for the last.
        **kwargs: As in `VAE`. With `binarize` the discriminator would know
            reconstructions by their grey values.
    """

    gamma: float = weight(0.1, low=None, above=0.0)
    discriminator_filters: tuple[int, ...] = sizes((32, 64, 128), minimum=1)
    feature_layer: int | None = count(None, low=1, is_fixed=True)

    LEARNS_FROM_HOLES: ClassVar[bool] = False
    adversary_term = "discriminator"

    def check_arguments(self) -> None:
        """Refuse what has no two axes to convolve, and a layer that there is not."""
        super().check_arguments()
        if len(self.modality.positions) != 2:
            raise NetworkError(
                f"{self.family!r} compares by convolutions over two axes, and cannot "
                f"learn from {self.modality.nouns}."
            )
        if self.feature_layer is not None:
            check_number(
                "feature_layer",
                self.feature_layer,
                high=len(self.discriminator_filters),
            )

    def create_layers(self) -> None:
        """Create encoder, decoder and the discriminator between examples."""
        super().create_layers()
        filters = self.discriminator_filters
        self.adversary = ImageDiscriminator(filters, self.feature_layer or len(filters))

    @property
    def adversary_input_shape(self) -> tuple[int, ...]:
        """Examples."""
        return self.modality.tensor_shape

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; `decode_parameters` makes that of features 1.

        For the encoder, that is; the discriminator's own loss has none.
        """
        return {
            **super().loss_weights,
            "reconstruction": 0.0,
            "feature_error": self.gamma,
            "generator": 1.0,
            "discriminator": 0.0,
        }

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Decoder output for codes; the gradient to the codes is divided by `gamma`."""
        fixed = ops.stop_gradient(z)
        z = fixed + (z - fixed) / self.term_weights()["feature_error"]
        return super().decode_parameters(z, training=training, **given)

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """Encode and decode a batch, and decode what the discriminator sees.

        Adds `x_fake`, `(batch, 2, *input_shape)`: the reconstruction again, without a
        way back to the encoder, and a sample of the prior.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        z = ops.stop_gradient(outputs["z"])
        prior_z = self.noise(ops.shape(z), training, sample_seed)
        codes = ops.reshape(ops.stack([z, prior_z], axis=1), (-1, *self.latent_shape))
        both = {name: ops.repeat(v, 2, axis=0) for name, v in given.items()}
        decoded = self.decode_parameters(codes, training=training, **both)
        x_fake = self.point(decoded)
        shape = (-1, 2, *self.modality.tensor_shape)
        return {**outputs, "x_fake": ops.reshape(x_fake, shape)}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        seen = ops.stack([x, outputs["x_hat"]], axis=1)
        seen = ops.concatenate([seen, outputs["x_fake"]], axis=1)  # (batch, 4, h, w, c)
        features, logits = self.adversary(
            ops.reshape(seen, (-1, *self.modality.tensor_shape))
        )
        features = ops.reshape(features, (-1, 4, features.shape[-1]))
        logits = ops.reshape(logits, (-1, 4))
        # One pass serves both players: each moves its own weights only.
        real, fake = logits[:, 0], logits[:, 2:]
        fakes_found = ops.mean(ops.softplus(fake), axis=1)
        return {
            **super().compute_terms(x, outputs, step),
            "feature_error": 0.5 * losses.squared_error(features[:, 0], features[:, 1]),
            "generator": ops.mean(ops.softplus(-fake), axis=1),
            "discriminator": ops.softplus(-real) + fakes_found,
        }
