"""Two MNIST digits on one canvas, as DRAW was shown (Gregor et al., 2015).

    python -m training.data.two_digit_mnist DIR

writes `DIR/two_digit_mnist/train.npz` and `test.npz`, which `--data-dir DIR` reads:
`images`, uint8 `(n, 60, 60, 1)`; and `factors`: the digits `first` and `second`, and
row and column of the upper left corner of each. Digits are drawn from MNIST (of TFDS),
each at a place of its own; where they overlap the brighter pixel counts, which the
paper leaves open. Training digits are in training canvases alone.
"""

from pathlib import Path

import click
import numpy as np

from aezoo.data.datasets import load_dataset
from training.data.sheets import write_split

SEED, SIDE, DIGIT = 0, 60, 28
COUNTS = {"train": 60_000, "test": 10_000}
FACTORS = (
    *("first", "second"),
    *("first_row", "first_column", "second_row", "second_column"),
)


def compose(
    images: np.ndarray, labels: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Canvases of two digits, and what is on them.

    Args:
        images: Digits `(n, 28, 28, 1)`, uint8.
        labels: Their classes.
        count: Canvases.
        seed: Of choice and places.

    Returns:
        `(count, 60, 60, 1)`, uint8, and the factors, `(count, 6)`.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(images), (count, 2))
    corners = rng.integers(0, SIDE - DIGIT + 1, (count, 2, 2))
    canvases = np.zeros((count, SIDE, SIDE), "uint8")
    for canvas, digits, places in zip(canvases, chosen, corners, strict=True):
        for digit, (row, column) in zip(digits, places, strict=True):
            spot = canvas[row : row + DIGIT, column : column + DIGIT]
            np.maximum(spot, images[digit, ..., 0], out=spot)
    factors = np.c_[labels[chosen], corners.reshape(count, 4)]
    return canvases[..., None], factors


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--tfds-dir", type=click.Path(path_type=Path), help="Where TFDS has MNIST."
)
def main(folder: Path, tfds_dir: Path | None) -> None:
    """Write both splits."""
    for offset, (split, count) in enumerate(COUNTS.items()):
        digits = load_dataset("mnist", split, tfds_dir)
        images, factors = compose(
            digits.examples, np.asarray(digits.labels), count, SEED + offset
        )
        target = folder / "two_digit_mnist"
        write_split(target, split, images, factors[:, 0], factors, FACTORS)
        click.echo(f"{split}: {count} canvases")


if __name__ == "__main__":
    main()
