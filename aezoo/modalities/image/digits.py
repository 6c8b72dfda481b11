"""Hand-written digits drawn from scratch: no dataset, no font, NumPy only.

They look like MNIST and are made as MNIST was: the digit is scaled to fill a box of
20 x 20 pixels, its centre of mass is moved to the centre of 28 x 28, and grey levels
come from averaging down (LeCun et al., 1998, section III.A). They are for demos and
tests, not for training: their variety is that of a few pens, not of 500 writers.
"""

import math
from collections.abc import Sequence

import numpy as np

from aezoo.utils.validation import check_positive_int

SIZE = 28
BOX = 20
# Drawn this much larger and averaged down by a box filter.
_SUPERSAMPLING = 2
_POINTS_PER_CURVE = 6

# Ways to write each digit: strokes through points (x, y), y downwards, in a unit
# square. Strokes are smooth curves; a corner is where the next one starts.
_Stroke = tuple[tuple[float, float], ...]
_SKELETONS: tuple[tuple[tuple[_Stroke, ...], ...], ...] = (
    (  # 0
        (
            (
                (0.62, 0.04), (0.42, 0.02), (0.20, 0.20), (0.08, 0.52), (0.16, 0.86),
                (0.42, 0.99), (0.72, 0.86), (0.90, 0.52), (0.84, 0.20), (0.62, 0.04),
                (0.46, 0.05),
            ),
        ),
        (
            (
                (0.70, 0.10), (0.48, 0.00), (0.18, 0.16), (0.06, 0.56), (0.22, 0.92),
                (0.50, 0.99), (0.80, 0.80), (0.92, 0.42), (0.78, 0.10), (0.52, 0.06),
            ),
        ),
    ),
    (  # 1
        (((0.52, 0.00), (0.50, 0.50), (0.48, 1.00)),),
        (((0.53, 0.00), (0.50, 0.50), (0.48, 1.00)),),
        (((0.34, 0.20), (0.44, 0.12), (0.54, 0.00)), ((0.54, 0.00), (0.50, 1.00))),
    ),
    (  # 2
        (
            (
                (0.14, 0.24), (0.30, 0.06), (0.58, 0.01), (0.80, 0.18), (0.74, 0.46),
                (0.46, 0.74), (0.10, 0.96),
            ),
            ((0.10, 0.96), (0.40, 0.91), (0.66, 0.93), (0.96, 0.96)),
        ),
        (
            (
                (0.16, 0.18), (0.38, 0.02), (0.68, 0.06), (0.78, 0.28), (0.64, 0.56),
                (0.40, 0.84), (0.20, 0.97), (0.06, 0.90), (0.14, 0.76), (0.36, 0.78),
                (0.62, 0.92), (0.98, 0.90),
            ),
        ),
    ),
    (  # 3
        (
            (
                (0.14, 0.12), (0.36, 0.01), (0.66, 0.05), (0.76, 0.23), (0.62, 0.40),
                (0.34, 0.48),
            ),
            (
                (0.34, 0.48), (0.64, 0.50), (0.84, 0.68), (0.74, 0.90), (0.44, 1.00),
                (0.08, 0.90),
            ),
        ),
        (
            (
                (0.10, 0.06), (0.44, 0.00), (0.76, 0.10), (0.72, 0.32), (0.46, 0.45),
                (0.40, 0.48), (0.54, 0.50), (0.80, 0.62), (0.80, 0.86), (0.50, 0.99),
                (0.14, 0.96),
            ),
        ),
    ),
    (  # 4
        (
            (
                (0.16, 0.06), (0.10, 0.30), (0.10, 0.48), (0.28, 0.56), (0.56, 0.53),
                (0.88, 0.44),
            ),
            ((0.84, 0.00), (0.80, 0.36), (0.74, 0.70), (0.70, 1.00)),
        ),
        (
            ((0.66, 0.00), (0.36, 0.32), (0.06, 0.60)),
            ((0.06, 0.60), (0.50, 0.62), (0.96, 0.58)),
            ((0.70, 0.06), (0.68, 0.50), (0.64, 1.00)),
        ),
    ),
    (  # 5
        (
            ((0.90, 0.02), (0.60, 0.05), (0.30, 0.05)),
            ((0.30, 0.05), (0.25, 0.22), (0.20, 0.42)),
            (
                (0.20, 0.42), (0.48, 0.38), (0.76, 0.52), (0.80, 0.76), (0.56, 0.96),
                (0.26, 1.00), (0.06, 0.90),
            ),
        ),
        (
            ((0.94, 0.04), (0.66, 0.02), (0.38, 0.08)),
            (
                (0.38, 0.08), (0.26, 0.26), (0.30, 0.40), (0.56, 0.50), (0.74, 0.68),
                (0.64, 0.90), (0.36, 1.00), (0.04, 0.96),
            ),
        ),
    ),
    (  # 6
        (
            (
                (0.70, 0.00), (0.44, 0.18), (0.22, 0.48), (0.16, 0.76), (0.30, 0.96),
                (0.56, 0.98), (0.78, 0.82), (0.76, 0.62), (0.56, 0.54), (0.34, 0.66),
                (0.22, 0.84),
            ),
        ),
        (
            (
                (0.50, 0.00), (0.26, 0.30), (0.14, 0.66), (0.26, 0.94), (0.58, 0.99),
                (0.84, 0.82), (0.78, 0.62), (0.52, 0.58), (0.24, 0.72),
            ),
        ),
    ),
    (  # 7
        (
            ((0.06, 0.14), (0.40, 0.08), (0.88, 0.06)),
            ((0.88, 0.06), (0.70, 0.36), (0.54, 0.66), (0.44, 1.00)),
        ),
        (
            (
                (0.06, 0.12), (0.46, 0.06), (0.78, 0.04), (0.86, 0.12), (0.74, 0.38),
                (0.56, 0.68), (0.42, 1.00),
            ),
        ),
        (
            ((0.08, 0.20), (0.10, 0.08), (0.44, 0.08), (0.88, 0.04)),
            ((0.88, 0.04), (0.66, 0.46), (0.48, 1.00)),
            ((0.40, 0.54), (0.86, 0.48)),
        ),
    ),
    (  # 8
        (
            (
                (0.80, 0.14), (0.54, 0.01), (0.26, 0.10), (0.28, 0.32), (0.52, 0.48),
                (0.74, 0.70), (0.66, 0.94), (0.38, 0.99), (0.20, 0.82), (0.34, 0.60),
                (0.62, 0.40), (0.82, 0.20), (0.74, 0.06),
            ),
        ),
        (
            (
                (0.54, 0.48), (0.28, 0.34), (0.26, 0.12), (0.52, 0.00), (0.76, 0.12),
                (0.70, 0.34), (0.46, 0.54), (0.24, 0.74), (0.30, 0.94), (0.54, 0.99),
                (0.74, 0.84), (0.68, 0.62), (0.48, 0.46),
            ),
        ),
    ),
    (  # 9
        (
            (
                (0.80, 0.14), (0.56, 0.01), (0.26, 0.14), (0.20, 0.36), (0.40, 0.46),
                (0.66, 0.34), (0.80, 0.14),
            ),
            ((0.80, 0.14), (0.76, 0.44), (0.70, 0.74), (0.66, 1.00)),
        ),
        (
            (
                (0.78, 0.10), (0.50, 0.02), (0.20, 0.20), (0.26, 0.42), (0.54, 0.42),
                (0.76, 0.20), (0.82, 0.12), (0.80, 0.40), (0.70, 0.72), (0.50, 0.96),
                (0.24, 0.98),
            ),
        ),
    ),
)  # fmt: skip


def draw_digits(
    n: int, seed: int = 0, labels: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw hand-written digits, bright ink on black.

    Image `i` depends on the seed, `i` and its label only, so more digits of the same
    seed begin with the same ones.

    Args:
        n: Number of digits; at least 1.
        seed: Same seed, same digits. Non-negative.
        labels: Which digits, `n` integers from 0 to 9; None goes round 0, 1, ..., 9.

    Returns:
        Images, uint8 of shape `(n, 28, 28, 1)`, and labels, int64 of shape `(n,)`.

    Raises:
        ValueError: If an argument is out of range, or `labels` has another length.

    Example:
        >>> images, labels = draw_digits(10)
        >>> images.shape, labels[:3].tolist()
        ((10, 28, 28, 1), [0, 1, 2])
    """
    n = check_positive_int("n", n)
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise ValueError(
            f"`seed` must be a non-negative integer. Received: seed={seed!r}."
        )
    wanted = np.arange(n) % 10 if labels is None else np.asarray(labels)
    if wanted.shape != (n,) or wanted.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must hold n={n} integers. Received: labels={labels!r}."
        )
    if wanted.min() < 0 or wanted.max() > 9:
        raise ValueError(f"`labels` must be from 0 to 9. Received: labels={labels!r}.")
    images = [
        _draw_digit(int(label), np.random.default_rng([int(seed), i]))
        for i, label in enumerate(wanted)
    ]
    return np.stack(images), wanted.astype("int64")


def _draw_digit(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One digit, uint8 of shape `(28, 28, 1)`."""
    variants = _SKELETONS[digit]
    strokes = [_smooth(np.array(s)) for s in variants[rng.integers(len(variants))]]
    segments = np.concatenate([np.stack([s[:-1], s[1:]], 1) for s in strokes])
    segments = _hand(segments - 0.5, rng)  # (segments, 2 ends, 2 axes)

    # The pen presses less near the start and the end of a stroke.
    taper = rng.uniform(0.0, 0.35)
    pressure = np.concatenate(
        [1.0 - taper * np.abs(np.linspace(-1.0, 1.0, len(s) - 1)) ** 3 for s in strokes]
    )
    radius = 0.5 * rng.uniform(2.1, 3.5) * pressure  # (segments,), pixels

    low, high = segments.min((0, 1)), segments.max((0, 1))
    room = BOX - 2.0 * radius.max()
    segments = segments * (room / (high - low).max())
    lengths = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
    centre_of_mass = np.average(segments.mean(1), axis=0, weights=lengths * radius)
    return _ink(segments - centre_of_mass + SIZE / 2.0, radius)


def _smooth(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom curve through `(k, 2)` points, as a polyline."""
    padded = np.concatenate(
        [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
    )
    p0, p1, p2, p3 = (padded[i : i + len(points) - 1, None] for i in range(4))
    t = np.linspace(0.0, 1.0, _POINTS_PER_CURVE, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2.0 * p1
        + (p2 - p0) * t
        + (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3) * t**2
        + (3.0 * p1 - p0 - 3.0 * p2 + p3) * t**3
    )  # (k - 1, points per curve, 2)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def _hand(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move points `(..., 2)` as a hand would: unevenness, width, slant, rotation.

    The unevenness is a smooth displacement of the plane, so strokes that touch go on
    touching.
    """
    for frequency, size in ((1.0, 0.055), (2.0, 0.02)):
        waves = rng.normal(0.0, frequency * math.pi, (2, 2))
        phases = rng.uniform(0.0, 2.0 * math.pi, 2)
        points = points + size * np.sin(points @ waves + phases)
    width = rng.uniform(0.62, 0.95)
    slant = float(np.clip(rng.normal(0.18, 0.16), -0.15, 0.55))
    angle = float(np.clip(rng.normal(0.0, 0.07), -0.16, 0.16))
    shape = np.array([[width, 0.0], [-slant, 1.0]])  # x' = width x - slant y
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ shape @ np.array([[cos, sin], [-sin, cos]])


def _ink(segments: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Draw round-tipped segments `(k, 2, 2)`, uint8 of shape `(28, 28, 1)`."""
    side = SIZE * _SUPERSAMPLING
    grid = (np.arange(side)[:, None] + 0.5) / _SUPERSAMPLING
    along = segments[:, 1] - segments[:, 0]
    x = grid[None] - segments[:, 0, 0]  # (1, side, k), from the segment's start
    y = grid[:, None] - segments[:, 0, 1]  # (side, 1, k)
    squared = np.maximum((along**2).sum(-1), 1e-12)
    # The nearest point of each segment, as a fraction of its length.
    t = np.clip((x * along[:, 0] + y * along[:, 1]) / squared, 0.0, 1.0)
    distance = np.hypot(x - t * along[:, 0], y - t * along[:, 1])  # (side, side, k)
    # About one pixel of soft edge, as a scanner's.
    cover = np.clip((radius - distance).max(-1) / 0.9 + 0.5, 0.0, 1.0).reshape(
        SIZE, _SUPERSAMPLING, SIZE, _SUPERSAMPLING
    )
    return np.round(255.0 * cover.mean((1, 3))).astype("uint8")[..., None]
