"""Patches of photographs, to learn compression and restoration from.

    python -m training.data.photos DIR --from ../shared/data/photos

writes `DIR/photos/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 64, 64, 3)`, patches that do not overlap, of each photograph in an order that
is always the same; `labels`, the photograph; and `factors`: `photograph`, `row`,
`column` and `reduction`, 1. What is left at the right and lower edges is left out. The
patches of the last photographs of `train` are the last ones, so that a recipe's
`validation_examples` are of photographs of their own.

`DIR/photos128` holds patches of 128 x 128. Most of what the photographs show is smooth;
so its `train` has, besides, patches of each at a half and a third of its size, which
are sharper, every 64 pixels; `reduction` says which they are.

The source has two folders of photographs: `train`, of the Debian packages
lomiri-wallpapers 20.04.0-2 and mate-backgrounds 1.26.0-1, reduced to 1.1 megapixels
(authors and licences in its `ATTRIBUTION.json`), and `kodak`, the 24 Kodak pictures,
which is tested on.
"""

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from training.data.sheets import builder_command, write_split

SIDES = {"photos": 64, "photos128": 128}
FACTORS = ("photograph", "row", "column", "reduction")
# What the photographs of a split are reduced by, for patches of a size.
REDUCTIONS = {("train", 128): (1, 2, 3)}
FOLDERS = {"train": "train", "test": "kodak"}
SUFFIXES = (".webp", ".png", ".jpg")


def photographs(folder: Path) -> list[np.ndarray]:
    """The photographs of a folder, by name: uint8, `(height, width, 3)` each.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If there is none.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"There are no photographs in {folder}.")
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def cut(photograph: np.ndarray, side: int, stride: int | None = None) -> np.ndarray:
    """The patches of a photograph; none of one that is smaller.

    Args:
        photograph: uint8, `(height, width, 3)`.
        side: Of a patch.
        stride: From one to the next; None for `side`.

    Returns:
        `(rows, columns, side, side, 3)`.
    """
    if min(photograph.shape[:2]) < side:
        return np.empty((0, 0, side, side, 3), "uint8")
    windows = sliding_window_view(photograph, (side, side), axis=(0, 1))
    stride = stride or side
    return windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)


def reduced(photograph: np.ndarray, factor: int) -> np.ndarray:
    """A photograph at a fraction of its size, by Pillow's bicubic filter."""
    if factor == 1:
        return photograph
    height, width = (length // factor for length in photograph.shape[:2])
    return np.asarray(
        Image.fromarray(photograph).resize((width, height), Image.Resampling.BICUBIC)
    )


def build(source: Path, folder: Path, split: str) -> int:
    """Write a split in all sizes; returns the number of its smallest patches.

    Args:
        source: Folder with `train` and `kodak`.
        folder: Where the archive of the smallest ones is written; those of others
            stand beside it.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If the source cannot be read.
    """
    pictures = photographs(source / FOLDERS[split])
    counts = [
        _write(pictures, folder.parent / name, split, side)
        for name, side in SIDES.items()
    ]
    return counts[0]


def _write(pictures: list[np.ndarray], folder: Path, split: str, side: int) -> int:
    patches, factors = [], []
    for index, photograph in enumerate(pictures):
        found, places = [], []
        for factor in REDUCTIONS.get((split, side), (1,)):
            stride = side if factor == 1 else side // 2
            parts = cut(reduced(photograph, factor), side, stride)
            rows, columns = np.mgrid[: parts.shape[0], : parts.shape[1]]
            found.append(parts.reshape(-1, side, side, 3))
            place = np.broadcast_arrays(index, rows, columns, factor)
            places.append(np.stack(place, axis=-1).reshape(-1, 4))
        order = np.random.default_rng(index).permutation(sum(map(len, found)))
        patches.append(np.concatenate(found)[order])
        factors.append(np.concatenate(places)[order])
    images, all_places = np.concatenate(patches), np.concatenate(factors)
    write_split(folder, split, images, all_places[:, 0], all_places, FACTORS)
    return len(images)


main = builder_command(build, "photos", "patches", "photographs", __doc__)


if __name__ == "__main__":
    main()
