"""Where a model that draws looks: whether it visits both digits of a canvas.

    python -m benchmarks.windows draw_two_digit_mnist --data-dir DIR

Of each digit's ink, how much lies under a window that is read, in at least one of the
steps; how much of the canvas such windows cover beside, without which it would say
nothing; and in how many canvases each digit has at least half of its ink under a window
that covers at most a quarter of the canvas. Ink under both digits counts for both.
`--figure` draws the windows over the steps, on canvases of drawn digits. Prints
Markdown, with standard errors over canvases.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import markdown_table, with_error

# Of the figure, and the side of a digit on a canvas.
SHOWN, DIGIT = 2, 28
SMALL = 0.25
DIGITS, SIDES = ("first", "second"), ("row", "column")
# Canvases at a time.
CHUNK = 500


def under(windows: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels have their middle in a window: bool, `(..., height, width)`.

    Args:
        windows: `(..., 4)`: top, left, bottom and right; pixel 0 lies at 0.
        height: Of the canvas, in pixels.
        width: As well.
    """
    top, left, bottom, right = np.moveaxis(windows[..., None], -2, 0)
    rows, columns = np.arange(height), np.arange(width)
    is_row = (top <= rows) & (rows <= bottom)
    is_column = (left <= columns) & (columns <= right)
    return np.asarray(is_row[..., :, None] & is_column[..., None, :])


def inks(canvases: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Ink of each digit alone, float32 `(n, 2, height, width)`, in [0, 1].

    Args:
        canvases: uint8 `(n, height, width, 1)`.
        corners: Row and column of the upper left corner of both, `(n, 2, 2)`.
    """
    ink = canvases[..., 0].astype("float32") / np.float32(255)
    low, high = corners, corners + DIGIT - 1
    boxes = under(np.concatenate([low, high], axis=-1), *ink.shape[1:])
    return np.asarray(ink[:, None] * boxes)


def shares(windows: np.ndarray, ink: np.ndarray) -> dict[str, np.ndarray]:
    """What the windows of each canvas cover, in [0, 1], a row for each canvas.

    Args:
        windows: `(n, steps, 4)`.
        ink: As `inks` has it.
    """
    seen = under(windows, *ink.shape[2:])  # (n, steps, height, width)
    total = ink.sum(axis=(2, 3))
    union = seen.any(axis=1)
    covered = (ink * union[:, None]).sum(axis=(2, 3)) / total
    each = np.einsum("nshw,ndhw->nsd", seen, ink) / total[:, None]
    is_small = seen.mean(axis=(2, 3)) <= SMALL
    visited = (each >= 0.5) & is_small[..., None]
    return {
        "ink of both digits under a window": covered.mean(axis=1),
        "ink of the digit that is seen less": covered.min(axis=1),
        "canvas under a window": union.mean(axis=(1, 2)),
        "canvases with a small window on each digit": (
            visited.any(axis=1).all(axis=1).astype("float64")
        ),
    }


def two_digits(count: int, seed: int) -> np.ndarray:
    """Canvases of two drawn digits, uint8 `(count, 60, 60, 1)`."""
    from aezoo.modalities.image.digits import draw_digits
    from training.data.two_digit_mnist import compose

    return compose(*draw_digits(100, seed), count, seed)[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model of the family `draw`, with attention")
    parser.add_argument("--data-dir", type=Path, help="where `two_digit_mnist` is")
    parser.add_argument("--figure", type=Path, help="where to draw windows")
    args = parser.parse_args()
    if args.data_dir is None and args.figure is None:
        parser.error("pass --data-dir to measure, --figure to draw, or both")
    import aezoo
    from aezoo.data.datasets import load_dataset
    from aezoo.evaluation import plots
    from aezoo.training.loop import factor_of

    model: Any = aezoo.load(args.name)
    if args.figure:
        figure = plots.attention_strip(model, two_digits(SHOWN, seed=0))
        plots.save_figure(figure, args.figure)
    if args.data_dir is None:
        return
    data = load_dataset("two_digit_mnist", "test", args.data_dir)
    corners = np.stack(
        [factor_of(data, f"{digit}_{side}") for digit in DIGITS for side in SIDES],
        axis=-1,
    ).reshape(-1, 2, 2)
    windows = model.windows(data.examples)["read"]
    parts = [
        shares(windows[rows], inks(data.examples[rows], corners[rows]))
        for rows in (slice(i, i + CHUNK) for i in range(0, len(windows), CHUNK))
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = [[name, with_error(100.0 * values, ".1f")] for name, values in found.items()]
    print(f"## `{args.name}`, {len(windows):,} canvases, {windows.shape[1]} steps\n")
    print(markdown_table(["", "%"], rows))


if __name__ == "__main__":
    main()
