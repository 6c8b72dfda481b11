"""Convolutional autoencoder."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aezoo.layers import UPSAMPLING, ConvDecoder, ConvEncoder
from aezoo.models._base import DeterministicAutoencoder
from aezoo.registry import register_family
from aezoo.validation import check_choice, check_positive_ints, check_strides


@register_family("conv_ae")
class ConvAE(DeterministicAutoencoder):
    """Convolutional autoencoder with a dense code.

    After Masci et al. (2011), "Stacked convolutional auto-encoders for hierarchical
    feature extraction" (https://doi.org/10.1007/978-3-642-21735-7_7), with strided
    convolutions in place of pooling. Trained with `corruption` it is the denoising
    autoencoder of Vincent et al. (2010), with `sparsity` a sparse one.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        filters: Channels of each 3x3 convolution of the encoder.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer between the feature map and the code.
        activation: Keras activation of the hidden layers.
        code_activation: Keras activation of the code; `"relu"` gives exact zeros.
        upsampling: How the decoder doubles sizes: `"resize_conv"` (the default: free
            of checkerboard, at the speed of a transposed convolution),
            `"transposed_conv"` or `"subpixel"`.
        **kwargs: As in `DeterministicAutoencoder`.
    """

    TINY_CONFIG: ClassVar[dict[str, Any]] = {
        "input_shape": (8, 8, 1),
        "latent_dim": 3,
        "filters": (4, 6),
        "hidden_units": (8,),
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 32,
        *,
        filters: Sequence[int] = (32, 64),
        strides: Sequence[int] = (2, 2),
        hidden_units: Sequence[int] = (256,),
        activation: str = "relu",
        code_activation: str = "linear",
        upsampling: str = "resize_conv",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.filters = check_positive_ints("filters", filters, minimum=1)
        self.strides = check_strides(strides, self.filters)
        self.hidden_units = check_positive_ints("hidden_units", hidden_units)
        self.activation = activation
        self.code_activation = code_activation
        self.upsampling = check_choice("upsampling", upsampling, UPSAMPLING)
        self.encoder = ConvEncoder(
            self.filters,
            self.strides,
            self.hidden_units,
            activation,
            latent_dim,
            self.HEADS,
            code_activation,
        )
        self.decoder = ConvDecoder(
            self.filters,
            self.strides,
            self.hidden_units[::-1],
            activation,
            self.input_shape,
            upsampling,
        )

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "filters": list(self.filters),
            "strides": list(self.strides),
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "code_activation": self.code_activation,
            "upsampling": self.upsampling,
        }
