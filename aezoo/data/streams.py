"""Examples and labels in order, a batch at a time, in constant memory.

What `aezoo.datasets` reads as a whole is read here in consecutive parts: folders of
files, named datasets, `.npz` and `.txt` files, arrays. A part has a fingerprint of what
goes into it, so that work on it need not be done twice. Imports no Keras.
"""

import abc
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from aezoo.data.datasets import (
    LINES,
    Dataset,
    DatasetError,
    examples_key,
    folder_is_empty,
    labels_of,
    open_builder,
    open_dataset,
    open_npz,
)
from aezoo.data.files import example_files
from aezoo.modalities import Modality
from aezoo.utils.archives import Header

_Item = TypeVar("_Item")
# mnist, mnist/test, mnist/train[:1000]
_DATASET = re.compile(r"(?P<name>\w+)(/(?P<split>[\w\[\]:%+]+))?")
# Threads that decode files: Pillow holds the interpreter half of the time.
DECODERS = min(8, max(2, os.cpu_count() or 2))


@dataclasses.dataclass(frozen=True)
class Batch:
    """Consecutive examples that could be read, and those that could not.

    Attributes:
        paths: One per example: its file, or `name/split/index` in a dataset.
        labels: One per example; None where there are none.
        examples: `(n, *shape)`; n may be 0.
        unreadable: Files that hold no example, with the reason.
        notes: What was converted, or looks odd, one line per such example.
    """

    paths: list[str]
    labels: list[Any] | None
    examples: np.ndarray
    unreadable: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        """How many inputs, readable or not."""
        return len(self.paths) + len(self.unreadable)


@dataclasses.dataclass(frozen=True)
class Part:
    """A run of consecutive inputs.

    Attributes:
        start: Its first input.
        stop: The one after its last.
        compute_fingerprint: Computes `fingerprint`, in any thread.
        read: Gives its batches in order, each as a function that reads it; these
            functions may run in any thread and order.
    """

    start: int
    stop: int
    compute_fingerprint: Callable[[], str]
    read: Callable[[], Iterator[Callable[[], Batch]]]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of what its rows depend on: names, sizes and times of files, or values.

        Files are those of the moment when the part was made.
        """
        return self.compute_fingerprint()


class Stream(abc.ABC):
    """Examples and labels of one source, in a fixed order.

    Attributes:
        name: The source, as a reader names it.
        kind: `"folder"`, `"dataset"`, `"npz"`, `"text"` or `"array"`.
        label_type: `"string"` for names of class folders, `"int64"` for a dataset's
            labels, None where there are none.
        readers: Threads that read ahead; 0 where reading takes no time.
    """

    name: str
    kind: str
    label_type: str | None
    readers: ClassVar[int] = DECODERS

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many inputs there are."""

    @abc.abstractmethod
    def parts(self, size: int, batch_size: int) -> Iterator[Part]:
        """All inputs, in parts of `size`, a multiple of `batch_size`."""

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All batches, read ahead in threads while the caller uses one."""
        with contextlib.closing(
            read_ahead(
                (
                    read
                    for part in self.parts(16 * batch_size, batch_size)
                    for read in part.read()
                ),
                self.readers,
            )
        ) as batches:
            yield from batches


def read_ahead(
    reads: Iterator[Callable[[], _Item]], workers: int
) -> Generator[_Item, None, None]:
    """Results of functions, in order, computed in threads ahead of their use.

    At most `workers + 1` results wait, so memory stays bounded. Without workers, each
    is computed when it is asked for.
    """
    if not workers:
        yield from (read() for read in reads)
        return
    with ThreadPoolExecutor(workers, "aezoo-read") as pool:
        waiting = [pool.submit(read) for read in itertools.islice(reads, workers + 1)]
        try:
            while waiting:
                result = waiting.pop(0).result()
                waiting += [pool.submit(read) for read in itertools.islice(reads, 1)]
                yield result
        finally:
            for future in waiting:
                future.cancel()


def open_stream(
    source: Any,
    modality: Modality,
    *,
    split: str = "test",
    data_dir: str | Path | None = None,
    **options: Any,
) -> Stream:
    """A stream of whatever a user has.

    Args:
        source: A folder of files, read with its subfolders, the immediate ones of which
            are classes; a dataset `name` or `name/split`, e.g. `"mnist/test"`; an
            `.npz` file with `examples` or `images` and, if any, `labels`; a `.txt` file
            with an example on each line; an array, a list of strings, a pair
            `(examples, labels)` or a `Dataset`.
        modality: What an example is. It reads files; arrays must have its shape.
        split: Split of a dataset whose name does not say it.
        data_dir: As in `aezoo.datasets.load_dataset`.
        **options: Of reading files, those in `modality.read_options`; such as
            `invert`, which swaps dark and bright in image files.

    Raises:
        DatasetError: If there is nothing to read, or examples have another shape.
        ValueError: If the modality has no such option.
    """
    for option, value in options.items():
        if value and option not in modality.read_options:
            raise ValueError(f"`{option}` is not for {modality.nouns}.")
    if isinstance(source, Stream):
        return source
    if not isinstance(source, str | Path):
        dataset = open_dataset(source, split, data_dir, modality)
        return _ArrayStream(dataset, modality)
    path = Path(source)
    if path.suffix == ".npz":
        return _open_npz(path, str(path), modality)
    if path.suffix.lower() in LINES:
        return _ArrayStream(open_dataset(path), modality, str(path), "text")
    if path.is_dir():
        return _FolderStream(path, modality, options)
    match = _DATASET.fullmatch(str(source))
    if isinstance(source, Path) or match is None:
        raise DatasetError(
            f"There is no folder {path}. Pass a folder of files, an .npz file with "
            "`examples`, or a dataset and its split, e.g. 'mnist/test'."
        )
    name, split = match["name"], match["split"] or split
    if data_dir is not None:
        file = Path(data_dir) / name / f"{split}.npz"
        if file.is_file():
            return _open_npz(file, f"{name}/{split}", modality)
        for text in (file.with_suffix(suffix) for suffix in LINES):
            if text.is_file():
                dataset = open_dataset(text)
                return _ArrayStream(dataset, modality, f"{name}/{split}", "text")
    try:
        return _NamedStream(name, split, data_dir, modality)
    except DatasetError as error:
        if "/" not in str(source):
            raise
        raise DatasetError(f"There is no folder {path}. {error}") from error


# --- Folders ---------------------------------------------------------------------


class _FolderStream(Stream):
    """Files in the order of `example_files`, in constant memory."""

    kind = "folder"

    def __init__(
        self, folder: Path, modality: Modality, options: Mapping[str, Any]
    ) -> None:
        self.name = str(folder)
        self._folder, self._modality = folder, modality
        self._options = {key: value for key, value in options.items() if value}
        self._length, classes, bare = 0, set(), False
        for path in example_files(folder, modality.suffixes):
            self._length += 1
            first, _, rest = path.partition("/")
            if rest:
                classes.add(first)
            else:
                bare = True
        if not self._length:
            raise folder_is_empty(folder, modality)
        self.label_type = None if bare or len(classes) < 2 else "string"

    def __len__(self) -> int:
        return self._length

    def parts(self, size: int, batch_size: int) -> Iterator[Part]:
        files = example_files(self._folder, self._modality.suffixes)
        settings = [self._modality.to_config(), self._options, self.label_type]
        start = 0
        while names := list(itertools.islice(files, size)):
            facts = [(name, *_size_and_time(self._folder / name)) for name in names]
            yield Part(
                start,
                start + len(names),
                functools.partial(_hash_of, [settings, facts]),
                functools.partial(self._read_later, names, batch_size),
            )
            start += len(names)

    def _read_later(
        self, names: list[str], batch_size: int
    ) -> Iterator[Callable[[], Batch]]:
        for i in range(0, len(names), batch_size):
            yield functools.partial(self._read, names[i : i + batch_size])

    def _read(self, names: list[str]) -> Batch:
        paths, labels, examples, unreadable, notes = [], [], [], [], []
        for name in names:
            path = self._folder / name
            try:
                example, note = self._modality.read(path, **self._options)
            except (ValueError, OSError) as error:
                unreadable.append((as_text(path), str(error)))
                continue
            paths.append(as_text(path))
            labels.append(as_text(name.partition("/")[0]))
            examples.append(example)
            if note:
                notes.append(note)
        return Batch(
            paths,
            labels if self.label_type else None,
            np.stack(examples) if examples else self._modality.examples(1)[:0],
            unreadable,
            notes,
        )


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # reading it says what is wrong
        return -1, -1
    return found.st_size, found.st_mtime_ns


def as_text(path: str | Path) -> str:
    """A path that any file can hold, also where a name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _hash_of(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


# --- Everything else ---------------------------------------------------------------


class _IndexedStream(Stream):
    """Examples that are read in order and named by their number."""

    def __init__(
        self,
        name: str,
        length: int,
        shape: Sequence[int | None],
        modality: Modality,
        labels: np.ndarray | None = None,
    ) -> None:
        self.name = name
        self._length, self._labels = length, labels
        self.label_type = None if labels is None else "int64"
        if tuple(shape) != modality.shape:
            raise DatasetError(
                f"The model takes {modality.nouns} of shape {modality.shape}; those of "
                f"{name} have shape {tuple(shape)}. `aezoo list` shows other models; "
                "files are converted, arrays are not."
            )
        if not length:
            raise DatasetError(f"{name} holds no {modality.nouns}.")

    def __len__(self) -> int:
        return self._length

    def parts(self, size: int, batch_size: int) -> Iterator[Part]:
        for start in range(0, self._length, size):
            stop = min(start + size, self._length)
            yield Part(
                start,
                stop,
                functools.partial(self._fingerprint, start, stop),
                functools.partial(self._read_part, start, stop, batch_size),
            )

    def _read_part(
        self, start: int, stop: int, batch_size: int
    ) -> Iterator[Callable[[], Batch]]:
        for i in range(start, stop, batch_size):
            yield self._read_later(i, min(i + batch_size, stop))

    @abc.abstractmethod
    def _fingerprint(self, start: int, stop: int) -> str: ...

    @abc.abstractmethod
    def _read_later(self, start: int, stop: int) -> Callable[[], Batch]: ...

    def _batch(self, start: int, examples: np.ndarray, labels: Any = None) -> Batch:
        stop = start + len(examples)
        if self._labels is not None:
            labels = self._labels[start:stop]
        return Batch(
            [f"{self.name}/{i}" for i in range(start, stop)],
            None if labels is None else [int(label) for label in labels],
            examples,
        )


class _ArrayStream(_IndexedStream):
    readers = 0

    def __init__(
        self,
        dataset: Dataset,
        modality: Modality,
        name: str = "",
        kind: str = "array",
    ) -> None:
        self._examples, self._modality, self.kind = dataset.examples, modality, kind
        name = name or dataset.key
        # Strings have no shape of their own: the modality gives them one.
        is_text = self._examples.dtype.kind in "OSU"
        shape = modality.shape if is_text else self._examples.shape[1:]
        super().__init__(name, len(self._examples), shape, modality, dataset.labels)

    def _fingerprint(self, start: int, stop: int) -> str:
        rows = self._rows(start, stop)
        labels = None if self._labels is None else self._labels[start:stop].tolist()
        values = hashlib.sha256(rows.view("uint8").data).hexdigest()
        return _hash_of([self.name, rows.dtype.str, rows.shape, values, labels])

    def _rows(self, start: int, stop: int) -> np.ndarray:
        rows = self._examples[start:stop]
        if rows.dtype.kind not in "OSU":
            return np.ascontiguousarray(rows)
        try:
            return self._modality.check(rows, f"{self.name}/{start}")
        except ValueError as error:
            raise DatasetError(str(error)) from error

    def _read_later(self, start: int, stop: int) -> Callable[[], Batch]:
        return lambda: self._batch(start, self._rows(start, stop))


class _SequentialStream(_IndexedStream):
    """Examples that can only be read one after the other; parts may be left out."""

    _position: int | None = None
    _examples_from: Iterator[tuple[np.ndarray, Any]]

    @abc.abstractmethod
    def _open(self, start: int, batch_size: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Pairs (examples, labels or None) from `start` on."""

    def parts(self, size: int, batch_size: int) -> Iterator[Part]:
        self._batch_size, self._position = batch_size, None
        return super().parts(size, batch_size)

    def _read_later(self, start: int, stop: int) -> Callable[[], Batch]:
        # At once: in the threads of the readers the order would be lost.
        if self._position != start:
            self._examples_from = self._open(start, self._batch_size)
        examples, labels = next(self._examples_from)
        self._position = stop
        batch = self._batch(start, examples, labels)
        return lambda: batch


class _NamedStream(_SequentialStream):
    """A split of a dataset that TensorFlow Datasets has prepared."""

    kind = "dataset"

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str | Path | None,
        modality: Modality,
    ) -> None:
        self._builder, self._split = open_builder(name, split, data_dir), split
        features = self._builder.info.features
        key = examples_key(features, f"Dataset {name!r}")
        super().__init__(
            f"{name}/{split}",
            self._builder.info.splits[split].num_examples,
            features[key].shape,
            modality,
        )
        self._keys = [key]
        if "label" in features and np.issubdtype(
            features["label"].np_dtype, np.integer
        ):
            self._keys.append("label")
            self.label_type = "int64"

    def _fingerprint(self, start: int, stop: int) -> str:
        return _hash_of([self.name, str(self._builder.version), start, stop])

    def _open(self, start: int, batch_size: int) -> Iterator[tuple[np.ndarray, Any]]:
        import tensorflow_datasets as tfds

        config = tfds.ReadConfig(try_autocache=False, add_tfds_id=False)
        rows = self._builder.as_dataset(split=self._split, read_config=config)
        rows = rows.map(lambda row: [row[key] for key in self._keys])
        rows = rows.skip(start).batch(batch_size).prefetch(2)
        for row in tfds.as_numpy(rows):
            yield row[0], row[1] if len(row) > 1 else None


def _open_npz(path: Path, name: str, modality: Modality) -> Stream:
    """A stream of an `.npz` file; as a whole where its examples are not in C order."""
    archive, key = open_npz(path)
    with archive:
        header, labels = archive.headers[key], labels_of(archive)
    if header.is_fortran:
        return _ArrayStream(open_dataset(path), modality, name)
    return _NpzStream(path, name, header, labels, modality)


class _NpzStream(_SequentialStream):
    kind = "npz"

    def __init__(
        self,
        path: Path,
        name: str,
        header: Header,
        labels: np.ndarray | None,
        modality: Modality,
    ) -> None:
        self._path, self._header = path, header
        shape = header.shape
        super().__init__(name, shape[0], shape[1:], modality, labels)

    def _fingerprint(self, start: int, stop: int) -> str:
        return _hash_of([self.name, _size_and_time(self._path), start, stop])

    def _open(self, start: int, batch_size: int) -> Iterator[tuple[np.ndarray, Any]]:
        archive, key = open_npz(self._path)
        with archive:
            if archive.headers[key] != self._header:
                raise DatasetError(
                    f"The file {self._path} has been replaced meanwhile."
                )
            for examples in archive.rows(key, start, batch_size):
                yield examples, None
