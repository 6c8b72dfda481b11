"""Paths of something that moves on the ground as a modality."""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aezoo.errors import ExampleFileError
from aezoo.modalities.base import Modality, Preview, all_within
from aezoo.utils.arrays import to_numpy
from aezoo.utils.validation import check_number, check_positive_int

Tensor = Any
COLUMNS = ("trajectory", "step", "right", "ahead")
# Of a picture of trajectories: pixels of a side, ground, and colours that are taken in
# turn.
SIDE, GROUND = 256, (70, 70, 75)
COLOURS = (
    *((255, 196, 64), (232, 96, 96), (96, 208, 160), (96, 144, 255)),
    *((255, 128, 224), (160, 232, 96), (64, 224, 240), (240, 240, 240)),
)
MAX_BYTES = 100_000_000


class TrajectoryFileError(ExampleFileError):
    """A file holds no trajectories that a model can take; says why."""


@dataclasses.dataclass(frozen=True)
class Trajectory(Modality):
    """Where something is at each of so many steps, in metres from where it starts.

    Users pass and get floats `(n, steps, 2)`: metres to the right, then metres ahead,
    as seen from the start; the start itself, (0, 0), is not among them. Inside models
    they are the same numbers.

    Args:
        steps: Positions of an example.
        limit: Metres from the start in either direction that are allowed.
        step_seconds: Time between two positions.
        extent: What a picture of the place shows: metres to its left, right, lower and
            upper edge from the start, to the right and ahead.
    """

    steps: int = 16
    limit: float = 64.0
    step_seconds: float = 0.25
    extent: tuple[float, float, float, float] = (-32.0, 32.0, -16.0, 48.0)

    kind: ClassVar[str] = "trajectory"
    noun: ClassVar[str] = "trajectory"
    element: ClassVar[str] = "coordinate"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)
    outputs: ClassVar[tuple[str, ...]] = (".csv",)
    likelihoods: ClassVar[tuple[str, ...]] = ("gaussian", "laplace")
    errors: ClassVar[tuple[str, ...]] = ("mse", "mae", "smooth_l1")
    activations: ClassVar[tuple[str, ...]] = ("linear",)

    def __post_init__(self) -> None:
        """Check the arguments; raises ValueError."""
        steps = check_positive_int("steps", self.steps)
        object.__setattr__(self, "steps", steps)
        for field in ("limit", "step_seconds"):
            value = check_number(field, getattr(self, field), above=0.0)
            object.__setattr__(self, field, value)
        extent = tuple(float(value) for value in self.extent)
        if (
            len(extent) != 4
            or not all(map(math.isfinite, extent))
            or extent[0] >= extent[1]
            or extent[2] >= extent[3]
        ):
            raise ValueError(
                "`extent` must be four numbers of metres, left < right and lower < "
                f"upper. Received: extent={self.extent!r}."
            )
        object.__setattr__(self, "extent", extent)

    @property
    def shape(self) -> tuple[int, int]:
        """`(steps, 2)`."""
        return (self.steps, 2)

    @property
    def is_shown(self) -> bool:
        """Yes."""
        return True

    @property
    def has_drawn_examples(self) -> bool:
        """Yes."""
        return True

    def to_config(self) -> dict[str, Any]:
        """As of every modality; the extent as a list."""
        return {**super().to_config(), "extent": list(self.extent)}

    # --- Values -------------------------------------------------------------------

    def check(self, x: Any, name: str = "x") -> np.ndarray:
        """Trajectories that a model can take: float32, `(n, steps, 2)`."""
        values = to_numpy(x)
        if values.shape[1:] != self.shape or values.ndim != 3:
            hint = ""
            if values.shape == self.shape:
                hint = f" For a single trajectory pass `{name}[None]`."
            raise ValueError(
                f"`{name}` must have shape (n, {self.steps}, 2): metres to the right "
                f"and ahead at each step. Received: {name}.shape={values.shape}.{hint}"
            )
        if not len(values):
            raise ValueError(f"`{name}` is empty. Received: shape={values.shape}.")
        if values.dtype.kind not in "fiu":
            raise ValueError(
                f"`{name}` must be numbers of metres. Received: dtype={values.dtype}."
            )
        values = np.ascontiguousarray(values, "float32")
        low, high = values.min(), values.max()
        if not (low >= -self.limit and high <= self.limit):  # also false for NaN
            raise ValueError(
                f"`{name}` must hold finite numbers of metres from {-self.limit:g} to "
                f"{self.limit:g}. Received: min={low:.3g}, max={high:.3g}."
            )
        return values

    def is_valid(self, x: Tensor) -> Tensor:
        """Whether values are finite and within the limit, in a graph; `(batch,)`."""
        from keras import ops

        return all_within(ops.cast(x, "float32"), -self.limit, self.limit)

    def convert(self, x: Tensor, dtype: str = "float32") -> Tensor:
        """The same numbers."""
        from keras import ops

        return ops.cast(x, dtype)

    def from_model(self, x: Tensor, like: str = "float32") -> Tensor:
        """Metres, cut to the limit."""
        from keras import ops

        return ops.cast(ops.clip(x, -self.limit, self.limit), like)

    def examples(self, n: int, seed: int = 0) -> np.ndarray:
        """Something that drives at an even speed and turns at an even rate."""
        generator = np.random.default_rng(seed)
        speed, turn = generator.uniform((0.05, -0.8), (0.6, 0.8), (n, 2)).T
        share = np.arange(1, self.steps + 1) / self.steps
        angle = turn[:, None] * share  # half of the heading: that of the chord
        arc = (speed * min(self.limit, 60.0))[:, None] * share
        reach = arc * np.sinc(angle / np.pi)
        paths = np.stack([reach * np.sin(angle), reach * np.cos(angle)], axis=-1)
        return paths.astype("float32")

    def difference(self, x: np.ndarray, x_hat: np.ndarray) -> str:
        """How far reconstructions are from trajectories, in words."""
        apart = np.linalg.norm(np.asarray(x) - np.asarray(x_hat), axis=-1)
        return (
            f"average displacement {apart.mean():.2f} m, final displacement "
            f"{apart[:, -1].mean():.2f} m"
        )

    # --- Files --------------------------------------------------------------------

    def read(self, path: Path, **_: Any) -> tuple[np.ndarray, str | None]:
        """The first trajectory of a file: see `read_many`."""
        found, note = self.read_many(str(path))
        return found[0], note

    def read_many(self, source: str, **_: Any) -> tuple[np.ndarray, str | None]:
        """Trajectories of a CSV file, as `write_many` writes it.

        The column `trajectory` may be missing where there is one alone.

        Args:
            source: The path.

        Raises:
            TrajectoryFileError: If it holds none of so many steps.
            OSError: If it cannot be read.
        """
        path = Path(source)
        if path.stat().st_size > MAX_BYTES:
            raise TrajectoryFileError(
                f"{path} must have at most {MAX_BYTES:,} bytes. Received: more."
            )
        rows: dict[str, list[tuple[float, float]]] = {}
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    place = (float(row["right"]), float(row["ahead"]))
                    rows.setdefault(row.get("trajectory") or "", []).append(place)
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise TrajectoryFileError(
                f"{path} must be a CSV file with the columns {', '.join(COLUMNS)}, of "
                f"which the last two hold metres. Received: {error!r:.200}."
            ) from error
        lengths = {len(places) for places in rows.values()}
        if lengths != {self.steps}:
            received = ", ".join(map(str, sorted(lengths))) or "none"
            raise TrajectoryFileError(
                f"{path} must hold trajectories of {self.steps} steps. Received: "
                f"{received}."
            )
        try:
            return self.check(np.array([*rows.values()]), str(path)), None
        except ValueError as error:
            raise TrajectoryFileError(str(error)) from error

    def write(self, x: np.ndarray, path: Path) -> None:
        """Write one trajectory as a CSV file."""
        self.write_many(x[None], path)

    def write_many(self, x: np.ndarray, path: Path) -> None:
        """Write trajectories as a CSV file: a line for each step, in metres."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number, places in enumerate(x):
                for step, (right, ahead) in enumerate(places, start=1):
                    writer.writerow((number, step, f"{right:.3f}", f"{ahead:.3f}"))

    # --- Pictures -----------------------------------------------------------------

    def preview(self, x: np.ndarray, columns: int | None = None) -> Preview:
        """Each trajectory by itself, as seen from above."""
        return self._side_by_side([self.draw(path[None]) for path in x], columns)

    def _side_by_side(
        self, tiles: Sequence[np.ndarray], columns: int | None
    ) -> Preview:
        from aezoo.modalities.image.tiling import tile

        columns = columns or math.ceil(math.sqrt(len(tiles)))
        return Preview(picture=tile(np.stack(tiles), columns=min(columns, len(tiles))))

    def preview_given(
        self,
        x: np.ndarray,
        given: Mapping[str, np.ndarray],
        columns: int | None = None,
    ) -> Preview:
        """Trajectories over the picture that the model was told, if there is one.

        Those of the same picture stand in it together.
        """
        pictures = next((v for v in given.values() if is_picture(v)), None)
        if pictures is None:
            return self.preview(x, columns)
        together: dict[bytes, list[int]] = {}
        for row, picture in enumerate(pictures):
            together.setdefault(picture.tobytes(), []).append(row)
        tiles = [self.draw(x[rows], pictures[rows[0]]) for rows in together.values()]
        return self._side_by_side(tiles, columns)

    def sheet(self, x: np.ndarray, columns: int, height: int) -> np.ndarray:
        """Trajectories as seen from above, side by side."""
        from aezoo.modalities.image import Image

        tiles = np.stack([self.draw(path[None]) for path in x])
        return Image(SIDE, SIDE, 3).sheet(tiles, columns, height)

    def draw(
        self,
        x: np.ndarray,
        picture: np.ndarray | None = None,
        colours: Sequence[tuple[int, int, int]] = COLOURS,
    ) -> np.ndarray:
        """Trajectories in one picture, ahead is up; a dot where each ends.

        Args:
            x: Trajectories, `(n, steps, 2)`.
            picture: Of what lies in `extent`, uint8 or floats in [0, 1], `(height,
                width, 1 or 3)`; None for plain ground.
            colours: Of the trajectories, in turn.

        Returns:
            uint8, `(256, 256, 3)`.
        """
        from PIL import Image as Pillow
        from PIL import ImageDraw

        left, right, lower, upper = self.extent
        if picture is None:
            sheet = Pillow.new("RGB", (SIDE, SIDE), GROUND)
        else:
            levels = np.asarray(picture)
            if levels.dtype.kind == "f":
                levels = np.round(255.0 * levels).astype("uint8")
            levels = np.repeat(levels, 3 // levels.shape[-1], axis=-1)
            sheet = Pillow.fromarray(levels).resize((SIDE, SIDE), Pillow.Resampling.BOX)
        pen = ImageDraw.Draw(sheet)
        for number, path in enumerate(np.asarray(x, "float64")):
            places = np.concatenate([np.zeros((1, 2)), path])
            across = (places[:, 0] - left) / (right - left) * SIDE
            down = (upper - places[:, 1]) / (upper - lower) * SIDE
            colour = colours[number % len(colours)]
            pen.line([*zip(across, down, strict=True)], fill=colour, width=2)
            end = (across[-1], down[-1])
            pen.ellipse((end[0] - 3, end[1] - 3, end[0] + 3, end[1] + 3), fill=colour)
        return np.asarray(sheet)


def is_picture(values: np.ndarray) -> bool:
    """Whether a condition is pictures, grey or RGB, `(n, height, width, channels)`."""
    return values.ndim == 4 and values.shape[-1] in (1, 3)
