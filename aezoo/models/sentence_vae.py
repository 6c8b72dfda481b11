"""Sentence VAE: a latent for a whole sentence, and words that follow from it."""

from typing import Any, ClassVar

from keras import ops

from aezoo.modalities import Text
from aezoo.models._free_bits import FreeBits
from aezoo.models.ae import TINY_TEXT
from aezoo.networks import Recurrent
from aezoo.nn import losses
from aezoo.registry import register_family

Tensor = Any


@register_family(
    "sentence_vae",
    network=Recurrent(),
    modality=Text(),
    tiny={**TINY_TEXT, "word_dropout": 0.3, "free_bits": 0.2},
    latent_dim=32,
)
class SentenceVAE(FreeBits):
    """Variational autoencoder of sentences of Bowman et al. (2016).

    "Generating sentences from a continuous space"
    (https://arxiv.org/abs/1511.06349), equation 1: `reconstruction + kl`, where
    p(x|z) = prod_t p(x_t | x_<t, z) is a recurrent language model that is told z. So
    strong a decoder can do without the latent, and training then leaves it unused.
    Against that are the paper's annealing of the KL term (`kl_warmup_steps`) and its
    word dropout (`word_dropout` of the network), and the free bits of Kingma et al.
    (2016, https://arxiv.org/abs/1606.04934, equation 15): no unit gains from a KL
    below `free_bits`.

    It is a VAE on any network and modality.

    Args:
        free_bits: Nats per unit that cost nothing: the term `free_bits` is what the
            mean KL of a batch lacks to it, so that `kl + free_bits` is the sum over
            units of `max(free_bits, KL)`.
        **kwargs: As in `VAE`.
    """

    BATCH_TERMS: ClassVar[frozenset[str]] = frozenset({"free_bits"})

    def lacking(
        self,
        outputs: dict[str, Tensor],
        kl: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """What the mean KL of each unit lacks to the free bits, `(batch,)`."""
        mean, log_var = outputs["z_mean"], outputs["z_log_var"]
        # one unit at a time is one example to `gaussian_kl`
        of_units = (ops.reshape(v, (-1, 1)) for v in (mean, log_var))
        by_unit = ops.reshape(losses.gaussian_kl(*of_units), ops.shape(mean))
        return self.lacking_on_average(by_unit)
