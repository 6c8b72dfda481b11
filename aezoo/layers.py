"""Networks that more than one family uses: dense and convolutional halves."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any
UPSAMPLING = ("resize_conv", "transposed_conv", "subpixel")
NORMALIZATIONS = ("batch", "group")


@keras.saving.register_keras_serializable("aezoo")
class ResizeConv2D(keras.layers.Layer):
    """Nearest-neighbour 2x upsampling followed by a 3x3 convolution, in one step.

    Odena et al. (2016), https://distill.pub/2016/deconv-checkerboard, show that a
    resize before the convolution avoids checkerboard artefacts. Written as two
    operations it convolves an image of four times the pixels. But nearest-neighbour
    upsampling is itself a transposed convolution with a 2x2 box, so the pair equals
    *one* transposed convolution of stride 2 whose 4x4 kernel is the 3x3 kernel
    convolved with that box. That is what runs here: the same function and the same
    parameters, at the speed of a transposed convolution.

    Input `(batch, h, w, channels)`, output `(batch, 2h, 2w, filters)`.

    Args:
        filters: Output channels.
        activation: Keras activation, applied to the output.
        kernel_initializer: Initialiser of the 3x3 kernel.
    """

    def __init__(
        self,
        filters: int,
        activation: str | None = None,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the 3x3 kernel and the bias."""
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Upsample and convolve."""
        # Convolving with the 2x2 box adds four shifted copies: (3, 3) -> (4, 4).
        # A transposed convolution mirrors its kernel, hence the flip, and wants
        # (4, 4, out, in).
        kernel = ops.flip(ops.cast(self.kernel, self.compute_dtype), axis=(0, 1))
        rows = ops.pad(kernel, ((0, 1), (0, 0), (0, 0), (0, 0))) + ops.pad(
            kernel, ((1, 0), (0, 0), (0, 0), (0, 0))
        )
        box = ops.pad(rows, ((0, 0), (0, 1), (0, 0), (0, 0))) + ops.pad(
            rows, ((0, 0), (1, 0), (0, 0), (0, 0))
        )
        outputs = ops.conv_transpose(
            inputs, ops.transpose(box, (0, 1, 3, 2)), strides=2, padding="same"
        )
        return self.activation(outputs + ops.cast(self.bias, self.compute_dtype))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, 2h, 2w, filters)`."""
        batch, height, width, _ = input_shape
        return batch, 2 * height, 2 * width, self.filters  # type: ignore[operator]

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable("aezoo")
class SubpixelConv2D(keras.layers.Layer):
    """3x3 convolution to 4x the channels, rearranged to 2x the size.

    Shi et al. (2016), https://arxiv.org/abs/1609.05158, initialised as by Aitken et
    al. (2017), https://arxiv.org/abs/1707.02937: the four sub-kernels of an output
    channel start equal, so the untrained layer has no checkerboard.

    Input `(batch, h, w, channels)`, output `(batch, 2h, 2w, filters)`.

    Args:
        filters: Output channels.
        activation: Keras activation, applied to the output.
    """

    def __init__(
        self, filters: int, activation: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = keras.activations.get(activation)
        self.conv = keras.layers.Conv2D(
            4 * filters, 3, padding="same", kernel_initializer=SubpixelInitializer()
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the convolution."""
        self.conv.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve and rearrange."""
        _, height, width, _ = inputs.shape
        outputs = self.conv(inputs)  # (batch, h, w, 2 * 2 * filters)
        outputs = ops.reshape(outputs, (-1, height, width, 2, 2, self.filters))
        outputs = ops.transpose(outputs, (0, 1, 3, 2, 4, 5))  # (b, h, 2, w, 2, f)
        outputs = ops.reshape(outputs, (-1, 2 * height, 2 * width, self.filters))
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, 2h, 2w, filters)`."""
        batch, height, width, _ = input_shape
        return batch, 2 * height, 2 * width, self.filters  # type: ignore[operator]

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable("aezoo")
class SubpixelInitializer(keras.initializers.Initializer):
    """Glorot-uniform kernels repeated four times along the output channels."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        """Kernel of shape `(k, k, in, 4 * out)` whose four blocks are equal."""
        *start, channels = shape
        kernel = keras.initializers.GlorotUniform()((*start, channels // 4), dtype)
        return ops.concatenate([kernel] * 4, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


def upsampling_layer(
    method: str, filters: int, activation: str | None, name: str
) -> keras.layers.Layer:
    """A layer that doubles height and width; `method` is one of `UPSAMPLING`."""
    if method == "resize_conv":
        return ResizeConv2D(filters, activation=activation, name=name)
    if method == "subpixel":
        return SubpixelConv2D(filters, activation=activation, name=name)
    return keras.layers.Conv2DTranspose(
        filters, 3, strides=2, padding="same", activation=activation, name=name
    )


class ResidualBlock(keras.layers.Layer):
    """Pre-activation residual block of two 3x3 convolutions.

    He et al. (2016), "Identity mappings in deep residual networks"
    (https://arxiv.org/abs/1603.05027), figure 1b:
    `x + conv(activation(norm(conv(activation(norm(x))))))`. The second convolution
    starts at zero, so that the untrained block is the identity (Goyal et al., 2017,
    https://arxiv.org/abs/1706.02677, section 5.1).

    Args:
        channels: Channels of input and output.
        activation: Activation before each convolution.
        normalization: None, `"batch"`, or `"group"` (Wu & He, 2018,
            https://arxiv.org/abs/1803.08494): groups of 8 channels where 8 divides
            them, else one group.
    """

    def __init__(
        self,
        channels: int,
        activation: str | None,
        normalization: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                padding="same",
                kernel_initializer=initializer,
                name=f"conv_{i}",
            )
            for i, initializer in ((1, "he_normal"), (2, "zeros"))
        ]
        self.norms = _normalizations(normalization, channels)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the layers for feature maps `(batch, h, w, channels)`."""
        for layer in (*self.norms, *self.convs):
            layer.build(tuple(input_shape))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Add the block's change to its input, `(batch, h, w, channels)`."""
        x = inputs
        for i, conv in enumerate(self.convs):
            if self.norms:
                x = self.norms[i](x, training=training)
            x = conv(self.activation(x))
        return inputs + x


def _normalizations(kind: str | None, channels: int) -> list[keras.layers.Layer]:
    names = ("norm_1", "norm_2")
    if kind == "batch":
        return [keras.layers.BatchNormalization(momentum=0.9, name=n) for n in names]
    if kind == "group":
        groups = channels // 8 if channels % 8 == 0 else 1
        return [keras.layers.GroupNormalization(groups, name=n) for n in names]
    return []


class DenseEncoder(keras.layers.Layer):
    """Flatten, then dense layers, then one linear head per output.

    Args:
        hidden_units: Width of each hidden layer.
        activation: Activation of the hidden layers.
        latent_dim: Width of each head.
        heads: Names of the outputs, e.g. `("z",)` or `("z_mean", "z_log_var")`.
        code_activation: Activation of the heads.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: str,
        latent_dim: int,
        heads: Sequence[str],
        code_activation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.heads = _heads(heads, latent_dim, code_activation)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        width = math.prod(input_shape[1:])  # type: ignore[arg-type]
        _build_dense([*self.hidden], [*self.heads.values()], width)

    def call(self, inputs: Tensor) -> dict[str, Tensor]:
        """Map images to one `(batch, latent_dim)` tensor per head."""
        x = self.flatten(inputs)
        for layer in self.hidden:
            x = layer(x)
        return {name: head(x) for name, head in self.heads.items()}


class DenseDecoder(keras.layers.Layer):
    """Dense layers, then a linear layer to pixels, then a reshape to an image.

    Args:
        hidden_units: Width of each hidden layer, from the code to the pixels.
        activation: Activation of the hidden layers.
        output_shape: Shape `(height, width, channels)` of one image.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: str,
        output_shape: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_shape = tuple(output_shape)
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.pixels = keras.layers.Dense(math.prod(self.image_shape), name="pixels")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, latent_dim)`."""
        _build_dense([*self.hidden], [self.pixels], input_shape[-1])

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to pixels before the output activation."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return ops.reshape(self.pixels(x), (-1, *self.image_shape))


class Discriminator(keras.layers.Layer):
    """Dense layers from codes to one logit each: positive for what it takes as real.

    Args:
        hidden_units: Width of each hidden layer.
    """

    def __init__(self, hidden_units: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = [
            keras.layers.Dense(units, activation="leaky_relu", name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.logit = keras.layers.Dense(1, name="logit")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, *latent_shape)`."""
        width = math.prod(input_shape[1:])  # type: ignore[arg-type]
        _build_dense([*self.hidden], [self.logit], width)

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to logits, float32, `(batch,)`."""
        x = self.flatten(inputs)
        for layer in self.hidden:
            x = layer(x)
        return ops.cast(self.logit(x)[:, 0], "float32")


class ConvEncoder(keras.layers.Layer):
    """Strided convolutions, dense layers, then one linear head per output.

    With residual blocks, the convolutions are linear and the blocks activate.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        hidden_units: Width of each dense layer.
        activation: Activation of the hidden layers.
        latent_dim: Width of each head.
        heads: Names of the outputs, e.g. `("z",)` or `("z_mean", "z_log_var")`.
        code_activation: Activation of the heads.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        hidden_units: Sequence[int],
        activation: str,
        latent_dim: int,
        heads: Sequence[str],
        code_activation: str = "linear",
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_plain = residual_blocks == 0
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3,
                strides=stride,
                padding="same",
                activation=activation if is_plain else None,
                name=f"conv_{i}",
            )
            for i, (channels, stride) in enumerate(
                zip(filters, strides, strict=True), start=1
            )
        ]
        self.blocks = [
            [
                ResidualBlock(
                    channels, activation, normalization, name=f"block_{i}_{j}"
                )
                for j in range(1, residual_blocks + 1)
            ]
            for i, channels in enumerate(filters, start=1)
        ]
        self.final_activation = keras.activations.get(None if is_plain else activation)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.heads = _heads(heads, latent_dim, code_activation)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        shape = tuple(input_shape)
        for conv, blocks in zip(self.convs, self.blocks, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            for block in blocks:
                block.build(shape)
        width = math.prod(shape[1:])  # type: ignore[arg-type]
        _build_dense([*self.hidden], [*self.heads.values()], width)

    def call(self, inputs: Tensor) -> dict[str, Tensor]:
        """Map images to one `(batch, latent_dim)` tensor per head."""
        x = inputs
        for conv, blocks in zip(self.convs, self.blocks, strict=True):
            x = conv(x)
            for block in blocks:
                x = block(x)
        x = self.flatten(self.final_activation(x))
        for layer in self.hidden:
            x = layer(x)
        return {name: head(x) for name, head in self.heads.items()}


class ConvDecoder(keras.layers.Layer):
    """Mirror of `ConvEncoder`: dense layers, then upsampling convolutions.

    A size that strides do not divide (28 -> 14 -> 7 -> 4) is met by cropping the
    doubled feature map (4 -> 8, cropped to 7).

    Args:
        filters: Channels of the encoder's convolutions, in the encoder's order.
        strides: Strides of the encoder's convolutions, in the encoder's order.
        hidden_units: Width of each dense layer, from the code to the pixels.
        activation: Activation of the hidden layers.
        output_shape: Shape `(height, width, channels)` of one image.
        upsampling: One of `UPSAMPLING`.
        residual_blocks: Residual blocks before each convolution.
        normalization: Of the residual blocks.
    """

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        hidden_units: Sequence[int],
        activation: str,
        output_shape: Sequence[int],
        upsampling: str,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_plain = residual_blocks == 0
        height, width, channels = output_shape
        sizes = [(height, width)]  # of the encoder's feature maps, image first
        for stride in strides:
            sizes.append(tuple(-(-side // stride) for side in sizes[-1]))  # type: ignore[arg-type]
        self.start_shape = (*sizes[-1], filters[-1])
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.to_map = keras.layers.Dense(
            math.prod(self.start_shape),
            activation=activation if is_plain else None,
            name="to_map",
        )
        self.blocks = [
            [
                ResidualBlock(
                    channels, activation, normalization, name=f"block_{i}_{j}"
                )
                for j in range(1, residual_blocks + 1)
            ]
            for i, channels in enumerate(reversed(filters), start=1)
        ]
        self.before_conv = keras.activations.get(None if is_plain else activation)
        self.convs: list[keras.layers.Layer] = []
        outputs = [channels, *filters[:-1]][::-1]
        for i, (channels_out, stride) in enumerate(
            zip(outputs, reversed(strides), strict=True), start=1
        ):
            is_last = i == len(outputs)
            layer_activation = activation if is_plain and not is_last else None
            name = f"conv_{i}"
            self.convs.append(
                upsampling_layer(upsampling, channels_out, layer_activation, name)
                if stride == 2
                else keras.layers.Conv2D(
                    channels_out,
                    3,
                    padding="same",
                    activation=layer_activation,
                    name=name,
                )
            )
        self.sizes = sizes[-2::-1]  # the size that each convolution must produce

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, latent_dim)`."""
        _build_dense([*self.hidden], [self.to_map], input_shape[-1])
        height, width, channels = self.start_shape
        for conv, blocks, size in zip(self.convs, self.blocks, self.sizes, strict=True):
            for block in blocks:
                block.build((None, height, width, channels))
            conv.build((None, height, width, channels))
            channels = conv.compute_output_shape((None, height, width, channels))[-1]
            height, width = size

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to pixels before the output activation."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        x = ops.reshape(self.to_map(x), (-1, *self.start_shape))
        for conv, blocks, (height, width) in zip(
            self.convs, self.blocks, self.sizes, strict=True
        ):
            for block in blocks:
                x = block(x)
            x = conv(self.before_conv(x))
            if x.shape[1:3] != (height, width):
                x = x[:, :height, :width]
        return x


def _heads(
    names: Sequence[str], latent_dim: int, activation: str
) -> dict[str, keras.layers.Dense]:
    return {
        name: keras.layers.Dense(latent_dim, activation=activation, name=name)
        for name in names
    }


def _build_dense(
    hidden: list[keras.layers.Dense], heads: list[keras.layers.Dense], width: Any
) -> None:
    for layer in hidden:
        layer.build((None, width))
        width = layer.units
    for head in heads:
        head.build((None, width))
