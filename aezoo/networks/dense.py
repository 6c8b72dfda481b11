"""Dense layers each way."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, check_activation
from aezoo.networks.stages import Encoder, Stage
from aezoo.nn.layers.dense import build_dense
from aezoo.utils.validation import check_positive_ints

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Dense(Network):
    """Dense layers to a flat latent, and mirrored dense layers back.

    Args:
        hidden_units: Width of each hidden layer of the encoder; the decoder mirrors
            them. Empty for one linear map each way.
        activation: Keras activation of the hidden layers.
    """

    hidden_units: tuple[int, ...] = (512, 256)
    activation: str = "relu"

    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        units = check_positive_ints("hidden_units", self.hidden_units)
        object.__setattr__(self, "hidden_units", units)
        check_activation("activation", self.activation)

    def check(self, modality: Modality, latent: Latent) -> None:
        """Flat latents of continuous values alone."""
        if not modality.is_continuous:
            raise self.cannot_carry(modality)
        if latent.is_map:
            raise self.cannot_carry(modality, latent)

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "DenseEncoder":
        """A `DenseEncoder`."""
        self.check(modality, latent)
        return DenseEncoder(
            self.hidden_units, self.activation, heads, latent.activation
        )

    def decoder(self, modality: Modality, width: int, latent: Latent) -> "DenseDecoder":
        """A `DenseDecoder`."""
        self.check(modality, latent)
        return DenseDecoder(
            self.hidden_units[::-1], self.activation, (*modality.positions, width)
        )


def dense_heads(
    heads: Mapping[str, int], activation: str
) -> dict[str, keras.layers.Dense]:
    """A dense layer per output.

    Args:
        heads: Width of each, by its name.
        activation: Keras activation of all.
    """
    return {
        name: keras.layers.Dense(units, activation=activation, name=name)
        for name, units in heads.items()
    }


def dense_stages(
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
        heads: Width of each output, by its name.
        head_activation: Activation of the heads.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: str,
        heads: Mapping[str, int],
        head_activation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten(name="flatten", data_format="channels_last")
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.heads = dense_heads(heads, head_activation)

    def stages(self) -> list[Stage]:
        """The hidden layers."""
        return dense_stages(self.hidden, self.flatten)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """One `(batch, width)` tensor per head."""
        return super().outputs(x if self.hidden else self.flatten(x))

    def build_outputs(self, shape: tuple) -> None:
        """Build the heads."""
        super().build_outputs(self.flatten.compute_output_shape(shape))


class DenseDecoder(keras.layers.Layer):
    """Dense layers, then a linear one to all elements, then a reshape to an example.

    Args:
        hidden_units: Width of each hidden layer, from the latent to the elements.
        activation: Activation of the hidden layers.
        output_shape: Shape `(*positions, width)` of one output.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        activation: str,
        output_shape: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.example_shape = tuple(output_shape)
        self.hidden = [
            keras.layers.Dense(units, activation=activation, name=f"dense_{i}")
            for i, units in enumerate(hidden_units, start=1)
        ]
        self.pixels = keras.layers.Dense(math.prod(self.example_shape), name="pixels")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for latents `(batch, latent_dim)`."""
        build_dense([*self.hidden], [self.pixels], input_shape[-1])

    def call(self, inputs: Tensor) -> Tensor:
        """Map latents to parameters of a likelihood, `(batch, *output_shape)`."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return ops.reshape(self.pixels(x), (-1, *self.example_shape))
