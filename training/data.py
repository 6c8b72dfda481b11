"""Datasets by name, as arrays.

Images come from TensorFlow Datasets, or, where TensorFlow is not installed, from
`<data_dir>/<name>/<split>.npz` files with the arrays `images` and `labels`.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from aezoo.errors import AezooError


class DatasetError(AezooError, ValueError):
    """A dataset is missing or has no such split."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images and labels of one split, in the dataset's own order.

    Attributes:
        name: TFDS name.
        version: TFDS version, `"npz"` for plain arrays.
        split: Split, e.g. `"train"`.
        images: uint8, 0 to 255, shape `(n, height, width, channels)`.
        labels: int64, shape `(n,)`.
    """

    name: str
    version: str
    split: str
    images: np.ndarray
    labels: np.ndarray


# Licences as the datasets' authors state them.
LICENSES = {
    "mnist": "CC BY-SA 3.0",
    "fashion_mnist": "MIT",
    "cifar10": "no formal licence; cite the 2009 technical report",
}


def load_dataset(name: str, split: str, data_dir: str | Path | None = None) -> Dataset:
    """One split of a dataset that is already on this machine.

    Args:
        name: TFDS name, e.g. `"mnist"`.
        split: `"train"` or `"test"`.
        data_dir: A folder of `<name>/<split>.npz` files, or a TFDS data directory;
            None takes TFDS's own (`TFDS_DATA_DIR`, else `~/tensorflow_datasets`).

    Raises:
        DatasetError: If it is not there; says how to get it.
    """
    if data_dir is not None:
        file = Path(data_dir) / name / f"{split}.npz"
        if file.is_file():
            with np.load(file) as arrays:
                return Dataset(name, "npz", split, arrays["images"], arrays["labels"])
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DatasetError(
            f"Dataset {name!r} cannot be read: TensorFlow Datasets is not installed "
            f"and there is no {Path(data_dir or '.') / name / f'{split}.npz'}. Install "
            "`aezoo[train]`, or pass `--data-dir` with .npz files that hold `images` "
            "and `labels`."
        ) from error
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        dataset = builder.as_dataset(split=split, batch_size=1000)
    except (ValueError, AssertionError, tfds.core.DatasetNotFoundError) as error:
        raise DatasetError(
            f"Dataset {name!r}, split {split!r}, is not prepared in "
            f"{data_dir or 'the TFDS data directory'}. Prepare it once with "
            f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"`, "
            "or pass `--data-dir`."
        ) from error
    batches = list(tfds.as_numpy(dataset))
    return Dataset(
        name,
        str(builder.version),
        split,
        np.concatenate([b["image"] for b in batches]),
        np.concatenate([b["label"] for b in batches]),
    )


class ShuffledImages(keras.utils.PyDataset):
    """Batches of images in an order that depends on the seed and the epoch alone.

    A training that was killed and resumed in epoch 7 so sees what an uninterrupted
    one sees. Set `epoch` before each epoch (`Reproducible` in `training/train.py`).

    Args:
        images: Array `(n, height, width, channels)`.
        batch_size: Images per batch; the last batch may be shorter.
        seed: Seed of the order.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose order is served."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        generator = np.random.default_rng((self.seed, epoch))
        self._order = generator.permutation(len(self.images))

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        start = index * self.batch_size
        return (self.images[self._order[start : start + self.batch_size]],)
