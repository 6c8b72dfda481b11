"""Installed packages: versions, and optional ones imported where they are used."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from typing import Any

from aezoo.errors import MissingDependencyError


def require(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Module to import, e.g. `"sklearn.neighbors"`.
        extra: The extra of aezoo that installs it, e.g. `"evaluation"`.
        purpose: What needs it, as the subject of a sentence, e.g. `"A linear probe"`.

    Returns:
        The module.

    Raises:
        MissingDependencyError: If it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module, extra, purpose) from error


def check_installed(package: str, extra: str, purpose: str) -> None:
    """Fail before any work is done if an optional package is not there.

    Args:
        package: Package that is imported later, e.g. `"sklearn"`.
        extra: As in `require`.
        purpose: As in `require`.

    Raises:
        MissingDependencyError: If it is not installed; says how to install it.
    """
    if package in sys.modules:
        is_there = sys.modules[package] is not None
    else:
        is_there = importlib.util.find_spec(package) is not None
    if not is_there:
        raise _missing(package, extra, purpose)


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed, by name."""
    import importlib.metadata  # takes time

    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _missing(module: str, extra: str, purpose: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{purpose} needs {module.split('.')[0]}. Install it with "
        f'`pip install "aezoo[{extra}]"`.'
    )
