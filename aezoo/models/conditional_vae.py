"""Variational autoencoder given labels."""

from collections.abc import Sequence
from typing import Any, ClassVar

from keras import ops

from aezoo.models._labels import UNLABELLED, LabelledAutoencoder, LabelledEncoder
from aezoo.models._networks import ConvNetwork
from aezoo.models.conv_vae import ConvVAE
from aezoo.nn.distributions import uniform
from aezoo.registry import register_family
from aezoo.utils.validation import check_number

Tensor = Any


@register_family("conditional_vae")
class ConditionalVAE(ConvNetwork, LabelledAutoencoder):
    """Conditional variational autoencoder of Sohn et al. (2015).

    "Learning structured output representation using deep conditional generative
    models" (https://papers.nips.cc/paper/5775), equation 4 with an image's class as
    the condition: the negative ELBO of `log p(x|y)`, with `q(z|x, y)` and
    `p(x|z, y)`. The code need not hold the class, and is free for the rest: the
    style. The class enters the encoder as further channels, the decoder as further
    units of the code. Batches for `fit` are pairs `(images, labels)`.

    In a share `label_dropout` of the training examples the label is unknown (Ho &
    Salimans, 2022, https://arxiv.org/abs/2207.12598), so that the model is also a VAE
    of images alone: this is what methods compute without `labels`.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        num_classes: Number of classes.
        label_dropout: Probability that training withholds a label. With 0, methods
            without `labels` answer with what the model has never learnt.
        **kwargs: As in `ConvNetwork` and `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {**ConvVAE.TINY_CONFIG, "num_classes": 3}

    def __init__(self, *args: Any, label_dropout: float = 0.1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_dropout = check_number(
            "label_dropout", label_dropout, low=0.0, high=1.0
        )
        inner = self.encoder
        del self.encoder  # or Keras would hold it twice
        self.encoder = LabelledEncoder(inner, self.num_classes)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights; the decoder sees the class beside the code."""
        if not self.decoder.built:
            self.share_dtype_policy()
            self.decoder.build((None, self.latent_dim + self.num_classes))
        super().build(input_shape)

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`, with integer labels `(batch,)`."""
        if training and labels is not None and self.label_dropout:
            draws = uniform(ops.shape(labels), self.seed_generator)
            labels = ops.where(draws < self.label_dropout, UNLABELLED, labels)
        return super().call(inputs, training, sample_seed, labels)

    def encode_parameters(
        self, x: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Parameters of q(z|x, y) for images in [0, 1] and labels; float32."""
        classes = self.one_hot(labels, x)
        return self.to_parameters(self.encoder(x, classes, training=training))

    def decode_parameters(
        self, z: Tensor, training: bool = False, labels: Tensor | None = None
    ) -> Tensor:
        """Decoder output for codes and labels; float32."""
        z = ops.concatenate([z, self.one_hot(labels, z)], axis=-1)
        decoder_output = self.decoder(
            ops.cast(z, self.compute_dtype), training=training
        )
        return ops.cast(decoder_output, "float32")

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "label_dropout": self.label_dropout}
