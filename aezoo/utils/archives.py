"""`.npz` archives that may come from others: one bounded reader for all of them.

Nothing is unpacked before it is known what it is and how large. A member is an array
of plain numbers, or of text where that is expected, which is exactly as large as its
header says; it is stored or deflated, and not encrypted. Whatever is wrong with an
archive ends in one named error.
"""

import contextlib
import dataclasses
import io
import math
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

import numpy as np

from aezoo.errors import AezooError, ManifestError
from aezoo.utils.files import open_regular

# What an archive may unpack to if nothing else is said: this much, or as many times
# its own size. Drawings compress to about a hundredth, and blanks to a thousandth.
FREE_BYTES, MAX_RATIO = 1 << 28, 250
# Of the list of members, which is read before anything can be known of them.
MAX_DIRECTORY_BYTES = 1 << 20
NUMBERS, TEXT = "biuf", "U"
_ENCRYPTED = 0x1


@dataclasses.dataclass(frozen=True)
class Header:
    """What an archive says of an array.

    Attributes:
        shape: Shape of the array.
        dtype: Type of its elements.
        is_fortran: Whether its first axis varies fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """An archive whose members are known to be bounded; a context manager.

    Args:
        file: A path, or a file that can be read anywhere.
        owner: What file it is, for messages, e.g. `"golden file golden.npz"`.
        max_bytes: Most bytes that all arrays together may take; None for `FREE_BYTES`,
            or `MAX_RATIO` times the size of the file if that is more.
        names: Arrays to look at, whatever else there is; None for all members.
        prefix: Beside `names`, those whose names begin with it; None for no others.
        kinds: Kinds of NumPy's dtypes that its arrays may have.
        error: Type of the errors.
        remedy: What to do about them; ends their messages.

    Attributes:
        max_bytes: As above, with the bound that None stands for.
        headers: What it says of each array, by name.

    Raises:
        FileNotFoundError: If there is no such file.
        AezooError: Of type `error`, if it is no regular file or no such archive.
    """

    headers: Mapping[str, Header]

    def __init__(
        self,
        file: Path | BinaryIO,
        owner: str,
        *,
        max_bytes: int | None = None,
        names: Collection[str] | None = None,
        prefix: str | None = None,
        kinds: str = NUMBERS,
        error: type[AezooError] = ManifestError,
        remedy: str = "",
    ) -> None:
        self._owner, self._kinds = owner, kinds
        self._error, self._remedy = error, remedy
        with self._named_errors(), contextlib.ExitStack() as stack:
            if isinstance(file, Path):
                file = stack.enter_context(open_regular(file))
            size = file.seek(0, io.SEEK_END)
            bounded = _Bounded(file)
            self._zip = stack.enter_context(zipfile.ZipFile(bounded))
            bounded.is_open = True
            if max_bytes is None:
                max_bytes = max(FREE_BYTES, MAX_RATIO * size)
            self.max_bytes = max_bytes
            self.headers = self._read_headers(names, prefix)
            self._files = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Whatever NumPy and zipfile raise for broken data, as one kind of error."""
        try:
            yield
        except (AezooError, FileNotFoundError) as error:
            if isinstance(error, self._error | FileNotFoundError):
                raise
            raise self._error(str(error)) from error
        except MemoryError as error:
            raise self._failure("needs more memory than there is") from error
        except Exception as error:
            reason = str(error)[:200].rstrip(".") or type(error).__name__
            raise self._failure(f"is not a readable .npz archive: {reason}") from error

    def _failure(self, what: str) -> AezooError:
        return self._error(f"The {self._owner} {what}. {self._remedy}".rstrip())

    def _read_headers(
        self, names: Collection[str] | None, prefix: str | None
    ) -> dict[str, Header]:
        members = [
            member
            for member in self._zip.infolist()
            if names is None
            or member.filename.removesuffix(".npy") in names
            or (prefix is not None and member.filename.startswith(prefix))
        ]
        size = sum(member.file_size for member in members)
        if size > self.max_bytes:
            raise self._failure(
                f"must unpack to at most {self.max_bytes:,} bytes. Received: {size:,} "
                "bytes"
            )
        headers: dict[str, Header] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise ValueError(f"its member {member.filename!r:.80} is no array")
            if name in headers:
                raise ValueError(f"it holds {member.filename!r:.80} twice")
            if member.flag_bits & _ENCRYPTED:
                raise ValueError(f"its member {member.filename!r:.80} is encrypted")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f"its member {member.filename!r:.80} is compressed by another "
                    "method than deflate"
                )
            with self._zip.open(member) as stream:
                headers[name] = self._read_header(stream, member)
        return headers

    def _read_header(self, stream: IO[bytes], member: zipfile.ZipInfo) -> Header:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            read = np.lib.format.read_array_header_1_0
        elif version == (2, 0):
            read = np.lib.format.read_array_header_2_0
        else:
            raise ValueError(f"a header of version {version} says more than numbers")
        try:
            shape, is_fortran, dtype = read(stream)
        except (MemoryError, RecursionError) as error:  # of the parser
            raise ValueError("a header is no description of an array") from error
        if dtype.kind not in self._kinds or not dtype.itemsize:
            raise self._failure(
                "must hold arrays of plain numbers. Received: "
                f"{member.filename!r:.80} of dtype {dtype!s:.80}. Save it as numbers; "
                "of bfloat16, as float32"
            )
        header = Header(shape, dtype, is_fortran)
        if min(shape, default=0) < 0 or (
            header.nbytes != member.file_size - stream.tell()
        ):
            raise ValueError(
                f"its member {member.filename!r:.80} has another size than its header "
                "says"
            )
        return header

    def read(self, name: str) -> np.ndarray:
        """An array, whole.

        Raises:
            AezooError: Of the archive's type, if its data are damaged.
        """
        with self._named_errors(), self._zip.open(f"{name}.npy") as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return array

    def rows(self, name: str, start: int, size: int) -> Iterator[np.ndarray]:
        """Consecutive rows of an array in C order, in constant memory.

        Args:
            name: The array.
            start: The first row.
            size: Rows at once; the last ones may be fewer.

        Raises:
            AezooError: Of the archive's type, if its data are damaged.
        """
        header = self.headers[name]
        shape = header.shape[1:]
        row = math.prod(shape) * header.dtype.itemsize
        with self._named_errors():
            stream = self._files.enter_context(self._zip.open(f"{name}.npy"))
            self._read_header(stream, self._zip.getinfo(f"{name}.npy"))
            stream.seek(start * row, io.SEEK_CUR)
        for first in range(start, header.shape[0], size):
            n = min(size, header.shape[0] - first)
            with self._named_errors():
                data = stream.read(n * row)
                if len(data) != n * row:
                    raise ValueError(f"it ends in row {first + len(data) // row}")
                rows = np.frombuffer(data, header.dtype).reshape(n, *shape)
            yield rows


def read_npz(
    file: Path | BinaryIO,
    max_bytes: int,
    owner: str,
    *,
    kinds: str = NUMBERS,
    remedy: str = "",
) -> dict[str, np.ndarray]:
    """All arrays of an archive, by name.

    Args:
        file: As in `Archive`.
        max_bytes: Most bytes that all arrays together may take.
        owner: As in `Archive`.
        kinds: As in `Archive`.
        remedy: As in `Archive`.

    Raises:
        FileNotFoundError: If there is no such file.
        ManifestError: If it is no such archive, or too large.
    """
    with Archive(
        file, owner, max_bytes=max_bytes, kinds=kinds, remedy=remedy
    ) as archive:
        return {name: archive.read(name) for name in archive.headers}


class _Bounded(io.RawIOBase):
    """A file of which little is read at once until its archive is open.

    `zipfile` reads the list of members as a whole, and makes an object of each.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.is_open = file, False

    def read(self, size: int = -1) -> bytes:
        if not self.is_open and size > MAX_DIRECTORY_BYTES:
            raise ValueError("its list of members is too long")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True
