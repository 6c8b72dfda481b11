"""Frames of a car that is driven round a track, what the driver does, where it is.

    pip install "aezoo[driving]"
    python -m training.data.carracing DIR

writes `DIR/carracing/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 64, 64, 3)`, in the order of time; `given_action`, float32 `(n, 3)`: steering
from -1 to 1, gas and brake from 0 to 1, held for 0.08 s after the frame; and
`given_episode`, which says what follows what. `states.npz` beside them has `train` and
`test`, float32 `(n, 7)`: x, y, angle, both velocities, angular velocity and the
distance to the middle of the road (half a road is 6.67), which nothing is trained on
but the readouts of `benchmarks.world_model`.

The simulator is gymnasium's `CarRacing-v3` (MIT), driven by the scripted driver of
`training.data.racing`, whose speed, offset and unsteadiness are drawn for each episode;
test tracks and drivers are others than those that are trained on. `--from SHEETS` makes
the same archives of results that are there already: sheets of 40 frames a row, and
`<split>-meta.npz` with `action`, `state` and `episode`.
"""

from pathlib import Path

import click
import numpy as np

from aezoo.utils.files import atomic_path
from training.data.racing import Race, episode
from training.data.sheets import read_sheets

# Frames of a split, and the seed of its first episode; frames of an episode, at most.
SPLITS, FRAMES = {"train": (12_800, 0), "test": (1_600, 100_000)}, 160
SHAPE, COLUMNS = (64, 64, 3), 40


def simulate(count: int, seed: int, race: Race) -> dict[str, np.ndarray]:
    """Episodes one after another, until there are enough frames.

    Args:
        count: Frames.
        seed: Of the first episode.
        race: The simulator.

    Returns:
        `images`, `action`, `state` and `episode`, a row for each frame.
    """
    parts: list[dict[str, np.ndarray]] = []
    while sum(len(part["images"]) for part in parts) < count:
        part = episode(race, seed + len(parts), FRAMES)
        number = np.full(len(part["images"]), len(parts), "int32")
        parts.append({**part, "episode": number})
    return {
        name: np.concatenate([part[name] for part in parts])[:count]
        for name in parts[0]
    }


def read(source: Path, split: str) -> dict[str, np.ndarray]:
    """What was simulated before.

    Args:
        source: Folder of the sheets.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If it cannot be read.
    """
    with np.load(source / f"{split}-meta.npz") as archive:
        found = {name: archive[name] for name in ("action", "state", "episode")}
    images = read_sheets(source, split, SHAPE, COLUMNS)[: len(found["action"])]
    return {"images": images, **found}


def write(found: dict[str, np.ndarray], folder: Path, split: str) -> None:
    """Write the archives of a split.

    Args:
        found: As `simulate` returns it.
        folder: Where; created.
        split: `"train"` or `"test"`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{split}.npz") as path, path.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=found["images"],
            given_action=found["action"].astype("float32"),
            given_episode=found["episode"].astype("int32"),
        )
    states = folder / "states.npz"
    known = dict(np.load(states)) if states.is_file() else {}
    with atomic_path(states) as path, path.open("wb") as stream:
        np.savez_compressed(
            stream, **{**known, split: found["state"].astype("float32")}
        )


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of sheets, in place of the simulator.",
)
def main(folder: Path, source: Path | None) -> None:
    """Write both splits."""
    race = None if source else Race()
    for split, (count, seed) in SPLITS.items():
        if race is None:
            found = read(source or folder, split)
        else:
            found = simulate(count, seed, race)
        write(found, folder / "carracing", split)
        click.echo(f"{split}: {len(found['images'])} frames")


if __name__ == "__main__":
    main()
