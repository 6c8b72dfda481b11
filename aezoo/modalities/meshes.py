"""Meshes of solid shapes: from grids, and to grids. Needs `aezoo[shapes]`."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.errors import AezooError
from aezoo.utils.extras import check_installed, require

# Files of meshes.
MESHES = (".obj", ".ply", ".stl", ".off")
# Between shapes side by side, in sides of the unit cube.
GAP = 0.1
_PURPOSE = "A mesh"


def check_meshes_installed() -> None:
    """Fail before any work is done if `aezoo[shapes]` is not there.

    Raises:
        MissingDependencyError: Says how to install it.
    """
    for package in ("skimage", "trimesh"):
        check_installed(package, "shapes", _PURPOSE)


def surface_mesh(values: np.ndarray, level: float = 0.5) -> Any:
    """The surface on which the values of a grid cross a level; closed.

    Lewiner et al. (2003, https://doi.org/10.1080/10867651.2003.10487582): marching
    cubes, with nothing around the grid.

    Args:
        values: Float, `(depth, height, width)`, at the centres of cells.
        level: Between 0 and 1; what is above is inside.

    Returns:
        A `trimesh.Trimesh` in the unit cube, faces outward; without any where nothing
        is above the level.

    Raises:
        MissingDependencyError: If `aezoo[shapes]` is not installed.
    """
    trimesh = require("trimesh", "shapes", _PURPOSE)
    measure = require("skimage.measure", "shapes", _PURPOSE)
    padded = np.pad(np.asarray(values, "float32"), 1)
    if padded.max() <= level:
        return trimesh.Trimesh()
    # by right hand rule outward of what is above
    vertices, faces, _, _ = measure.marching_cubes(
        padded, level, gradient_direction="ascent"
    )
    # a centre in the padded grid is half a cell before its index
    vertices = (vertices - 0.5) / np.array(values.shape)
    return trimesh.Trimesh(vertices.clip(0.0, 1.0), faces, process=False)


def row_of_meshes(meshes: Iterable[Any]) -> Any | None:
    """Meshes as one, side by side along the first axis.

    Args:
        meshes: Each a `trimesh.Trimesh` in the unit cube, as of `surface_mesh`; those
            without a face leave a gap.

    Returns:
        A `trimesh.Trimesh` whose parts are in unit cubes, `GAP` apart; None where
        none has a face.
    """
    parts = []
    for i, mesh in enumerate(meshes):
        if len(mesh.vertices):
            moved = mesh.copy()
            moved.apply_translation([i * (1.0 + GAP), 0.0, 0.0])
            parts.append(moved)
    return sum(parts[1:], start=parts[0]) if parts else None


def read_mesh(path: Path, content: bytes, error: type[AezooError]) -> Any:
    """A watertight mesh of a file.

    Args:
        path: Where it is; ends in one of `MESHES`.
        content: What it holds.
        error: Type of the errors.

    Returns:
        A `trimesh.Trimesh`.

    Raises:
        AezooError: Of type `error`, if the file is damaged, has no faces, or the mesh
            is not watertight.
        MissingDependencyError: If `aezoo[shapes]` is not installed.
    """
    trimesh = require("trimesh", "shapes", _PURPOSE)
    try:
        mesh = trimesh.load(
            io.BytesIO(content),
            file_type=path.suffix.lower().removeprefix("."),
            force="mesh",
            skip_materials=True,
        )
    except Exception as cause:  # trimesh raises whatever the damage makes of it
        reason = str(cause) or "it ends early"
        raise error(f"{path} is no mesh, or a damaged one: {reason}.") from cause
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise error(f"{path} holds no faces, or vertices that are not finite.")
    mesh.merge_vertices()
    if not mesh.is_watertight:
        raise error(
            f"{path} is not watertight, so that it has no inside: "
            f"{len(mesh.faces):,} faces, of which some have an open edge. Close it, "
            "e.g. with MeshLab, or make voxels of it."
        )
    return mesh


def voxelised(mesh: Any, grid: Sequence[int]) -> np.ndarray:
    """A watertight mesh on a grid, as binvox does it; uint8 `(*grid,)`.

    Scaled evenly until it just fills the grid, and centred. A cell is occupied if the
    surface passes through it, or if it is enclosed by such cells.

    Args:
        mesh: A `trimesh.Trimesh`.
        grid: Cells along each axis.
    """
    remesh = require("trimesh.remesh", "shapes", _PURPOSE)
    ndimage = require("scipy.ndimage", "shapes", _PURPOSE)
    low, high = mesh.bounds
    cells = np.array(grid)
    scale = np.min(cells / np.maximum(high - low, 1e-12 * np.max(high - low)))
    vertices = (mesh.vertices - (low + high) / 2) * scale + cells / 2
    points, _ = remesh.subdivide_to_size(
        vertices, mesh.faces, max_edge=0.5, max_iter=20
    )
    within = np.clip(np.floor(points), 0, cells - 1).astype(int)
    solid = np.zeros(grid, bool)
    solid[tuple(within.T)] = True
    return ndimage.binary_fill_holes(solid).astype("uint8")
