"""ModelNet10 (Wu et al., 2015) as solid shapes on a grid of 24 cells a side.

    python -m training.data.modelnet10 DIR --from modelnet10.npz

writes `DIR/modelnet10/train.npz` and `test.npz`, which `--data-dir DIR` reads:
`examples`, uint8 `(n, 24, 24, 24)`, 1 where a cell is occupied, the last axis upwards;
and `labels`, 0 to 9: bathtub, bed, chair, desk, dresser, monitor, night stand, sofa,
table, toilet. The source stands in the public repository
Sooram/ModelNet-3dCNN-tensorflow: binvox's grids of the meshes, with three empty cells
on each side, which are cut off. It has the official split; shapes without an occupied
cell, 7 and 1, are left out. The meshes are for academic research only, and belong to
their authors.

Every twentieth training shape stands at the end of `train.npz`, to validate on; the
others are to learn from, each with its mirror image.
"""

from pathlib import Path

import click
import numpy as np

from aezoo.utils.files import atomic_path

PADDING = 3
# Of the training shapes, one in so many is held out.
HELD_OUT = 20


def read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The shapes of a split that are not empty, and their labels.

    Args:
        path: The archive.
        split: `"train"` or `"test"`.
    """
    with np.load(path) as archive:
        padded, labels = archive[f"X_{split}"], archive[f"y_{split}"]
    inner = slice(PADDING, -PADDING)
    shapes = padded[:, inner, inner, inner].astype("uint8")
    is_kept = shapes.any(axis=(1, 2, 3))
    return shapes[is_kept], labels[is_kept].astype("int64")


def for_training(
    shapes: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Shapes with their mirror images, then those to validate on, and how many."""
    is_held_out = np.arange(len(shapes)) % HELD_OUT == HELD_OUT - 1
    learnt, held_out = shapes[~is_held_out], shapes[is_held_out]
    own = labels[~is_held_out]
    return (
        np.concatenate([learnt, learnt[:, ::-1], held_out]),
        np.concatenate([own, own, labels[is_held_out]]),
        len(held_out),
    )


def build(source: Path, folder: Path) -> dict[str, int]:
    """Write the splits; returns the number of shapes of each, and of validation.

    Args:
        source: The archive, as in `read`.
        folder: Where `train.npz` and `test.npz` are written.

    Raises:
        OSError: If the source cannot be read.
    """
    learnt, labels, held_out = for_training(*read(source, "train"))
    tested = read(source, "test")
    folder.mkdir(parents=True, exist_ok=True)
    for split, (x, y) in (("train", (learnt, labels)), ("test", tested)):
        with atomic_path(folder / f"{split}.npz") as path, path.open("wb") as stream:
            np.savez_compressed(stream, examples=x, labels=y)
    return {
        "train": len(learnt) - held_out,
        "valid": held_out,
        "test": len(tested[0]),
    }


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The archive of the repository.",
)
def main(folder: Path, source: Path) -> None:
    """Command line."""
    for name, count in build(source, folder / "modelnet10").items():
        click.echo(f"{name}: {count:,} shapes")


if __name__ == "__main__":
    main()
