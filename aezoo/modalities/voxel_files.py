"""Files of solid shapes in and out: grids as .npz and .binvox, and meshes.

Meshes need `aezoo[shapes]`. A grid of another size is resampled: where it is finer, a
cell is occupied if a cell of the file is whose centre lies in it; where it is coarser,
as the cell of the file is in which its centre lies. Other proportions are refused.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aezoo.errors import ExampleFileError
from aezoo.modalities.arrays import EXAMPLE_KEYS
from aezoo.modalities.meshes import (
    MESHES,
    read_mesh,
    row_of_meshes,
    surface_mesh,
    voxelised,
)
from aezoo.utils.archives import Archive
from aezoo.utils.files import read_file

GRIDS = (".npz", ".binvox")
# What an archive may call its grids.
KEYS = (*EXAMPLE_KEYS, "voxels")
MAX_BYTES = 100_000_000
# Of a grid that is read, cells along an axis at most.
MAX_SIDE = 1024


class ShapeFileError(ExampleFileError):
    """A file holds no solid shape that a model can take; says why."""


def read_shapes(path: Path, grid: Sequence[int]) -> tuple[np.ndarray, str | None]:
    """The shapes of a file, on a grid, and what was changed.

    Args:
        path: Ends in one of `GRIDS` or of `MESHES`.
        grid: Cells along each axis.

    Returns:
        Occupied or not, uint8 `(n, *grid)`; one shape, of all but .npz.

    Raises:
        ShapeFileError: If the file is damaged, has other proportions, or is a mesh
            that is not watertight.
        MissingDependencyError: If it is a mesh, and `aezoo[shapes]` is not installed.
        OSError: If it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in MESHES:
        mesh = read_mesh(path, _content(path), ShapeFileError)
        x = voxelised(mesh, grid)[None]
        note = f"mesh of {len(mesh.faces):,} faces, scaled to fill the grid"
        return x, note
    if suffix not in GRIDS:
        raise ShapeFileError(
            f"{path} must end in one of {', '.join((*GRIDS, *MESHES))}."
        )
    found = _read_npz(path) if suffix == ".npz" else _read_binvox(path)[None]
    if found.shape[1:] == tuple(grid):
        return found, None
    return resampled(found, grid, str(path)), (
        f"resampled from {' x '.join(map(str, found.shape[1:]))} to "
        f"{' x '.join(map(str, grid))}"
    )


def resampled(x: np.ndarray, grid: Sequence[int], name: str = "x") -> np.ndarray:
    """Shapes on a grid of the same proportions, by the rule above.

    Args:
        x: Occupied or not, uint8 `(n, depth, height, width)`.
        grid: Cells along each axis.
        name: What to call them in a message.

    Raises:
        ShapeFileError: If the proportions differ.
    """
    sides = x.shape[1:]
    if len({side * grid[0] / n for side, n in zip(sides, grid, strict=True)}) > 1:
        raise ShapeFileError(
            f"{name} has a grid of {' x '.join(map(str, sides))} cells, of other "
            f"proportions than {' x '.join(map(str, grid))}. Pad it with empty cells."
        )
    for axis, (side, wanted) in enumerate(zip(sides, grid, strict=True), start=1):
        if side > wanted:
            first = np.ceil(np.arange(wanted) * side / wanted - 0.5).astype(int)
            x = np.maximum.reduceat(x, first, axis=axis)
        else:
            within = ((np.arange(wanted) + 0.5) * side / wanted).astype(int)
            x = np.take(x, within, axis=axis)
    return x


def write_shapes(x: np.ndarray, path: Path) -> None:
    """Shapes as an archive of grids, or as one mesh, side by side.

    Args:
        x: Floats, or occupied or not, `(n, depth, height, width)`.
        path: Ends in .npz, or in one of `MESHES`.

    Raises:
        MissingDependencyError: If it is a mesh, and `aezoo[shapes]` is not installed.
    """
    if path.suffix.lower() == ".npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, examples=x)
        return
    mesh = row_of_meshes(surface_mesh(shape) for shape in x)
    if mesh is None:
        raise ValueError("There is no surface to write: nothing is occupied.")
    mesh.export(path)


def _content(path: Path) -> bytes:
    content = read_file(path, MAX_BYTES)
    if content is None:
        raise FileNotFoundError(f"There is no file {path}.")
    if len(content) > MAX_BYTES:
        raise ShapeFileError(f"{path} is too large: at most {MAX_BYTES:,} bytes.")
    return content


def _read_npz(path: Path) -> np.ndarray:
    with Archive(path, f"file {path}", names=KEYS, error=ShapeFileError) as archive:
        key = next((key for key in KEYS if key in archive.headers), None)
        if key is None:
            raise ShapeFileError(
                f"{path} holds no grids, which may be called {', '.join(KEYS)}."
            )
        found = archive.read(key)
    found = found[None] if found.ndim == 3 else found
    if found.ndim != 4 or not found.size or max(found.shape[1:]) > MAX_SIDE:
        raise ShapeFileError(
            f"{path} must hold grids (n, depth, height, width), of at most "
            f"{MAX_SIDE} cells a side. Received: {key}.shape={found.shape}."
        )
    low, high = found.min(), found.max()
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ShapeFileError(
            f"{path} must hold bool, integers 0 and 1, or floats in [0, 1]. Received: "
            f"min={low:.3g}, max={high:.3g}."
        )
    return (found >= 0.5).astype("uint8")


def _read_binvox(path: Path) -> np.ndarray:
    """A grid as binvox writes it (https://www.patrickmin.com/binvox), axes (x, y, z).

    A header in lines, then pairs of a value and how many times it stands.
    """
    head, found, data = _content(path).partition(b"\ndata\n")
    lines = [line.split() for line in head.split(b"\n")]
    sizes = next((line[1:] for line in lines if line[:1] == [b"dim"]), [])
    is_known = lines[0][:1] == [b"#binvox"] and found and len(sizes) == 3
    if not is_known or not all(size.isdigit() for size in sizes):
        raise ShapeFileError(f"{path} is no .binvox file, or a damaged one: no header.")
    depth, width, height = map(int, sizes)
    if not 0 < max(depth, width, height) <= MAX_SIDE:
        raise ShapeFileError(f"{path} has more than {MAX_SIDE} cells a side.")
    pairs = np.frombuffer(data[: len(data) // 2 * 2], "uint8").reshape(-1, 2)
    count = depth * width * height
    if int(pairs[:, 1].sum(dtype="int64")) != count:
        raise ShapeFileError(
            f"{path} is damaged: {pairs[:, 1].sum(dtype='int64'):,} cells of {count:,}."
        )
    cells = np.repeat(pairs[:, 0], pairs[:, 1]).reshape(depth, width, height)
    return (cells.transpose(0, 2, 1) != 0).astype("uint8")
