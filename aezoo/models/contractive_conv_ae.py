"""Convolutional autoencoder whose code resists small changes of the image."""

from typing import Any, ClassVar

from aezoo.models.contractive_ae import Contraction
from aezoo.models.conv_ae import ConvAE
from aezoo.registry import register_family


@register_family("contractive_conv_ae")
class ContractiveConvAE(Contraction, ConvAE):
    """Contractive autoencoder of Rifai et al. (2011) with convolutions.

    "Contractive auto-encoders" (https://icml.cc/2011/papers/455_icmlpaper.pdf),
    equation 3, on the network of `ConvAE`; the Jacobian's norm is estimated.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `Contraction` and `ConvAE`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        **ConvAE.TINY_CONFIG,
        "contraction_weight": 0.01,
    }
