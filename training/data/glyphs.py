"""Letters and digits of free fonts, from sheets of them.

    python -m training.data.glyphs DIR --from ../shared/data/glyphs

writes `DIR/glyphs/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 32, 32, 1)`, ink bright; `labels`, the character, 0 to 61 in the order A-Z
a-z 0-9; and `factors`: `style` (the font), `content` (the character), `bold` and
`slanted`. 498 fonts to learn from and 49 to test on, 62 characters each, font by font;
fonts of one package are all on one side.

The source has a sheet of 62 columns and a row for each font, and lists of the fonts
(`train-fonts.json`: `family`, `style`, `licence`, ...). The fonts are those of Debian's
main archive, under free licences, which differ by font.
"""

import json
from pathlib import Path

import numpy as np

from training.data.sheets import builder_command, read_sheets, write_split

SHAPE = (32, 32, 1)
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FACTORS = ("style", "content", "bold", "slanted")


def build(source: Path, folder: Path, split: str) -> int:
    """Write a split; returns the number of its fonts.

    Args:
        source: Folder of sheets and lists.
        folder: Where the archive is written.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If the source cannot be read.
    """
    fonts = json.loads((source / f"{split}-fonts.json").read_text(encoding="utf-8"))
    images = read_sheets(source, split, SHAPE, len(CHARACTERS))
    characters = np.tile(np.arange(len(CHARACTERS)), len(fonts))
    of_font = [
        (i, "bold" in font["style"], "italic" in font["style"])
        for i, font in enumerate(fonts)
    ]
    style, bold, slanted = np.repeat(of_font, len(CHARACTERS), axis=0).T
    factors = np.stack([style, characters, bold, slanted], axis=1)
    write_split(folder, split, images, characters, factors, FACTORS)
    return len(fonts)


main = builder_command(build, "glyphs", "fonts", "sheets and lists", __doc__)


if __name__ == "__main__":
    main()
