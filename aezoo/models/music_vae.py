"""Music VAE: a latent for some bars of several voices, and a decoder that is led."""

from typing import Any

from aezoo.modalities import Music
from aezoo.models._free_bits import FreeBits
from aezoo.networks import Voices
from aezoo.registry import register_family

TINY_MUSIC: dict[str, Any] = {
    "modality": {
        "kind": "music",
        "steps": 4,
        "voices": 2,
        "low": 60,
        "high": 64,
        "steps_per_quarter": 1,
    },
    "latent_dim": 3,
    "embedding_dim": 4,
    "encoder_units": 6,
    "summary_units": 4,
    "decoder_units": 8,
    "head_units": 6,
    "segment": 2,
    "conductor_units": 5,
}


@register_family(
    "music_vae",
    network=Voices(),
    modality=Music(),
    tiny={**TINY_MUSIC, "free_bits": 1.0},
    latent_dim=64,
)
class MusicVAE(FreeBits):
    """Variational autoencoder of music of Roberts et al. (2018).

    "A hierarchical latent vector model for learning long-term structure in music"
    (https://arxiv.org/abs/1803.05428), section 2.1.2: `reconstruction + beta *
    max(kl, free_bits)`, with a `beta` below 1, where p(x|z) is a recurrent decoder that
    writes step by step, and from voice to voice; a conductor leads it, or none does
    (`segment` of the network).

    It is a VAE on any network and modality.

    Args:
        free_bits: Nats of the KL of an example that cost nothing: the term `free_bits`
            is what the KL lacks to it.
        **kwargs: As in `VAE`.
    """
