"""Examples and labels to measure and train on: by name, from files, or from arrays.

Named datasets come from TensorFlow Datasets, or, where TensorFlow is not installed,
from `<data_dir>/<name>/<split>.npz` files. Needs NumPy and Pillow only; TensorFlow
Datasets is imported when a name asks for it.
"""

import contextlib
import dataclasses
import importlib
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from aezoo.data.batches import collect, is_dataset, split_batch
from aezoo.data.files import example_files
from aezoo.errors import AezooError
from aezoo.modalities import Modality
from aezoo.modalities.arrays import EXAMPLE_KEYS, as_array
from aezoo.modalities.base import known_suffixes
from aezoo.modalities.text import read_lines
from aezoo.utils.archives import NUMBERS, TEXT, Archive
from aezoo.utils.progress import with_progress
from aezoo.utils.text import plural
from aezoo.utils.validation import check_positive_int

# Files with an example on each line.
LINES = (".txt",)
# In `.npz` files, begins the names of what models are told beside examples.
GIVEN = "given_"
# Datasets that aezoo draws itself, and the module that tells TFDS of them.
_OWN_BUILDERS = {"shapes": "aezoo.data.shapes_builder"}


class DatasetError(AezooError, ValueError):
    """A dataset is missing, unreadable, or has no such split."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Examples and labels of one split, in the dataset's own order.

    Attributes:
        name: TFDS name, or the name of the file or folder.
        version: TFDS version, `"npz"` for plain arrays, `"folder"` for files.
        split: Split, e.g. `"train"`.
        examples: What models take. Images have shape `(n, height, width, channels)`,
            uint8, or floats in [0, 1]; sentences are strings, `(n,)`.
        labels: int64, shape `(n,)`; None where there are none.
        factors: Classes of the generative factors, int64, shape `(n, num_factors)`;
            None where they are not known.
        factor_names: One name per column of `factors`.
        given: What models are told beside the examples, `(n, ...)` each, by name.
    """

    name: str
    version: str
    split: str
    examples: np.ndarray
    labels: np.ndarray | None = None
    factors: np.ndarray | None = None
    factor_names: tuple[str, ...] = ()
    given: Mapping[str, np.ndarray] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self) -> None:
        """Refuse what does not belong to the examples."""
        beside = {"labels": self.labels, "factors": self.factors, **self.given}
        for field, values in beside.items():
            if values is not None and len(values) != len(self.examples):
                raise DatasetError(
                    f"`{field}` must have one row per example. Received: "
                    f"{len(values)} {field}, {len(self.examples)} examples."
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
        if limit is None or check_positive_int("limit", limit) >= len(self.examples):
            return self
        return self.part(slice(limit))

    def part(self, rows: Any) -> "Dataset":
        """Some of the examples, with what belongs to them.

        Args:
            rows: What indexes an array: a slice, indices or bools.
        """
        cut = {
            field: value[rows]
            for field in ("examples", "labels", "factors")
            if (value := getattr(self, field)) is not None
        }
        cut["given"] = {name: value[rows] for name, value in self.given.items()}
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
    "modelnet10": "academic research only; the meshes belong to their authors",
    "orl_faces": "no formal licence; credit Olivetti Research Laboratory",
    "glyphs": "free licences, one for each font: OFL, GPL, Apache 2.0 and others",
    "photos": "CC BY, CC BY-SA, CC0 and GPL; authors are named in the source",
    "photos128": "CC BY, CC BY-SA, CC0 and GPL; authors are named in the source",
    "turntable": "CC BY 3.0 and CC0; the creator of each model is named in the source",
    "two_digit_mnist": "CC BY-SA 3.0",
    "street_digits": "fonts and photographs under free licences, named in the source",
    "carracing": "MIT; simulated with gymnasium's CarRacing",
    "traffic_futures": "MIT; simulated with highway-env",
}


def open_dataset(
    source: Any,
    split: str = "test",
    data_dir: str | Path | None = None,
    modality: Modality | None = None,
) -> Dataset:
    """A dataset from whatever a user has.

    Args:
        source: One of: a `Dataset`; an array of examples; a list of strings; a pair
            `(examples, labels)`, or `(examples, {"labels": ..., "NAME": ...})` with
            what else models are told; a dictionary with `image`, `images` or `examples`
            and, if any, `label`; a `tf.data.Dataset` or another dataset of these, as a
            whole, batched or not; what `tfds.load` returns; the path of an `.npz` file
            with `examples` or `images` and, if any, `labels`, `factors`,
            `factor_names`, and `given_NAME` of what else models are told; of a file
            that the modality reads, or of a folder of them; of a `.txt` file with an
            example on each line; a TFDS name. A folder's immediate subfolders are its
            classes, in alphabetical order, and hidden files are left out; where it has
            a subfolder named like `split`, that one is read.
        split: Split of a named dataset or of a folder that has one.
        data_dir: As in `load_dataset`.
        modality: What an example is, e.g. `model.modality`: it reads files, and tells
            one example from several. Needed for files and folders.

    Returns:
        The dataset; an array's name is `"images"`, or what the modality calls its
        examples, or else `"examples"`.

    Raises:
        DatasetError: If there is nothing to read; says what is accepted.
        ExampleFileError: If a file of a folder holds no example.
    """
    if isinstance(source, Dataset):
        return source
    if not isinstance(source, str | Path):
        return _from_memory(source, split, modality)
    path = Path(source)
    if path.suffix == ".npz":
        return _read_npz(path, path.stem, split)
    if path.suffix.lower() in LINES:
        return _read_text(path, path.stem, split)
    if path.is_dir():
        return _read_folder(path, split, _needed(path, modality))
    suffixes = known_suffixes() if modality is None else modality.suffixes
    if path.suffix.lower() in suffixes:
        examples, _ = _needed(path, modality).read_many(str(path))
        return Dataset(path.stem, "file", split, examples)
    if isinstance(source, Path) or "/" in str(source):
        raise DatasetError(
            f"There is no folder or .npz file {path}. Pass a folder of files, one of "
            "its files, an .npz file with `examples`, or the name of a TFDS dataset, "
            "e.g. 'mnist'."
        )
    return load_dataset(source, split, data_dir)


def _from_memory(source: Any, split: str, modality: Modality | None) -> Dataset:
    """Arrays, pairs, dictionaries, and what yields them."""
    if isinstance(source, Mapping) and split in source:  # of `tfds.load(name)`
        source = source[split]
    labels: Any = None
    given: dict[str, np.ndarray] = {}
    noun = "example" if modality is None else modality.noun
    name = plural(noun)
    try:
        if is_dataset(source):
            examples, labels = collect(source, modality)
        elif isinstance(source, Mapping):
            examples, labels = split_batch(source)
            examples = as_array(examples, name, noun)
        elif isinstance(source, tuple) and len(source) == 2:
            examples, labels = as_array(source[0], name, noun), source[1]
            if isinstance(labels, Mapping):
                given = {k: as_array(v, k) for k, v in labels.items()}
                labels = given.pop("labels", None)
        elif is_list_of_str(source):
            examples = np.array(source, dtype=object)
        else:
            examples = as_array(source, name, noun)
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(f"The dataset cannot be read: {error}") from error
    known = None if labels is None else as_labels(np.asarray(labels))
    return Dataset(name, "array", split, examples, known, given=given)


def is_list_of_str(source: Any) -> bool:
    """Whether it is a list of strings, not an empty one, and not of files' names."""
    if not isinstance(source, list) or not source:
        return False
    if not all(isinstance(item, str) for item in source):
        return False
    return not all(Path(item).suffix.lower() in known_suffixes() for item in source)


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
    key = examples_key(batches[0], f"Dataset {name!r}")
    columns = {
        column: np.concatenate([batch[column] for batch in batches])
        for column in batches[0]
        if column in (key, "label") or column.startswith("label_")
    }
    names = [key for key in columns if key.startswith("label_")]
    return Dataset(
        name,
        str(builder.version),
        split,
        columns[key],
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
            "`examples` and `labels`."
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
            "`examples` and, if there are any, `labels`."
        ) from error
    return builder


def examples_key(columns: Collection[str], what: str) -> str:
    """What a dataset or a file calls its examples.

    Raises:
        DatasetError: If it has none of `EXAMPLE_KEYS`.
    """
    found = next((key for key in EXAMPLE_KEYS if key in columns), None)
    if found is None:
        names = f"{', '.join(EXAMPLE_KEYS[:-1])} or {EXAMPLE_KEYS[-1]}"
        raise DatasetError(
            f"{what} holds no examples, which may be called {names}. Received: "
            f"{', '.join(columns)[:80] or 'nothing'}."
        )
    return found


def open_npz(path: Path) -> tuple[Archive, str]:
    """An `.npz` file that holds examples and, if any, as many `labels` and `factors`.

    Returns:
        The file, open, and what it calls its examples.


    Raises:
        DatasetError: If it does not exist, is no such archive, or would take far more
            memory than the file.
    """
    write = "Write it with `np.savez(path, examples=..., labels=...)`."
    try:
        archive = Archive(
            path,
            f"file {path}",
            names=(*EXAMPLE_KEYS, "labels", "factors", "factor_names"),
            prefix=GIVEN,
            kinds=NUMBERS + TEXT,
            error=DatasetError,
            remedy=write,
        )
    except FileNotFoundError as error:
        raise DatasetError(f"The file {path} does not exist.") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(archive)
        key = examples_key(archive.headers, f"The file {path}")
        examples, labels = archive.headers[key], archive.headers.get("labels")
        if examples.dtype.kind not in NUMBERS:
            raise DatasetError(
                f"`{key}` must hold numbers. Received: dtype={examples.dtype}, in "
                f"{path}."
            )
        if not examples.shape or 0 in examples.shape:
            raise DatasetError(
                f"The file {path} holds no examples. Received: {key}.shape="
                f"{examples.shape}."
            )
        if labels is not None:
            _check_labels(labels.shape, labels.dtype)
            if labels.shape != examples.shape[:1]:
                raise DatasetError(
                    "`labels` must have one row per example. Received: "
                    f"{labels.shape[0]} labels, {examples.shape[0]} {key}, in {path}."
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
    return archive, key


def labels_of(archive: Archive) -> np.ndarray | None:
    """The labels of such a file, int64; None if it holds none."""
    return as_labels(archive.read("labels")) if "labels" in archive.headers else None


def _read_npz(path: Path, name: str, split: str) -> Dataset:
    archive, key = open_npz(path)
    with archive:
        examples, labels = archive.read(key), labels_of(archive)
        factors, names = _factors_of(archive, path)
        given = {
            member.removeprefix(GIVEN): archive.read(member)
            for member in archive.headers
            if member.startswith(GIVEN)
        }
    return Dataset(name, "npz", split, examples, labels, factors, names, given)


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


def _needed(path: Path, modality: Modality | None) -> Modality:
    if modality is None:
        raise DatasetError(
            f"Reading {path} needs `modality`, e.g. that of a model, "
            "`model.modality`, or `aezoo.modalities.Image(28, 28, 1)`."
        )
    return modality


def folder_is_empty(folder: Path, modality: Modality) -> DatasetError:
    """The error of a folder in which a modality finds nothing to read."""
    kinds = ", ".join(modality.suffixes) or "none, they are read from .npz files"
    return DatasetError(f"The folder {folder} holds no {modality.nouns} ({kinds}).")


def _read_folder(path: Path, split: str, modality: Modality) -> Dataset:
    root = path / split if (path / split).is_dir() else path
    names = list(example_files(root, modality.suffixes))
    if not names:
        raise folder_is_empty(root, modality)
    examples = np.stack(
        [modality.read(root / n)[0] for n in with_progress(names, "Reading")]
    )
    classes = [name.partition("/")[0] for name in names if "/" in name]
    labels = None
    if len(classes) == len(names) and len(set(classes)) > 1:
        labels = np.unique(classes, return_inverse=True)[1].astype("int64")
    return Dataset(path.name or f"{modality.nouns}", "folder", split, examples, labels)
