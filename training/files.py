"""Files of a zoo and the manifest that states them: one changes with the other.

What a manifest states is never touched; new files stand beside it under other names
until the manifest is written, in one step. Imports no Keras.
"""

import contextlib
import hashlib
import itertools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock

from aezoo import manifest
from aezoo.manifest import BundledFile, GoldenFile, Manifest, ZooFile
from aezoo.utils.files import sha256_hex, sweep, write_file


@contextlib.contextmanager
def edited_manifest(manifest_file: Path) -> Iterator[Manifest]:
    """A manifest to change, empty if there is none; written where nothing was raised.

    Trainings side by side so lose no entry: the others wait.
    """
    place = hashlib.sha256(str(manifest_file.resolve()).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"aezoo-manifest-{place}.lock"
    with filelock.FileLock(lock):
        is_new = not manifest_file.is_file()
        document = Manifest() if is_new else manifest.read_manifest(manifest_file)
        yield document
        write_manifest(document, manifest_file)


def write_manifest(document: Manifest, path: Path) -> None:
    """Check a manifest against its records, and replace the file in one step.

    Its long texts are written before it, beside those that the old one refers to, which
    go when it is there: whenever the process is killed, every reference holds.

    Raises:
        ManifestError: If it breaks a rule; says which.
    """
    text = manifest.manifest_text(document)
    texts, texts_file = manifest.manifest_texts(document), manifest.texts_path(path)
    before = json.loads(texts_file.read_bytes()) if texts_file.is_file() else {}
    if texts.keys() - before:
        _write_texts(texts_file, {**before, **texts})
    write_file(path, text.encode())
    if before.keys() - texts:
        _write_texts(texts_file, texts)


def _write_texts(path: Path, texts: Mapping[str, str]) -> None:
    content = json.dumps(texts, ensure_ascii=False, indent=1, sort_keys=True)
    write_file(path, f"{content}\n".encode())


def put_files(
    name: str, contents: Mapping[str, bytes], folder: Path, document: Manifest
) -> dict[str, ZooFile]:
    """Write files that a manifest is about to state, beside those that it states now.

    No file of the manifest is touched, so that a process that is killed leaves files
    and manifest as they were: `name.weights.h5` or, where that is in use,
    `name__2.weights.h5`. `remove_unused` then removes what has been replaced.

    Args:
        name: Name of the entry.
        contents: Bytes by suffix, e.g. `"weights.h5"`.
        folder: Where.
        document: The manifest, as `edited_manifest` gives it.

    Returns:
        What the entry must state, by suffix.

    Raises:
        DiskError: If the disk is full, or the folder cannot be written.
    """
    used = dict(_files_of(document))
    files = {}
    for suffix, content in contents.items():
        sha256 = sha256_hex(content)
        names = (f"{name}__{i}.{suffix}" for i in itertools.count(2))
        file = next(
            file
            for file in itertools.chain([f"{name}.{suffix}"], names)
            if used.get(file, sha256) == sha256
        )
        write_file(folder / file, content)
        files[suffix] = ZooFile(file, len(content), sha256)
    return files


def remove_unused(name: str, folder: Path, document: Manifest) -> None:
    """Remove files of an entry that its manifest, which is written, does not state."""
    sweep(folder)
    used = dict(_files_of(document))
    pattern = re.compile(rf"{re.escape(name)}(__\d+)?\.(weights\.h5|[a-z]+\.npz)")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name) and path.name not in used:
            path.unlink(missing_ok=True)


def _files_of(document: Manifest) -> Iterator[tuple[str, str]]:
    """Every file that a manifest states, and its hash."""
    files: list[BundledFile | GoldenFile] = []
    for model in document.models.values():
        files += [model.weights, model.golden, *model.samplers.values()]
    for extractor in document.extractors.values():
        files += [extractor.weights, extractor.golden]
    for file in files:
        yield file.file, file.sha256
