"""Variational autoencoder of dense layers."""

from typing import Any, ClassVar

from aezoo.models._networks import DenseNetwork
from aezoo.models.autoencoder import VariationalAutoencoder
from aezoo.registry import register_family


@register_family("dense_vae")
class DenseVAE(DenseNetwork, VariationalAutoencoder):
    """Variational autoencoder of Kingma & Welling (2014) with dense networks.

    "Auto-encoding variational Bayes" (https://arxiv.org/abs/1312.6114), section 3 and
    appendix C: a dense encoder to the mean and log-variance of a diagonal Gaussian,
    and a mirrored dense decoder to the pixels' likelihood.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `DenseNetwork` and `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "hidden_units": (16,),
    }
