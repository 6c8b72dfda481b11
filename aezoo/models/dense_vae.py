"""Variational autoencoder of dense layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aezoo.layers import DenseDecoder, DenseEncoder
from aezoo.models._base import VariationalAutoencoder
from aezoo.registry import register_family
from aezoo.validation import check_positive_ints


@register_family("dense_vae")
class DenseVAE(VariationalAutoencoder):
    """Variational autoencoder of Kingma & Welling (2014) with dense networks.

    "Auto-encoding variational Bayes" (https://arxiv.org/abs/1312.6114), section 3 and
    appendix C: a dense encoder to the mean and log-variance of a diagonal Gaussian,
    and a mirrored dense decoder to the pixels' likelihood.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        hidden_units: Width of each hidden layer of the encoder; the decoder mirrors
            them.
        activation: Keras activation of the hidden layers.
        **kwargs: As in `VariationalAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "hidden_units": (16,),
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 20,
        *,
        hidden_units: Sequence[int] = (400,),
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.hidden_units = check_positive_ints("hidden_units", hidden_units)
        self.activation = activation
        self.encoder = DenseEncoder(
            self.hidden_units, activation, latent_dim, self.HEADS
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
        }
