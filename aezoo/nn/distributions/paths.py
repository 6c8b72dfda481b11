"""Paths between codes."""

from typing import Any

import numpy as np

Tensor = Any


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
