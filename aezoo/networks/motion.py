"""Dense layers over a trajectory, and convolutions over the picture of its place."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.dense import dense_heads, dense_stages
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.backend import SeedGenerator
from aezoo.nn.layers.dense import build_dense
from aezoo.utils.validation import check_number, check_positive_int, check_positive_ints

Tensor = Any
CHANNELS_LAST = {"data_format": "channels_last"}


@dataclasses.dataclass(frozen=True)
class Motion(Network):
    """Dense layers over the moves of a trajectory to a flat latent, and back to moves.

    What an objective is told beside a trajectory becomes one vector, which encoder and
    decoder both take: pictures by strided convolutions, all else by flattening it.

    Args:
        hidden_units: Width of each dense layer of the encoder; the decoder mirrors
            them.
        patch_size: Side of the patches that the first convolution over a picture takes,
            without overlap.
        filters: Channels of each convolution; those after the first one are 3x3 and
            halve the picture.
        context_units: Size of the vector of what is told.
        dropout: Share of the features of the last convolution that training leaves
            out.
        activation: Keras activation of the hidden layers.
    """

    hidden_units: tuple[int, ...] = (256, 256)
    patch_size: int = 4
    filters: tuple[int, ...] = (48, 64, 96)
    context_units: int = 128
    dropout: float = 0.0
    activation: str = "relu"

    kind: ClassVar[str] = "motion"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        for name, value in (
            ("hidden_units", check_positive_ints("hidden_units", self.hidden_units)),
            ("filters", check_positive_ints("filters", self.filters, minimum=1)),
            ("patch_size", check_positive_int("patch_size", self.patch_size)),
            ("context_units", check_positive_int("context_units", self.context_units)),
            ("dropout", check_number("dropout", self.dropout, low=0.0, high=0.99)),
        ):
            object.__setattr__(self, name, value)
        check_activation("activation", self.activation)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Continuous values along one axis, and flat latents."""
        if len(modality.positions) != 1 or not modality.is_continuous:
            raise self.cannot_carry(modality)
        if latent.is_map or latent.is_hierarchical or latent.is_masked:
            raise self.cannot_carry(modality, latent)

    def context(self, given: Mapping[str, Modality]) -> "Context":
        """A `Context`."""
        return Context(self, given)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "MotionEncoder":
        """A `MotionEncoder`."""
        self.check(modality, latent)
        told = self.context_units if latent.is_told else 0
        return MotionEncoder(self, heads, latent.activation, told)

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> "MotionDecoder":
        """A `MotionDecoder`."""
        self.check(modality, latent)
        told = self.context_units if latent.is_told else 0
        return MotionDecoder(self, (*modality.positions, width), told)

    def unused(self, latent: Latent) -> tuple[str, ...]:
        """What makes the vector of what is told, where nothing is."""
        if latent.is_told:
            return ()
        return ("patch_size", "filters", "context_units", "dropout")


class Context(keras.layers.Layer):
    """What a model is told beside an example, as one vector.

    Args:
        network: Sizes and activation.
        given: Modality of each condition by name.
    """

    def __init__(
        self, network: Motion, given: Mapping[str, Modality], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.shapes = {name: tuple(told.tensor_shape) for name, told in given.items()}
        self.convs = [
            keras.layers.Conv2D(
                channels,
                3 if i else network.patch_size,
                strides=2 if i else network.patch_size,
                padding="same",
                activation=network.activation,
                name=f"{name}_conv_{i + 1}",
                **CHANNELS_LAST,
            )
            for name in self._pictures
            for i, channels in enumerate(network.filters)
        ]
        self.depth = len(network.filters)
        self.flatten = keras.layers.Flatten(name="flatten", **CHANNELS_LAST)
        self.dropout = network.dropout
        self.seed_generator = SeedGenerator()
        self.mix = keras.layers.Dense(
            network.context_units, activation=network.activation, name="mix"
        )

    @property
    def _pictures(self) -> list[str]:
        return [name for name, shape in self.shapes.items() if len(shape) == 3]

    def _convolutions(self, name: str) -> list[keras.layers.Layer]:
        """The convolutions of a condition; none if it is no picture."""
        if name not in self._pictures:
            return []
        first = self._pictures.index(name) * self.depth
        return self.convs[first : first + self.depth]

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Build all layers."""
        width = 0
        for name, row in self.shapes.items():
            shape: tuple[Any, ...] = (None, *row)
            for conv in self._convolutions(name):
                conv.build(shape)
                shape = conv.compute_output_shape(shape)
            width += math.prod(shape[1:])
        self.mix.build((None, width))

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Conditions by name, `(batch, ...)` each, to `(batch, context_units)`."""
        parts = []
        for name in self.shapes:
            x = inputs[name]
            if name in self._pictures:  # from [0, 1] to [-1, 1]
                x = 2.0 * x - 1.0
            for conv in self._convolutions(name):
                x = conv(x)
            parts.append(self.flatten(x))
        x = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        if training and self.dropout:
            noise = keras.random.uniform(ops.shape(x), seed=self.seed_generator)
            kept = ops.cast(noise >= self.dropout, x.dtype)
            x = x * kept / (1.0 - self.dropout)
        return self.mix(x)

    @property
    def units(self) -> int:
        """Size of the vector."""
        return self.mix.units


class Moves(keras.layers.Layer):
    """From step to step: what is added to the position before, flat."""

    def call(self, inputs: Tensor) -> Tensor:
        """`(batch, steps, channels)` to `(batch, steps * channels)`."""
        first, rest = inputs[:, :1], inputs[:, 1:] - inputs[:, :-1]
        moves = ops.concatenate([first, rest], axis=1)
        return ops.reshape(moves, (-1, math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple:
        """`(batch, steps * channels)`."""
        return (input_shape[0], math.prod(input_shape[1:]))


class MotionEncoder(Encoder):
    """Moves, what is told beside them, dense layers, then one head per output.

    Layers by name: `hidden1`, `hidden2`, and so on, and `latent`.

    Args:
        network: Sizes and activation.
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
        context_units: Size of the vector of what is told; 0 where nothing is.
    """

    def __init__(
        self,
        network: Motion,
        heads: Mapping[str, int],
        head_activation: str,
        context_units: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.context_units = context_units
        self.moves = Moves(name="moves")
        self.hidden = [
            keras.layers.Dense(units, activation=network.activation, name=f"dense_{i}")
            for i, units in enumerate(network.hidden_units, start=1)
        ]
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """The hidden layers."""
        return dense_stages(self.hidden, self.moves)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, width)` tensor per head."""
        return super().outputs(x if self.hidden else self.moves(x))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for trajectories `(batch, steps, channels)`."""
        width = math.prod(input_shape[1:]) + self.context_units  # type: ignore[arg-type]
        build_dense(self.hidden, [*self.heads.values()], width)

    def call(self, inputs: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Map trajectories, and the vector of what is told, to the parameters.

        Args:
            inputs: `(batch, steps, channels)`.
            context: `(batch, context_units)`, or None where nothing is told.
        """
        x = self.moves(inputs)
        if context is not None:
            x = ops.concatenate([x, ops.cast(context, x.dtype)], axis=-1)
        for layer in self.hidden:
            x = layer(x)
        return {name: head(x) for name, head in self.heads.items()}


class MotionDecoder(keras.layers.Layer):
    """Dense layers from a latent and what is told to moves, which are summed up.

    Args:
        network: Sizes and activation.
        output_shape: Shape `(steps, width)` of one output.
        context_units: Size of the vector of what is told; 0 where nothing is.
    """

    def __init__(
        self,
        network: Motion,
        output_shape: Sequence[int],
        context_units: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.example_shape = tuple(output_shape)
        self.context_units = context_units
        self.hidden = [
            keras.layers.Dense(units, activation=network.activation, name=f"dense_{i}")
            for i, units in enumerate(network.hidden_units[::-1], start=1)
        ]
        self.moves = keras.layers.Dense(math.prod(self.example_shape), name="moves")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for latents `(batch, units)`."""
        width = input_shape[-1] + self.context_units  # type: ignore[operator]
        build_dense(self.hidden, [self.moves], width)

    def call(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """Map latents, and the vector of what is told, to positions.

        Args:
            inputs: `(batch, units)`.
            context: `(batch, context_units)`, or None where nothing is told.

        Returns:
            `(batch, steps, width)`.
        """
        x = inputs
        if context is not None:
            x = ops.concatenate([x, ops.cast(context, x.dtype)], axis=-1)
        for layer in self.hidden:
            x = layer(x)
        moves = ops.reshape(self.moves(x), (-1, *self.example_shape))
        return ops.cumsum(ops.cast(moves, "float32"), axis=1)
