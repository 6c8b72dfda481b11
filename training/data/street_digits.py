"""House numbers that were never on a house: digits of free fonts on many grounds.

    python -m training.data.street_digits DIR --from ../shared/data/street_digits

writes `DIR/street_digits/train.npz` and `test.npz`, which `--data-dir DIR` reads:
`images`, uint8 `(n, 32, 32, 3)`; `labels`, the digit in the middle; and it again as the
factor `digit`. Fonts and grounds of the test split are others than those that are
trained on. It takes the place of the street view house numbers, with which no figure on
it compares: the idea is that of the synthetic digits of Ganin & Lempitsky (2015,
https://arxiv.org/abs/1409.7495).

The source has sheets of 40 pictures a row and `<split>-labels.npy`.
"""

from pathlib import Path

import numpy as np

from training.data.sheets import builder_command, read_sheets, write_split

SHAPE, COLUMNS = (32, 32, 3), 40


def build(source: Path, folder: Path, split: str) -> int:
    """Write a split; returns the number of its pictures.

    Args:
        source: Folder of the sheets.
        folder: Where the archive is written.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If the source cannot be read.
    """
    labels = np.load(source / f"{split}-labels.npy")
    images = read_sheets(source, split, SHAPE, COLUMNS)[: len(labels)]
    write_split(folder, split, images, labels, labels[:, None], ("digit",))
    return len(images)


main = builder_command(build, "street_digits", "pictures", "sheets", __doc__)


if __name__ == "__main__":
    main()
