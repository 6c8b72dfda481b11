"""Solid shapes as functions of a point, led by a flat latent."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent
from aezoo.networks.grid3d import Grid3D
from aezoo.nn.layers.dense import build_dense
from aezoo.utils.validation import check_count, check_positive_int

Tensor = Any
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Occupancy(Grid3D):
    """The encoder of `Grid3D`, and a decoder that is a function of a point.

    Mescheder et al. (2019), "Occupancy networks" (https://arxiv.org/abs/1812.03828),
    section 3: residual blocks map a point of the unit cube, and the latent of a shape,
    to what there is at that point. So a decoder has no resolution: `decode` asks it at
    the centre of each cell of the modality's grid, `at` anywhere. The latent enters by
    conditional normalisation, here over the channels of a point rather than over a
    batch, so that no point depends on the others.

    Coordinates are also seen as sines and cosines of frequencies that double
    (Mildenhall et al., 2020, https://arxiv.org/abs/2003.08934, equation 4).

    Args:
        filters: As in `Grid3D`.
        strides: As in `Grid3D`.
        hidden_units: As in `Grid3D`; in the decoder, between the latent and what it
            leads by.
        activation: As in `Grid3D`.
        point_units: Channels of a point.
        blocks: Residual blocks.
        frequencies: Frequencies of each coordinate, from half a period in the cube on.
    """

    point_units: int = 64
    blocks: int = 3
    frequencies: int = 4

    kind: ClassVar[str] = "occupancy"

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        super().__post_init__()
        for name, check in (
            ("point_units", check_positive_int),
            ("blocks", check_positive_int),
            ("frequencies", check_count),
        ):
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def decoder(
        self, modality: Modality, width: int, latent: Latent
    ) -> "OccupancyDecoder":
        """An `OccupancyDecoder`."""
        self.check(modality, latent)
        return OccupancyDecoder(self, (*modality.positions, width))


class OccupancyDecoder(keras.layers.Layer):
    """Residual blocks over a point, normalised as the latent says.

    Args:
        network: Sizes and activation.
        output_shape: Shape `(depth, height, width, parameters)` of one output.
    """

    def __init__(
        self, network: Occupancy, output_shape: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.grid, width = tuple(output_shape[:-1]), output_shape[-1]
        self.frequencies, self.blocks = network.frequencies, network.blocks
        self.units = network.point_units
        self.activate = keras.activations.get(network.activation)
        self.hidden = [
            keras.layers.Dense(units, activation=network.activation, name=f"dense_{i}")
            for i, units in enumerate(network.hidden_units[::-1], start=1)
        ]
        # of each normalisation scale and shift, and what is added to the points first
        self.num_norms = 2 * network.blocks + 1
        self.conditions = keras.layers.Dense(
            (2 * self.num_norms + 1) * self.units, name="conditions"
        )
        self.from_point = keras.layers.Dense(self.units, name="from_point")
        self.inner = [
            keras.layers.Dense(self.units, name=f"block_{i}_{j}")
            for i in range(1, network.blocks + 1)
            for j in (1, 2)
        ]
        self.head = keras.layers.Dense(width, name="head")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for latents `(batch, units)`."""
        build_dense([*self.hidden], [self.conditions], input_shape[-1])
        self.from_point.build((None, len(self.grid) * (1 + 2 * self.frequencies)))
        for layer in (*self.inner, self.head):
            layer.build((None, self.units))

    def call(self, inputs: Tensor) -> Tensor:
        """Parameters of a likelihood at the centre of each cell, `(batch, *grid, _)`.

        One slice of the grid after the other, so that memory is bounded. The loop
        reads the weights before it starts: so a graph in which nobody looks at the
        grid leaves it out.
        """
        slices = centres(self.grid).reshape(self.grid[0], 1, -1, len(self.grid))
        conditions = self.lead(inputs)
        weights = [(v, ops.copy(v)) for v in self.variables]

        def at_slice(points: Tensor) -> Tensor:
            with keras.StatelessScope(state_mapping=weights):
                return self.along(conditions, points)

        found = ops.map(at_slice, ops.convert_to_tensor(slices))
        # from (depth, batch, height * width, parameters)
        found = ops.transpose(found, (1, 0, 2, 3))
        return ops.reshape(found, (-1, *self.grid, self.head.units))

    def at(self, inputs: Tensor, points: Tensor) -> Tensor:
        """Parameters of a likelihood at points, `(batch, n, parameters)`.

        Args:
            inputs: Latents, `(batch, units)`.
            points: Of the unit cube, `(batch, n, 3)`, or `(1, n, 3)` for all.
        """
        return self.along(self.lead(inputs), points)

    def lead(self, inputs: Tensor) -> Tensor:
        """Scales and shifts of latents, `(batch, 1, rows, units)`."""
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        rows = 2 * self.num_norms + 1
        return ops.reshape(self.conditions(x), (-1, 1, rows, self.units))

    def along(self, conditions: Tensor, points: Tensor) -> Tensor:
        """As `at`, of what `lead` returned."""
        x = self.from_point(self.features(points)) + conditions[:, :, 0]
        for block in range(self.blocks):
            h = x
            for i in (2 * block, 2 * block + 1):
                h = self.inner[i](self.activate(normalised(h, conditions, i)))
            x = x + h
        return self.head(self.activate(normalised(x, conditions, self.num_norms - 1)))

    def features(self, points: Tensor) -> Tensor:
        """Coordinates in [-1, 1], and their sines and cosines; `(..., features)`."""
        x = 2.0 * ops.cast(points, "float32") - 1.0
        angles = [math.pi * 2.0**i * x for i in range(self.frequencies)]
        waves = [wave(angle) for angle in angles for wave in (ops.sin, ops.cos)]
        return ops.cast(ops.concatenate([x, *waves], axis=-1), self.compute_dtype)


def normalised(x: Tensor, conditions: Tensor, i: int) -> Tensor:
    """Channels of points with mean 0 and variance 1, scaled and shifted.

    Args:
        x: `(batch, n, units)`.
        conditions: Of `OccupancyDecoder.lead`.
        i: Which of the normalisations.
    """
    mean = ops.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    scale, shift = conditions[:, :, 1 + 2 * i], conditions[:, :, 2 + 2 * i]
    return centred * ops.rsqrt(variance + EPSILON) * (1.0 + scale) + shift


def centres(grid: Sequence[int]) -> np.ndarray:
    """Centres of the cells of a grid over the unit cube; float32, `(*grid, 3)`.

    Args:
        grid: Cells along each axis.
    """
    axes = [(np.arange(n, dtype="float32") + 0.5) / n for n in grid]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
