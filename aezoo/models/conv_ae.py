"""Convolutional autoencoder."""

from typing import Any, ClassVar

from aezoo.models._networks import CodeActivation, ConvNetwork
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.registry import register_family


@register_family("conv_ae")
class ConvAE(ConvNetwork, CodeActivation, DeterministicAutoencoder):
    """Convolutional autoencoder with a dense code.

    After Masci et al. (2011), "Stacked convolutional auto-encoders for hierarchical
    feature extraction" (https://doi.org/10.1007/978-3-642-21735-7_7), with strided
    convolutions in place of pooling. Trained with `corruption` it is the denoising
    autoencoder of Vincent et al. (2010), with `sparsity` a sparse one.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `ConvNetwork`, `CodeActivation` and `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "filters": (4, 6),
        "hidden_units": (8,),
    }
