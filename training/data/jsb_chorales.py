"""Windows of Bach's chorales, from a public list of them, four voices each.

    python -m training.data.jsb_chorales DIR --from Jsb16thSeparated.json
    python -m training.data.jsb_chorales DIR --from Jsb16thSeparated.json.gz --bars 4

writes `DIR/jsb_chorales_2bars/train.npz` and `test.npz`, which `--data-dir DIR` reads:
`images`, int16 `(n, steps, 4)`, of MIDI's pitches, -1 where a voice is silent. The
source stands in the public repository czhuang/JSB-Chorales-dataset; it has the split
of Boulanger-Lewandowski et al. (2012), 229, 76 and 77 chorales. The music is in the
public domain.

Steps are eighths, every second one of the source, which has no meter: a bar is four
quarters, counted from the first note, also of the few chorales in three, or with an
upbeat. Of 100 notes 4 begin between two steps.

Training chorales are taken in all transpositions by up to six semitones in which each
voice stays within the range that it has in some training chorale; a window begins at
each half of a bar. Windows of the validation chorales, as they are, at each bar, stand
at the end of `train.npz`, so that the last of its examples are of chorales that the
others are not of; their number is printed. `test.npz` has the test chorales, at each
bar.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from aezoo.utils.files import atomic_path

# Of the source in a quarter, and those that are kept.
SOURCE_STEPS, STEPS = 4, 2
QUARTERS = 4
TRANSPOSITIONS = range(-5, 7)


def read(path: Path) -> dict[str, list[np.ndarray]]:
    """The chorales of each split, each `(steps, 4)`, in eighths.

    Args:
        path: JSON, gzipped if it ends in .gz: split to chorales to steps to pitches.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    found: dict[str, Any] = json.loads(content)
    every = SOURCE_STEPS // STEPS
    return {
        split: [np.array(chorale, "int16")[::every] for chorale in chorales]
        for split, chorales in found.items()
    }


def windows(
    chorales: Sequence[np.ndarray], steps: int, hop: int
) -> Iterator[np.ndarray]:
    """Windows of chorales, one after the other.

    Args:
        chorales: Each `(steps, voices)`.
        steps: Of a window.
        hop: From the beginning of one to that of the next.
    """
    for chorale in chorales:
        for start in range(0, len(chorale) - steps + 1, hop):
            yield chorale[start : start + steps]


def transposed(chorales: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Chorales in all transpositions that keep each voice within its range."""
    joined = np.concatenate(chorales)
    sung = np.ma.masked_equal(joined, -1)
    low, high = sung.min(axis=0), sung.max(axis=0)
    for chorale in chorales:
        own = np.ma.masked_equal(chorale, -1)
        for shift in TRANSPOSITIONS:
            moved = own + shift
            is_within = (moved.min(axis=0) >= low) & (moved.max(axis=0) <= high)
            if is_within.all():
                yield moved.filled(-1)


def build(source: Path, folder: Path, bars: int) -> dict[str, int]:
    """Write the splits; returns the number of windows of each, and of validation.

    Args:
        source: As in `read`.
        folder: Where `train.npz` and `test.npz` are written.
        bars: Of a window.

    Raises:
        OSError: If the source cannot be read.
    """
    chorales = read(source)
    bar = QUARTERS * STEPS
    learnt = list(windows(list(transposed(chorales["train"])), bars * bar, bar // 2))
    held_out = list(windows(chorales["valid"], bars * bar, bar))
    tested = list(windows(chorales["test"], bars * bar, bar))
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in (("train", [*learnt, *held_out]), ("test", tested)):
        with atomic_path(folder / f"{name}.npz") as path, path.open("wb") as stream:
            np.savez_compressed(stream, images=np.stack(found).astype("int16"))
    return {"train": len(learnt), "valid": len(held_out), "test": len(tested)}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The file of the separated voices, gzipped or not.",
)
@click.option("--bars", type=click.IntRange(1, 16), default=2, show_default=True)
def main(folder: Path, source: Path, bars: int) -> None:
    """Command line."""
    counts = build(source, folder / f"jsb_chorales_{bars}bars", bars)
    for name, count in counts.items():
        click.echo(f"{name}: {count:,} windows")


if __name__ == "__main__":
    main()
