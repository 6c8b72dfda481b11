"""Deep autoencoder of dense layers."""

from typing import Any, ClassVar

from aezoo.models._networks import CodeActivation, DenseNetwork
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.registry import register_family


@register_family("dense_ae")
class DenseAE(DenseNetwork, CodeActivation, DeterministicAutoencoder):
    """Deep undercomplete autoencoder of Hinton & Salakhutdinov (2006).

    "Reducing the dimensionality of data with neural networks"
    (https://doi.org/10.1126/science.1127647): dense layers narrow to the code and
    widen again, with a mirrored decoder; trained end to end instead of by stacked
    Boltzmann machines.

    Args:
        *args: `input_shape` and `latent_dim`, as in `Autoencoder`.
        **kwargs: As in `DenseNetwork`, `CodeActivation` and `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "hidden_units": (16,),
    }
