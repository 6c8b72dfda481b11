"""Variational autoencoder given labels."""

from typing import Any

from keras import ops

from aezoo.modalities import UNLABELLED
from aezoo.models._labels import LabelledEncoder, LabelledVAE
from aezoo.models.ae import TINY_CONV
from aezoo.models.arguments import number
from aezoo.networks import Conv
from aezoo.nn.distributions import uniform
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "conditional_vae", network=Conv(), tiny={**TINY_CONV, "num_classes": 3}
)
class ConditionalVAE(LabelledVAE):
    """Conditional variational autoencoder of Sohn et al. (2015).

    "Learning structured output representation using deep conditional generative
    models" (https://papers.nips.cc/paper/5775), equation 4 with an example's class as
    the condition: the negative ELBO of `log p(x|y)`, with `q(z|x, y)` and
    `p(x|z, y)`. The code need not hold the class, and is free for the rest: the
    style. The class enters the encoder as further channels, the decoder as further
    units of the code. Batches for `fit` are pairs `(x, labels)`.

    In a share `label_dropout` of the training examples the label is unknown (Ho &
    Salimans, 2022, https://arxiv.org/abs/2207.12598), so that the model is also a VAE
    of examples alone: this is what methods compute without `labels`.

    Args:
        num_classes: Number of classes.
        label_dropout: Probability that training withholds a label. With 0, methods
            without `labels` answer with what the model has never learnt.
        **kwargs: As in `VAE`.
    """

    label_dropout: float = number(0.1, low=0.0, high=1.0)

    def create_layers(self) -> None:
        """Create encoder and decoder; the encoder sees the class, too."""
        latent = self.latent
        self.encoder = LabelledEncoder(
            self.network.encoder(self.modality, self.heads, latent), self.num_classes
        )
        self.decoder = self.network.decoder(self.modality, self.output_width, latent)

    @property
    def decoder_input_shape(self) -> tuple[int, ...]:
        """The code, and the class beside it."""
        return (self.latent_dim + self.num_classes,)

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`, with integer labels `(batch,)`."""
        labels = given.get("labels")
        if training and labels is not None and self.label_dropout:
            draws = uniform(ops.shape(labels), self.seed_generator)
            labels = ops.where(draws < self.label_dropout, UNLABELLED, labels)
            given = {"labels": labels}
        return super().call(inputs, training, sample_seed, **given)

    def decode_parameters(
        self, z: Tensor, training: bool = False, **given: Tensor
    ) -> Tensor:
        """Decoder output for codes and labels; float32."""
        z = ops.concatenate([z, self.one_hot(given.get("labels"), z)], axis=-1)
        return super().decode_parameters(z, training)
