"""The format of compressed bytes: what they say of themselves, and its bounds.

`AEZ` and the version, four bytes; the length of the header, four bytes, little-endian;
the header, MessagePack in zlib; the payload, 32-bit words, little-endian; BLAKE2b of
all before, 16 bytes. Nothing else follows. Nothing is unpacked before the last 16 bytes
fit, and nothing is allocated by numbers that were read before they are checked.
"""

import hashlib
import math
import sys
import zlib
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from aezoo.errors import ChecksumError, CompressionError
from aezoo.utils.records import Count, Text

Array = np.ndarray
MAGIC, VERSION = b"AEZ", 1
MAX_HEADER_BYTES = 1 << 20
# Of what bytes may unpack to if nothing else is said.
MAX_BYTES = 1 << 30
_HASH_BYTES = 16
_START = len(MAGIC) + 1 + 4

Digest = Annotated[bytes, msgspec.Meta(min_length=_HASH_BYTES, max_length=_HASH_BYTES)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What compressed bytes say of themselves.

    Attributes:
        model: Name of the model.
        revision: Commit on the Hub that the model's manifest pins; empty without one.
        weights: Hash of its configuration, weights and prior.
        mode: `"lossless"`: examples by bits back; `"prior"`, `"tables"`: discrete
            codes, under the autoregressive prior, or by their frequencies; `"hyper"`:
            rounded maps under a hyperprior.
        shape: `(n, ...)` of the examples.
        dtype: Of the examples.
        content: Hash of the symbols: of examples, or of indices of codes.
        tables: Of `"lossless"`: log2 of the number of intervals of each unit of each
            level, uint8. Of `"tables"`: how often each code of a codebook is used,
            uint32; empty for all alike.
    """

    model: Text
    revision: str
    weights: Digest
    mode: Literal["lossless", "prior", "tables", "hyper"]
    shape: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1, max_length=8)]
    dtype: Literal["uint8", "float32", "int32"]
    content: Digest
    tables: tuple[bytes, ...] = ()


def digest(*parts: Any) -> bytes:
    """BLAKE2b of arrays and bytes, one after the other: 16 bytes."""
    found = hashlib.blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        found.update(little_endian(part) if isinstance(part, np.ndarray) else part)
    return found.digest()


def little_endian(values: Array) -> bytes:
    """The bytes of an array, whatever the machine."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def pack(header: Header, words: Array) -> bytes:
    """The bytes of a header and of the words of a stack."""
    content = zlib.compress(msgspec.msgpack.encode(header), 9)
    start = MAGIC + bytes([VERSION]) + len(content).to_bytes(4, "little")
    body = start + content + little_endian(np.asarray(words, "uint32"))
    return body + digest(body)


def unpack(blob: bytes, max_bytes: int = MAX_BYTES) -> tuple[Header, Array]:
    """The header and the words of `pack`.

    Args:
        blob: The bytes.
        max_bytes: Most bytes that the examples may take.

    Raises:
        CompressionError: If they are no such bytes, of another version, damaged or
            cut, or unpack to more.
    """
    blob = bytes(blob)
    if blob[: len(MAGIC)] != MAGIC or len(blob) < _START + _HASH_BYTES:
        raise CompressionError(
            "The bytes are none that `aezoo.compress` wrote: they do not begin as such "
            f"do. Received: {len(blob):,} bytes that begin with {blob[:4]!r}."
        )
    if blob[len(MAGIC)] != VERSION:
        raise CompressionError(
            f"The bytes are of version {blob[len(MAGIC)]} of the format, and this "
            f"aezoo reads version {VERSION}. Update aezoo."
        )
    body = blob[:-_HASH_BYTES]
    if digest(body) != blob[-_HASH_BYTES:]:
        raise CompressionError(
            "The bytes are damaged or incomplete: their checksum differs. Received: "
            f"{len(blob):,} bytes. Copy them again."
        )
    length = int.from_bytes(body[len(MAGIC) + 1 : _START], "little")
    words = body[_START + length :]
    try:
        unzip = zlib.decompressobj()
        content = unzip.decompress(body[_START : _START + length], MAX_HEADER_BYTES)
        if unzip.unconsumed_tail or not unzip.eof or len(words) % 4:
            raise CompressionError("The header of the bytes is too long or cut.")
        header = msgspec.msgpack.decode(content, type=Header)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CompressionError(
            f"The header of the bytes is invalid: {error}."
        ) from error
    size = math.prod(header.shape) * np.dtype(header.dtype).itemsize
    if size > max_bytes:
        raise CompressionError(
            f"The bytes unpack to {size:,} bytes, more than max_bytes={max_bytes:,}. "
            "Pass a larger `max_bytes` if you trust them."
        )
    array = np.frombuffer(words, np.dtype("<u4")).astype("uint32")
    return header, array


def check_content(header: Header, *symbols: Array) -> None:
    """Compare what was decoded with the checksum of what was encoded.

    Raises:
        ChecksumError: If it is something else.
    """
    if digest(*symbols) != header.content:
        raise ChecksumError(
            "What was decoded is not what was encoded: its checksum differs, so "
            f"nothing is returned. Model: {header.model!r}, NumPy {np.__version__}, "
            f"{sys.platform}. Please report this."
        )
