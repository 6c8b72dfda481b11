"""Deep autoencoder of dense layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aezoo.layers import DenseDecoder, DenseEncoder
from aezoo.models._base import DeterministicAutoencoder
from aezoo.registry import register_family
from aezoo.validation import check_positive_ints


@register_family("dense_ae")
class DenseAE(DeterministicAutoencoder):
    """Deep undercomplete autoencoder of Hinton & Salakhutdinov (2006).

    "Reducing the dimensionality of data with neural networks"
    (https://doi.org/10.1126/science.1127647): dense layers narrow to the code and
    widen again, with a mirrored decoder; trained end to end instead of by stacked
    Boltzmann machines.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        hidden_units: Width of each hidden layer of the encoder; the decoder mirrors
            them.
        activation: Keras activation of the hidden layers.
        code_activation: Keras activation of the code; `"relu"` gives exact zeros.
        **kwargs: As in `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "hidden_units": (16,),
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        *,
        hidden_units: Sequence[int] = (512, 256),
        activation: str = "relu",
        code_activation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.hidden_units = check_positive_ints("hidden_units", hidden_units)
        self.activation = activation
        self.code_activation = code_activation
        self.encoder = DenseEncoder(
            self.hidden_units, activation, latent_dim, self.HEADS, code_activation
        )
        self.decoder = DenseDecoder(
            self.hidden_units[::-1], activation, self.input_shape
        )

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "code_activation": self.code_activation,
        }
