"""Whether the files of an installation still are, and still do, what was published."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import keras

from aezoo import extractors, folder, golden, hub, manifest
from aezoo.files import path_inside, verify_sha256
from aezoo.folder import FolderEntry
from aezoo.manifest import (
    BundledFile,
    ExtractorEntry,
    GoldenFile,
    WeightsEntry,
    WeightsFile,
)
from aezoo.progress import with_progress

_File = WeightsFile | BundledFile | GoldenFile
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

    The SHA-256 of weights and golden file; that the weights fit their entry in the
    manifest, as `aezoo.load` checks it; and the largest deviation from each golden
    tensor - the posterior's parameters, codes, reconstruction, seeded samples - on
    the current backend. What is wrong is in the result; it is never raised.

    Args:
        name: A name from `aezoo.list_models()`, or of a bundled feature extractor; or
            a folder that `aezoo.save` wrote, as `aezoo.load` takes it.

    Returns:
        The checks; `.ok` tells whether all passed.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        FileNotFoundError: If there is no such folder.
        ManifestError: If the folder's `aezoo.json` is missing or invalid.

    Example:
        >>> aezoo.verify("conv_vae_mnist_z16").ok
        True
    """
    name, path = str(name), hub.as_folder(name)
    entry: WeightsEntry | ExtractorEntry | FolderEntry
    if name in manifest.extractors():
        entry = manifest.extractors()[name]
        checks = _checks(
            entry,
            lambda: extractors.load_extractor(name),
            lambda _, __: extractors.extractor_deviation(name),
            extractors.TOLERANCE,
            hub.WEIGHTS_FOLDER,
        )
    else:
        entry = folder.read_entry(path) if path else manifest.describe(name)
        checks = _checks(
            entry,
            lambda: hub.load(path or name),
            golden.golden_deviation,
            golden.TOLERANCE,
            path or hub.WEIGHTS_FOLDER,
        )
    return Verification(name, keras.backend.backend(), tuple(checks))


def verify_all() -> list[Verification]:
    """Check every model and every bundled feature extractor: see `verify`."""
    names = [*manifest.list_models(), *manifest.extractors()]
    return [verify(name) for name in with_progress(names, "Verifying", "model")]


def _checks(
    entry: WeightsEntry | ExtractorEntry | FolderEntry,
    load: Callable[[], Any],
    deviations: Callable[[Any, Path], dict[str, float]],
    tolerance: float,
    files: Path,
) -> Iterator[Check]:
    weights, _ = _attempt(
        "sha256 of the weights",
        lambda: _verified(files, entry.weights),
        entry.weights.sha256,
    )
    golden_file, path = _attempt(
        "sha256 of the golden file",
        lambda: _verified(files, entry.golden),
        entry.golden.sha256,
    )
    yield from (weights, golden_file)
    if not weights.is_passed:
        return
    loaded, model = _attempt("weights and manifest", load)
    yield loaded
    if model is None or path is None:
        return
    compared, found = _attempt("golden tensors", lambda: deviations(model, path))
    if found is None:
        yield compared
        return
    for tensor, deviation in found.items():
        is_passed = deviation <= tolerance  # also false for NaN
        detail = f"deviates by {deviation:.2g}, tolerance {tolerance:g}"
        yield Check(f"golden {tensor}", is_passed, detail, deviation, tolerance)


def _verified(files: Path, file: _File) -> Path:
    path = path_inside(files, file.file)
    is_bundled = files == hub.WEIGHTS_FOLDER
    remedy = "Reinstall aezoo to restore it." if is_bundled else folder.REMEDY
    verify_sha256(path, file.sha256, remedy)
    return path


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
