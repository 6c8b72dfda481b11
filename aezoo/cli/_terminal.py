"""The one way to the terminal: whatever is printed is printable.

Names of files, keys of configurations and words of others may hold sequences that
steer a terminal, turn the direction of text or cannot be encoded at all. They are
shown as they would be written in Python or JSON.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click


def printable(text: Any) -> str:
    r"""Text as it can be shown: `\x1b` for an escape character, and so on.

    Args:
        text: Any object, of which `str` is taken.

    Returns:
        Its letters, digits, signs, spaces and line ends, and what else there is
        escaped.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in str(text)
    )


def echo(text: Any = "", *, err: bool = False, **style: Any) -> None:
    """Print a line.

    Args:
        text: The line.
        err: Print to stderr.
        **style: As in `click.style`; what `text` itself has of it is not obeyed.
    """
    click.secho(printable(text), err=err, **style)


def is_terminal() -> bool:
    """Whether somebody watches, rather than a file or another command."""
    return sys.stdout.isatty()


def print_json(value: Any, default: Any = None) -> None:
    """Print JSON, in which nothing is lost of what cannot be printed."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=default)
    # Such characters stand in strings only.
    click.echo(
        "".join(
            c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text
        )
    )


@contextlib.contextmanager
def printable_errors() -> Iterator[None]:
    """Errors of click and warnings inside this context are printable, too."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        echo(f"Warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except click.ClickException as error:
            told = error.format_message()
            if printable(told) == told:
                raise
            context = getattr(error, "ctx", None)
            if isinstance(error, click.UsageError):
                raise click.UsageError(printable(told), context) from error
            raise click.ClickException(printable(told)) from error
