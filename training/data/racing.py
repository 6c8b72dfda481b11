"""Gymnasium's CarRacing, without a window, and a driver for it.

Needs gymnasium with Box2D: `pip install "aezoo[driving]"`.
"""

import functools
import importlib
import os
import warnings
from typing import Any

import numpy as np

from aezoo.utils.extras import require

SIDE, ROWS = 64, 84
# Steps of the physics that an action is held for, of 50 in a second.
HELD = 4
# Half the width of the road, and how far from its middle a car is lost.
HALF_ROAD, LOST = 6.67, 12.0
# Frames after which a car that stays lost is stopped, and steps before the first frame.
PATIENCE, START = 25, 50


@functools.cache
def area_weights(size: int, new_size: int) -> np.ndarray:
    """Share of each of `size` pixels in each of fewer ones: float32."""
    borders = np.arange(new_size + 1) * (size / new_size)
    pixels = np.arange(size)
    low = np.maximum(borders[:-1, None], pixels)
    high = np.minimum(borders[1:, None], pixels + 1)
    shared = np.maximum(high - low, 0.0)
    return (shared / shared.sum(axis=1, keepdims=True)).astype("float32")


def _draw_nothing(mode: str) -> None:
    """In the place of a picture, which takes most of the time."""
    del mode


class Race:
    """A track and a car on it, one frame for every `HELD` steps of the physics.

    Raises:
        MissingDependencyError: If gymnasium or Box2D is not installed.
    """

    def __init__(self) -> None:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        gymnasium = require("gymnasium", "driving", "Driving")
        with warnings.catch_warnings():
            # of its types, which as an error ends the process
            warnings.simplefilter("ignore", DeprecationWarning)
            require("Box2D", "driving", "Driving")
            importlib.import_module("gymnasium.envs.box2d")
        made = gymnasium.make("CarRacing-v3", max_episode_steps=10**6)
        self._made, self._world = made, made.unwrapped
        self._draw: Any = type(self._world)._render.__get__(self._world)
        self.middle = np.empty((0, 2))

    def start(self, seed: int) -> None:
        """A new track; the car stands at its beginning."""
        self._made.reset(seed=int(seed))
        self._world._render = _draw_nothing
        self.middle = np.array([(tile[2], tile[3]) for tile in self._world.track])

    @property
    def car(self) -> Any:
        """The car's body, of Box2D."""
        return self._world.car.hull

    @property
    def distance(self) -> float:
        """From the car to the middle of the road."""
        gaps = np.square(self.middle - np.array(self.car.position)).sum(axis=1)
        return float(np.sqrt(gaps.min()))

    @property
    def state(self) -> list[float]:
        """x, y, angle, both velocities, angular velocity, distance to the middle."""
        car = self.car
        return [
            *car.position,
            car.angle,
            *car.linearVelocity,
            car.angularVelocity,
            self.distance,
        ]

    def frame(self) -> np.ndarray:
        """What is seen above the instruments, made smaller: uint8 `(64, 64, 3)`."""
        seen = self._draw("state_pixels")[:ROWS]
        rows, columns = (area_weights(size, SIDE) for size in seen.shape[:2])
        narrow = np.einsum("kj,ijc->ikc", columns, seen.astype("float32"))
        return np.rint(np.einsum("ij,jkc->ikc", rows, narrow)).astype("uint8")

    def step(self, action: np.ndarray, steps: int = HELD) -> tuple[float, bool]:
        """Hold an action for some steps; the reward, and whether the race is over."""
        total = 0.0
        for _ in range(steps):
            _, reward, is_over, _, _ = self._world.step(action)
            total += reward
            if is_over:
                return total, True
        return total, False


class Driver:
    """Who follows the middle of the road, with a temperament drawn for each race.

    Args:
        race: A race that was started.
        rng: Source of the temperament and of what shakes the hand.
    """

    def __init__(self, race: Race, rng: np.random.Generator) -> None:
        self.race, self.rng = race, rng
        self.speed = rng.uniform(18.0, 52.0)  # on a straight
        self.ahead = rng.uniform(3.0, 8.0)  # tiles that are looked ahead at rest
        self.offset = rng.normal(0.0, 2.0)  # from the middle
        self.noise = rng.choice([0.05, 0.15, 0.35], p=[0.4, 0.4, 0.2])
        self.wanders = rng.random() < 0.35  # across the road, and off it
        self.phase, self.period = rng.uniform(0, 6.28), rng.uniform(60, 200)
        self.shaken, self.time = np.zeros(2), 0

    def act(self) -> np.ndarray:
        """Steering, gas and brake, float32."""
        car, middle = self.race.car, self.race.middle
        place, angle = np.array(car.position), car.angle
        speed = np.linalg.norm(car.linearVelocity)
        nearest, n = int(np.argmin(((middle - place) ** 2).sum(1))), len(middle)
        aim = (nearest + int(self.ahead + 0.08 * speed)) % n
        along = middle[(aim + 1) % n] - middle[aim]
        along /= np.linalg.norm(along) + 1e-9
        offset = self.offset
        if self.wanders:
            offset += 6.5 * np.sin(self.phase + 6.28 * self.time / self.period)
        target = middle[aim] + offset * np.array([-along[1], along[0]]) - place
        heading = np.array([-np.sin(angle), np.cos(angle)])
        turn = np.arctan2(
            heading[0] * target[1] - heading[1] * target[0], heading @ target
        )
        k = [middle[(nearest + step) % n] for step in (2, 8, 14)]
        a, b = k[1] - k[0], k[2] - k[1]
        bend = abs(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b))
        wanted = self.speed * max(0.35, 1.0 - 1.1 * bend)
        spread = np.array([self.noise, 0.5 * self.noise])
        self.shaken = 0.9 * self.shaken + self.rng.normal(0, 1, 2) * spread
        steering = np.clip(-1.6 * turn + self.shaken[0], -1, 1)
        push = 0.08 * (wanted - speed) + self.shaken[1]
        self.time += 1
        brake = np.clip(-0.5 * push, 0, 0.8)
        return np.array([steering, np.clip(push, 0, 1), brake], np.float32)


def episode(race: Race, seed: int, frames: int) -> dict[str, np.ndarray]:
    """What the driver sees and does on a track of its own.

    Args:
        race: The race.
        seed: Of track and driver.
        frames: At most; fewer where the car stays lost.

    Returns:
        `images`, `action` and `state`, a row for each frame.
    """
    race.start(seed)
    driver = Driver(race, np.random.default_rng(seed))
    # the camera comes nearer at first; then a random while more
    for _ in range(START + int(driver.rng.integers(0, 100))):
        race.step(driver.act(), steps=1)
    found: dict[str, list[Any]] = {"images": [], "action": [], "state": []}
    lost = 0
    while len(found["images"]) < frames and lost < PATIENCE:
        image = race.frame()
        action = driver.act()
        lost = lost + 1 if race.distance > LOST else 0
        for name, value in (
            ("images", image),
            ("action", action),
            ("state", race.state),
        ):
            found[name].append(value)
        _, is_over = race.step(action)
        if is_over:
            break
    types = {"images": "uint8", "action": "float32", "state": "float32"}
    return {name: np.array(rows, types[name]) for name, rows in found.items()}
