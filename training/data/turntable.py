"""Furniture turned by hand: every shape at all azimuths, elevations and lights.

    python -m training.data.turntable DIR --from ../shared/data/turntable

writes `DIR/turntable/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 64, 64, 3)`; `labels`, the shape; and `factors`: `shape`, `azimuth` (16, of
22.5 degrees each, counted from the front), `elevation` (12 and 38 degrees) and `light`
(-65, 0 and 65 degrees from the camera). 137 shapes to learn from, 22 others to test on,
96 pictures each.

The source has a sheet with a row for each shape. The models are those of Debian's
package sweethome3d-furniture, CC BY 3.0 and CC0; `train-shapes.json` names the creator
of each, to whom credit is due where pictures are shown.
"""

from pathlib import Path

import numpy as np

from training.data.sheets import builder_command, read_sheets, write_split

SHAPE = (64, 64, 3)
# Values of each factor, the last of which varies fastest.
GRID = {"azimuth": 16, "elevation": 2, "light": 3}


def build(source: Path, folder: Path, split: str) -> int:
    """Write a split; returns the number of its shapes.

    Args:
        source: Folder of sheets.
        folder: Where the archive is written.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If the source cannot be read.
    """
    views = int(np.prod([*GRID.values()]))
    images = read_sheets(source, split, SHAPE, views)
    count = len(images) // views
    axes = [np.arange(n) for n in (count, *GRID.values())]
    factors = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 4)
    write_split(folder, split, images, factors[:, 0], factors, ("shape", *GRID))
    return count


main = builder_command(build, "turntable", "shapes", "sheets", __doc__)


if __name__ == "__main__":
    main()
