"""Convolutional variational autoencoder."""

from typing import Any, ClassVar

from aezoo.models._networks import ConvNetwork
from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.registry import register_family


@register_family("conv_vae")
class ConvVAE(ConvNetwork, VariationalAutoencoder):
    """Variational autoencoder of Kingma & Welling (2014) with convolutions.

    "Auto-encoding variational Bayes" (https://arxiv.org/abs/1312.6114): a strided
    convolutional encoder to the mean and log-variance of a diagonal Gaussian, and a
    mirrored decoder to the pixels' likelihood.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `ConvNetwork` and `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "filters": (4, 6),
        "hidden_units": (8,),
    }
