"""Shapes drawn from five known factors: a small dSprites that needs no download.

In the spirit of dSprites (https://github.com/google-deepmind/dsprites-dataset): every
combination of the factors is one image, so that a metric of disentanglement knows the
truth. Unlike its square and ellipse, no shape here looks the same after a turn, so no
two images are equal. NumPy only; `aezoo.data.shapes_builder` serves them through TFDS.
"""

import math

import numpy as np

from aezoo.utils.validation import check_choice

SIZE = 32
SHAPES = ("heart", "triangle", "half_disc")
FACTOR_NAMES = ("shape", "scale", "orientation", "x_position", "y_position")
FACTOR_SIZES = (len(SHAPES), 4, 16, 12, 12)
SPLITS = ("train", "test")

# The square root of a shape's area, in pixels: the same for all shapes of a scale.
_SCALES = (4.0, 5.0, 6.0, 7.0)
# Centres of mass, in pixels from the left or upper edge: the largest shape's outer
# pixels stay off the border.
_POSITIONS = np.linspace(9.25, 22.75, 12)
_SPLIT_SEED = 0
_IMAGES_AT_ONCE = 256  # what fits the processor's cache


def factors() -> np.ndarray:
    """The factors of all images: the full product, the last one varying fastest.

    Returns:
        Integers of shape `(27648, 5)`, one column per name in `FACTOR_NAMES`, from 0
        to below `FACTOR_SIZES`: the shape (in the order of `SHAPES`), its scale (from
        small to large), its orientation (clockwise in steps of 22.5 degrees, 0 is
        upright), and the position of its centre of mass (from left to right, from top
        to bottom).

    Example:
        >>> factors()[1].tolist()
        [0, 0, 0, 0, 1]
    """
    return np.indices(FACTOR_SIZES).reshape(len(FACTOR_SIZES), -1).T


def split_indices(split: str) -> np.ndarray:
    """Which rows of `factors()` belong to a split, the same ones for ever.

    Args:
        split: `"test"`, every fifth of a shuffled order, or `"train"`, the others.

    Returns:
        Row numbers: 5,530 for `"test"`, 22,118 for `"train"`. They stay shuffled, so
        the first of a split are a fair sample of it.

    Raises:
        ValueError: If `split` is another word.
    """
    check_choice("split", split, SPLITS)
    count = math.prod(FACTOR_SIZES)
    # NumPy promises the same raw bits in all its versions, not the same `permutation`.
    order = np.random.PCG64(_SPLIT_SEED).random_raw(count).argsort(kind="stable")
    is_test = np.arange(count) % 5 == 0
    return order[is_test if split == "test" else ~is_test]


def draw_shapes(factors: np.ndarray) -> np.ndarray:
    """Draw white shapes on black with anti-aliased edges.

    Args:
        factors: Integers of shape `(n, 5)`, as `factors()` returns.

    Returns:
        Images, uint8 of shape `(n, 32, 32, 1)`. An image depends on its row only, and
        the outermost rows and columns of pixels are black.

    Raises:
        ValueError: If `factors` has another shape or dtype, or a value is out of
            range.

    Example:
        >>> draw_shapes(factors()[:3]).shape
        (3, 32, 32, 1)
    """
    factors = np.asarray(factors)
    names = ", ".join(FACTOR_NAMES)
    if factors.ndim != 2 or factors.shape[1] != 5 or factors.dtype.kind not in "iu":
        raise ValueError(
            f"`factors` must be integers of shape (n, 5): {names}. Received: "
            f"shape={factors.shape}, dtype={factors.dtype}. "
            "See `aezoo.data.shapes.factors()`."
        )
    for name, size, column in zip(FACTOR_NAMES, FACTOR_SIZES, factors.T, strict=True):
        if len(column) and (column.min() < 0 or column.max() >= size):
            raise ValueError(
                f"`factors` must hold {name} from 0 to {size - 1}. Received: {name} "
                f"from {column.min()} to {column.max()}."
            )
    images = np.zeros((len(factors), SIZE, SIZE, 1), "uint8")
    for k, distance in enumerate((_heart, _triangle, _half_disc)):
        (rows,) = np.nonzero(factors[:, 0] == k)
        for start in range(0, len(rows), _IMAGES_AT_ONCE):
            some = rows[start : start + _IMAGES_AT_ONCE]
            scale, x, y = _shape_coordinates(factors[some])
            # About one pixel of soft edge: coverage by the distance to the outline.
            cover = np.clip(0.5 - scale * distance(x, y), 0.0, 1.0)
            images[some, ..., 0] = np.round(255.0 * cover)
    return images


def _shape_coordinates(
    factors: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales `(n, 1, 1)`, and each pixel's `(n, 32, 32)` x and y in the shape's frame.

    There the shape is upright (y upwards), of area 1, its centre of mass at the origin.
    """
    columns = factors[:, 1:, None, None].swapaxes(0, 1)  # (4, n, 1, 1)
    scale = np.array(_SCALES)[columns[0]]
    angle = columns[1] * (2.0 * math.pi / FACTOR_SIZES[2])
    pixels = np.arange(SIZE) + 0.5
    right = (pixels - _POSITIONS[columns[2]]) / scale  # (n, 1, 32)
    up = (_POSITIONS[columns[3]] - pixels[:, None]) / scale  # (n, 32, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return scale, cos * right - sin * up, sin * right + cos * up


# Signed distances to the outlines, negative inside: unions (minimum) and intersections
# (maximum) of discs and half-planes, exact next to the edges.


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square on its corner, with a half disc on each of its upper sides."""
    side = 1.0 / math.sqrt(1.0 + math.pi / 4.0)
    # The half discs' share of the area times the height of their centres of mass.
    centre = (
        (math.pi / 4.0 * side**2) * side * (0.5 + 2.0 / (3.0 * math.pi)) / math.sqrt(2)
    )
    x, y = np.abs(x), y + centre
    along, across = (y + x) / math.sqrt(2), (y - x) / math.sqrt(2)
    square = np.maximum(np.abs(along), np.abs(across)) - side / 2.0
    disc = np.hypot(along - side / 2.0, across) - side / 2.0
    return np.minimum(square, disc)


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An isosceles triangle, 1.25 times as high as wide."""
    height = math.sqrt(2.0 * 1.25)
    width = 2.0 / height
    slope = width / 2.0 / height
    side = (np.abs(x) + slope * (y - 2.0 / 3.0 * height)) / math.hypot(1.0, slope)
    return np.maximum(side, -y - height / 3.0)


def _half_disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The upper half of a disc."""
    radius = math.sqrt(2.0 / math.pi)
    y = y + 4.0 * radius / (3.0 * math.pi)
    return np.maximum(np.hypot(x, y) - radius, -y)
