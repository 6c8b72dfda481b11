"""Volumes that shapes have in common, and distances between their surfaces."""

import math

import numpy as np

from aezoo.evaluation.context import Chunk, Evaluation
from aezoo.evaluation.definition import Result, mean_with_error
from aezoo.utils.extras import require


def iou(chunk: Chunk) -> np.ndarray:
    """Intersection over union of each shape and its reconstruction, `(n,)`."""
    return iou_of(chunk.examples, chunk.x_hat)


def chamfer(chunk: Chunk) -> np.ndarray:
    """Chamfer distance of each shape and its reconstruction, voxels, `(n,)`."""
    pairs = zip(chunk.examples[:, None], chunk.x_hat[:, None], strict=True)
    return np.array([chamfer_of(a, b)[0, 0] for a, b in pairs])


def minimum_matching_distance(evaluation: Evaluation, sampler: str) -> Result:
    """Distance of each shape to its nearest sample (Achlioptas et al., 2018)."""
    return mean_with_error(_distances(evaluation, sampler).min(axis=1))


def sample_coverage(evaluation: Evaluation, sampler: str) -> float:
    """Share of the shapes that are nearest to a sample (Achlioptas et al., 2018)."""
    distances = _distances(evaluation, sampler)
    return len(np.unique(distances.argmin(axis=0))) / len(distances)


def _distances(evaluation: Evaluation, sampler: str) -> np.ndarray:
    """Chamfer distances of shapes to samples, `(n, num_samples)`."""

    def compute() -> np.ndarray:
        drawn = evaluation.model.sample(
            evaluation.num_samples, seed=evaluation.seed, sampler=sampler
        )
        return chamfer_of(evaluation.examples, evaluation.modality.check(drawn))

    return evaluation.cached(("chamfer", sampler), compute)


def iou_of(x: np.ndarray, x_hat: np.ndarray) -> np.ndarray:
    """Intersection over union of pairs of shapes, float64 `(n,)`; 1 of empty ones.

    Args:
        x: Shapes, `(n, depth, height, width)`, occupied from 1/2 on.
        x_hat: The others.
    """
    a, b = (np.asarray(v).reshape(len(v), -1) >= 0.5 for v in (x, x_hat))
    either = np.count_nonzero(a | b, axis=1)
    both = np.count_nonzero(a & b, axis=1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def chamfer_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Chamfer distances of all pairs of shapes, voxels, float64 `(n, m)`.

    Half the sum of the mean distances from either surface to the other (Fan et al.,
    2017, https://arxiv.org/abs/1612.00603, without squares): what `chamfer` says. Sums
    over surfaces are products of grids: those of one shape's surface voxels, and of the
    distances from each cell to the other's.

    Args:
        x: Shapes, `(n, depth, height, width)`, occupied from 1/2 on.
        y: Others, `(m, depth, height, width)`.
    """
    (at_x, from_x), (at_y, from_y) = _surfaces(x), _surfaces(y)
    there = at_x @ from_y.T  # sums over the surfaces of x, (n, m)
    back = from_x @ at_y.T
    count_x, count_y = at_x.sum(axis=1)[:, None], at_y.sum(axis=1)[None]
    mean = (there / np.maximum(count_x, 1) + back / np.maximum(count_y, 1)) / 2
    diagonal = math.sqrt(sum((side - 1) ** 2 for side in x.shape[1:]))
    mean = np.where((count_x == 0) | (count_y == 0), diagonal, mean)
    return np.where((count_x == 0) & (count_y == 0), 0.0, mean).astype("float64")


def _surfaces(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surface voxels, and the distance of each cell to the nearest; flat, `(n, _)`."""
    ndimage = require("scipy.ndimage", "evaluation", "The Chamfer distance")
    solid = np.asarray(x) >= 0.5
    masks, distances = np.zeros(solid.shape, "float32"), np.zeros(x.shape, "float32")
    for i, shape in enumerate(solid):
        surface = shape & ~ndimage.binary_erosion(shape)  # nothing is beyond the rim
        if surface.any():
            masks[i] = surface
            distances[i] = ndimage.distance_transform_edt(~surface)
    return masks.reshape(len(x), -1), distances.reshape(len(x), -1)
