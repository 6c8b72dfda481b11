"""Patches of photographs, to learn compression and restoration from.

    python -m training.data.photos DIR --from ../shared/data/photos

writes `DIR/photos/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 64, 64, 3)`, patches that do not overlap, of each photograph in an order that
is always the same; `labels`, the photograph; and `factors`: `photograph`, `row` and
`column`. `DIR/photos128` holds patches of 128 x 128. What is left at the right and
lower edges is left out. The patches of the last photographs of `train` are the last
ones, so that a recipe's `validation_examples` are of photographs of their own.

The source has two folders of photographs: `train`, of the Debian packages
lomiri-wallpapers 20.04.0-2 and mate-backgrounds 1.26.0-1, reduced to 1.1 megapixels
(authors and licences in its `ATTRIBUTION.json`), and `kodak`, the 24 Kodak pictures,
which is tested on.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.sheets import builder_command, write_split

SIDES = {"photos": 64, "photos128": 128}
FACTORS = ("photograph", "row", "column")
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


def cut(photograph: np.ndarray, side: int) -> np.ndarray:
    """The patches of a photograph, `(rows, columns, side, side, 3)`."""
    rows, columns = (length // side for length in photograph.shape[:2])
    whole = photograph[: rows * side, : columns * side]
    return whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2)


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
        parts = cut(photograph, side)
        rows, columns = np.mgrid[: parts.shape[0], : parts.shape[1]]
        order = np.random.default_rng(index).permutation(rows.size)
        patches.append(parts.reshape(-1, side, side, 3)[order])
        places = np.stack([np.full_like(rows, index), rows, columns], axis=-1)
        factors.append(places.reshape(-1, 3)[order])
    found, places = np.concatenate(patches), np.concatenate(factors)
    write_split(folder, split, found, places[:, 0], places, FACTORS)
    return len(found)


main = builder_command(build, "photos", "patches", "photographs", __doc__)


if __name__ == "__main__":
    main()
