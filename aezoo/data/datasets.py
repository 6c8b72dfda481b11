"""Images and labels to measure and train on: by name, from files, or from arrays.

Named datasets come from TensorFlow Datasets, or, where TensorFlow is not installed,
from `<data_dir>/<name>/<split>.npz` files. Needs NumPy and Pillow only; TensorFlow
Datasets is imported when a name asks for it.
"""

import contextlib
import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.data.batches import collect, is_dataset, split_batch
from aezoo.errors import AezooError
from aezoo.modalities.image.check import as_array
from aezoo.modalities.image.files import INPUT_SUFFIXES, image_files, read_image
from aezoo.modalities.text import read_lines
from aezoo.utils.archives import NUMBERS, TEXT, Archive
from aezoo.utils.progress import with_progress
from aezoo.utils.validation import check_positive_int

# Files with an example on each line.
LINES = (".txt",)
# Datasets that aezoo draws itself, and the module that tells TFDS of them.
_OWN_BUILDERS = {"shapes": "aezoo.data.shapes_builder"}


class DatasetError(AezooError, ValueError):
    """A dataset is missing, unreadable, or has no such split."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images and labels of one split, in the dataset's own order.

    Attributes:
        name: TFDS name, or the name of the file or folder.
        version: TFDS version, `"npz"` for plain arrays, `"folder"` for image files.
        split: Split, e.g. `"train"`.
        images: The examples. Images have shape `(n, height, width, channels)`, uint8,
            or floats in [0, 1]; sentences are strings, `(n,)`.
        labels: int64, shape `(n,)`; None where there are none.
        factors: Classes of the generative factors, int64, shape `(n, num_factors)`;
            None where they are not known.
        factor_names: One name per column of `factors`.
    """

    name: str
    version: str
    split: str
    images: np.ndarray
    labels: np.ndarray | None = None
    factors: np.ndarray | None = None
    factor_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse labels that do not belong to the images."""
        for field in ("labels", "factors"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.images):
                raise DatasetError(
                    f"`{field}` must have one row per image. Received: "
                    f"{len(values)} {field}, {len(self.images)} images."
                )

    @property
    def key(self) -> str:
        """`name/split`, as metrics are filed in the manifest."""
        return f"{self.name}/{self.split}"

    def take(self, limit: int | None) -> "Dataset":
        """The first `limit` examples; all of them if it is None.

        Raises:
            ValueError: If `limit` is no integer of at least 1.
        """
        if limit is None or check_positive_int("limit", limit) >= len(self.images):
            return self
        cut = {
            field: value[:limit]
            for field in ("images", "labels", "factors")
            if (value := getattr(self, field)) is not None
        }
        return dataclasses.replace(self, **cut)


# Licences as the datasets' authors state them.
LICENSES = {
    "mnist": "CC BY-SA 3.0",
    "fashion_mnist": "MIT",
    "cifar10": "no formal licence; cite the 2009 technical report",
    "omniglot28": "MIT",
    "frey_faces": "no formal licence; the frames that Roweis & Saul (2000) used",
    "shapes": "Apache-2.0",
    "tatoeba": "CC BY 2.0 FR",
    "jsb_chorales_2bars": "public domain",
    "jsb_chorales_4bars": "public domain",
    "orl_faces": "no formal licence; credit Olivetti Research Laboratory",
    "glyphs": "free licences, one for each font: OFL, GPL, Apache 2.0 and others",
    "turntable": "CC BY 3.0 and CC0; the creator of each model is named in the source",
}


def open_dataset(
    source: Any,
    split: str = "test",
    data_dir: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
) -> Dataset:
    """A dataset from whatever a user has.

    Args:
        source: One of: a `Dataset`; an array of images; a list of strings; a pair
            `(images, labels)`; a dictionary with `image` and, if any, `label`; a
            `tf.data.Dataset` or another dataset of these, as a whole, batched or not;
            what `tfds.load` returns; the path of an `.npz` file with `images` and, if
            any, `labels`, `factors` and `factor_names`, of an image file, or of a
            folder of them; of a `.txt` file with an example on each line; a TFDS name.
            A folder's immediate subfolders are its classes, in alphabetical order, and
            hidden files are left out; where it has a subfolder named like `split`, that
            one is read.
        split: Split of a named dataset or of a folder that has one.
        data_dir: As in `load_dataset`.
        input_shape: `(height, width, channels)` that image files are converted to,
            by the rule in `aezoo.modalities.image.files`; needed for folders.

    Returns:
        The dataset; an array's name is `"images"`.

    Raises:
        DatasetError: If there is nothing to read; says what is accepted.
        ImageFileError: If a file of a folder is no readable image.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, str | Path):
        return _from_memory(source, split, input_shape)
    path = Path(source)
    if path.suffix == ".npz":
        return _read_npz(path, path.stem, split)
    if path.suffix.lower() in LINES:
        return _read_text(path, path.stem, split)
    if path.is_dir():
        return _read_folder(path, split, input_shape)
    if path.suffix.lower() in INPUT_SUFFIXES:
        image = read_image(path, _needed(path, input_shape))[0]
        return Dataset(path.stem, "file", split, image[None])
    if isinstance(source, Path) or "/" in str(source):
        raise DatasetError(
            f"There is no folder or .npz file {path}. Pass a folder of images, an "
            "image file, an .npz file with `images`, or the name of a TFDS dataset, "
            "e.g. 'mnist'."
        )
    return load_dataset(source, split, data_dir)


def _from_memory(source: Any, split: str, input_shape: Sequence[int] | None) -> Dataset:
    """Arrays, pairs, dictionaries, and what yields them."""
    if isinstance(source, Mapping) and split in source:  # of `tfds.load(name)`
        source = source[split]
    labels: Any = None
    try:
        if is_dataset(source):
            images, labels = collect(source, input_shape)
        elif isinstance(source, Mapping):
            images, labels = split_batch(source)
            images = as_array(images, "images")
        elif isinstance(source, tuple) and len(source) == 2:
            images, labels = as_array(source[0], "images"), source[1]
        elif is_list_of_str(source):
            images = np.array(source, dtype=object)
        else:
            images = as_array(source, "images")
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(f"The dataset cannot be read: {error}") from error
    known = None if labels is None else as_labels(np.asarray(labels))
    return Dataset("images", "array", split, images, known)


def is_list_of_str(source: Any) -> bool:
    """Whether it is a list of strings, not an empty one, and not of image files."""
    if not isinstance(source, list) or not source:
        return False
    if not all(isinstance(item, str) for item in source):
        return False
    return not all(Path(item).suffix.lower() in INPUT_SUFFIXES for item in source)


def load_dataset(name: str, split: str, data_dir: str | Path | None = None) -> Dataset:
    """One split of a dataset that is already on this machine.

    Args:
        name: TFDS name, e.g. `"mnist"`; `"shapes"`, which aezoo draws on first use; or
            that of a folder of .npz files, e.g. `"omniglot28"`.
        split: A TFDS split, e.g. `"train"` or `"test"`.
        data_dir: A folder of `<name>/<split>.npz` or `.txt` files, or a TFDS data
            directory; None takes TFDS's own (`TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`).

    Raises:
        DatasetError: If it is not there; says how to get it.
    """
    if data_dir is not None:
        folder = Path(data_dir) / name
        for read, suffixes in ((_read_npz, (".npz",)), (_read_text, LINES)):
            for file in (folder / f"{split}{suffix}" for suffix in suffixes):
                if file.is_file():
                    return read(file, name, split)
    builder = open_builder(name, split, data_dir)
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(split=split, batch_size=1000)
    batches = list(tfds.as_numpy(dataset))
    columns = {
        key: np.concatenate([batch[key] for batch in batches])
        for key in batches[0]
        if key in ("image", "label") or key.startswith("label_")
    }
    if "image" not in columns:
        raise DatasetError(f"Dataset {name!r} holds no images.")
    names = [key for key in columns if key.startswith("label_")]
    return Dataset(
        name,
        str(builder.version),
        split,
        columns["image"],
        columns.get("label"),
        np.stack([columns[key] for key in names], axis=1) if names else None,
        tuple(key.removeprefix("label_") for key in names),
    )


def open_builder(name: str, split: str, data_dir: str | Path | None = None) -> Any:
    """The TFDS builder of a dataset that is prepared and has a split.

    Args:
        name: As in `load_dataset`.
        split: As in `load_dataset`.
        data_dir: As in `load_dataset`.

    Raises:
        DatasetError: If TFDS, dataset or split is not there; says how to get it.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DatasetError(
            f"Dataset {name!r} cannot be read: TensorFlow Datasets is not installed "
            f"and there is no {Path(data_dir or '.') / name / f'{split}.npz'}. Install "
            "`aezoo[evaluation]`, or pass `--data-dir` with .npz files that hold "
            "`images` and `labels`."
        ) from error
    try:
        if name in _OWN_BUILDERS:
            importlib.import_module(_OWN_BUILDERS[name])
            builder = tfds.builder(name, data_dir=data_dir)
            builder.download_and_prepare()
        else:
            builder = tfds.builder(name, data_dir=data_dir)
        _ = builder.info.splits[split].num_examples
    except (ValueError, KeyError, tfds.core.DatasetNotFoundError) as error:
        raise DatasetError(
            f"Dataset {name!r}, split {split!r}, is not prepared in "
            f"{data_dir or 'the TFDS data directory'}. Prepare it once with "
            f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"`, "
            f"or pass `--data-dir` with a folder that holds {name}/{split}.npz: "
            "`images` and, if there are any, `labels`."
        ) from error
    return builder


def open_npz(path: Path) -> Archive:
    """An `.npz` file that holds `images` and, if any, as many `labels` and `factors`.

    Raises:
        DatasetError: If it does not exist, is no such archive, or would take far more
            memory than the file.
    """
    write = "Write it with `np.savez(path, images=..., labels=...)`."
    try:
        archive = Archive(
            path,
            f"file {path}",
            names=("images", "labels", "factors", "factor_names"),
            kinds=NUMBERS + TEXT,
            error=DatasetError,
            remedy=write,
        )
    except FileNotFoundError as error:
        raise DatasetError(f"The file {path} does not exist.") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(archive)
        images, labels = (archive.headers.get(key) for key in ("images", "labels"))
        if images is None:
            raise DatasetError(f"The file {path} holds no array `images`. {write}")
        if images.dtype.kind not in NUMBERS:
            raise DatasetError(
                f"`images` must hold numbers. Received: dtype {images.dtype}, in {path}"
            )
        if not images.shape or 0 in images.shape:
            raise DatasetError(
                f"The file {path} holds no images. Received: images.shape="
                f"{images.shape}."
            )
        if labels is not None:
            _check_labels(labels.shape, labels.dtype)
            if labels.shape != images.shape[:1]:
                raise DatasetError(
                    f"`labels` must have one row per image. Received: {labels.shape[0]}"
                    f" labels, {images.shape[0]} images, in {path}."
                )
            if 8 * labels.shape[0] > archive.max_bytes:
                raise DatasetError(
                    f"The file {path} holds {labels.shape[0]:,} labels, far more than "
                    f"a file of its size should. {write}"
                )
        factors = archive.headers.get("factors")
        if factors is not None:
            _check_factors(factors.shape, factors.dtype, path)
            if 8 * math.prod(factors.shape) > archive.max_bytes:
                raise DatasetError(
                    f"The file {path} holds {math.prod(factors.shape):,} factors, far "
                    f"more than a file of its size should. {write}"
                )
        stack.pop_all()
    return archive


def labels_of(archive: Archive) -> np.ndarray | None:
    """The labels of such a file, int64; None if it holds none."""
    return as_labels(archive.read("labels")) if "labels" in archive.headers else None


def _read_npz(path: Path, name: str, split: str) -> Dataset:
    with open_npz(path) as archive:
        images, labels = archive.read("images"), labels_of(archive)
        factors, names = _factors_of(archive, path)
    return Dataset(name, "npz", split, images, labels, factors, names)


def _factors_of(
    archive: Archive, path: Path
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Factors as int64 and their names; None and no name if the file has none."""
    if "factors" not in archive.headers:
        return None, ()
    factors = archive.read("factors").astype("int64")
    names = [f"factor_{i}" for i in range(factors.shape[1])]
    if "factor_names" in archive.headers:
        names = [str(name) for name in np.ravel(archive.read("factor_names"))]
    if len(names) != factors.shape[1]:
        raise DatasetError(
            f"`factor_names` must be one name for each of the {factors.shape[1]} "
            f"columns of `factors`. Received: {len(names)}, in {path}."
        )
    return factors, tuple(names)


def _check_factors(shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    if len(shape) != 2 or dtype.kind not in "iu":
        raise DatasetError(
            "`factors` must be integers of shape (n, number of factors). Received: "
            f"shape={shape}, dtype={dtype}, in {path}."
        )


def _read_text(path: Path, name: str, split: str) -> Dataset:
    try:
        lines = read_lines(path)
    except FileNotFoundError as error:
        raise DatasetError(f"The file {path} does not exist.") from error
    except ValueError as error:
        raise DatasetError(str(error)) from error
    if not lines:
        raise DatasetError(f"The file {path} holds no lines of text.")
    return Dataset(name, "txt", split, np.array(lines, dtype=object))


def as_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as int64.

    Raises:
        DatasetError: If they are no integers of shape `(n,)`, or too large.
    """
    _check_labels(labels.shape, labels.dtype)
    largest = np.iinfo("int64").max
    if labels.dtype == np.uint64 and labels.max(initial=0) > largest:
        raise DatasetError(
            f"`labels` must be at most {largest:,}. Received: max={labels.max():,}."
        )
    return labels.astype("int64")


def _check_labels(shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) != 1 or dtype.kind not in "iu":
        raise DatasetError(
            "`labels` must be integers of shape (n,). Received: "
            f"shape={shape}, dtype={dtype}."
        )


def _needed(path: Path, input_shape: Sequence[int] | None) -> Sequence[int]:
    if input_shape is None:
        raise DatasetError(
            f"Reading images from {path} needs `input_shape`, e.g. that of a model."
        )
    return input_shape


def _read_folder(path: Path, split: str, input_shape: Sequence[int] | None) -> Dataset:
    shape = _needed(path, input_shape)
    root = path / split if (path / split).is_dir() else path
    names = list(image_files(root))
    if not names:
        raise DatasetError(
            f"The folder {root} holds no images ({', '.join(INPUT_SUFFIXES)})."
        )
    images = np.stack(
        [read_image(root / n, shape)[0] for n in with_progress(names, "Reading")]
    )
    classes = [name.partition("/")[0] for name in names if "/" in name]
    labels = None
    if len(classes) == len(names) and len(set(classes)) > 1:
        labels = np.unique(classes, return_inverse=True)[1].astype("int64")
    return Dataset(path.name or "images", "folder", split, images, labels)
