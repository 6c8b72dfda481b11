"""Residual autoencoder."""

from typing import Any, ClassVar

from aezoo.models._networks import CodeActivation, ResidualNetwork
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.registry import register_family


@register_family("resnet_ae")
class ResNetAE(ResidualNetwork, CodeActivation, DeterministicAutoencoder):
    """Autoencoder on residual networks of He et al. (2016).

    "Identity mappings in deep residual networks" (https://arxiv.org/abs/1603.05027):
    pre-activation blocks with normalisation, in encoder and decoder, around a dense
    code. `conv_ae` with other defaults, for images in colour.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `ResidualNetwork`, `CodeActivation` and
            `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 3),
        "latent_dim": 3,
        "filters": (4, 6),
        "strides": (2, 2),
    }
