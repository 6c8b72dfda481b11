"""The `aezoo` command.

`aezoo list`, `describe` and `--help` answer at once: a command's module is imported
when it is named, and heavy modules by the commands that need them, after everything
that can be checked without them.
"""

from aezoo.cli._common import main

__all__ = ["main"]
