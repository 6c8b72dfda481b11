"""Solid shapes on a grid as a modality."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.modalities.base import Modality, Preview, all_within
from aezoo.modalities.meshes import MESHES, row_of_meshes, surface_mesh
from aezoo.modalities.voxel_files import GRIDS, read_shapes, write_shapes
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_positive_int

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Voxels(Modality):
    """Solid shapes on a grid: occupied or not, or floats in [0, 1].

    Inside models they are floats in [0, 1], `(batch, depth, height, width, 1)`. Files
    are grids (.npz, .binvox) or watertight meshes (.obj, .ply, .stl, .off), which need
    `aezoo[shapes]`; `aezoo.modalities.voxel_files` says by which rules.

    Args:
        depth: Cells along the first axis.
        height: Cells along the second axis.
        width: Cells along the third axis.
    """

    depth: int = 24
    height: int = 24
    width: int = 24

    kind: ClassVar[str] = "voxels"
    noun: ClassVar[str] = "shape"
    element: ClassVar[str] = "voxel"
    suffixes: ClassVar[tuple[str, ...]] = (*GRIDS, *MESHES)
    outputs: ClassVar[tuple[str, ...]] = (".npz", *MESHES)
    likelihoods: ClassVar[tuple[str, ...]] = ("bernoulli", "gaussian", "laplace")
    errors: ClassVar[tuple[str, ...]] = ("bce", "mse", "mae", "smooth_l1")
    corruptions: ClassVar[tuple[str, ...]] = ("gaussian", "masking", "salt_and_pepper")
    activations: ClassVar[tuple[str, ...]] = ("sigmoid", "linear")

    def __post_init__(self) -> None:
        """Check the sizes; raises ValueError."""
        for field in ("depth", "height", "width"):
            value = check_positive_int(field, getattr(self, field))
            object.__setattr__(self, field, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(depth, height, width)`."""
        return (self.depth, self.height, self.width)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """`(depth, height, width, 1)`."""
        return (*self.shape, 1)

    @property
    def is_shown(self) -> bool:
        """Yes."""
        return True

    @property
    def has_drawn_examples(self) -> bool:
        """Yes."""
        return True

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Shapes that a model can take: bool as uint8, 0 or 1; floats as float32."""
        grids = to_numpy(x)
        if grids.shape[1:] != self.shape or grids.ndim < 4:
            hint = ""
            if grids.shape == self.shape:
                hint = f" For a single shape pass `{name}[None]`."
            elif grids.shape[1:] == self.tensor_shape:
                hint = f" Drop the last axis with `{name}[..., 0]`."
            raise ValueError(
                f"`{name}` must have shape (n, {', '.join(map(str, self.shape))}). "
                f"Received: {name}.shape={grids.shape}.{hint}"
            )
        if len(grids) == 0:
            raise ValueError(f"`{name}` is empty. Received: shape={grids.shape}.")
        if grids.dtype.kind in "biu":
            if grids.dtype.kind != "b" and (grids.min() < 0 or grids.max() > 1):
                raise ValueError(
                    f"`{name}` must be bool, integers 0 and 1, or floats in [0, 1]. "
                    f"Received: {grids.min()} to {grids.max()}."
                )
            return np.ascontiguousarray(grids, "uint8")
        if grids.dtype.kind != "f":
            raise ValueError(
                f"`{name}` must be bool, integers 0 and 1, or floats in [0, 1]. "
                f"Received: dtype={grids.dtype}."
            )
        grids = np.ascontiguousarray(grids, "float32")
        low, high = grids.min(), grids.max()
        if not (low >= 0.0 and high <= 1.0):  # also false for NaN
            raise ValueError(
                f"`{name}` must hold finite values in [0, 1]. Received: min={low:.3g}, "
                f"max={high:.3g}."
            )
        return grids

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """Shapes as floats with an axis for the channel."""
        from keras import ops

        return ops.cast(x, dtype)[..., None]

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether values are in [0, 1], in a graph; bools `(batch,)`."""
        from keras import ops

        return all_within(ops.cast(x, "float32"), 0.0, 1.0)

    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        """Floats in [0, 1] without that axis; occupied from 1/2 on, if asked so."""
        from keras import ops

        x = ops.clip(x[..., 0], 0.0, 1.0)
        return ops.cast(x >= 0.5, like) if like in ("uint8", "bool") else x

    def corrupt(self, x: Tensor, kind: str, level: float, seed: Any) -> Tensor:
        """As for images: noise, masking, salt and pepper, of each voxel."""
        from aezoo.modalities.image.corruption import apply_corruption

        return apply_corruption(x, kind, level, seed)

    def read(self, path: Path, **options: Any) -> tuple[np.ndarray, str | None]:
        """The first shape of a file, and what was changed."""
        shapes, note = self.read_many(str(path), **options)
        if len(shapes) > 1:
            first = f"the first of {len(shapes)} shapes"
            note = first if note is None else f"{first}; {note}"
        return shapes[0], note

    def read_many(self, source: str, **_: Any) -> tuple[np.ndarray, str | None]:
        """The shapes of a file, uint8; as in `aezoo.modalities.voxel_files`."""
        return read_shapes(Path(source), self.shape)

    def write(self, x: np.ndarray, path: Path) -> None:
        """One shape as a grid or a mesh."""
        self.write_many(np.asarray(x)[None], path)

    def write_many(self, x: np.ndarray, path: Path) -> None:
        """Shapes as an archive of grids, or as one mesh, side by side.

        Raises:
            MissingDependencyError: If it is a mesh, and `aezoo[shapes]` is not there.
        """
        write_shapes(self.check(x), path)

    def mesh(self, x: np.ndarray) -> Any:
        """The surfaces of shapes, side by side; None where nothing is occupied."""
        return row_of_meshes(surface_mesh(shape) for shape in self.check(x))

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """Shapes as seen from the front: the nearer, the brighter."""
        from aezoo.modalities.image.files import grid_image

        return Preview(picture=grid_image(self._seen(x), columns))

    def _seen(self, x: np.ndarray) -> np.ndarray:
        nearness = np.linspace(1.0, 0.3, self.depth, dtype="float32")
        solid = np.asarray(x, "float32") >= 0.5
        return np.max(solid * nearness[:, None, None], axis=1)[..., None]

    def sheet(self, x: np.ndarray, columns: int, height: int) -> np.ndarray:
        """Shapes as seen from the front, side by side."""
        from aezoo.modalities.image import Image

        return Image(self.height, self.width, 1).sheet(self._seen(x), columns, height)

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Ellipsoids of any place and size, uint8."""
        generator = np.random.default_rng(seed)
        axes = np.indices(self.shape).reshape(3, *self.shape)
        shapes = []
        for _ in range(n):
            size = np.array(self.shape, "float64")
            centre = size * generator.uniform(0.3, 0.7, 3)
            radii = size * generator.uniform(0.15, 0.4, 3)
            place = (axes - centre[:, None, None, None]) / radii[:, None, None, None]
            shapes.append(np.sum(place**2, axis=0) <= 1.0)
        return np.array(shapes, "uint8")

    def unrounded(self, x: np.ndarray) -> np.ndarray:
        """Shapes as floats."""
        return x.astype("float32")
