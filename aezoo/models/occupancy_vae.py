"""Occupancy VAE: shapes as functions of a point, learnt from points near and far."""

import functools
import itertools
import math
from typing import Any, ClassVar

import numpy as np
from keras import ops

from aezoo.modalities import Voxels
from aezoo.modalities.meshes import check_meshes_installed, surface_mesh
from aezoo.models._surfaces import coarse_to_fine, refined
from aezoo.models.arguments import count, number
from aezoo.models.vae import TINY_VOXELS, VAE
from aezoo.networks import NetworkError, Occupancy
from aezoo.nn.distributions import uniform
from aezoo.registry import register_family
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_count, check_number

Tensor = Any
# Points that are computed together; fewer are filled up.
BLOCK = 1024
TINY_OCCUPANCY: dict[str, Any] = {
    **TINY_VOXELS,
    "point_units": 8,
    "blocks": 1,
    "frequencies": 2,
    "num_points": 32,
}


@register_family(
    "occupancy_vae",
    network=Occupancy(),
    modality=Voxels(),
    tiny=TINY_OCCUPANCY,
    latent_dim=64,
)
class OccupancyVAE(VAE):
    """Generative occupancy network of Mescheder et al. (2019), trained on points.

    "Occupancy networks: learning 3D reconstruction in function space"
    (https://arxiv.org/abs/1812.03828), equation 4: `reconstruction + beta * kl`, where
    the reconstruction is the sum of -log p(o_i | p_i, z) over points p_i, each occupied
    or not. In training, the sum over the cells of the grid is estimated from
    `num_points` of them, some near the surface and some far from it: the mean of either
    kind times the number of such cells; with `jitter=0` the estimate has no bias. Else
    a point lies anywhere in its cell, and is occupied where the grid, interpolated
    linearly, is at least 1/2. `evaluate` and all else take the centres of all cells.

    Args:
        num_points: Points of each shape in a step.
        near_share: Share of them that are drawn from cells near the surface: those
            that have both occupied and empty ones among them and their 26 neighbours.
        jitter: Side of the cube about the centre of a cell in which a point lies, in
            cells; 0 takes the centres.
        **kwargs: As in `VAE`.
    """

    num_points: int = count(512, low=2)
    near_share: float = number(0.75, above=0.0, high=1.0)
    jitter: float = number(1.0, low=0.0, high=1.0)

    TASKS: ClassVar[tuple[str, ...]] = (*VAE.TASKS, "surfaces")
    LEARNS_FROM_HOLES: ClassVar[bool] = False

    def check_arguments(self) -> None:
        """Refuse networks whose decoder is no function of a point."""
        super().check_arguments()
        if not isinstance(self.network, Occupancy):
            raise NetworkError(
                f"{self.family!r} learns from points, so its network must be "
                f"'occupancy'. Received: network={self.network.kind!r}. On "
                f"{self.network.kind!r} take `vae`."
            )

    def call(
        self,
        inputs: Tensor,
        training: bool = False,
        sample_seed: Any = None,
        **given: Tensor,
    ) -> dict[str, Tensor]:
        """As in `Autoencoder`; in training also `draws`, by which points are chosen.

        A graph leaves out the grid, at which nobody looks in training.
        """
        outputs = super().call(inputs, training, sample_seed, **given)
        if training:
            shape = (ops.shape(inputs)[0], self.num_points, 4)
            outputs["draws"] = uniform(shape, self.seed_generator)
        return outputs

    def reconstruction_term(self, x: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """-log p(x|z) of all cells; in training, estimated from points. `(batch,)`."""
        if "draws" not in outputs:
            return super().reconstruction_term(x, outputs)
        points, values, weights = self.draw_points(x, outputs["draws"])
        z = ops.cast(outputs["z"], self.compute_dtype)
        parameters = ops.cast(self.decoder.at(z, points), "float32")
        # each point as an example of its own: (batch * points, channels)
        likelihood = self.make_likelihood(
            ops.reshape(parameters, (-1, parameters.shape[-1]))
        )
        log_p = likelihood.log_prob(ops.reshape(values, (-1, 1)))
        return -ops.sum(weights * ops.reshape(log_p, ops.shape(weights)), axis=1)

    def draw_points(self, x: Tensor, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points of shapes, what there is at them, and how many cells each stands for.

        Args:
            x: Shapes as tensors, `(batch, *grid, 1)`.
            draws: Uniform in [0, 1), `(batch, num_points, 4)`: of the cell, and of the
                place in it.

        Returns:
            Points of the unit cube `(batch, num_points, 3)`; 1 where occupied, else 0,
            `(batch, num_points)`; numbers of cells, of the same shape.
        """
        grid = self.modality.shape
        near = round(self.near_share * self.num_points)
        near = min(max(near, 1), self.num_points - 1)
        is_near = ops.reshape(near_surface(x), (-1, self.modality.dims))
        parts = []
        for wanted, drawn in (
            (is_near, draws[:, :near, 0]),
            (ops.logical_not(is_near), draws[:, near:, 0]),
        ):
            cells, total = choose(wanted, drawn)
            each = ops.cast(total, "float32") / drawn.shape[1]
            parts.append((cells, ops.broadcast_to(each, ops.shape(cells))))
        cells, weights = (
            ops.concatenate(part, axis=1) for part in zip(*parts, strict=True)
        )
        _, height, width = grid
        indices = (cells // (height * width), cells // width % height, cells % width)
        centre = ops.cast(ops.stack(indices, axis=-1), "float32")
        place = centre + self.jitter * (draws[..., 1:] - 0.5)
        values = interpolated(x[..., 0], place)
        points = (place + 0.5) / np.array(grid, "float32")
        return points, ops.cast(values >= 0.5, "float32"), weights

    # --- Any resolution -----------------------------------------------------------

    def occupancy(self, z: Any, points: Any, batch_size: int = 64) -> np.ndarray:
        """What there is at points: the point of p(o|p, z), of Bernoulli its mean.

        Args:
            z: Codes, `(n, latent_dim)`.
            points: Of the unit cube, `(m, 3)` for all codes, or `(n, m, 3)`. The cell
                (i, j, k) of a grid of r cells along each axis has its centre at
                ((i + 1/2) / r, (j + 1/2) / r, (k + 1/2) / r).
            batch_size: Blocks of 1,024 points per compiled call; does not change the
                result.

        Returns:
            Probabilities that points are occupied, float32, `(n, m)`.

        Raises:
            ValueError: If shapes do not fit, or a point is outside of the unit cube.
        """
        z = self.check_codes(z)
        points = check_points(points, len(z))
        count = points.shape[1]
        blocks = -(-count // BLOCK)
        filled = np.pad(points, ((0, 0), (0, blocks * BLOCK - count), (0, 0)))
        filled = np.broadcast_to(filled, (len(z), *filled.shape[1:]))
        found = self.run(
            "occupancy",
            np.repeat(z, blocks, axis=0),
            batch_size,
            points=filled.reshape(-1, BLOCK, 3),
        )
        probabilities: np.ndarray = found.reshape(len(z), -1)[:, :count]
        return probabilities

    def _graph_occupancy(self, z: Tensor, points: Tensor) -> Tensor:
        z = ops.cast(z, self.compute_dtype)
        parameters = ops.cast(self.decoder.at(z, points), "float32")
        return self.modality.from_model(self.point(parameters))

    def mesh(
        self, z: Any, resolution: int = 96, level: float = 0.5, adaptive: bool = True
    ) -> Any:
        """The surface of a shape, at any resolution, by marching cubes.

        Args:
            z: One code, `(latent_dim,)` or `(1, latent_dim)`.
            resolution: Cells along each axis.
            level: Probability of being occupied on the surface, between 0 and 1.
            adaptive: Halve the resolution while it is even and at least twice
                `COARSEST`, and from there on look closer only at cells about the
                surface (the paper's section 3.3); False looks at all cells. The same
                surface, unless a part is thinner than the coarsest cells.

        Returns:
            A `trimesh.Trimesh` in the unit cube, closed, with `.vertices` `(v, 3)`,
            `.faces` `(f, 3)` and `.export(path)` to .obj, .ply or .stl; without a face
            where nothing is occupied.

        Raises:
            ValueError: If it is no single code, or an argument is out of range.
            MissingDependencyError: If `aezoo[shapes]` is not installed.
        """
        check_meshes_installed()
        resolution = check_count("resolution", resolution, minimum=2)
        level = check_number("level", level, above=0.0)
        if level >= 1.0:
            raise ValueError(f"`level` must be below 1. Received: level={level}.")
        codes = self.check_codes(np.asarray(z)[None] if np.ndim(z) == 1 else z)
        if len(codes) != 1:
            raise ValueError(
                "`z` must be one code. Received: z.shape="
                f"{codes.shape}. Pass one after the other: `model.mesh(z[0])`."
            )

        def at(points: np.ndarray) -> np.ndarray:
            return self.occupancy(codes, points)[0]

        steps = coarse_to_fine(resolution) if adaptive else [resolution]
        return surface_mesh(refined(at, steps, level), level)


def near_surface(x: Tensor) -> Tensor:
    """Cells that have occupied and empty ones among them and their 26 neighbours.

    Args:
        x: Shapes, `(batch, *grid, 1)`, occupied from 1/2 on.

    Returns:
        Bools of the same shape.
    """
    solid = ops.cast(x >= 0.5, "float32")
    most, least = solid, solid
    for axis in (1, 2, 3):  # TensorFlow's own pooling takes far longer
        most, least = (
            functools.reduce(of_two, shifted(v, axis))
            for of_two, v in ((ops.maximum, most), (ops.minimum, least))
        )
    return most > least


def shifted(x: Tensor, axis: int) -> list[Tensor]:
    """Grids, and the same moved by a cell along an axis, one way and the other."""
    size, before = x.shape[axis], (slice(None),) * axis
    first, last = x[(*before, slice(0, 1))], x[(*before, slice(size - 1, size))]
    return [
        ops.concatenate([first, x[(*before, slice(0, size - 1))]], axis=axis),
        x,
        ops.concatenate([x[(*before, slice(1, size))], last], axis=axis),
    ]


def choose(wanted: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Elements of each row, all that are wanted equally probable.

    Args:
        wanted: Bools, `(batch, size)`.
        draws: Uniform in [0, 1), `(batch, n)`.

    Returns:
        Indices, int32 `(batch, n)`, any where nothing is wanted; and how many are
        wanted, int32 `(batch, 1)`.
    """
    size = wanted.shape[1]
    ranks = ops.cumsum(ops.cast(wanted, "int32"), axis=1)
    total = ranks[:, -1:]
    drawn = ops.cast(draws * ops.cast(total, "float32"), "int32")
    drawn = ops.minimum(drawn, ops.maximum(total - 1, 0))
    # one search for all rows, each beyond the one before: the first of that rank
    start = size * ops.arange(ops.shape(ranks)[0], dtype="int32")[:, None]
    ordered = ops.reshape(ranks + start, (-1,))
    sought = ops.reshape(drawn + 1 + start, (-1,))
    found = ops.cast(ops.searchsorted(ordered, sought), "int32")
    found = ops.reshape(found, ops.shape(drawn)) - start
    return ops.clip(found, 0, size - 1), total


def interpolated(x: Tensor, place: Tensor) -> Tensor:
    """Values of grids at places between their cells, `(batch, n)`; trilinear.

    Args:
        x: Grids, `(batch, *grid)`.
        place: In cells, `(batch, n, 3)`: whole numbers are centres of cells. Beyond
            the outermost centres the value is that of the nearest.
    """
    grid = x.shape[1:]
    flat = ops.reshape(x, (-1, math.prod(grid)))
    low = ops.floor(place)
    share = place - low
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        index, weight = 0, 1.0
        for axis, (side, bit) in enumerate(zip(grid, corner, strict=True)):
            at = ops.clip(ops.cast(low[..., axis], "int32") + bit, 0, side - 1)
            index = index * side + at
            weight = weight * (share[..., axis] if bit else 1.0 - share[..., axis])
        total = total + weight * ops.take_along_axis(flat, index, axis=1)
    return total


def check_points(points: Any, n: int) -> np.ndarray:
    """Points of the unit cube, float32 `(1, m, 3)` or `(n, m, 3)`.

    Args:
        points: `(m, 3)`, or `(n, m, 3)`.
        n: Number of codes.

    Raises:
        ValueError: If the shape is another, or a point is outside.
    """
    array = to_numpy(points)
    if array.ndim == 2:
        array = array[None]
    is_shaped = array.ndim == 3 and array.shape[2] == 3 and len(array) in (1, n)
    if not is_shaped or not array.size or array.dtype.kind not in "fiu":
        raise ValueError(
            f"`points` must be numbers (m, 3), or (n, m, 3) for n={n} codes. Received: "
            f"points.shape={np.shape(points)}, dtype={array.dtype}."
        )
    low, high = array.min(), array.max()
    if not (low >= 0.0 and high <= 1.0):  # also false for NaN
        raise ValueError(
            "`points` must be finite and in the unit cube, [0, 1] along each axis. "
            f"Received: min={low:.3g}, max={high:.3g}."
        )
    return array.astype("float32")
