"""Bottom-up features, and top-down blocks that each draw a latent."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, check_activation
from aezoo.networks.hierarchical import Hierarchical, HierarchicalEncoder
from aezoo.networks.stages import Stage
from aezoo.utils.validation import check_positive_int, check_positive_ints

Tensor = Any
Blocks = tuple[tuple[int, int], ...]
PATH = ("z", "z_mean", "z_log_var")
# Log standard deviations stay below this in size, so that no divergence overflows.
MAX_LOG_STD = 5.0

# --- Sizes ------------------------------------------------------------------------


def check_blocks(blocks: Any, height: int) -> Blocks:
    """Return `blocks` if it is pairs of a resolution and a number of blocks.

    Args:
        blocks: The argument.
        height: Of the images.

    Raises:
        ValueError: If it is something else, or a map cannot pool to the next one.
    """
    is_sequence = isinstance(blocks, Sequence) and not isinstance(blocks, str)
    pairs = tuple(
        check_positive_ints(f"blocks[{i}]", pair, minimum=2)
        for i, pair in enumerate(blocks if is_sequence else ())
    )
    resolutions = [pair[0] for pair in pairs]
    finer = [*resolutions[1:], height]
    is_rising = resolutions == sorted(set(resolutions)) and resolutions[-1:] <= [height]
    if not pairs or not is_rising or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            "`blocks` must hold pairs (resolution, number of blocks), the coarsest "
            f"first, of resolutions up to the image's height of {height}. Received: "
            f"blocks={blocks!r}."
        )
    for coarse, fine in zip(resolutions, finer, strict=True):
        if -(-fine // -(-fine // coarse)) != coarse:
            possible = sorted({-(-fine // factor) for factor in range(1, fine + 1)})
            raise ValueError(
                f"`blocks` has a resolution of {coarse} next to {fine}, which pools to "
                f"{', '.join(map(str, possible))}. Received: blocks={blocks!r}."
            )
    return pairs  # type: ignore[return-value]


def map_sizes(
    image: tuple[int, int], resolutions: Sequence[int]
) -> list[tuple[int, int]]:
    """Height and width of the map of each resolution, pooled alike on both sides."""
    sizes = [image]
    for resolution in reversed(resolutions):
        height, width = sizes[0]
        factor = -(-height // resolution)
        sizes.insert(0, (resolution, -(-width // factor)))
    return sizes[:-1]


def factor_between(fine: Sequence[int], coarse: Sequence[int]) -> int:
    """Factor by which a map pools to a coarser one."""
    return -(-fine[0] // coarse[0])


# Networks of three sizes: for 28x28 images on a CPU, and for 32x32 RGB images on a GPU,
# the last of about the size of the paper's network for CIFAR-10. With the arguments of
# the model that go with them.
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "input_shape": (28, 28, 1),
        "blocks": ((1, 1), (4, 2), (7, 2)),
        "width": 96,
        "bottleneck": 48,
        "code_dim": 8,
    },
    "medium": {
        "input_shape": (32, 32, 3),
        "blocks": ((1, 2), (4, 4), (8, 6), (16, 10), (32, 12)),
        "width": 192,
        "bottleneck": 48,
        "code_dim": 16,
        "activation": "gelu",
        "likelihood": "discretized_logistic",
        "rematerialise": True,
    },
    "large": {
        "input_shape": (32, 32, 3),
        "blocks": ((1, 1), (4, 2), (8, 5), (16, 10), (32, 21)),
        "width": 384,
        "bottleneck": 96,
        "code_dim": 16,
        "activation": "gelu",
        "likelihood": "discretized_logistic",
        "rematerialise": True,
    },
}


@dataclasses.dataclass(frozen=True)
class TopDown(Hierarchical):
    """Latents at several resolutions, coarse to fine, in residual networks.

    Child (2021), https://arxiv.org/abs/2011.10650, section 3.

    Args:
        blocks: Pairs `(resolution, number)` of top-down blocks, the coarsest first. A
            resolution is the height of a feature map; one finer map must pool to it by
            a whole factor, rounded up, as 14 does to 7 by 2, and 7 to 4. The
            bottom-up network has half as many blocks at each, rounded up.
        width: Channels of the feature maps.
        bottleneck: Channels within a block.
        code_dim: Channels of a latent.
        activation: Keras activation before each convolution; the paper's is `"gelu"`,
            which takes a CPU a quarter longer.
    """

    blocks: tuple[tuple[int, int], ...] = SIZES["small"]["blocks"]
    width: int = SIZES["small"]["width"]
    bottleneck: int = SIZES["small"]["bottleneck"]
    code_dim: int = SIZES["small"]["code_dim"]
    activation: str = "silu"

    kind: ClassVar[str] = "top_down"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name in ("width", "bottleneck", "code_dim"):
            value = check_positive_int(name, getattr(self, name))
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Images and other continuous values on two axes, for latents of its own."""
        if len(modality.positions) != 2 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if not latent.is_hierarchical:
            raise self.cannot_carry(modality, latent)
        check_blocks(self.blocks, modality.positions[0])

    def _sizes(self, modality: Modality) -> list[tuple[int, int]]:
        height, width = modality.positions
        return map_sizes((height, width), [r for r, _ in self.blocks])

    def level_shapes(
        self, modality: Modality, latent: Latent
    ) -> tuple[tuple[int, ...], ...]:
        """Shape `(h, w, code_dim)` of the latent of each top-down block."""
        self.check(modality, latent)
        return tuple(
            (*size, self.code_dim)
            for size, (_, count) in zip(self._sizes(modality), self.blocks, strict=True)
            for _ in range(count)
        )

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(units,)`, those of all latents."""
        return (sum(map(math.prod, self.level_shapes(modality, latent))),)

    def pair(
        self, modality: Modality, width: int, latent: Latent
    ) -> "tuple[BottomUpEncoder, TopDownDecoder]":
        """A `BottomUpEncoder` and its `TopDownDecoder`."""
        self.check(modality, latent)
        sizes = self._sizes(modality)
        counts = [count for _, count in self.blocks]
        shape: dict[str, Any] = {
            "width": self.width,
            "bottleneck": self.bottleneck,
            "activation": self.activation,
        }
        decoder = TopDownDecoder(
            sizes,
            counts,
            (*modality.positions, width),
            self.code_dim,
            name="decoder",
            **shape,
        )
        halves = [-(-count // 2) for count in counts]
        encoder = BottomUpEncoder(decoder, sizes, halves, name="encoder", **shape)
        return encoder, decoder


# --- Networks ---------------------------------------------------------------------


class BottomUpEncoder(HierarchicalEncoder):
    """Features of an image at every resolution, from fine to coarse.

    Layers by name: `stage1` for the finest resolution, and so on; and `latent`.

    Args:
        decoder: The top-down network.
        sizes: Height and width of each map, the coarsest first.
        counts: Number of blocks at each.
        width: Channels of the maps.
        bottleneck: Channels within a block.
        activation: Activation before each convolution.
    """

    def __init__(
        self,
        decoder: "TopDownDecoder",
        sizes: Sequence[tuple[int, int]],
        counts: Sequence[int],
        *,
        width: int,
        bottleneck: int,
        activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(decoder, **kwargs)
        self.sizes = sizes
        stride = factor_between(decoder.output_size, sizes[-1])
        self.stem = keras.layers.Conv2D(
            width,
            max(3, 2 * stride),
            stride,
            padding="same",
            name="stem",
            data_format="channels_last",
        )
        depth = sum(counts)
        self.levels = [
            [
                Bottleneck(
                    width,
                    bottleneck,
                    activation,
                    size,
                    1.0 / depth,
                    is_residual=True,
                    name=f"block_{size[0]}_{i}",
                )
                for i in range(1, count + 1)
            ]
            for size, count in zip(sizes, counts, strict=True)
        ][::-1]
        factors = map(factor_between, sizes[:0:-1], sizes[-2::-1])
        self.pools = [
            keras.layers.AveragePooling2D(
                factor, padding="same", data_format="channels_last"
            )
            for factor in factors
        ]

    def stages(self) -> list[Stage]:
        """A stage per resolution, each with a fixed size of its own."""
        stages = []
        for i, blocks in enumerate(self.levels):
            first = self.stem if i == 0 else self.pools[i - 1]
            stages.append(Stage(f"stage{i + 1}", (first, *blocks), stride=None))
        return stages

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:  # noqa: ARG002
        """What the latents depend on beside the stages."""
        return self.decoder.code_layers()

    def build_outputs(self, shape: tuple) -> None:  # noqa: ARG002
        """Build the top-down network."""
        if not self.decoder.built:
            self.decoder.build((None, None))

    def walk(
        self,
        x: Tensor,
        noise: Tensor | None,
        z: Tensor | None,
        point: Callable[[Tensor], Tensor],  # noqa: ARG002
        is_recomputed: bool,
    ) -> dict[str, Tensor]:
        """Bottom-up, then top-down; as in `HierarchicalEncoder`."""
        features = self.pyramid(ops.cast(x, self.compute_dtype), is_recomputed)
        path: dict[str, Tensor] = self.decoder.walk(features, noise, z, is_recomputed)
        return path

    def pyramid(self, x: Tensor, is_recomputed: bool) -> list[Tensor]:
        """Features at every resolution, the coarsest first."""
        maps = []
        for stage in self.stages():
            for layer in stage.layers:
                x = keras.remat(layer)(x) if is_recomputed else layer(x)
            maps.append(x)
        return maps[::-1]


class TopDownDecoder(keras.layers.Layer):
    """Blocks that each draw a latent, from the coarsest to the finest.

    Args:
        sizes: Height and width of each map, the coarsest first.
        counts: Number of blocks at each.
        output_shape: Shape `(height, width, channels)` of the output.
        code_dim: Channels of a latent.
        width: Channels of the maps.
        bottleneck: Channels within a block.
        activation: Activation before each convolution.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        counts: Sequence[int],
        output_shape: Sequence[int],
        code_dim: int,
        *,
        width: int,
        bottleneck: int,
        activation: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sizes = sizes
        self.width = width
        *self.output_size, self.output_channels = output_shape
        self.level_shapes = tuple(
            (*size, code_dim)
            for size, count in zip(sizes, counts, strict=True)
            for _ in range(count)
        )
        depth = sum(counts)
        self.levels: list[list[Any]] = [
            [
                TopDownBlock(
                    width,
                    bottleneck,
                    activation,
                    size,
                    code_dim,
                    1.0 / depth,
                    name=f"block_{size[0]}_{i}",
                )
                for i in range(1, count + 1)
            ]
            for size, count in zip(sizes, counts, strict=True)
        ]
        self.unpools = [Unpool(size, name=f"unpool_{size[0]}") for size in sizes]
        self.activation = keras.activations.get(activation)
        # a pixel of the finest map becomes a square of the image
        self.scale = factor_between(self.output_size, sizes[-1])
        self.pixels = keras.layers.Conv2D(
            self.output_channels * self.scale**2,
            3,
            padding="same",
            name="pixels",
            data_format="channels_last",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:  # noqa: ARG002
        """Build all layers."""
        shape = (None, *self.sizes[0], self.width)
        for size, unpool, blocks in zip(
            self.sizes, self.unpools, self.levels, strict=True
        ):
            unpool.build(shape)
            shape = (None, *size, self.width)
            for block in blocks:
                block.build(shape)
        self.pixels.build(shape)

    def code_layers(self) -> tuple[keras.layers.Layer, ...]:
        """The layers that a code depends on: not what follows the last latent."""
        *blocks, last = [block for blocks in self.levels for block in blocks]
        return (*self.unpools, *blocks, last.prior, last.posterior)

    def split(self, z: Tensor) -> list[Tensor]:
        """The latents `(batch, h, w, code_dim)` of codes `(batch, units)`."""
        ends = np.cumsum([math.prod(shape) for shape in self.level_shapes])
        parts = ops.split(z, ends[:-1], axis=1)
        return [
            ops.reshape(part, (-1, *shape))
            for part, shape in zip(parts, self.level_shapes, strict=True)
        ]

    def walk(
        self,
        features: list[Tensor] | None,
        noise: Tensor | None,
        z: Tensor | None,
        is_recomputed: bool = False,
    ) -> dict[str, Tensor]:
        """Go through all blocks; as in `HierarchicalEncoder.walk`.

        Args:
            features: Of images, at every resolution; None where only the prior and
                given codes are needed.
            noise: Of each latent, or None.
            z: Codes in its place, or None.
            is_recomputed: Whether the backward pass computes blocks once more.
        """
        codes = self.split(noise if z is None else z)
        x = ops.zeros((ops.shape(codes[0])[0], *self.sizes[0], self.width))
        x = ops.cast(x, self.compute_dtype)
        path: list[tuple[Tensor, ...]] = []
        for level, (unpool, blocks) in enumerate(
            zip(self.unpools, self.levels, strict=True)
        ):
            x = unpool(x)
            for block in blocks:
                given = [x, codes[len(path)]]
                given += [] if features is None else [features[level]]
                run = partial(block, is_noise=z is None)
                x, *latent = keras.remat(run)(*given) if is_recomputed else run(*given)
                path.append(latent)
        outputs = {"decoder_output": ops.cast(self._to_image(x), "float32")}
        for name, values in zip(PATH, zip(*path, strict=True), strict=True):
            flat = [ops.reshape(v, (-1, math.prod(v.shape[1:]))) for v in values]
            outputs[name] = ops.concatenate(flat, axis=1)
        return outputs

    def call(self, inputs: Tensor) -> Tensor:
        """Map codes to parameters of a likelihood."""
        return self.walk(None, None, inputs)["decoder_output"]

    def _to_image(self, x: Tensor) -> Tensor:
        (height, width), scale = self.output_size, self.scale
        x = self.pixels(self.activation(x))
        if scale == 1:
            return x
        _, h, w, _ = x.shape
        x = ops.reshape(x, (-1, h, w, scale, scale, self.output_channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (b, h, scale, w, scale, channels)
        x = ops.reshape(x, (-1, h * scale, w * scale, self.output_channels))
        return x[:, :height, :width]


class Unpool(keras.layers.Layer):
    """Nearest-neighbour enlargement to a size, plus a learned bias at each position.

    Args:
        size: Height and width to reach: those of the input times a factor, less what
            is too much.
    """

    def __init__(self, size: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the bias for maps `(batch, h, w, channels)`."""
        # not at 0, which would leave the first block of all without an input
        self.bias = self.add_weight(
            shape=(*self.size, input_shape[-1]),
            initializer="random_normal",
            name="bias",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Enlarge, `(batch, height, width, channels)`."""
        h, w, channels = inputs.shape[1:]
        factor = factor_between(self.size, inputs.shape[1:3])
        x = inputs
        if factor > 1:
            x = x[:, :, None, :, None, :]
            x = ops.broadcast_to(x, (ops.shape(x)[0], h, factor, w, factor, channels))
            x = ops.reshape(x, (-1, h * factor, w * factor, channels))
        return x[:, : self.size[0], : self.size[1]] + self.bias


class TopDownBlock(keras.layers.Layer):
    """Draws a latent and adds it to the state: figure 3 of the paper.

    Args:
        width: Channels of the state.
        bottleneck: Channels within.
        activation: Activation before each convolution.
        size: Height and width of the state.
        code_dim: Channels of the latent.
        scale: Of the variance of what it adds, at the start.
    """

    def __init__(
        self,
        width: int,
        bottleneck: int,
        activation: str,
        size: tuple[int, int],
        code_dim: int,
        scale: float,
        **kwargs: Any,
    ) -> None:
        # Keras would round latents and noise to half precision on their way in.
        super().__init__(autocast=False, **kwargs)
        inner = (bottleneck, activation, size)
        self.prior = Bottleneck(2 * code_dim + width, *inner, 0.0, name="prior")
        self.posterior = Bottleneck(2 * code_dim, *inner, 1.0, name="posterior")
        self.project = keras.layers.Conv2D(
            width,
            1,
            kernel_initializer=_initializer(scale),
            name="project",
            data_format="channels_last",
        )
        self.residual = Bottleneck(
            width, *inner, scale, is_residual=True, name="residual"
        )
        self.code_dim, self.width = code_dim, width

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for states `(batch, h, w, width)`."""
        *start, _ = input_shape
        for layer, channels in (
            (self.prior, self.width),
            (self.posterior, 2 * self.width),
            (self.project, self.code_dim),
            (self.residual, self.width),
        ):
            layer.build((*start, channels))

    def call(
        self,
        inputs: Tensor,
        given: Tensor,
        features: Tensor | None = None,
        is_noise: bool = False,
    ) -> tuple[Tensor, ...]:
        """The next state, and the latent.

        Args:
            inputs: The state, `(batch, h, w, width)`.
            given: `(batch, h, w, code_dim)`: the latent in units of the prior,
                or noise to draw it with.
            features: Of the image, as the state; None without a posterior.
            is_noise: Whether `given` is noise.

        Returns:
            The next state; the latent in units of the prior, and mean and log
            variance of its posterior in these units, float32. Without a posterior, the
            last two are those of the prior, 0.
        """
        sizes = (self.code_dim, 2 * self.code_dim)
        prior_mean, prior_log_std, change = ops.split(
            self.prior(inputs), sizes, axis=-1
        )
        prior_mean, prior_log_std = _moments(prior_mean, prior_log_std)
        z = given = ops.cast(given, "float32")
        z_mean = z_log_var = ops.zeros_like(z)
        if features is not None:
            both = self.posterior(ops.concatenate([inputs, features], axis=-1))
            mean, log_std = _moments(*ops.split(both, 2, axis=-1))
            z_mean = (mean - prior_mean) * ops.exp(-prior_log_std)
            z_log_var = 2.0 * (log_std - prior_log_std)
            if is_noise:
                z = z_mean + ops.exp(0.5 * z_log_var) * given
        latent = prior_mean + ops.exp(prior_log_std) * z
        x = inputs + change + self.project(ops.cast(latent, self.compute_dtype))
        return self.residual(x), z, z_mean, z_log_var


def _moments(mean: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and bounded log standard deviation, float32."""
    bounded = MAX_LOG_STD * ops.tanh(ops.cast(log_std, "float32") / MAX_LOG_STD)
    return ops.cast(mean, "float32"), bounded


class Bottleneck(keras.layers.Layer):
    """Convolutions 1x1, 3x3, 3x3 and 1x1, an activation before each: figure 3.

    Maps of up to 2 pixels have no neighbours to speak of: there all are 1x1.

    Args:
        channels: Channels of the output.
        bottleneck: Channels within.
        activation: Activation before each convolution.
        size: Height and width of the maps.
        scale: Of the variance of the last kernel, at the start; may be 0.
        is_residual: Whether to add the input, of as many channels.
    """

    def __init__(
        self,
        channels: int,
        bottleneck: int,
        activation: str,
        size: tuple[int, int],
        scale: float,
        *,
        is_residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.is_residual = is_residual
        kernel = 3 if min(size) > 2 else 1
        shapes = ((bottleneck, 1), (bottleneck, kernel), (bottleneck, kernel))
        self.convs = [
            keras.layers.Conv2D(
                filters,
                kernel,
                padding="same",
                kernel_initializer=_initializer(scale if i == 4 else 1.0),
                name=f"conv_{i}",
                data_format="channels_last",
            )
            for i, (filters, kernel) in enumerate((*shapes, (channels, 1)), start=1)
        ]

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the convolutions for maps `(batch, h, w, channels)`."""
        shape = tuple(input_shape)
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Map `(batch, h, w, ...)` to `(batch, h, w, channels)`."""
        x = inputs
        for conv in self.convs:
            x = conv(self.activation(x))
        return inputs + x if self.is_residual else x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple:
        """`(batch, h, w, channels)`."""
        return (*input_shape[:-1], self.convs[-1].filters)


def _initializer(scale: float) -> Any:
    """Of a kernel whose outputs have `scale` times the variance of its inputs."""
    if scale == 0.0:
        return "zeros"
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")
