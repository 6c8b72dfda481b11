"""Codes as arrays: how they are checked, and paths between them. Needs no Keras."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from aezoo.utils.arrays import to_numpy


def check_codes(
    z: Any, latent_shape: Sequence[int], name: str = "z", n: int | None = None
) -> np.ndarray:
    """Codes as float32, `(n, *latent_shape)`.

    Args:
        z: Codes.
        latent_shape: Shape of one.
        name: What to call them in a message.
        n: How many there must be; None for any number.

    Raises:
        ValueError: If the shape or dtype is wrong, or a value not finite.
    """
    codes = to_numpy(z)
    shape = tuple(latent_shape)
    if codes.shape[1:] != shape or not codes.ndim or n not in (None, len(codes)):
        rows = "one row per code" if n is None else "one code per example"
        raise ValueError(
            f"`{name}` must have shape ({'n' if n is None else n}, "
            f"{', '.join(map(str, shape))}), {rows}. Received: "
            f"{name}.shape={codes.shape}."
        )
    if len(codes) == 0:
        raise ValueError(f"`{name}` is empty. Received: shape={codes.shape}.")
    if codes.dtype.kind not in "fiu":
        raise ValueError(f"`{name}` must be numeric. Received: dtype={codes.dtype}.")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        codes = np.ascontiguousarray(codes, "float32")
    if not np.isfinite(codes).all():
        raise ValueError(
            f"`{name}` holds NaN or infinity. Find them with `np.isfinite({name})`."
        )
    return codes


def interpolate_codes(
    a: np.ndarray, b: np.ndarray, steps: int, method: str
) -> np.ndarray:
    """Codes on a path between two batches of codes.

    Args:
        a: Start codes, shape `(n, *latent_shape)`.
        b: End codes, same shape.
        steps: Codes per path, both ends included.
        method: `"linear"`, or `"spherical"`: the direction turns at an even rate
            (Shoemake, 1985, https://doi.org/10.1145/325334.325242) while the norm
            changes linearly, so that the ends are met exactly. Falls back to linear
            where the directions agree, oppose each other or a code is zero.

    Returns:
        Float32, shape `(n, steps, *latent_shape)`.
    """
    flat_a, flat_b = (v.reshape(len(v), 1, -1).astype("float64") for v in (a, b))
    t = np.linspace(0.0, 1.0, steps)[None, :, None]
    path = (1.0 - t) * flat_a + t * flat_b
    if method == "spherical":
        norm_a, norm_b = (
            np.linalg.norm(v, axis=-1, keepdims=True) for v in (flat_a, flat_b)
        )
        safe = np.where(norm_a * norm_b > 0.0, norm_a * norm_b, 1.0)
        cosine = np.sum(flat_a * flat_b, axis=-1, keepdims=True) / safe
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        sine = np.sin(angle)
        turns = (sine > 1e-6) & (norm_a * norm_b > 0.0)
        sine = np.where(turns, sine, 1.0)
        unit_a = flat_a / np.where(norm_a > 0.0, norm_a, 1.0)
        unit_b = flat_b / np.where(norm_b > 0.0, norm_b, 1.0)
        direction = (
            np.sin((1.0 - t) * angle) * unit_a + np.sin(t * angle) * unit_b
        ) / sine
        path = np.where(turns, ((1.0 - t) * norm_a + t * norm_b) * direction, path)
    return path.reshape(len(a), steps, *a.shape[1:]).astype("float32")
