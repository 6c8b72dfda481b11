"""The networks that families share, as mixins: what an objective is combined with.

A family is an objective; its network comes from here, with the arguments that shape it:

    class ConvVAE(ConvNetwork, VariationalAutoencoder): ...

So every objective can be compared on the same network, and a network is written once.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.layers import (
    NORMALIZATIONS,
    UPSAMPLING,
    ConvDecoder,
    ConvEncoder,
    ConvMapDecoder,
    ConvMapEncoder,
    ConvMapHeadsEncoder,
    DenseDecoder,
    DenseEncoder,
    Discriminator,
    map_sizes,
)
from aezoo.utils.validation import (
    check_choice,
    check_number,
    check_positive_ints,
    check_strides,
)


class CodeActivation(Autoencoder):
    """An activation on the code; follows the network in a family's bases.

    Args:
        *args: Arguments of the objective.
        code_activation: Keras activation of the code; `"relu"` gives exact zeros.
        **kwargs: Arguments of the objective.
    """

    def __init__(
        self, *args: Any, code_activation: str = "linear", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.code_activation = code_activation

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {**super().config, "code_activation": self.code_activation}


class CodeDiscriminator(Autoencoder):
    """A discriminator between codes, the model's adversary; precedes the family's base.

    The family's terms must hold `discriminator`, its loss, which it alone minimises.

    Args:
        *args: Arguments of the objective.
        discriminator_units: Width of each hidden layer of the discriminator.
        **kwargs: Arguments of the objective.
    """

    ADVERSARY_TERM = "discriminator"

    def __init__(
        self,
        *args: Any,
        discriminator_units: Sequence[int] = (256, 256, 256),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.discriminator_units = check_positive_ints(
            "discriminator_units", discriminator_units
        )
        self.adversary = Discriminator(self.discriminator_units)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Create all weights, those of the discriminator among them."""
        super().build(input_shape)
        if not self.adversary.built:
            self.adversary.build((None, *self.latent_shape))

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term in `loss`; the discriminator's own loss has none."""
        return {**super().loss_weights, "discriminator": 0.0}

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "discriminator_units": list(self.discriminator_units),
        }


class DenseNetwork(Autoencoder):
    """Dense layers to the code, and mirrored dense layers back.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        hidden_units: Width of each hidden layer of the encoder; the decoder mirrors
            them.
        activation: Keras activation of the hidden layers.
        **kwargs: Arguments of the objective.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 16,
        *,
        hidden_units: Sequence[int] = (512, 256),
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.hidden_units = check_positive_ints("hidden_units", hidden_units)
        self.activation = activation
        self.encoder = DenseEncoder(
            self.hidden_units, activation, latent_dim, self.HEADS, self.code_activation
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


class ConvNetwork(Autoencoder):
    """Strided convolutions and dense layers to the code, and their mirror back.

    With `residual_blocks` it is a ResNet (He et al., 2016,
    https://arxiv.org/abs/1603.05027): so many pre-activation blocks of two 3x3
    convolutions follow each strided convolution, and precede it on the way back.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        filters: Channels of each 3x3 convolution of the encoder.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer between the feature map and the code.
        activation: Keras activation of the hidden layers.
        upsampling: How the decoder doubles sizes: `"resize_conv"` (the default: free
            of checkerboard, at the speed of a transposed convolution),
            `"transposed_conv"` or `"subpixel"`.
        residual_blocks: Residual blocks after each convolution.
        normalization: In the residual blocks: None, `"batch"` or `"group"`.
        **kwargs: Arguments of the objective.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 16,
        *,
        filters: Sequence[int] = (32, 64),
        strides: Sequence[int] = (2, 2),
        hidden_units: Sequence[int] = (256,),
        activation: str = "relu",
        upsampling: str = "resize_conv",
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, latent_dim, **kwargs)
        self.filters = check_positive_ints("filters", filters, minimum=1)
        self.strides = check_strides(strides, self.filters)
        self.hidden_units = check_positive_ints("hidden_units", hidden_units)
        self.activation = activation
        self.upsampling = check_choice("upsampling", upsampling, UPSAMPLING)
        self.residual_blocks = int(
            check_number("residual_blocks", residual_blocks, low=0)
        )
        self.normalization = check_choice(
            "normalization", normalization, (None, *NORMALIZATIONS)
        )
        self.encoder = ConvEncoder(
            self.filters,
            self.strides,
            self.hidden_units,
            activation,
            latent_dim,
            self.HEADS,
            self.code_activation,
            residual_blocks=self.residual_blocks,
            normalization=normalization,
        )
        self.decoder = ConvDecoder(
            self.filters,
            self.strides,
            self.hidden_units[::-1],
            activation,
            self.input_shape,
            upsampling,
            residual_blocks=self.residual_blocks,
            normalization=normalization,
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
            "upsampling": self.upsampling,
            "residual_blocks": self.residual_blocks,
            "normalization": self.normalization,
        }


class ResidualNetwork(ConvNetwork):
    """`ConvNetwork` with a normalised residual block a stage, for 32x32 RGB images.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        latent_dim: Number of code units.
        filters: As in `ConvNetwork`.
        strides: As in `ConvNetwork`.
        hidden_units: As in `ConvNetwork`.
        residual_blocks: As in `ConvNetwork`.
        normalization: As in `ConvNetwork`.
        **kwargs: As in `ConvNetwork`.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (32, 32, 3),
        latent_dim: int = 128,
        *,
        filters: Sequence[int] = (32, 64, 128),
        strides: Sequence[int] = (2, 2, 2),
        hidden_units: Sequence[int] = (),
        residual_blocks: int = 1,
        normalization: str | None = "group",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_shape,
            latent_dim,
            filters=filters,
            strides=strides,
            hidden_units=hidden_units,
            residual_blocks=residual_blocks,
            normalization=normalization,
            **kwargs,
        )


class ConvMapNetwork(Autoencoder):
    """Strided convolutions to a map of vectors, and their mirror back.

    `ConvNetwork` without its dense layers: the code keeps the image's two axes.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        filters: Channels of each 3x3 convolution of the encoder.
        strides: Stride (1 or 2) of each convolution.
        activation: Keras activation of the hidden layers.
        upsampling: As in `ConvNetwork`.
        residual_blocks: Residual blocks after each convolution.
        normalization: In the residual blocks: None, `"batch"` or `"group"`.
        **kwargs: Arguments of the objective.
    """

    DERIVED_ARGUMENTS: ClassVar[frozenset[str]] = frozenset({"latent_dim"})

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        *,
        filters: Sequence[int] = (32, 64),
        strides: Sequence[int] = (2, 2),
        activation: str = "relu",
        upsampling: str = "resize_conv",
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, **kwargs)
        self.filters = check_positive_ints("filters", filters, minimum=1)
        self.strides = check_strides(strides, self.filters)
        self.activation = activation
        self.upsampling = check_choice("upsampling", upsampling, UPSAMPLING)
        self.residual_blocks = int(
            check_number("residual_blocks", residual_blocks, low=0)
        )
        self.normalization = check_choice(
            "normalization", normalization, (None, *NORMALIZATIONS)
        )

    def add_networks(
        self, code_dim: int, quantizer: keras.layers.Layer | None = None
    ) -> None:
        """Set encoder and decoder.

        Args:
            code_dim: Width of a vector of the map.
            quantizer: What gives the vectors' codes; None for a map per head.
        """
        height, width, _ = self.input_shape
        self.map_shape = (*map_sizes(height, width, self.strides)[-1], code_dim)
        self.latent_dim = math.prod(self.map_shape)
        options: dict[str, Any] = {
            "residual_blocks": self.residual_blocks,
            "normalization": self.normalization,
        }
        shape = (self.filters, self.strides, self.activation)
        if quantizer is None:
            self.encoder = ConvMapHeadsEncoder(*shape, code_dim, self.HEADS, **options)
        else:
            self.encoder = ConvMapEncoder(*shape, code_dim, quantizer, **options)
        self.decoder = ConvMapDecoder(
            *shape, self.input_shape, self.upsampling, **options
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one code, `(h, w, code_dim)`."""
        return self.map_shape

    @property
    def config(self) -> dict[str, Any]:
        """The family's own arguments: `aezoo.create(family, **config)` rebuilds it."""
        return {
            **super().config,
            "filters": list(self.filters),
            "strides": list(self.strides),
            "activation": self.activation,
            "upsampling": self.upsampling,
            "residual_blocks": self.residual_blocks,
            "normalization": self.normalization,
        }
