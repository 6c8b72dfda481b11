"""The `aezoo` command.

`aezoo list`, `describe` and `--help` answer at once: heavy modules are imported by
the commands that need them, after everything that can be checked without them.
"""

# Each module adds its commands to the group.
from aezoo.cli import (  # noqa: F401
    compression,
    exploring,
    exporting,
    features,
    hub,
    lookup,
    measuring,
    pictures,
    training,
)
from aezoo.cli._common import main

__all__ = ["main"]
