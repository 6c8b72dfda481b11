"""Optional packages, imported where they are used."""

import importlib
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
        raise MissingDependencyError(
            f"{purpose} needs {module.split('.')[0]}. Install it with "
            f'`pip install "aezoo[{extra}]"`.'
        ) from error
