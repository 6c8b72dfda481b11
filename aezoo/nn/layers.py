"""Networks that more than one family uses: dense and convolutional halves."""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

Tensor = Any
UPSAMPLING = ("resize_conv", "transposed_conv", "subpixel")
NORMALIZATIONS = ("batch", "group")
# Layers of an encoder that are no stage: the mean over positions, and the code.
POOL, LATENT = "pool", "latent"


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

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """That of the input."""
        return tuple(input_shape)


def _normalizations(kind: str | None, channels: int) -> list[keras.layers.Layer]:
    names = ("norm_1", "norm_2")
    if kind == "batch":
        return [keras.layers.BatchNormalization(momentum=0.9, name=n) for n in names]
    if kind == "group":
        groups = channels // 8 if channels % 8 == 0 else 1
        return [keras.layers.GroupNormalization(groups, name=n) for n in names]
    return []


# --- Encoders ----------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


@dataclasses.dataclass(frozen=True)
class Stage:
    """A named part of an encoder: layers that run one after the other.

    Encoders make their stages anew when asked, and own the layers: a stage holds
    nothing that Keras should know of.

    Args:
        name: Its name, for those who want its output.
        layers: Its layers, in order.
        stride: Factor by which it shrinks height and width; None if it mixes all
            positions, so that its weights fit one size of image only.
        is_pooled: Whether the layer `pool` is the mean of its output over positions.
        before: What happens to its input before the first layer.
        shape_before: What `before` does to a shape `(batch, ...)`.
        after: What happens to the output of the last layer, without changing its shape.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]
    stride: int | None = 1
    is_pooled: bool = False
    before: Callable[[Tensor], Tensor] = _same
    shape_before: Callable[[tuple], tuple] = _same
    after: Callable[[Tensor], Tensor] = _same

    @property
    def offers(self) -> tuple[str, ...]:
        """Names of what it gives: its own, and `pool` where that is its mean."""
        return (self.name, POOL) if self.is_pooled else (self.name,)

    def __call__(self, x: Tensor) -> Tensor:
        """Run the layers."""
        x = self.before(x)
        for layer in self.layers:
            x = layer(x)
        return self.after(x)

    def build(self, input_shape: tuple) -> tuple:
        """Build the layers for inputs `(batch, ...)`; returns the output's shape."""
        shape = self.shape_before(input_shape)
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        return shape

    def output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the output, `(batch, ...)`; the layers need not be built."""
        shape = self.shape_before(input_shape)
        for layer in self.layers:
            shape = tuple(layer.compute_output_shape(shape))
        return shape


class Encoder(keras.layers.Layer):
    """A chain of stages, and the parameters of the posterior at its end.

    An encoder lists its `stages`, and says in `outputs` what follows the last one.
    This class builds them, runs them, and gives what is in between by name.
    """

    # Whether a code has a vector for each position of the last stage.
    KEEPS_POSITIONS: ClassVar[bool] = False
    heads: dict[str, keras.layers.Layer]

    def stages(self) -> list[Stage]:
        """Its stages, from the image to the code."""
        raise NotImplementedError

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Parameters of the posterior, from the output of the last stage."""
        return {name: head(x) for name, head in self.heads.items()}

    def build_outputs(self, shape: tuple) -> None:
        """Build what `outputs` needs, for outputs of the last stage `(batch, ...)`."""
        for head in self.heads.values():
            head.build(shape)

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:
        """What a code's gradient passes after the last stage: here the code's head."""
        return (self.heads[head],)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for images `(batch, height, width, channels)`."""
        self.build_outputs(self.build_stages(input_shape))

    def build_stages(
        self, input_shape: Sequence[int | None], names: Collection[str] = (LATENT,)
    ) -> tuple:
        """Build the stages that some layers need; returns the last one's shape."""
        shape = tuple(input_shape)
        for stage in self.stages_of(names):
            shape = stage.build(shape)
        return shape

    def stages_of(self, names: Collection[str]) -> list[Stage]:
        """The stages that layers of these names need: up to the deepest of them."""
        stages = self.stages()
        if LATENT in names:
            return stages
        depths = [
            depth
            for depth, stage in enumerate(stages, start=1)
            if set(stage.offers) & set(names)
        ]
        return stages[: max(depths, default=0)]

    def call(self, inputs: Tensor) -> dict[str, Tensor]:
        """Map images to the parameters of the posterior."""
        outputs: dict[str, Tensor] = self.features(inputs, (LATENT,))[LATENT]
        return outputs

    def features(self, inputs: Tensor, names: Collection[str]) -> dict[str, Any]:
        """Outputs of layers by name, in one pass that ends at the deepest of them.

        Args:
            inputs: Images `(batch, height, width, channels)`.
            names: Of stages, `"pool"` or `"latent"`.

        Returns:
            Tensors; of `"latent"`, the parameters of the posterior.
        """
        x, found = inputs, {}
        for stage in self.stages_of(names):
            x = stage(x)
            if stage.name in names:
                found[stage.name] = x
            if stage.is_pooled and POOL in names:
                found[POOL] = mean_over_positions(x)
        if LATENT in names:
            found[LATENT] = self.outputs(x)
        return found


def mean_over_positions(x: Tensor) -> Tensor:
    """`(batch, ..., channels)` to float32 `(batch, channels)`."""
    x = ops.cast(x, "float32")  # half precision would round the sum
    return ops.mean(x, axis=tuple(range(1, x.ndim - 1)))


def _dense_stages(
    hidden: Sequence[keras.layers.Dense], flatten: keras.layers.Layer
) -> list[Stage]:
    """`hidden1`, `hidden2` and so on; the first one flattens what it is given."""
    return [
        Stage(f"hidden{i}", (flatten, layer) if i == 1 else (layer,), stride=None)
        for i, layer in enumerate(hidden, start=1)
    ]


class DenseEncoder(Encoder):
    """Flatten, then dense layers, then one linear head per output.

    Layers by name: `hidden1`, `hidden2`, and so on, and `latent`.

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

    def stages(self) -> list[Stage]:
        """The hidden layers."""
        return _dense_stages(self.hidden, self.flatten)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, latent_dim)` tensor per head."""
        return super().outputs(x if self.hidden else self.flatten(x))

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        super().build_outputs(self.flatten.compute_output_shape(shape))


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


class _Convolutions(Encoder):
    """Strided convolutions, each followed by its residual blocks: `stage1` and so on.

    The last stage ends with the activation that follows all of them, if there is one.
    """

    def _add_convolutions(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        residual_blocks: int,
        normalization: str | None,
    ) -> None:
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

    def stages(self) -> list[Stage]:
        """A stage per convolution."""
        last = len(self.convs)
        return [
            Stage(
                f"stage{i}",
                (conv, *blocks),
                stride=conv.strides[0],
                is_pooled=i == last,
                after=self.final_activation if i == last else _same,
            )
            for i, (conv, blocks) in enumerate(
                zip(self.convs, self.blocks, strict=True), start=1
            )
        ]


class ConvEncoder(_Convolutions):
    """Strided convolutions, dense layers, then one linear head per output.

    Layers by name: `stage1` and so on, `pool`, `hidden1` and so on, and `latent`. With
    residual blocks, the convolutions are linear and the blocks activate.

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
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.heads = _heads(heads, latent_dim, code_activation)

    def stages(self) -> list[Stage]:
        """The convolutions, then the dense layers."""
        return [*super().stages(), *_dense_stages(self.hidden, self.flatten)]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, latent_dim)` tensor per head."""
        return super().outputs(x if self.hidden else self.flatten(x))

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        super().build_outputs(self.flatten.compute_output_shape(shape))


class ConvMapHeadsEncoder(_Convolutions):
    """Strided convolutions to a map, then one 1x1 convolution per output.

    Layers by name: `stage1` and so on, `pool` and `latent`.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        activation: Activation of the hidden layers.
        code_dim: Channels of each head.
        heads: Names of the outputs, e.g. `("z_mean", "z_log_var")`.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    KEEPS_POSITIONS: ClassVar[bool] = True

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        code_dim: int,
        heads: Sequence[str],
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.heads = {
            name: keras.layers.Conv2D(code_dim, 1, name=name) for name in heads
        }


class ConvMapEncoder(_Convolutions):
    """Strided convolutions to a map of vectors, each of which is then quantised.

    Layers by name: `stage1` and so on, `pool`, `encoded` (the vectors before they are
    quantised) and `latent`.

    Args:
        filters: Channels of each convolution.
        strides: Stride (1 or 2) of each convolution.
        activation: Activation of the hidden layers.
        code_dim: Width of a vector.
        quantizer: Layer whose `bound` and `nearest` give a vector's code.
        residual_blocks: Residual blocks after each convolution.
        normalization: Of the residual blocks.
    """

    KEEPS_POSITIONS: ClassVar[bool] = True

    def __init__(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        code_dim: int,
        quantizer: keras.layers.Layer,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._add_convolutions(
            filters, strides, activation, residual_blocks, normalization
        )
        self.to_code = keras.layers.Conv2D(code_dim, 1, name="to_code")
        self.quantizer = quantizer

    def stages(self) -> list[Stage]:
        """The convolutions, then the vectors, `(batch, h, w, code_dim)`."""
        encoded = Stage("encoded", (self.to_code,), after=self._bound)
        return [*super().stages(), encoded]

    def _bound(self, z: Tensor) -> Tensor:
        return self.quantizer.bound(ops.cast(z, "float32"))

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Vectors `z_encoded` and the `indices` of their codes, `(batch, h, w)`."""
        return {"z_encoded": x, "indices": self.quantizer.nearest(x)}

    def build_outputs(self, shape: tuple) -> None:
        """Build the quantiser."""
        self.quantizer.build((None, shape[-1]))

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """None: a code's gradient goes straight to the vector that was quantised."""
        return ()


class _Upsampling(keras.layers.Layer):
    """The mirror of `_Convolutions`: each convolution preceded by residual blocks.

    A size that strides do not divide (28 -> 14 -> 7 -> 4) is met by cropping the
    doubled feature map (4 -> 8, cropped to 7).
    """

    start_shape: tuple[int, int, int]

    def _set_sizes(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        output_shape: Sequence[int],
    ) -> None:
        """The feature map to start from, and the size after each convolution."""
        height, width, _ = output_shape
        sizes = map_sizes(height, width, strides)
        self.start_shape = (*sizes[-1], filters[-1])
        self.sizes = sizes[-2::-1]

    def _add_convolutions(
        self,
        filters: Sequence[int],
        strides: Sequence[int],
        activation: str,
        output_channels: int,
        upsampling: str,
        residual_blocks: int,
        normalization: str | None,
    ) -> None:
        is_plain = residual_blocks == 0
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
        outputs = [output_channels, *filters[:-1]][::-1]
        for i, (channels, stride) in enumerate(
            zip(outputs, reversed(strides), strict=True), start=1
        ):
            is_last = i == len(outputs)
            layer_activation = activation if is_plain and not is_last else None
            name = f"conv_{i}"
            self.convs.append(
                upsampling_layer(upsampling, channels, layer_activation, name)
                if stride == 2
                else keras.layers.Conv2D(
                    channels,
                    3,
                    padding="same",
                    activation=layer_activation,
                    name=name,
                )
            )

    def _build_convolutions(self) -> None:
        height, width, channels = self.start_shape
        for conv, blocks, size in zip(self.convs, self.blocks, self.sizes, strict=True):
            for block in blocks:
                block.build((None, height, width, channels))
            conv.build((None, height, width, channels))
            channels = conv.compute_output_shape((None, height, width, channels))[-1]
            height, width = size

    def _pixels(self, inputs: Tensor) -> Tensor:
        x = inputs
        for conv, blocks, (height, width) in zip(
            self.convs, self.blocks, self.sizes, strict=True
        ):
            for block in blocks:
                x = block(x)
            x = conv(self.before_conv(x))
            if x.shape[1:3] != (height, width):
                x = x[:, :height, :width]
        return x


class ConvDecoder(_Upsampling):
    """Mirror of `ConvEncoder`: dense layers, then upsampling convolutions.

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
        self._set_sizes(filters, strides, output_shape)
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.to_map = keras.layers.Dense(
            math.prod(self.start_shape),
            activation=activation if residual_blocks == 0 else None,
            name="to_map",
        )
        self._add_convolutions(
            filters,
            strides,
            activation,
            output_shape[-1],
            upsampling,
            residual_blocks,
            normalization,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, latent_dim)`."""
        _build_dense([*self.hidden], [self.to_map], input_shape[-1])
        self._build_convolutions()

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to pixels before the output activation."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return self._pixels(ops.reshape(self.to_map(x), (-1, *self.start_shape)))


class ConvMapDecoder(_Upsampling):
    """Mirror of `ConvMapEncoder`: a 3x3 convolution, then upsampling convolutions.

    Args:
        filters: Channels of the encoder's convolutions, in the encoder's order.
        strides: Strides of the encoder's convolutions, in the encoder's order.
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
        activation: str,
        output_shape: Sequence[int],
        upsampling: str,
        *,
        residual_blocks: int = 0,
        normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_sizes(filters, strides, output_shape)
        self.to_map = keras.layers.Conv2D(
            filters[-1],
            3,
            padding="same",
            activation=activation if residual_blocks == 0 else None,
            name="to_map",
        )
        self._add_convolutions(
            filters,
            strides,
            activation,
            output_shape[-1],
            upsampling,
            residual_blocks,
            normalization,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for codes `(batch, h, w, code_dim)`."""
        self.to_map.build(tuple(input_shape))
        self._build_convolutions()

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to pixels before the output activation."""
        return self._pixels(self.to_map(inputs))


def map_sizes(height: int, width: int, strides: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of an image and of its feature map after each stride."""
    sizes = [(height, width)]
    for stride in strides:
        height, width = -(-height // stride), -(-width // stride)
        sizes.append((height, width))
    return sizes


# --- Codes of finitely many values -----------------------------------------------


class VectorQuantizer(keras.layers.Layer):
    """A codebook, and the nearest code to a vector.

    van den Oord et al. (2017), https://arxiv.org/abs/1711.00937, equation 1. All in
    float32, also in mixed precision.

    Args:
        num_codes: Codes in the codebook.
        is_averaged: Whether the codebook follows moving averages, by `update`, rather
            than the gradient.
        has_usage: Whether to count how often each code is used.
    """

    def __init__(
        self, num_codes: int, is_averaged: bool, has_usage: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.is_averaged = is_averaged
        self.has_usage = has_usage or is_averaged
        bound = 1.0 / num_codes
        self.initializer = keras.initializers.RandomUniform(-bound, bound)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the codebook for vectors `(..., code_dim)`."""
        # `autocast`: no rounding of codes inside a layer that computes in half
        # precision. `aggregation`: of what replicas assign.
        arguments = {"dtype": "float32", "autocast": False, "aggregation": "mean"}
        self.codebook = self.add_weight(
            shape=(self.num_codes, input_shape[-1]),
            initializer=self.initializer,
            trainable=not self.is_averaged,
            name="codebook",
            **arguments,
        )
        if self.has_usage:
            self.usage = self.add_weight(
                shape=(self.num_codes,),
                initializer="zeros",
                trainable=False,
                name="usage",
                **arguments,
            )

    def bound(self, z: Tensor) -> Tensor:
        """The vectors as they are: codes can be anywhere."""
        return z

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code: the lowest of several. int32, `(...)`.

        `|z - e|**2` less `|z|**2`, which is the same for all codes `e`.

        Args:
            z: Vectors, float32, `(..., code_dim)`.
        """
        codes = ops.convert_to_tensor(self.codebook)
        squares = ops.sum(ops.square(codes), axis=-1)
        distances = squares - 2.0 * ops.matmul(z, ops.transpose(codes))
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes of indices: `(...)` to float32 `(..., code_dim)`."""
        return ops.take(ops.convert_to_tensor(self.codebook), indices, axis=0)

    def update(
        self,
        z: Tensor,
        indices: Tensor,
        decay: float,
        restart_below: float = 0.0,
        draws: Tensor | None = None,
    ) -> None:
        """Follow a training batch: averages, counts and restarts.

        Appendix A.1, equations 6 to 8, with the quotient `m / N` itself as the
        variable: `N <- decay N + (1 - decay) n` and
        `e <- e + (1 - decay) (sum of z - n e) / N`. A code that is not used stays
        where it is. Since `N` starts at 0, the first batch sets the codes it uses to
        the means of their vectors.

        Args:
            z: Vectors of the batch, `(..., code_dim)`.
            indices: Their codes, `(...)`.
            decay: Of the moving averages.
            restart_below: Codes used less than this, where 1 is the mean of all
                codes, move to a random vector of the batch; 0 for none.
            draws: Uniform in [0, 1), `(num_codes,)`: which vector each would move to.
        """
        vectors = ops.stop_gradient(ops.reshape(z, (-1, z.shape[-1])))
        flat = ops.reshape(indices, (-1,))
        count = ops.segment_sum(
            ops.ones_like(vectors[:, 0]), flat, num_segments=self.num_codes
        )
        usage = decay * self.usage + (1.0 - decay) * count
        codes = ops.convert_to_tensor(self.codebook)
        if self.is_averaged:
            total = ops.segment_sum(vectors, flat, num_segments=self.num_codes)
            change = total - count[:, None] * codes
            weight = (1.0 - decay) / ops.maximum(usage, 1e-30)
            codes = codes + weight[:, None] * change
        if restart_below:
            mean = ops.mean(usage)
            is_dead = usage < restart_below * mean
            size = ops.cast(ops.shape(vectors)[0], "float32")
            chosen = ops.minimum(draws * size, size - 1.0)  # the product may round up
            moved = ops.take(vectors, ops.cast(chosen, "int32"), axis=0)
            codes = ops.where(is_dead[:, None], moved, codes)
            usage = ops.where(is_dead, mean, usage)
        if self.is_averaged or restart_below:
            self.codebook.assign(codes)
        self.usage.assign(usage)


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


class ScalarQuantizer(keras.layers.Layer):
    """Rounds each unit of a vector to one of a few levels: a codebook that is a grid.

    Mentzer et al. (2023), https://arxiv.org/abs/2309.15505, section 3.1 and
    appendix A.1. Units are scaled to [-1, 1]. A code's index is its digits, one a
    unit, as a number of mixed radix, the first unit the least significant.

    Args:
        levels: Values that each unit can take; at least 2 each.
    """

    def __init__(self, levels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_codes = math.prod(levels)
        self.levels = np.asarray(levels, "int32")
        self.basis = np.cumprod([1, *levels[:-1]]).astype("int32")
        self.half_width = self.levels // 2  # the digit of the level at 0

    def build(self, input_shape: Sequence[int | None]) -> None:
        """No weights."""

    def bound(self, z: Tensor) -> Tensor:
        """Vectors in the range whose rounding gives each unit its levels.

        `tanh(z + shift) * half - offset`, over `levels // 2`: for an even number of
        levels the offset of 1/2 moves the range between whole numbers.

        Args:
            z: Vectors, float32, `(..., code_dim)`.
        """
        half = (self.levels - 1) * (1.0 - 1e-3) / 2.0
        offset = np.where(self.levels % 2 == 1, 0.0, 0.5)
        shift = np.tan(offset / half)
        half, offset, shift = (v.astype("float32") for v in (half, offset, shift))
        return (ops.tanh(z + shift) * half - offset) / self._scale

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code to bounded vectors. int32, `(...)`."""
        digits = ops.cast(ops.round(z * self._scale), "int32") + self.half_width
        digits = ops.clip(digits, 0, self.levels - 1)
        return ops.cast(ops.sum(digits * self.basis, axis=-1), "int32")

    def lookup(self, indices: Tensor) -> Tensor:
        """Codes of indices: `(...)` to float32 `(..., code_dim)`."""
        indices = ops.cast(indices, "int32")[..., None]
        digits = ops.mod(ops.floor_divide(indices, self.basis), self.levels)
        return ops.cast(digits - self.half_width, "float32") / self._scale

    @property
    def _scale(self) -> np.ndarray:
        scale: np.ndarray = self.half_width.astype("float32")
        return scale
