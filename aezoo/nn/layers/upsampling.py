"""Layers that double the height and width of a feature map."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any

UPSAMPLING = ("resize_conv", "transposed_conv", "subpixel")


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
        use_bias: Whether there is a bias.
    """

    def __init__(
        self,
        filters: int,
        activation: str | None = None,
        kernel_initializer: str = "glorot_uniform",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the 3x3 kernel and the bias."""
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        if self.use_bias:
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
            inputs,
            ops.transpose(box, (0, 1, 3, 2)),
            strides=2,
            padding="same",
            data_format="channels_last",
        )
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, self.compute_dtype)
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
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "use_bias": self.use_bias,
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
            4 * filters,
            3,
            padding="same",
            kernel_initializer=SubpixelInitializer(),
            data_format="channels_last",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the convolution."""
        self.conv.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve and rearrange."""
        return self.activation(depth_to_space(self.conv(inputs), 2))

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


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """Feature maps whose channels are rearranged to a larger size.

    Args:
        x: `(batch, h, w, factor * factor * channels)`.
        factor: By how much height and width grow; 1 changes nothing.

    Returns:
        `(batch, factor * h, factor * w, channels)`.
    """
    if factor == 1:
        return x
    _, height, width, depth = x.shape
    channels = depth // factor**2
    x = ops.reshape(x, (-1, height, width, factor, factor, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, factor * height, factor * width, channels))


def upsampling_layer(
    method: str, filters: int, activation: str | None, name: str
) -> keras.layers.Layer:
    """A layer that doubles height and width; `method` is one of `UPSAMPLING`."""
    if method == "resize_conv":
        return ResizeConv2D(filters, activation=activation, name=name)
    if method == "subpixel":
        return SubpixelConv2D(filters, activation=activation, name=name)
    return keras.layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="same",
        activation=activation,
        name=name,
        data_format="channels_last",
    )
