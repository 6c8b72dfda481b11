"""Encoders as named stages, one after the other."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
from keras import ops

from aezoo.errors import UnsupportedOperationError

Tensor = Any

# Layers of an encoder that are no stage: the mean over positions, and the latent.
POOL, LATENT = "pool", "latent"


def identity(value: Any) -> Any:
    """The value."""
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
    before: Callable[[Tensor], Tensor] = identity
    shape_before: Callable[[tuple], tuple] = identity
    after: Callable[[Tensor], Tensor] = identity

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
            if not layer.built:  # a user's own may be
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
    """Stages one after the other, and the parameters of the posterior at their end.

    An encoder lists its `stages`, and says in `outputs` what follows the last one.
    This class builds them, runs them, and gives what is in between by name.
    """

    # Whether a code has a vector for each position of the last stage.
    keeps_positions: bool = False
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

    def pool(self, x: Tensor) -> Tensor:
        """The layer `pool`: float32, `(batch, channels)`, of the stage that has it."""
        return mean_over_positions(x)

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
                found[POOL] = self.pool(x)
        if LATENT in names:
            found[LATENT] = self.outputs(x)
        return found


class NoEncoder(Encoder):
    """In the place of an encoder that there is not."""

    def stages(self) -> list[Stage]:
        """Refuse.

        Raises:
            UnsupportedOperationError: Always.
        """
        raise UnsupportedOperationError(
            "This model has no encoder: it decodes codes, and cannot `encode`, "
            "`reconstruct` or give features of examples. `model.project(x)` finds "
            "codes of examples by optimisation."
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Nothing to build."""


def mean_over_positions(x: Tensor) -> Tensor:
    """`(batch, ..., channels)` to float32 `(batch, channels)`."""
    x = ops.cast(x, "float32")  # half precision would round the sum
    return ops.mean(x, axis=tuple(range(1, x.ndim - 1)))
