"""Residual variational autoencoder."""

from typing import Any, ClassVar

from aezoo.models._networks import ResidualNetwork
from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.registry import register_family


@register_family("resnet_vae")
class ResNetVAE(ResidualNetwork, VariationalAutoencoder):
    """Variational autoencoder on residual networks of He et al. (2016).

    "Identity mappings in deep residual networks" (https://arxiv.org/abs/1603.05027):
    pre-activation blocks with normalisation, in encoder and decoder; the objective is
    that of Kingma & Welling (2014, https://arxiv.org/abs/1312.6114). `conv_vae` with
    other defaults, for images in colour.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `ResidualNetwork` and `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 3),
        "latent_dim": 3,
        "filters": (4, 6),
        "strides": (2, 2),
    }
