"""Whether the files of an installation still are, and still do, what was published."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import keras

from aezoo import manifest
from aezoo.errors import ChecksumError
from aezoo.manifest import (
    MAX_GOLDEN_BYTES,
    NO_FILES,
    REINSTALL,
    ExtractorEntry,
    GoldenFile,
    WeightsEntry,
    bundled_file,
)
from aezoo.modalities.image import extractors
from aezoo.nn.weights import read_weights_file
from aezoo.store import folder, golden, remote
from aezoo.store.entry import (
    ENTRY,
    GOLDEN,
    REMEDY,
    FolderEntry,
    read_entry,
    weights_path,
)
from aezoo.store.foreign import reading
from aezoo.store.foreign.build import build
from aezoo.store.load import build_entry, zoo_sampler
from aezoo.store.reference import (
    is_own,
    remedy,
    resolve,
    weights_file,
)
from aezoo.utils.files import path_inside, read_verified
from aezoo.utils.progress import with_progress

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        what: What, e.g. `"sha256 of the weights"` or `"golden codes"`.
        is_passed: Whether it is as published.
        detail: What was found, e.g. the hash; the reason, where the check failed.
        deviation: Largest deviation from a golden tensor; None for other checks.
        tolerance: Largest deviation that passes; None for other checks.
    """

    what: str
    is_passed: bool
    detail: str
    deviation: float | None = None
    tolerance: float | None = None


@dataclasses.dataclass(frozen=True)
class Verification:
    """The checks of one model or feature extractor.

    Attributes:
        name: Its name in the manifest.
        backend: The Keras backend that computed.
        checks: The checks, in the order they were made. Where a file is damaged,
            those that would open it are left out.
    """

    name: str
    backend: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.is_passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.is_passed)

    @property
    def worst(self) -> Check | None:
        """The golden tensor with the largest deviation, for its tolerance, if any."""

        def excess(check: Check) -> float:
            share = (check.deviation or 0.0) / (check.tolerance or 1.0)
            return math.inf if math.isnan(share) else share

        measured = [check for check in self.checks if check.deviation is not None]
        return max(measured, key=excess, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values; a deviation that is not finite is null."""
        return {
            "name": self.name,
            "ok": self.ok,
            "backend": self.backend,
            "checks": [
                {
                    **dataclasses.asdict(check),
                    "deviation": check.deviation
                    if check.deviation is not None and math.isfinite(check.deviation)
                    else None,
                }
                for check in self.checks
            ],
        }

    def __repr__(self) -> str:
        """A line, and one more for each failure."""
        passed = len(self.checks) - len(self.failures)
        lines = [f"{self.name}: {passed} of {len(self.checks)} checks passed"]
        if self.worst is not None:
            lines[0] += (
                f", largest deviation {self.worst.deviation:.2g} "
                f"(tolerance {self.worst.tolerance:g})"
            )
        lines += [f"  {check.what}: {check.detail}" for check in self.failures]
        return "\n".join(lines)


def verify(name: str | os.PathLike[str]) -> Verification:
    """Check a model's files and what it computes against the manifest.

    The SHA-256 of weights, golden file and fitted samplers; that the weights fit
    their entry in the manifest, as `aezoo.load` checks it; and the largest deviation
    from each golden tensor - the posterior's parameters, codes, reconstruction, seeded
    samples - on the current backend. A model from a folder or the Hub is checked
    against its `aezoo.json`. One of another library has neither hashes nor golden
    tensors of its own: that each tensor is used once with its shape, and that what it
    computes is finite. What is wrong is in the result; it is never raised.

    Args:
        name: A name from `aezoo.list_models()`, or of a bundled feature extractor; or
            a folder that `aezoo.save` wrote, or `"hf://organisation/name"`, as
            `aezoo.load` takes them.

    Returns:
        The checks; `.ok` tells whether all passed.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        FileNotFoundError: If there is no such folder.
        HubError: If the Hub cannot give a model; says what to do.
        ManifestError: If the folder's `aezoo.json` is missing or invalid.
        UnsafeFileError: If `aezoo.json` names a file outside the folder.

    Example:
        >>> aezoo.verify("conv_vae_mnist_z16").ok
        True
    """
    for _ in range(folder.ATTEMPTS):
        try:
            subject = _subject(name)
            if isinstance(subject, reading.Source):
                checks = tuple(_foreign_checks(subject))
                break
            checks = tuple(_checks(subject))
        except ChecksumError as error:  # of what is fetched with its entry
            checks = (Check(_WEIGHTS, False, " ".join(str(error).split())),)
            break
        # Others may have saved into the folder meanwhile.
        if all(check.is_passed for check in checks) or not subject.has_changed():
            break
    return Verification(str(name), keras.backend.backend(), checks)


def golden_content(name: str | os.PathLike[str]) -> bytes | None:
    """The golden file of a model, once its hash is right; None of other libraries'.

    Args:
        name: As in `verify`.

    Raises:
        ChecksumError: If it is missing or another; and whatever `verify` raises.
    """
    subject = _subject(name)
    return None if isinstance(subject, reading.Source) else subject.golden_file()


def verify_all() -> list[Verification]:
    """Check every model and every bundled feature extractor: see `verify`."""
    names = [*manifest.list_models(), *manifest.extractors()]
    return [verify(name) for name in with_progress(names, "Verifying", "model")]


_WEIGHTS = "sha256 of the weights"


@dataclasses.dataclass(frozen=True)
class _Subject:
    """What is verified: where its files come from, and how it is loaded and compared.

    `weights_file` and `golden_file` return a file's content once its hash is right, or
    raise.
    """

    entry: WeightsEntry | ExtractorEntry | FolderEntry
    weights_file: Callable[[], bytes]
    golden_file: Callable[[], bytes]
    load: Callable[[bytes], Any]
    deviation: Callable[[Any, bytes], dict[str, float]]
    tolerance: Callable[[Any], float] = golden.golden_tolerance
    sampler: Callable[[str], Any] = NO_FILES.__getitem__
    has_changed: Callable[[], bool] = lambda: False


def _subject(name: str | os.PathLike[str]) -> "_Subject | reading.Source":
    if name in manifest.extractors() and not is_own(name):
        return _extractor(str(name))
    reference = resolve(name)
    if reference.zoo is not None:
        return _zoo_model(reference.zoo, reference.place)
    path, root = reference.model_folder()
    if reading.is_foreign(path):
        return reading.read(path, root)
    place = reference.repository
    if place is not None:
        place = place.pinned(path / ENTRY, ENTRY)
    return _folder(path, root, place)


def _model(
    entry: WeightsEntry | FolderEntry,
    weights: Callable[[], Path],
    golden_path: Callable[[], Path],
    remedy: str,
    sampler: Callable[[str], Any],
) -> _Subject:
    """A model, by where its files are; each of them is read once."""
    return _Subject(
        entry,
        lambda: read_weights_file(entry, weights(), remedy),
        lambda: _read_golden(golden_path(), entry.golden, remedy),
        lambda content: build_entry(entry, content, weights()),
        lambda model, content: golden.golden_deviation(model, content, golden_path()),
        sampler=sampler,
    )


def _folder(
    path: Path, root: Path | None, place: remote.Place | None = None
) -> _Subject:
    """A folder, or the part of a repository that was fetched."""
    entry = read_entry(path, root)

    def golden_path() -> Path:
        inside = path_inside(path, entry.golden.file, root)  # before one is written
        return inside if place is None else _fetch_golden(place, entry.golden)

    subject = _model(
        entry,
        lambda: weights_path(path, entry, root),
        functools.cache(golden_path),
        REMEDY,
        lambda kind: folder.sampler_of(path, entry, kind, root),
    )
    return dataclasses.replace(
        subject, has_changed=lambda: read_entry(path, root) != entry
    )


def _zoo_model(entry: WeightsEntry, place: remote.Place | None) -> _Subject:
    """A model of the zoo, from where `aezoo.load` takes it."""

    def golden_path() -> Path:
        if place is None:
            return bundled_file(entry.golden.file)
        return _fetch_golden(place, GoldenFile(GOLDEN, entry.golden.sha256))

    return _model(
        entry,
        functools.cache(lambda: weights_file(entry, place)),
        functools.cache(golden_path),
        remedy(entry, place),
        lambda kind: zoo_sampler(entry, kind, place),
    )


def _extractor(name: str) -> _Subject:
    entry = manifest.extractors()[name]
    weights = bundled_file(entry.weights.file)
    golden_path = bundled_file(entry.golden.file)
    return _Subject(
        entry,
        lambda: read_weights_file(entry, weights, REINSTALL),
        lambda: _read_golden(golden_path, entry.golden, REINSTALL),
        lambda _: extractors.load_extractor(name),
        lambda _, __: extractors.extractor_deviation(name),
        lambda _: extractors.TOLERANCE,
    )


def _read_golden(path: Path, file: GoldenFile, remedy: str) -> bytes:
    return read_verified(path, file.sha256, remedy, max_bytes=MAX_GOLDEN_BYTES)


def _fetch_golden(place: remote.Place, file: GoldenFile) -> Path:
    return remote.fetch(place, file.file, file.sha256, MAX_GOLDEN_BYTES)


def _checks(subject: _Subject) -> Iterator[Check]:
    weights, content = _attempt(
        _WEIGHTS, subject.weights_file, subject.entry.weights.sha256
    )
    golden_check, golden_content = _attempt(
        "sha256 of the golden file", subject.golden_file, subject.entry.golden.sha256
    )
    yield from (weights, golden_check)
    for kind in getattr(subject.entry, "samplers", NO_FILES):
        yield _attempt(f"sampler {kind}", functools.partial(subject.sampler, kind))[0]
    if content is None:
        return
    loaded, model = _attempt("weights and manifest", lambda: subject.load(content))
    yield loaded
    if model is None or golden_content is None:
        return
    compared, found = _attempt(
        "golden tensors", lambda: subject.deviation(model, golden_content)
    )
    if found is None:
        yield compared
        return
    tolerance = subject.tolerance(model)
    for tensor, deviation in found.items():
        is_passed = deviation <= tolerance  # also false for NaN
        detail = f"deviates by {deviation:.2g}, tolerance {tolerance:g}"
        yield Check(f"golden {tensor}", is_passed, detail, deviation, tolerance)


def _foreign_checks(source: reading.Source) -> Iterator[Check]:
    """That a model of another library is whole, and computes numbers."""
    for file in source.entry.files:  # that of the Hub was compared when it was fetched
        yield Check(f"file {file.file}", True, f"sha256 {file.sha256}")
    loaded, model = _attempt("weights and config.json", lambda: build(source))
    yield loaded
    if model is not None:
        finite = functools.partial(golden.golden_tensors, model)
        yield _attempt(
            "finite outputs", lambda: finite(model.modality.examples(1)), "all finite"
        )[0]


def _attempt(
    what: str, action: Callable[[], _Result], passed: str = "as published"
) -> tuple[Check, _Result | None]:
    """The check that an action raises nothing, and the action's result."""
    try:
        result = action()
    except Exception as error:  # whatever it is, it is the finding
        reason = str(error) or type(error).__name__
        return Check(what, False, " ".join(reason.split())), None
    return Check(what, True, passed), result
