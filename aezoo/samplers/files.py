"""Files of samplers."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from aezoo.errors import ManifestError
from aezoo.manifest import BundledFile
from aezoo.samplers.base import COUNT, Sampler
from aezoo.samplers.kinds import CLASSES, KINDS
from aezoo.utils.archives import NUMBERS, TEXT, read_npz
from aezoo.utils.files import read_verified, write_file

# Sampler files may come from others; a mixture of ten on 784 code units takes 25 MB.
MAX_BYTES = 50_000_000
MAX_CONFIG_LENGTH = 10_000
CONFIG = "config"


def write_sampler(sampler: Sampler, path: Path) -> None:
    """Write a sampler as an `.npz` file, whole or not at all; the same bytes each time.

    Raises:
        ValueError: If it is larger than what would be read.
        DiskError: If the disk is full, or the folder cannot be written.
    """
    write_file(path, sampler_bytes(sampler))


def sampler_bytes(sampler: Sampler) -> bytes:
    """The content of a sampler's file, the same bytes each time.

    Raises:
        ValueError: If it is larger than what would be read.
    """
    arrays = sampler.arrays()
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES - 10 * MAX_CONFIG_LENGTH:
        raise ValueError(
            f"A sampler may take at most {MAX_BYTES:,} bytes. Received: {size:,} "
            "bytes. Fit a smaller one."
        )
    config = {
        "kind": sampler.kind,
        "latent_shape": list(sampler.latent_shape),
        "fit": dict(sampler.fit),
    }
    content: dict[str, Any] = {CONFIG: np.array(json.dumps(config)), **arrays}
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    return file.getvalue()


def read_sampler(
    path: Path,
    kind: str,
    latent_shape: tuple[int, ...],
    file: BundledFile,
    remedy: str,
) -> Sampler:
    """Read a sampler file, once its size and hash are as stated.

    It may come from others: nothing is unpacked before its size is known to be
    bounded, and nothing in it is ever run.

    Args:
        path: The file.
        kind: What it must be.
        latent_shape: Shape of the codes that it must give.
        file: Size and hash.
        remedy: What to do about a file that is damaged; ends the message.

    Raises:
        ChecksumError: If it is missing, or its size or bytes differ.
        ManifestError: If it is no sampler of that kind for such codes.
    """
    content = read_verified(path, file.sha256, remedy, file.bytes, MAX_BYTES)
    return sampler_of(content, path, kind, latent_shape, remedy)


def load_sampler(path: Path, kind: str, latent_shape: tuple[int, ...]) -> Sampler:
    """Read a sampler file of which neither size nor hash is stated.

    Args:
        path: The file.
        kind: What it must be.
        latent_shape: Shape of the codes that it must give.

    Raises:
        ManifestError: If it is no sampler of that kind for such codes.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    return sampler_of(content, path, kind, latent_shape, "Save the model again.")


def sampler_of(
    content: bytes, path: Path, kind: str, latent_shape: tuple[int, ...], remedy: str
) -> Sampler:
    """The sampler of a file's content.

    Args:
        content: The content.
        path: Where it was, for messages.
        kind: What it must be.
        latent_shape: Shape of the codes that it must give.
        remedy: What to do about a file that is damaged; ends the message.

    Raises:
        ManifestError: If it is no sampler of that kind for such codes.
    """
    arrays = read_npz(
        io.BytesIO(content),
        MAX_BYTES,
        f"sampler file {path}",
        kinds=NUMBERS + TEXT,
        remedy=remedy,
    )
    try:
        sampler = _parse(arrays)
        if (sampler.kind, sampler.latent_shape) != (kind, latent_shape):
            raise ValueError(
                f"it must be of kind {kind!r} for codes of shape {latent_shape}. "
                f"Received: {sampler.kind!r}, {sampler.latent_shape}."
            )
    except ValueError as error:
        raise ManifestError(
            f"The sampler file {path} is not valid: {error} {remedy}"
        ) from error
    return sampler


def _parse(arrays: dict[str, np.ndarray]) -> Sampler:
    """The sampler of a file's arrays; raises ValueError."""
    text = arrays.pop(CONFIG, np.zeros(0))
    if text.ndim or text.dtype.kind != "U" or text.itemsize > 4 * MAX_CONFIG_LENGTH:
        raise ValueError(
            f"`{CONFIG}` must be text of at most {MAX_CONFIG_LENGTH:,} letters."
        )
    try:
        config = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{CONFIG}` is not JSON: {error}.") from error
    if not isinstance(config, dict) or set(config) != {"kind", "latent_shape", "fit"}:
        raise ValueError(f"`{CONFIG}` must hold `kind`, `latent_shape` and `fit`.")
    kind, shape, fit = config["kind"], config["latent_shape"], config["fit"]
    if not isinstance(kind, str) or kind not in CLASSES:
        raise ValueError(
            f"`kind` must be one of {', '.join(map(repr, KINDS))}. Received: "
            f"kind={kind!r:.80}. Upgrade aezoo if the file is newer."
        )
    is_shape = isinstance(shape, list) and all(type(v) is int and v > 0 for v in shape)
    if not is_shape or not shape or not isinstance(fit, dict):
        raise ValueError(
            "`latent_shape` must be a list of positive integers, and `fit` an object. "
            f"Received: {shape!r:.80}, {fit!r:.80}."
        )
    if type(fit.get(COUNT)) is not int:
        raise ValueError(f"`fit` must state `{COUNT}`. Received: {fit!r:.80}.")
    cls = CLASSES[kind]
    fields = dataclasses.fields(cls)[2:]
    names = {f.name for f in fields}
    required = {f.name for f in fields if f.default is dataclasses.MISSING}
    if not required <= set(arrays) <= names:
        raise ValueError(
            f"a sampler {kind!r} must hold {', '.join(sorted(required))}. Received: "
            f"{', '.join(sorted(arrays))[:200]}."
        )
    return cls(tuple(shape), fit, **arrays)
