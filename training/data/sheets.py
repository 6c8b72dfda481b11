"""Pictures that stand side by side on sheets, and archives of them with factors."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image

from aezoo.utils.files import atomic_path


def read_sheets(
    folder: Path, split: str, shape: tuple[int, int, int], columns: int
) -> np.ndarray:
    """The pictures of a split, sheet by sheet and row by row, `(n, *shape)`, uint8.

    Args:
        folder: Where `<split>-00.webp` and so on are.
        split: `"train"` or `"test"`.
        shape: Height, width and channels of a picture.
        columns: Pictures in a row.

    Raises:
        FileNotFoundError: If there is no sheet.
    """
    height, width, channels = shape
    paths = sorted(folder.glob(f"{split}-*.webp"))
    if not paths:
        raise FileNotFoundError(f"There is no {folder / f'{split}-00.webp'}.")
    parts = []
    for path in paths:
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))[..., :channels]
        tiles = pixels.reshape(-1, height, columns, width, channels)
        parts.append(tiles.transpose(0, 2, 1, 3, 4).reshape(-1, *shape))
    return np.concatenate(parts)


def write_split(
    folder: Path,
    split: str,
    images: np.ndarray,
    labels: np.ndarray,
    factors: np.ndarray,
    factor_names: Sequence[str],
) -> None:
    """Write `<split>.npz`, which `aezoo.datasets.load_dataset` reads.

    Args:
        folder: Where; created.
        split: As in `read_sheets`.
        images: `(n, height, width, channels)`, uint8.
        labels: Integers, `(n,)`.
        factors: Integers, `(n, len(factor_names))`.
        factor_names: One name a column.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{split}.npz") as path, path.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=images,
            labels=labels.astype("int16"),
            factors=factors.astype("int16"),
            factor_names=np.array(factor_names),
        )


def builder_command(
    build: Callable[[Path, Path, str], int],
    name: str,
    noun: str,
    files: str,
    text: str | None,
) -> click.Command:
    """The command of a builder, which writes both splits.

    Args:
        build: Writes a split, given source, folder and split; returns how many.
        name: Of the dataset.
        noun: What it counts.
        files: What the source is a folder of.
        text: The command's help.
    """

    @click.command(help=text)
    @click.argument("folder", type=click.Path(path_type=Path))
    @click.option(
        "--from",
        "source",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        required=True,
        help=f"Folder of the {files}.",
    )
    def main(folder: Path, source: Path) -> None:
        for split in ("train", "test"):
            click.echo(f"{split}: {build(source, folder / name, split)} {noun}")

    return main
