"""Variational autoencoder that compares images by the features of a discriminator."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.models.conv_vae import ConvVAE
from aezoo.nn import losses
from aezoo.registry import register_family
from aezoo.utils.validation import check_number, check_positive_int, check_positive_ints

Tensor = Any


@register_family("vae_gan")
class VAEGAN(ConvVAE):
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
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        gamma: Weight of the feature error in the decoder's objective; the higher,
            the closer are reconstructions, and the lower, the more real.
        discriminator_filters: Channels of each convolution of the discriminator,
            which halve the image.
        feature_layer: Number of the convolution whose output is compared, from 1;
            None for the last.
        **kwargs: As in `ConvVAE`. With `binarize` the discriminator would know
            reconstructions by their grey values.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **ConvVAE.TINY_CONFIG,
        "gamma": 20.0,
        "discriminator_filters": (4, 4),
        "feature_layer": 1,
    }
    ADVERSARY_TERM = "discriminator"
    adversary: "ImageDiscriminator"

    def __init__(
        self,
        *args: Any,
        gamma: float = 0.1,
        discriminator_filters: Sequence[int] = (32, 64, 128),
        feature_layer: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.gamma = check_number("gamma", gamma, above=0.0)
        self.discriminator_filters = check_positive_ints(
            "discriminator_filters", discriminator_filters, minimum=1
        )
        if feature_layer is not None:
            check_positive_int("feature_layer", feature_layer)
            check_number(
                "feature_layer", feature_layer, high=len(discriminator_filters)
            )
        self.feature_layer = feature_layer
        self.adversary = ImageDiscriminator(
            self.discriminator_filters, feature_layer or len(self.discriminator_filters)
        )

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights, those of the discriminator among them."""
        super().build(input_shape)
        if not self.adversary.built:
            self.adversary.build((None, *self.input_shape))

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

    def decode_parameters(self, z: Tensor, training: bool = False) -> Tensor:
        """Decoder output for codes; the gradient to the codes is divided by `gamma`."""
        fixed = ops.stop_gradient(z)
        z = fixed + (z - fixed) / self.gamma
        return super().decode_parameters(z, training=training)

    def call(
        self, inputs: Tensor, training: bool = False, sample_seed: Any = None
    ) -> dict[str, Tensor]:
        """Encode and decode a batch, and decode what the discriminator sees.

        Adds `x_fake`, `(batch, 2, *input_shape)`: the reconstruction again, without a
        way back to the encoder, and a sample of the prior.
        """
        outputs = super().call(inputs, training=training, sample_seed=sample_seed)
        z = ops.stop_gradient(outputs["z"])
        prior_z = self.noise(ops.shape(z), training, sample_seed)
        codes = ops.reshape(ops.stack([z, prior_z], axis=1), (-1, *self.latent_shape))
        x_fake = self.to_pixels(self.decode_parameters(codes, training=training))
        shape = (-1, 2, *self.input_shape)
        return {**outputs, "x_fake": ops.reshape(x_fake, shape)}

    def compute_terms(
        self, x: Tensor, outputs: dict[str, Tensor], step: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of the objective, unweighted, each of shape `(batch,)`."""
        seen = ops.stack([x, outputs["x_hat"]], axis=1)
        seen = ops.concatenate([seen, outputs["x_fake"]], axis=1)  # (batch, 4, h, w, c)
        features, logits = self.adversary(ops.reshape(seen, (-1, *self.input_shape)))
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

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "gamma": self.gamma,
            "discriminator_filters": list(self.discriminator_filters),
            "feature_layer": self.feature_layer,
        }


class ImageDiscriminator(keras.layers.Layer):
    """Strided convolutions from images to features, and on to one logit each.

    Each is normalised over the image, where the paper does so over the batch: features
    then have the scale for a Gaussian of unit variance, and no image sees another.

    Args:
        filters: Channels of each convolution.
        feature_layer: Number of the convolution that gives the features, from 1.
    """

    def __init__(
        self, filters: Sequence[int], feature_layer: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.feature_layer = feature_layer
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                strides=2,
                padding="same",
                name=f"conv_{i}",
            )
            for i, channels in enumerate(filters, start=1)
        ]
        self.norms = [
            keras.layers.GroupNormalization(1, name=f"norm_{i}")
            for i in range(1, len(filters) + 1)
        ]
        self.logit = keras.layers.Dense(1, name="logit")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        shape = tuple(input_shape)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        self.logit.build((None, math.prod(shape[1:])))  # type: ignore[arg-type]

    def call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(images, units)` and logits `(images,)`; float32.

        A logit is positive for what it takes as real.
        """
        x = inputs
        layers = zip(self.convs, self.norms, strict=True)
        for i, (conv, norm) in enumerate(layers, start=1):
            x = ops.leaky_relu(norm(conv(x)))
            if i == self.feature_layer:
                features = _flat(x)
        logits = self.logit(_flat(x))[:, 0]
        return ops.cast(features, "float32"), ops.cast(logits, "float32")


def _flat(x: Tensor) -> Tensor:
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))
