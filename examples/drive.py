"""A car driven by a linear map of a latent space, learnt from few frames of a driver.

    pip install "aezoo[driving,train]"
    python examples/drive.py world_model_carracing --data-dir DIR

Ha & Schmidhuber (2018, https://arxiv.org/abs/1803.10122) drive by a linear controller
of what a world model sees and remembers. Here the controller clones a scripted driver,
from 100, 1,000 or 10,000 labelled frames, so that what counts is how little it needs to
be told: by ridge regression on the codes, on codes and memory, on as many principal
components, or on pixels. Each then drives alone on tracks that nobody has seen: mean
reward of a race, with a 95 % interval over tracks, and the share of frames on the road.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

import aezoo
from aezoo.data.datasets import load_dataset
from benchmarks.common import markdown_table
from benchmarks.world_model import PENALTIES, components, ridge, share_explained
from training.data.racing import HALF_ROAD, START, Driver, Race
from training.intervals import mean

FIRST_TRACK = 200_000


class Eyes:
    """What a controller is told of frames, one after another.

    Args:
        see: From frames `(n, 64, 64, 3)` to features `(n, size)`.
        model: The world model whose memory is told as well; None for none.
    """

    def __init__(
        self, see: Callable[[np.ndarray], np.ndarray], model: Any = None
    ) -> None:
        self.see, self.model = see, model
        self.state: Any = None

    def of_episodes(
        self, frames: np.ndarray, actions: np.ndarray, episodes: np.ndarray
    ) -> np.ndarray:
        """Features of recorded frames; what is remembered is of those before."""
        seen = self.see(frames)
        if self.model is None:
            return seen
        known = np.zeros((len(seen), self.model.dynamics_units), "float32")
        for number in np.unique(episodes):
            rows = np.flatnonzero(episodes == number)
            if len(rows) > 1:
                before = rows[:-1]
                known[rows[1:]] = self.model.remember(
                    seen[before], actions[before][None]
                )
        return np.c_[seen, known]

    def start(self) -> None:
        """Forget the race before."""
        self.state = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Features of the frame that is seen now."""
        self.seen = self.see(frame[None])
        if self.model is None:
            return self.seen[0]
        zeros = np.zeros((1, self.model.dynamics_units), "float32")
        known = zeros if self.state is None else self.state["hidden"]
        return np.c_[self.seen, known][0]

    def remember(self, action: np.ndarray) -> None:
        """Take note of what is done."""
        if self.model is not None:
            self.state = self.model.advance(self.seen, action[None], self.state)


def all_eyes(model: Any, frames: np.ndarray) -> Iterator[tuple[str, Eyes]]:
    """What is compared, by name."""
    count = model.latent_dim
    small = shrink(frames[::4])
    centre = small.mean(axis=0)
    basis = np.linalg.lstsq(
        small - centre, components(small, small, count)[0], rcond=None
    )[0]
    yield "codes", Eyes(model.encode)
    yield "codes and memory", Eyes(model.encode, model)
    yield (
        f"{count} principal components",
        Eyes(lambda x: (shrink(x) - centre) @ basis),
    )
    yield "pixels, 16 x 16", Eyes(shrink)


def shrink(frames: np.ndarray) -> np.ndarray:
    """Frames at a quarter of their size, as rows of numbers in [0, 1]."""
    parts = frames.reshape(-1, 16, 4, 16, 4, 3).mean(axis=(2, 4), dtype="float32")
    return parts.reshape(len(frames), -1) / 255.0


def cloned(x: np.ndarray, actions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A linear controller that does what was done; its penalty is held-out frames'."""
    scale, held = x.std(axis=0) + 1e-6, len(x) // 5
    x = x / scale
    scores = [
        share_explained(ridge(x[held:], actions[held:], p), x[:held], actions[:held])
        for p in PENALTIES
    ]
    best = PENALTIES[int(np.argmax(np.mean(scores, axis=1)))]
    weights = ridge(x, actions, best)

    def act(features: np.ndarray) -> np.ndarray:
        found = np.r_[features / scale, 1.0] @ weights
        return np.clip(found, [-1, 0, 0], [1, 1, 1]).astype("float32")

    return act


def drive(
    race: Race, seed: int, frames: int, act: Callable[[np.ndarray], np.ndarray] | None,
    eyes: Eyes | None = None,
) -> tuple[float, float]:  # fmt: skip
    """One race: its reward, and the share of frames on the road.

    Args:
        race: The simulator.
        seed: Of the track.
        frames: Of the race.
        act: From features to an action; None for the scripted driver.
        eyes: What makes the features.
    """
    race.start(seed)
    driver = Driver(race, np.random.default_rng(seed))
    for _ in range(START):  # the camera comes nearer
        race.step(driver.act(), steps=1)
    if eyes is not None:
        eyes.start()
    total, on_road = 0.0, []
    for _ in range(frames):
        if act is None or eyes is None:
            action = driver.act()
        else:
            action = act(eyes(race.frame()))
            eyes.remember(action)
        on_road.append(race.distance < HALF_ROAD)
        reward, is_over = race.step(action)
        total += reward
        if is_over:
            break
    return total, float(np.mean(on_road))


def summary(results: list[tuple[float, float]]) -> list[str]:
    """Mean reward with its interval, and the share of frames on the road."""
    rewards, on_road = zip(*results, strict=True)
    found = mean(list(rewards))
    return [
        f"{found.value:.0f} ± {found.half_width or 0.0:.0f}",
        f"{100 * np.mean(on_road):.0f} %",
    ]


@click.command(help=__doc__)
@click.argument("name")
@click.option("--data-dir", type=click.Path(path_type=Path), required=True)
@click.option("--counts", default="100,1000,10000", help="Labelled frames.")
@click.option("--tracks", type=click.IntRange(2), default=20, show_default=True)
@click.option("--frames", type=click.IntRange(1), default=300, show_default=True)
def main(name: str, data_dir: Path, counts: str, tracks: int, frames: int) -> None:
    """Clone, drive, and print a table."""
    model = aezoo.load(name)
    data = load_dataset("carracing", "train", data_dir)
    actions, episodes = data.given["action"], data.given["episode"]
    race, seeds = Race(), range(FIRST_TRACK, FIRST_TRACK + tracks)
    rows = [
        [
            "the driver",
            "",
            *summary([drive(race, seed, frames, None) for seed in seeds]),
        ]
    ]
    for title, eyes in all_eyes(model, data.examples):
        x = eyes.of_episodes(data.examples, actions, episodes)
        for count in map(int, counts.split(",")):
            chosen = np.random.default_rng(0).permutation(len(x))[:count]
            act = cloned(x[chosen], actions[chosen])
            results = [drive(race, seed, frames, act, eyes) for seed in seeds]
            rows.append([title, f"{count:,}", *summary(results)])
            click.echo(" ".join(rows[-1]), err=True)
    columns = ["controller of", "labelled frames", "reward", "on the road"]
    click.echo(markdown_table(columns, rows))


if __name__ == "__main__":
    main()
