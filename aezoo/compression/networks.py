"""Networks in exact arithmetic: the same layers, on integers, in NumPy."""

import functools
from typing import Any

import keras
import numpy as np

from aezoo.compression.arithmetic import (
    ONE,
    Kernel,
    activation,
    clip,
    exp,
    normalised,
    scaled,
    tanh,
    to_grid,
)
from aezoo.errors import UnsupportedOperationError
from aezoo.networks.conv import ConvDecoder, ConvEncoder
from aezoo.networks.dense import DenseDecoder, DenseEncoder
from aezoo.networks.stages import identity
from aezoo.networks.top_down import (
    MAX_LOG_STD,
    Bottleneck,
    BottomUpEncoder,
    TopDownDecoder,
    Unpool,
    factor_between,
)
from aezoo.nn.layers.residual import ResidualBlock
from aezoo.nn.layers.upsampling import ResizeConv2D, SubpixelConv2D

Array = np.ndarray


class ExactLayers:
    """Evaluates layers on integers of the grid; keeps their rounded kernels.

    `run(layer, x)` is the output of a built layer, not in training. A kind of layer is
    added by a method that is registered for it.
    """

    def __init__(self) -> None:
        self._kernels: dict[int, tuple[Any, Kernel]] = {}

    def kernel(self, layer: Any, transposed: bool = False) -> Kernel:
        """The rounded kernel and bias of a layer."""
        if id(layer) not in self._kernels:
            values = numbers(layer.kernel)
            terms = None
            if transposed:
                values = values.swapaxes(-1, -2)
            bias = numbers(layer.bias) if layer.use_bias else None
            self._kernels[id(layer)] = (layer, Kernel(values, bias, terms))
        return self._kernels[id(layer)][1]

    @functools.singledispatchmethod
    def run(self, layer: Any, x: Array) -> Any:  # noqa: ARG002
        """The output of a layer.

        Args:
            layer: A built layer.
            x: Integers on the grid, `(n, ...)`.

        Raises:
            UnsupportedOperationError: If there is no exact form of it.
        """
        raise _inexact(layer)

    @run.register
    def _(self, layer: keras.layers.Flatten, x: Array) -> Array:  # noqa: ARG002
        return x.reshape(len(x), -1)

    @run.register
    def _(self, layer: keras.layers.Dense, x: Array) -> Array:
        return activation(name_of(layer.activation), self.kernel(layer).dense(x))

    @run.register
    def _(self, layer: keras.layers.Conv2D, x: Array) -> Array:
        rows, columns = layer.strides
        if (
            (layer.padding != "same" and layer.kernel_size != (1, 1))
            or rows != columns
            or layer.groups != 1
            or layer.dilation_rate != (1, 1)
            or layer.data_format != "channels_last"
        ):
            raise UnsupportedOperationError(
                f"The convolution {layer.name!r} has no exact arithmetic: it is not of "
                "padding 'same', equal strides, one group and no dilation."
            )
        y = self.kernel(layer).conv(x, rows)
        return activation(name_of(layer.activation), y)

    @run.register
    def _(self, layer: keras.layers.Conv2DTranspose, x: Array) -> Array:
        kernel = self.kernel(layer, transposed=True)
        y = kernel.conv_transpose(x, layer.strides[0])
        return activation(name_of(layer.activation), y)

    @run.register
    def _(self, layer: ResizeConv2D, x: Array) -> Array:
        y = self.kernel(layer).conv(x.repeat(2, axis=1).repeat(2, axis=2))
        return activation(name_of(layer.activation), y)

    @run.register
    def _(self, layer: SubpixelConv2D, x: Array) -> Array:
        y = to_blocks(self.run(layer.conv, x), 2)
        return activation(name_of(layer.activation), y)

    @run.register
    def _(self, layer: keras.layers.AveragePooling2D, x: Array) -> Array:
        return average_pooled(x, layer.pool_size[0])

    @run.register
    def _(self, layer: keras.layers.BatchNormalization, x: Array) -> Array:
        deviation = np.sqrt(numbers(layer.moving_variance) + layer.epsilon)
        gamma = numbers(layer.gamma) if layer.scale else 1.0
        beta = numbers(layer.beta) if layer.center else 0.0
        factor = gamma / deviation
        shift = beta - numbers(layer.moving_mean) * factor
        return scaled(x, factor, shift)

    @run.register
    def _(self, layer: keras.layers.GroupNormalization, x: Array) -> Array:
        grouped = x.reshape(*x.shape[:-1], layer.groups, -1)
        axes = (*range(1, x.ndim - 1), x.ndim)
        y = normalised(grouped, axes, layer.epsilon).reshape(x.shape)
        return scaled(y, numbers(layer.gamma), numbers(layer.beta))

    @run.register
    def _(self, layer: ResidualBlock, x: Array) -> Array:
        name = name_of(layer.activation)
        y = x
        for i, conv in enumerate(layer.convs):
            if layer.norms:
                y = self.run(layer.norms[i], y)
            y = self.run(conv, activation(name, y))
        return clip(x + y)

    @run.register
    def _(self, layer: Bottleneck, x: Array) -> Array:
        name = name_of(layer.activation)
        y = x
        for conv in layer.convs:
            y = self.run(conv, activation(name, y))
        return clip(x + y) if layer.is_residual else y

    @run.register
    def _(self, layer: Unpool, x: Array) -> Array:
        factor = factor_between(layer.size, x.shape[1:3])
        y = x.repeat(factor, axis=1).repeat(factor, axis=2)
        height, width = layer.size
        return clip(y[:, :height, :width] + to_grid(numbers(layer.bias)))

    @run.register
    def _(self, layer: ConvEncoder, x: Array) -> dict[str, Array]:
        return self._heads(layer, x)

    @run.register
    def _(self, layer: DenseEncoder, x: Array) -> dict[str, Array]:
        return self._heads(layer, x)

    def _heads(self, layer: Any, x: Array) -> dict[str, Array]:
        *_, x = self.stages(layer, x)
        if not layer.hidden:
            x = self.run(layer.flatten, x)
        return {name: self.run(head, x) for name, head in layer.heads.items()}

    @run.register
    def _(self, layer: DenseDecoder, x: Array) -> Array:
        for hidden in layer.hidden:
            x = self.run(hidden, x)
        return self.run(layer.pixels, x).reshape(-1, *layer.example_shape)

    @run.register
    def _(self, layer: ConvDecoder, x: Array) -> Array:
        for hidden in layer.hidden:
            x = self.run(hidden, x)
        x = self.run(layer.to_map, x).reshape(-1, *layer.start_shape)
        name = name_of(layer.before_conv)
        for conv, blocks, (height, width) in zip(
            layer.convs, layer.blocks, layer.sizes, strict=True
        ):
            for block in blocks:
                x = self.run(block, x)
            x = self.run(conv, activation(name, x))[:, :height, :width]
        return x

    def stages(self, encoder: Any, x: Array) -> list[Array]:
        """Outputs of an encoder's stages, in order; of `x` alone if there is none."""
        found = [x]
        for stage in encoder.stages():
            if stage.before is not identity:
                raise _inexact(encoder)
            for layer in stage.layers:
                x = self.run(layer, x)
            if stage.after is not identity:
                x = activation(name_of(stage.after), x)
            found.append(x)
        return found


class FlatLatents:
    """One level of latents: q(z|x) of an encoder, p(x|z) of a decoder.

    Args:
        model: A model with a diagonal Gaussian posterior and a standard normal prior.
    """

    def __init__(self, model: Any) -> None:
        self._layers = ExactLayers()
        self._encoder, self._decoder = model.encoder, model.decoder
        self.level_units = (model.latent_dim,)

    def features(self, x: Array) -> Any:
        """What posteriors need to know of examples on the grid."""
        outputs = self._layers.run(self._encoder, x)
        mean = outputs["z_mean"] / ONE
        log_std = np.clip(0.5 * (outputs["z_log_var"] / ONE), -15.0, 15.0)
        return mean, exp(log_std)

    def walk(self) -> "_FlatWalk":
        """A way through the latents of a batch."""
        return _FlatWalk(self)

    def decode(self, z: Array) -> Array:
        """Parameters of the likelihood, on the grid, of latents in real numbers."""
        parameters: Array = self._layers.run(self._decoder, to_grid(z))
        return parameters


class _FlatWalk:
    def __init__(self, latents: FlatLatents) -> None:
        self._latents = latents
        self._z: Array = np.empty(0)

    def posterior(self, level: int, features: Any) -> tuple[Array, Array]:  # noqa: ARG002
        """Mean and standard deviation of a level, in units of the prior: `(n, units)`.

        Needs the levels before it.
        """
        mean, std = features
        return mean, std

    def advance(self, level: int, z: Array) -> None:  # noqa: ARG002
        """Take the latents of a level, in units of the prior."""
        self._z = z

    def parameters(self) -> Array:
        """Parameters of the likelihood, once all levels are taken, on the grid."""
        return self._latents.decode(self._z)


class TopDownLatents:
    """Levels of latents, each given those before it (Child, 2021).

    Args:
        model: A hierarchical model on the network `top_down`.
    """

    def __init__(self, model: Any) -> None:
        self.layers = ExactLayers()
        self.encoder: BottomUpEncoder = model.encoder
        self.decoder: TopDownDecoder = model.decoder
        self.level_units = tuple(
            int(np.prod(shape)) for shape in self.decoder.level_shapes
        )
        self.blocks = [
            (i, unpool if j == 0 else None, block)
            for i, (unpool, blocks) in enumerate(
                zip(self.decoder.unpools, self.decoder.levels, strict=True)
            )
            for j, block in enumerate(blocks)
        ]

    def features(self, x: Array) -> Any:
        """Maps at every resolution, the coarsest first."""
        return self.layers.stages(self.encoder, x)[:0:-1]

    def walk(self) -> "_TopDownWalk":
        """A way through the latents of a batch."""
        return _TopDownWalk(self)


class _TopDownWalk:
    def __init__(self, latents: TopDownLatents) -> None:
        self._latents = latents
        decoder = latents.decoder
        # without examples, the first state is that of any batch
        self._next = np.zeros((1, *decoder.sizes[0], decoder.width))
        self._states: list[tuple[Array, Array, Array, Array]] = []

    def _state(self, level: int) -> tuple[Array, Array, Array, Array]:
        """State, prior's mean, its standard deviation, change."""
        while len(self._states) <= level:
            _, unpool, block = self._latents.blocks[len(self._states)]
            run, x = self._latents.layers.run, self._next
            if unpool is not None:
                x = run(unpool, x)
            code_dim = block.code_dim
            prior = run(block.prior, x)
            mean, log_std = _moments(prior[..., : 2 * code_dim])
            self._states.append((x, mean, exp(log_std), prior[..., 2 * code_dim :]))
        return self._states[level]

    def posterior(self, level: int, features: Any) -> tuple[Array, Array]:
        """As in `_FlatWalk`."""
        x, prior_mean, prior_std, _ = self._state(level)
        resolution, _, block = self._latents.blocks[level]
        maps = features[resolution]
        x = np.broadcast_to(x, (len(maps), *x.shape[1:]))
        both = self._latents.layers.run(
            block.posterior, np.concatenate([x, maps], axis=-1)
        )
        mean, log_std = _moments(both)
        z_mean = (mean - prior_mean) / prior_std
        std = exp(log_std) / prior_std
        return z_mean.reshape(len(maps), -1), std.reshape(len(maps), -1)

    def advance(self, level: int, z: Array) -> None:
        """As in `_FlatWalk`."""
        x, mean, std, change = self._state(level)
        _, _, block = self._latents.blocks[level]
        run = self._latents.layers.run
        shape = (len(z), *self._latents.decoder.level_shapes[level])
        spread = std * z.reshape(shape)
        latent = to_grid(mean + spread)
        x = clip(x + change + run(block.project, latent))
        self._next = run(block.residual, x)

    def parameters(self) -> Array:
        """As in `_FlatWalk`."""
        decoder = self._latents.decoder
        x = activation(name_of(decoder.activation), self._next)
        x = to_blocks(self._latents.layers.run(decoder.pixels, x), decoder.scale)
        height, width = decoder.output_size
        return x[:, :height, :width]


def _moments(both: Array) -> tuple[Array, Array]:
    """Mean and bounded log standard deviation, real numbers, of values on the grid."""
    mean, log_std = np.split(both / ONE, 2, axis=-1)
    return mean, MAX_LOG_STD * tanh(log_std / MAX_LOG_STD)


def _inexact(layer: Any) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        f"The layer {layer.name!r} ({type(layer).__name__}) has no exact arithmetic, "
        "which lossless coding needs. Networks that have it: 'dense', 'conv', 'resnet' "
        "and 'top_down'."
    )


def numbers(weights: Any) -> Array:
    """Weights as float64."""
    return np.asarray(keras.ops.convert_to_numpy(weights), "float64")


def name_of(function: Any) -> str:
    """Name of an activation."""
    return getattr(function, "__name__", str(function))


def average_pooled(x: Array, factor: int) -> Array:
    """Means over squares; those at the border are of what there is."""
    n, height, width, channels = x.shape
    rows, columns = -(-height // factor), -(-width // factor)
    ones = np.ones((1, height, width, 1))
    missing = ((0, 0), (0, 0))
    # as TensorFlow pads: half of what lacks before, the rest after
    lacks = [
        factor * count - size for count, size in ((rows, height), (columns, width))
    ]
    pad = (missing[0], *((lack // 2, lack - lack // 2) for lack in lacks), missing[0])

    def sums(values: Array) -> Array:
        padded = np.pad(values, pad)
        shape = (len(values), rows, factor, columns, factor, -1)
        return np.asarray(padded.reshape(shape).sum(axis=(2, 4)))

    return np.rint(sums(x) / sums(ones)).reshape(n, rows, columns, channels)


def to_blocks(x: Array, scale: int) -> Array:
    """`(n, h, w, scale**2 * channels)` to `(n, scale * h, scale * w, channels)`."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, scale, scale, channels // scale**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * scale, width * scale, -1)
