"""Features of any number of examples, in a Parquet file, in constant memory.

While a run goes on, `<output>.parts/` holds its state (`state.json`) and one small
Parquet file for every few thousand examples, each whole or absent. An interrupted run
takes over those parts whose examples are the same and encodes the others; in the end
the parts are merged and take the output's place in one step. The Parquet schema says
under the key `aezoo` which model, weights and layer the features come from.
"""

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import aezoo
from aezoo.data.streams import Batch, Part, Stream, open_stream, read_ahead
from aezoo.errors import DiskError, ExampleFileError
from aezoo.store.entry import modality_of
from aezoo.store.reference import find_entry
from aezoo.utils.extras import require
from aezoo.utils.files import atomic_path, check_output
from aezoo.utils.progress import progress_bar
from aezoo.utils.validation import check_choice, check_positive_int

if TYPE_CHECKING:
    from aezoo.manifest import WeightsEntry
    from aezoo.store.entry import OwnEntry

EXTRA = "features"
LATENT = "latent"
ON_ERROR = ("fail", "skip")
BATCH_SIZE = 256
# Examples after which an interrupted run goes on, about: a multiple of the batch size.
PART_SIZE = 4096
# Different notes of conversions that are counted apart.
_MAX_NOTES = 100
_STATE, _MERGED, _LOCK = "state.json", "merged.parquet", "lock"
_METADATA, _PART = b"aezoo", b"aezoo.part"


# --- The encoder -----------------------------------------------------------------


class FeatureEncoder:
    """A pretrained encoder, compiled: examples in, rows of numbers out.

    Args:
        name: As in `aezoo.load`.
        layer: As in `aezoo.feature_extractor`; None for the code.
        pooling: As in `aezoo.feature_extractor`.

    Attributes:
        name: As given.
        modality: What an example is.
        feature_shape: Shape of one example's features before they are made a row.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
    """

    def __init__(
        self, name: str, layer: str | None = None, pooling: str | None = None
    ) -> None:
        from aezoo.features.extractor import feature_extractor

        self.name = str(name)
        self.modality = modality_of(named_entry(name))
        options = {"layer": layer, "pooling": pooling}
        given: dict[str, Any] = {
            key: value for key, value in options.items() if value is not None
        }
        self._extractor = feature_extractor(name, **given)
        self._compiled: dict[str, Callable[..., Any]] = {}
        first = self._run(self.modality.check(self.modality.examples(1)))
        self.feature_shape = tuple(first.shape[1:])

    @property
    def dim(self) -> int:
        """Numbers per example."""
        return int(np.prod(self.feature_shape))

    def __call__(self, examples: Any) -> np.ndarray:
        """Features of one batch of examples.

        Args:
            examples: As in `model.encode`; none at all give no rows.

        Returns:
            Float32, shape `(n, dim)`.

        Raises:
            ValueError: If the shape, the type or the range is another.
        """
        if np.shape(examples) == (0, *self.modality.shape):
            return np.empty((0, self.dim), "float32")
        x = self.modality.check(examples, f"{self.modality.nouns}")
        return self._run(x).reshape(len(x), -1)

    def _run(self, x: np.ndarray) -> np.ndarray:
        from aezoo.nn.backend import compile_inference

        def extract(inputs: Any) -> Any:
            return self._extractor(inputs, training=False)

        dtype = x.dtype.name
        if dtype not in self._compiled:
            inputs = (x.shape[1:], dtype)
            self._compiled[dtype] = compile_inference(extract, self._extractor, inputs)
        return np.asarray(self._compiled[dtype](x), "float32")


def named_entry(name: str | os.PathLike[str]) -> "WeightsEntry | OwnEntry":
    """What is known of a model before it is loaded: shapes, and hash of the weights.

    Args:
        name: As in `aezoo.load`. For a model of the zoo, nothing heavy is imported.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ValueError: If it is no name at all, e.g. a model.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(
            "`name` must be the name, the folder or the address of a model, so that "
            "its features can be told from others. Received: "
            f"{type(name).__name__}. Save a model of your own first: "
            "`name = aezoo.save(model, 'my_model')`."
        )
    return find_entry(name)


# --- Encoding --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What an encoding did.

    Attributes:
        path: The Parquet file.
        num_rows: Its rows.
        num_resumed: Examples that an earlier, interrupted run had done.
        skipped: Files that hold no example, with the reason.
        notes: How often which conversion happened in this run; some under `""`.
        metadata: What the Parquet schema says under `aezoo`.
    """

    path: Path
    num_rows: int
    num_resumed: int
    skipped: tuple[tuple[str, str], ...]
    notes: Mapping[str, int]
    metadata: Mapping[str, Any]


def encode_to_parquet(
    name: str,
    source: Any,
    output: str | Path,
    *,
    layer: str | None = None,
    pooling: str | None = None,
    batch_size: int = BATCH_SIZE,
    on_error: str = "fail",
    resume: bool = True,
    overwrite: bool = False,
    invert: bool = False,
    split: str = "test",
    data_dir: str | Path | None = None,
    part_size: int = PART_SIZE,
) -> Encoding:
    """Write the features of all examples of a source to a Parquet file.

    Columns: `path`; `label`, the name of the class folder or a dataset's integer, else
    null; `feature`, float32 of fixed length. Rows are in the order of the source.

    A call that was interrupted, by whatever means, goes on where it stopped when it is
    made again, and ends with the same rows. A call whose output is complete already
    does nothing.

    Args:
        name: As in `aezoo.load`.
        source: A folder of files (immediate subfolders are classes), a dataset and its
            split, e.g. `"mnist/test"`, an `.npz` or `.txt` file, or arrays; see
            `aezoo.data.streams.open_stream`.
        output: The file to write; ends in `.parquet`.
        layer: As in `aezoo.feature_extractor`; None for the code. Features of several
            axes are written as rows.
        pooling: As in `aezoo.feature_extractor`.
        batch_size: Examples per step.
        on_error: What to do with a file that holds no example: `"fail"`, keeping
            what has been encoded, or `"skip"` and list it.
        resume: Take over the parts of an interrupted run; else they are discarded.
        overwrite: Replace an existing output.
        invert: Swap dark and bright in image files.
        split: Split of a dataset whose name does not say it.
        data_dir: As in `aezoo.datasets.load_dataset`.
        part_size: Examples after which an interrupted run goes on.

    Returns:
        What was done.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        DatasetError: If there is nothing to read, or examples have another shape.
        ExampleFileError: If a file holds no example and `on_error` is `"fail"`.
        FileExistsError: If the output exists and is not what this call would write,
            or another process is writing it.
        ValueError: If an argument is wrong, or the interrupted run used another model,
            layer or source.
        OSError: If the disk is too small.
        MissingDependencyError: If pyarrow is not installed.

    Example:
        >>> done = aezoo.encode_to_parquet(
        ...     "conv_ae_mnist_z32", "my_digits", "features.parquet"
        ... )
        >>> pandas.read_parquet(done.path)
    """
    run = EncodingRun(
        name,
        source,
        output,
        layer=layer,
        pooling=pooling,
        batch_size=batch_size,
        on_error=on_error,
        resume=resume,
        overwrite=overwrite,
        invert=invert,
        split=split,
        data_dir=data_dir,
        part_size=part_size,
    )
    return run.write(run.load)


class EncodingRun:
    """A call of `encode_to_parquet` whose arguments are checked, before Keras is there.

    Takes its arguments, and raises its errors.
    """

    def __init__(
        self,
        name: str,
        source: Any,
        output: str | Path,
        *,
        layer: str | None = None,
        pooling: str | None = None,
        batch_size: int = BATCH_SIZE,
        on_error: str = "fail",
        resume: bool = True,
        overwrite: bool = False,
        invert: bool = False,
        split: str = "test",
        data_dir: str | Path | None = None,
        part_size: int = PART_SIZE,
    ) -> None:
        require("pyarrow.parquet", EXTRA, "A Parquet file")
        self.batch_size = check_positive_int("batch_size", batch_size)
        size = check_positive_int("part_size", part_size)
        self.part_size = -(-size // self.batch_size) * self.batch_size
        self.on_error = check_choice("on_error", on_error, ON_ERROR)
        self._name, self._layer, self._pooling = str(name), layer, pooling
        self._resume, self._overwrite = resume, overwrite
        self.output = check_output(output, (".parquet",))
        entry = named_entry(name)
        self._modality = modality_of(entry)
        self.stream = open_stream(
            source, self._modality, split=split, data_dir=data_dir, invert=invert
        )
        self.identity = {
            "aezoo_version": aezoo.__version__,
            "model": self._name,
            "weights_sha256": entry.weights.sha256,
            "layer": layer or LATENT,
            "pooling": pooling,
            "source": self.stream.name,
            "kind": self.stream.kind,
            "invert": invert,
        }
        self._parts = _PartsFolder(self.output, self.identity)
        self._is_complete = self._check_existing()
        if resume and not self._is_complete:
            self._parts.check_state()

    def _check_existing(self) -> bool:
        """Whether the output is what this run would write."""
        if self._overwrite or not self.output.exists():
            return False
        if self._resume:
            try:
                found = read_metadata(self.output)
            except ValueError:
                found = {}
            if all(found.get(key) == value for key, value in self.identity.items()):
                parts = self.stream.parts(self.part_size, self.batch_size)
                if found.get("inputs_sha256") == _digest(p.fingerprint for p in parts):
                    return True
        raise FileExistsError(
            f"The output {self.output} exists and holds other features than this run "
            "would write. Name another file, or replace it with `overwrite=True` "
            "(`--overwrite`)."
        )

    def load(self) -> FeatureEncoder:
        """The encoder; imports Keras."""
        return FeatureEncoder(self._name, self._layer, self._pooling)

    def write(self, load: Callable[[], FeatureEncoder]) -> Encoding:
        """Encode what is missing, and put the output in its place.

        Args:
            load: Gives the encoder; not called where nothing is left to encode.
        """
        if self._is_complete:
            with self._parts.locked():
                self._parts.clear()
            metadata = read_metadata(self.output)
            skipped = tuple((path, why) for path, why in metadata["skipped"])
            rows = metadata["num_rows"]
            return Encoding(self.output, rows, len(self.stream), skipped, {}, metadata)
        with self._parts.locked(), _full_disk_is_told(self._parts.folder):
            self._parts.start(self._resume)
            return self._write(load)

    def _write(self, load: Callable[[], FeatureEncoder]) -> Encoding:
        notes, skipped = Counter[str](), Skipped(self.on_error)
        starts: list[int] = []  # the first input of every part
        encoder: FeatureEncoder | None = None
        num_encoded = 0

        def missing(bar: Any) -> Iterator[Part]:
            """Parts that no earlier run has written."""
            for part in self.stream.parts(self.part_size, self.batch_size):
                starts.append(part.start)
                unreadable = self._parts.find(part)
                if unreadable is None:
                    yield part
                else:
                    skipped.add(unreadable)
                    bar.initial = bar.n + part.stop - part.start  # speed is this run's
                    bar.update(part.stop - part.start)

        with (
            _Writer(self._parts) as writer,
            progress_bar("Encoding", self._modality.noun, len(self.stream)) as bar,
            contextlib.closing(
                _read_parts(missing(bar), self.stream.readers)
            ) as batches,
        ):
            for part, group in itertools.groupby(batches, lambda pair: pair[0]):
                rows = _Rows(self.stream.label_type)
                for _, batch in group:
                    skipped.add(batch.unreadable)
                    if encoder is None:
                        encoder = load()
                        self._check_space(encoder.dim, len(self.stream) - part.start)
                    rows.add(batch, encoder(batch.examples))
                    _count_notes(notes, batch)
                    bar.update(len(batch))
                writer.write(part, rows, encoder)
                num_encoded += part.stop - part.start

        metadata = self._parts.merge(
            starts,
            {**self.identity, "skipped": sorted(skipped.files)},
        )
        self._parts.publish()
        return Encoding(
            self.output,
            metadata["num_rows"],
            len(self.stream) - num_encoded,
            tuple(sorted(skipped.files)),
            notes,
            metadata,
        )

    def _check_space(self, dim: int, num_missing: int) -> None:
        """Parts and, for a moment, the merged file must fit."""
        row = 4 * dim + 100
        needed = row * (num_missing + len(self.stream))
        free = shutil.disk_usage(self.output.parent).free
        if needed > free:
            raise OSError(
                f"The features need about {needed / 1e6:,.0f} MB in "
                f"{self.output.absolute().parent}, where {free / 1e6:,.0f} MB are free."
            )


def _read_parts(
    parts: Iterator[Part], readers: int
) -> Generator[tuple[Part, Batch], None, None]:
    def later(part: Part, read: Callable[[], Batch]) -> Callable[[], Any]:
        return lambda: (part, read())

    return read_ahead(
        (later(part, read) for part in parts for read in part.read()), readers
    )


class Skipped:
    """Files that could not be read, or the error of the first."""

    def __init__(self, on_error: str) -> None:
        self._on_error = on_error
        self.files: list[tuple[str, str]] = []

    def add(self, unreadable: Sequence[tuple[str, str]]) -> None:
        """List files, or raise the error of the first."""
        if unreadable and self._on_error == "fail":
            raise ExampleFileError(
                f"{unreadable[0][1]} What has been encoded is kept: repair or remove "
                "the file and run the same again, or leave such files out with "
                "`on_error='skip'` (`--on-error skip`)."
            )
        self.files += unreadable


def _count_notes(notes: Counter[str], batch: Batch) -> None:
    for note in batch.notes:
        notes[note if note in notes or len(notes) < _MAX_NOTES else ""] += 1


def _digest(fingerprints: Iterable[str]) -> str:
    """Hash of the fingerprints of all parts."""
    return hashlib.sha256("".join(fingerprints).encode()).hexdigest()


class _Rows:
    """Rows of one part, on their way to a table."""

    def __init__(self, label_type: str | None) -> None:
        self._label_type = label_type
        self._paths: list[str] = []
        self._labels: list[Any] = []
        self._features: list[np.ndarray] = []
        self.unreadable: list[tuple[str, str]] = []

    def add(self, batch: Batch, features: np.ndarray) -> None:
        self._paths += batch.paths
        self._labels += batch.labels or [None] * len(batch.paths)
        self._features.append(features)
        self.unreadable += batch.unreadable

    def to_table(self) -> Any:
        import pyarrow as pa

        features = np.concatenate(self._features)
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(features.ravel()), features.shape[1]
        )
        labels = pa.array(self._labels, self._label_type or "string")
        return pa.table(
            {
                "path": pa.array(self._paths, "string"),
                "label": labels,
                "feature": vectors,
            }
        )


# --- Parts -----------------------------------------------------------------------


class _PartsFolder:
    """The folder beside an output that holds what an unfinished run has done."""

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        self.folder = output.with_name(f"{output.name}.parts")
        self._output, self._identity = output, dict(identity)
        others = []
        if self.folder.is_dir():
            others = [p.name for p in self.folder.iterdir() if not self._is_own(p)]
        elif self.folder.exists():
            others = [self.folder.name]
        if others:
            raise FileExistsError(
                f"{self.folder} must be free for the parts of an unfinished run. "
                f"Received: it holds {others[0]}. Move it away, or name another output."
            )

    def _is_own(self, path: Path) -> bool:
        name = path.name
        is_part = name.startswith("part-") and name.endswith(".arrow")
        is_scratch = name.startswith(".aezoo-")  # of `atomic_path`
        return is_part or is_scratch or name in (_STATE, _MERGED, _LOCK)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the folder, which goes when no part is in it."""
        filelock = require("filelock", EXTRA, "A Parquet file")
        self.folder.mkdir(exist_ok=True)
        lock = self.folder / _LOCK
        is_done = False
        try:
            with filelock.FileLock(lock, timeout=0):
                try:
                    yield
                finally:
                    is_done = not any(self.folder.glob("part-*.arrow"))
                    if is_done:
                        self.clear()
        except filelock.Timeout as error:
            raise FileExistsError(
                f"Another process is writing {self._output}. Wait for it, or name "
                "another output."
            ) from error
        finally:
            if is_done:
                lock.unlink(missing_ok=True)
                self.folder.rmdir()

    def check_state(self) -> None:
        """Refuse to go on with what another model, layer or source has begun.

        Raises:
            ValueError: If the state is of another run.
        """
        path = self.folder / _STATE
        if not path.is_file():
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        keys = [k for k in self._identity if found.get(k) != self._identity[k]]
        if keys:
            there, here = (
                ", ".join(f"{key}={values.get(key)!r}" for key in keys)
                for values in (found, self._identity)
            )
            raise ValueError(
                f"{self.folder} holds an unfinished run with {there}. Received: "
                f"{here}. Finish that run with its own arguments, or discard it with "
                "`resume=False` (`--no-resume`)."
            )

    def start(self, resume: bool) -> None:
        """Discard what is not to be resumed, and say what is begun."""
        if resume:
            self.check_state()
        else:
            self.clear()
        for scratch in self.folder.glob(".aezoo-*"):
            shutil.rmtree(scratch)
        if not (self.folder / _STATE).is_file():
            with atomic_path(self.folder / _STATE) as temporary:
                temporary.write_text(json.dumps(self._identity), encoding="utf-8")

    def clear(self) -> None:
        """Remove all but the lock; the state goes last."""
        paths = [p for p in self.folder.iterdir() if p.name not in (_LOCK, _STATE)]
        for path in (*paths, self.folder / _STATE):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def path_of(self, start: int) -> Path:
        """The file of the part that begins with input `start`."""
        return self.folder / f"part-{start:012d}.arrow"

    def find(self, part: Part) -> list[tuple[str, str]] | None:
        """Unreadable inputs of a part that is there; None if it is not, or differs."""
        import pyarrow as pa

        try:
            found = _facts_of(pa.ipc.open_file(self.path_of(part.start)).schema)
        except (OSError, pa.ArrowInvalid):
            return None
        if found["fingerprint"] != part.fingerprint:
            return None
        return [(path, why) for path, why in found["unreadable"]]

    def write(self, part: Part, rows: _Rows, feature_shape: Sequence[int]) -> None:
        """Write a part, whole or not at all."""
        import pyarrow as pa

        table = rows.to_table()
        facts = {
            "fingerprint": part.fingerprint,
            "unreadable": rows.unreadable,
            "feature_shape": list(feature_shape),
            "num_rows": table.num_rows,
        }
        table = table.replace_schema_metadata({_PART: json.dumps(facts)})
        with (
            atomic_path(self.path_of(part.start)) as temporary,
            pa.ipc.new_file(temporary, table.schema) as writer,
        ):
            writer.write_table(table)

    def merge(
        self, starts: Sequence[int], metadata: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Join the parts in one file, a row group each; returns its metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        def read(start: int) -> Any:
            return pa.ipc.open_file(self.path_of(start))

        schema = read(starts[0]).schema
        facts = [_facts_of(read(start).schema) for start in starts]
        complete = {
            **metadata,
            "inputs_sha256": _digest(fact["fingerprint"] for fact in facts),
            "feature_shape": facts[0]["feature_shape"],
            "num_rows": sum(fact["num_rows"] for fact in facts),
        }
        schema = schema.with_metadata({_METADATA: json.dumps(complete)})
        with (
            atomic_path(self.folder / _MERGED) as temporary,
            temporary.open("wb") as file,
            pq.ParquetWriter(file, schema, **_OPTIONS) as writer,
        ):
            for start in starts:
                writer.write_table(read(start).read_all().cast(schema))
        return complete

    def publish(self) -> None:
        """Put the merged file in the output's place, in one step, and tidy up."""
        (self.folder / _MERGED).replace(self._output)
        self.clear()


def _facts_of(schema: Any) -> dict[str, Any]:
    """What a part says of itself."""
    facts: dict[str, Any] = json.loads(schema.metadata[_PART])
    return facts


_OPTIONS = {"compression": "zstd", "use_dictionary": ["label"]}


class _Writer:
    """Writes parts in a thread, one behind the encoder."""

    def __init__(self, parts: _PartsFolder) -> None:
        self._parts = parts
        self._pool = ThreadPoolExecutor(1, "aezoo-write")
        self._last: Future[None] | None = None

    def write(self, part: Part, rows: _Rows, encoder: FeatureEncoder | None) -> None:
        if self._last is not None:
            self._last.result()
        shape = () if encoder is None else encoder.feature_shape
        self._last = self._pool.submit(self._parts.write, part, rows, shape)

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._pool.shutdown()
        if self._last is not None and kind is None:
            self._last.result()


@contextlib.contextmanager
def _full_disk_is_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        refused = error.__cause__ if isinstance(error, DiskError) else error
        if getattr(refused, "errno", None) != errno.ENOSPC:
            raise
        raise DiskError(
            f"The disk is full. What has been encoded is kept in {folder}: free some "
            "space and run the same again."
        ) from error


# --- Reading ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of examples, in memory.

    Attributes:
        paths: One per example.
        labels: int64 or text, shape `(n,)`; None where there are none.
        features: Float32, shape `(n, dim)`.
        metadata: Where they come from: `model`, `layer`, `source` and so on.
    """

    paths: np.ndarray
    labels: np.ndarray | None
    features: np.ndarray
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        """How many examples."""
        return len(self.features)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What a Parquet file of features says of itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no Parquet file of features.
    """
    pq = require("pyarrow.parquet", EXTRA, "A Parquet file")
    import pyarrow as pa

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}. `aezoo encode NAME FOLDER -o {path}` writes it."
        )
    try:
        metadata = pq.read_schema(path).metadata or {}
        return dict(json.loads(metadata[_METADATA]))
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is no Parquet file of features. `aezoo encode NAME FOLDER -o "
            "features.parquet` writes one."
        ) from error


def read_features(path: str | Path) -> Features:
    """Read a Parquet file that `encode_to_parquet` wrote, as a whole.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no Parquet file of features.
    """
    metadata = read_metadata(path)
    import pyarrow.parquet as pq

    table = pq.read_table(path, partitioning=None)
    column = table["label"]
    dim = table.schema.field("feature").type.list_size
    vectors = table["feature"].combine_chunks()
    return Features(
        np.array(table["path"].to_pylist()),
        None if column.null_count else np.array(column.to_pylist()),
        vectors.flatten().to_numpy().reshape(-1, dim),
        metadata,
    )


def encode_to_memory(
    encoder: FeatureEncoder,
    stream: Stream,
    *,
    batch_size: int = BATCH_SIZE,
    on_error: str = "fail",
) -> Features:
    """Features of all examples of a stream, in memory.

    Args:
        encoder: The encoder.
        stream: What `aezoo.data.streams.open_stream` returned.
        batch_size: Examples per step.
        on_error: As in `encode_to_parquet`.

    Raises:
        ExampleFileError: If a file holds no example and `on_error` is `"fail"`.
    """
    skipped = Skipped(check_choice("on_error", on_error, ON_ERROR))
    paths: list[str] = []
    labels: list[Any] = []
    features = []
    with progress_bar("Encoding", encoder.modality.noun, len(stream)) as bar:
        for batch in stream.batches(check_positive_int("batch_size", batch_size)):
            skipped.add(batch.unreadable)
            paths += batch.paths
            labels += batch.labels or []
            features.append(encoder(batch.examples))
            bar.update(len(batch))
    return Features(
        np.array(paths),
        np.array(labels) if stream.label_type else None,
        np.concatenate(features),
        {
            "model": encoder.name,
            "source": stream.name,
            "kind": stream.kind,
            "skipped": skipped.files,
        },
    )
