"""Pictures of simulated traffic, and what one car does in the next four seconds.

    pip install highway-env==1.12.1 opencv-python-headless
    python -m training.data.traffic_futures DIR

writes `DIR/traffic_futures/train.npz` and `test.npz`, which `--data-dir DIR` reads:
`examples`, float32 `(n, 16, 2)`, metres to the right and metres ahead of where the car
is now, every 0.25 s; `given_image`, uint8 `(n, 64, 64, 3)`, the moment before, at 1 m a
pixel; and `labels`, 0 at a crossing and 1 at a roundabout. 4,000 scenes to learn from
with one future each, as in life; 250 other scenes to test on with 20 futures each,
which stand one after the other with the same picture. `--from SHEETS` makes the same
archives of the simulator's results where these are there already.

The simulator is highway-env (Leurent, MIT): the roads of `intersection-v0` and
`roundabout-v0` and its IDM drivers. The car is green, at column 32 and row 48, and
heads up; others are blue. What the picture cannot show is drawn anew for each future:
where every driver wants to go, unless the way out is taken already, how fast, and how
aggressively. Futures in which the car crashes are drawn again. There are two maps
alone, which both splits share; cars, places and headings differ.
"""

import copy
import dataclasses
import importlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from aezoo.utils.files import atomic_path
from training.data.sheets import read_sheets

NAME, SHAPE, COLUMNS = "traffic_futures", (64, 64, 3), 40
# Scenes and futures of each, and the seed of the first scene.
SPLITS = {"train": (4_000, 1, 0), "test": (250, 20, 1_000_000)}
STEPS, STEP_SECONDS, HERTZ = 16, 0.25, 12
# Of pictures: pixels of a side, of 1 m each, finer ones of each while they are drawn,
# the row of the car, and the colours under the marks of lanes.
SIDE, FINER, ROW = 64, 4, 48
GRASS, ASPHALT = (110, 150, 90), (70, 70, 75)
Lane = tuple[str, str, int]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A moment and what follows.

    Attributes:
        image: `(64, 64, 3)`, uint8.
        futures: `(number, 16, 2)`, metres.
        kind: 0 at a crossing, 1 at a roundabout.
    """

    image: np.ndarray
    futures: np.ndarray
    kind: int


class Crossing:
    """The road of `intersection-v0`."""

    kind, name = 0, "intersection-v0"
    speed, desired = (3.0, 10.0), 9.0

    def lane(self, rng: np.random.Generator) -> tuple[Lane, float]:
        """Where a car may be: a lane, and metres along it."""
        arm = int(rng.integers(4))
        if rng.random() < 0.8:
            return (f"o{arm}", f"ir{arm}", 0), rng.uniform(35, 98)
        to = (arm + int(rng.integers(1, 4))) % 4
        return (f"ir{arm}", f"il{to}", 0), rng.uniform(0, 8)

    def goals(self, lane: Lane) -> list[str]:
        """Where a car in a lane may want to go."""
        arms = range(4)
        return [f"o{k}" for k in arms if f"r{k}" not in lane[0] and lane[0] != f"o{k}"]

    def is_committed(self, lane: Lane) -> bool:
        """Whether the way out is taken already."""
        return lane[0].startswith("ir")


class Roundabout:
    """The road of `roundabout-v0`."""

    kind, name = 1, "roundabout-v0"
    speed, desired = (4.0, 13.0), 10.0
    RING = ("se", "ex", "ee", "nx", "ne", "wx", "we", "sx")

    def lane(self, rng: np.random.Generator) -> tuple[Lane, float]:
        """As of a crossing."""
        side = "sewn"[int(rng.integers(4))]
        share = rng.random()
        if share < 0.35:
            return (f"{side}er", f"{side}es", 0), rng.uniform(60, 118)
        if share < 0.6:
            return (f"{side}es", f"{side}e", 0), rng.uniform(0, 18)
        i = int(rng.integers(8))
        lane = (self.RING[i], self.RING[(i + 1) % 8], int(rng.integers(2)))
        return lane, rng.uniform(0, 12)

    def goals(self, lane: Lane) -> list[str]:  # noqa: ARG002
        """As of a crossing."""
        return ["exr", "sxr", "nxr", "wxr"]

    def is_committed(self, lane: Lane) -> bool:
        """As of a crossing."""
        return lane[1].endswith(("xs", "xr"))


class Simulator:
    """Traffic of highway-env on both roads.

    Raises:
        ImportError: If highway-env or OpenCV is not installed.
    """

    PLACES = (Crossing(), Roundabout())

    def __init__(self) -> None:
        for name in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
            os.environ.setdefault(name, "dummy")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        self.cv2: Any = importlib.import_module("cv2")
        self.pygame: Any = importlib.import_module("pygame")
        importlib.import_module("highway_env")
        graphics: Any = importlib.import_module("highway_env.road.graphics")
        cars: Any = importlib.import_module("highway_env.vehicle.graphics")
        drivers: Any = importlib.import_module("highway_env.vehicle.behavior")
        self.lanes, self.surface = graphics.LaneGraphics, graphics.WorldSurface
        self.cars, self.driver = cars.VehicleGraphics, drivers.IDMVehicle
        self.pygame.init()
        self.pygame.display.set_mode((8, 8))
        self.roads = [self._empty(place) for place in self.PLACES]

    def _empty(self, place: Any) -> Any:
        gym: Any = importlib.import_module("gymnasium")
        environment = gym.make(place.name, render_mode=None)
        environment.reset(seed=0)
        road = environment.unwrapped.road
        road.vehicles.clear()
        return road

    def scene(self, seed: int, number: int) -> Scene | None:
        """A scene and its futures; None if the seed gives none worth a look.

        Args:
            seed: Of everything.
            number: Of futures.
        """
        rng = np.random.default_rng(seed)
        place = self.PLACES[int(rng.integers(2))]
        road = self._traffic(place, rng)
        found = self._movable(road, place)
        if not found:
            return None
        index = int(rng.choice(found))
        futures: list[np.ndarray] = []
        for _ in range(3 * number + 5):
            path, is_crashed = self._future(road, index, place, rng)
            if not is_crashed:
                futures.append(path)
            if len(futures) == number:
                image = self._draw(road, road.vehicles[index])
                return Scene(image, np.array(futures), place.kind)
        return None

    def _copy(self, road: Any) -> Any:
        """The traffic again, on the same roads."""
        return copy.deepcopy(road, {id(road.network): road.network})

    def _redraw(self, car: Any, place: Any, rng: np.random.Generator) -> None:
        """Another driver in the same car: another goal, speed and temperament."""
        if not place.is_committed(car.lane_index):
            start = car.target_lane_index
            goal = str(rng.choice(place.goals(car.lane_index)))
            # not `plan_route_to`, which starts one lane too early at a joint
            path = car.road.network.shortest_path(start[1], goal)
            legs = itertools.pairwise(path)
            car.route = [start] + [(a, b, None) for a, b in legs]
        car.target_speed = float(rng.uniform(0.75, 1.35) * place.desired)
        car.DELTA = float(rng.uniform(3.0, 5.0))
        car.TIME_WANTED = float(rng.uniform(0.8, 2.2))
        car.COMFORT_ACC_MAX = float(rng.uniform(2.0, 5.0))
        car.DISTANCE_WANTED = float(rng.uniform(6.0, 9.0))

    def _traffic(self, place: Any, rng: np.random.Generator) -> Any:
        """Some cars that have driven for up to two seconds."""
        road = self._copy(self.roads[place.kind])
        road.np_random = rng
        wanted = int(rng.integers(2, 8))
        graph = road.network.graph
        for _ in range(60):
            lane, along = place.lane(rng)
            if lane[0] not in graph or lane[1] not in graph[lane[0]]:
                continue
            along = min(along, road.network.get_lane(lane).length - 1)
            speed = rng.uniform(*place.speed)
            car = self.driver.make_on_lane(road, lane, along, speed=speed)
            others = (car.position - other.position for other in road.vehicles)
            if all(np.linalg.norm(apart) > 9 for apart in others):
                self._redraw(car, place, rng)
                road.vehicles.append(car)
            if len(road.vehicles) >= wanted:
                break
        for _ in range(int(rng.integers(HERTZ // 2, 2 * HERTZ))):
            road.act()
            road.step(1 / HERTZ)
        return road

    def _movable(self, road: Any, place: Any) -> list[int]:
        """Cars that can still surprise: near enough, on their way, and not crashed."""
        found = []
        for i, car in enumerate(road.vehicles):
            reach = np.abs(car.position).max()
            has_left = place.is_committed(car.lane_index) and reach > 25
            if not car.crashed and car.speed > 1 and reach < 60 and not has_left:
                found.append(i)
        return found

    def _future(
        self, road: Any, index: int, place: Any, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """Where a car goes, `(STEPS, 2)`, as seen from where it is; if it crashes."""
        road = self._copy(road)
        road.np_random = rng
        for car in road.vehicles:
            self._redraw(car, place, rng)
        car = road.vehicles[index]
        start, heading = car.position.copy(), car.heading
        ahead = np.array([np.cos(heading), np.sin(heading)])
        right = np.array([-np.sin(heading), np.cos(heading)])
        path: list[list[float]] = []
        seconds = 0.0
        for _ in range(int(STEPS * STEP_SECONDS * HERTZ)):
            road.act()
            road.step(1 / HERTZ)
            seconds += 1 / HERTZ
            if seconds >= STEP_SECONDS * (len(path) + 1) - 1e-6:
                moved = car.position - start
                path.append([moved @ right, moved @ ahead])
        return np.array(path, "float32"), bool(car.crashed)

    def _draw(self, road: Any, target: Any) -> np.ndarray:
        """The picture: drawn finer, turned so that the car heads up, made smaller."""
        side = SIDE * FINER
        whole = 2 * side + side // 2
        surface = self.surface((whole, whole), 0, self.pygame.Surface((whole, whole)))
        surface.scaling, surface.centering_position = float(FINER), [0.5, 0.5]
        surface.move_display_window_to(target.position)
        surface.fill(GRASS)
        lanes = [
            lane
            for ends in road.network.graph.values()
            for parallel in ends.values()
            for lane in parallel
        ]
        for lane in lanes:  # highway-env draws the marks of lanes alone
            for along in np.arange(0, lane.length + 1, 1.0):
                centre = lane.position(min(along, lane.length), 0)
                radius = lane.width_at(along) / 2 + 0.4
                self.pygame.draw.circle(
                    surface, ASPHALT, surface.vec2pix(centre), surface.pix(radius)
                )
        for lane in lanes:
            self.lanes.display(lane, surface)
        for car in road.vehicles:
            car.color = self.cars.EGO_COLOR if car is target else self.cars.BLUE
            self.cars.display(car, surface, offscreen=True)
        levels = self.pygame.surfarray.array3d(surface).transpose(1, 0, 2)
        middle, turn = (whole / 2, whole / 2), np.rad2deg(target.heading) + 90
        turned = self.cv2.warpAffine(
            np.ascontiguousarray(levels),
            self.cv2.getRotationMatrix2D(middle, turn, 1.0),
            (whole, whole),
            flags=self.cv2.INTER_LINEAR,
        )
        x, y = whole // 2 - side // 2, whole // 2 - ROW * FINER
        part = turned[y : y + side, x : x + side]
        found: np.ndarray = self.cv2.resize(
            part, (SIDE, SIDE), interpolation=self.cv2.INTER_AREA
        )
        return found


def simulated(split: str, count: int) -> Iterator[Scene]:
    """Scenes of a split.

    Args:
        split: `"train"` or `"test"`.
        count: How many.
    """
    _, number, seed = SPLITS[split]
    simulator, done = Simulator(), 0
    while done < count:
        scene = simulator.scene(seed, number)
        seed += 1
        if scene is not None:
            done += 1
            yield scene


def of_sheets(source: Path, split: str) -> Iterator[Scene]:
    """Scenes of a split that were simulated before.

    Args:
        source: Folder of sheets, and of archives of the futures.
        split: As in `simulated`.

    Raises:
        OSError: If a file is missing.
    """
    with np.load(source / f"{split}-futures.npz") as file:
        futures, kinds = file["futures"], file["kind"]
    images = read_sheets(source, split, SHAPE, COLUMNS)[: len(futures)]
    for image, paths, kind in zip(images, futures, kinds, strict=True):
        yield Scene(image, paths, int(kind))


def write(folder: Path, split: str, scenes: Iterator[Scene]) -> int:
    """Write `<split>.npz`, a row for each future; returns the number of scenes.

    Futures are rounded to half precision, 2 cm at most.

    Args:
        folder: Where; created.
        split: As in `simulated`.
        scenes: The scenes.
    """
    found = list(scenes)
    numbers = [len(scene.futures) for scene in found]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{split}.npz") as path, path.open("wb") as stream:
        np.savez_compressed(
            stream,
            examples=np.concatenate([s.futures for s in found])
            .astype("float16")
            .astype("float32"),
            given_image=np.repeat([s.image for s in found], numbers, axis=0),
            labels=np.repeat([s.kind for s in found], numbers).astype("int16"),
        )
    return len(found)


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of sheets that were simulated before.",
)
@click.option("--scenes", type=click.IntRange(1), help="Of each split; all by default.")
def main(folder: Path, source: Path | None, scenes: int | None) -> None:
    """Write both splits."""
    for split, (count, _, _) in SPLITS.items():
        if source is None:
            found = simulated(split, scenes or count)
        else:
            found = of_sheets(source, split)
        click.echo(f"{split}: {write(folder / NAME, split, found)} scenes")


if __name__ == "__main__":
    main()
