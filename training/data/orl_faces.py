"""The ORL faces (Samaria & Harter, 1994): ten pictures of each of 40 people.

    python -m training.data.orl_faces DIR --from ../shared/data/orl_faces

writes `DIR/orl_faces/train.npz` and `test.npz`, which `--data-dir DIR` reads: `images`,
uint8 `(n, 64, 56, 1)`, box-filtered from 112x92 pixels; `labels`, the person; and
`factors`: `person`, `glasses` and `smile`. There is no official split: the first eight
pictures of each person are to learn from, with their mirror images, the last two to
test on. Pictures stand take by take, so that the last 80 of `train.npz` are one of each
person, and its mirror image.

The source has `<split>.npz` with `images` and `labels`, and `<split>-attributes.npz`
with `person`, `take`, `glasses` and `smile`. Without a formal licence: credit is due to
Olivetti Research Laboratory.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from training.data.sheets import builder_command, write_split

HEIGHT, WIDTH = 64, 56
FACTORS = ("person", "glasses", "smile")


def shrink(image: np.ndarray) -> np.ndarray:
    """A picture `(h, w, 1)` at `(HEIGHT, WIDTH, 1)`, box-filtered; uint8."""
    picture = Image.fromarray(image[..., 0])
    small = picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return np.asarray(small)[..., None]


def build(source: Path, folder: Path, split: str) -> int:
    """Write a split; returns the number of its pictures.

    Args:
        source: Folder of the archives.
        folder: Where the archive is written.
        split: `"train"` or `"test"`.

    Raises:
        OSError: If the source cannot be read.
    """
    with np.load(source / f"{split}.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    with np.load(source / f"{split}-attributes.npz") as archive:
        factors = np.stack([archive[name] for name in FACTORS], axis=1)
        order = np.lexsort((archive["person"], archive["take"]))
    small = np.stack([shrink(image) for image in images[order]])
    labels, factors = labels[order], factors[order]
    if split == "train":
        small = np.stack([small, small[:, :, ::-1]], axis=1).reshape(
            -1, *small.shape[1:]
        )
        labels, factors = np.repeat(labels, 2), np.repeat(factors, 2, axis=0)
    write_split(folder, split, small, labels, factors, FACTORS)
    return len(small)


main = builder_command(build, "orl_faces", "pictures", "archives", __doc__)


if __name__ == "__main__":
    main()
