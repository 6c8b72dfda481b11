"""Access tokens of the Hub: checked before the client sees them, and never shown.

A token that is none would be shown by the client in an error of its own, and so would a
file of tokens that is no text. Tokens go to the client and nowhere else.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from aezoo.errors import AezooError, HubError

_TOKEN = re.compile("[!-~]{1,1000}")
_IN_ADDRESS = re.compile(r"://[^/@\s]+@")
_HIDDEN = "<hidden>"
# Those that were handed to the client, and that no message may hold.
_seen: set[str] = set()


def check_token(token: Any) -> None:
    """Refuse what cannot be a token.

    Args:
        token: A token, or None.

    Raises:
        ValueError: If it is not one word of ASCII letters; it is not shown.
    """
    if token is not None and not _is_token(token):
        raise ValueError(
            "`token` must be one word of ASCII letters, as the Hub issued it. What was "
            "received is not shown."
        )


def find_token(token: str | None) -> str | None:
    """The token for a request: the one given, or else the client's own.

    Args:
        token: A token; None for that of HF_TOKEN or of `hf auth login`, if any.

    Returns:
        A token, or None.

    Raises:
        ValueError: As in `check_token`.
        HubError: If the client's own cannot be a token; it is not shown.
    """
    check_token(token)
    found = token if token is not None else _token_of_client()
    if found is None:
        return None
    if not _is_token(found):
        # Outside of any `except`: the error there would hold what was read.
        raise HubError(
            "The access token in HF_TOKEN, or the one that `hf auth login` stored, is "
            "not one word of ASCII letters. It is not shown. Correct or unset "
            "HF_TOKEN, or run `hf auth login` again."
        )
    _seen.add(found)
    return found


def _is_token(token: Any) -> bool:
    return isinstance(token, str) and _TOKEN.fullmatch(token) is not None


def _token_of_client() -> str | None:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    try:
        return get_token()
    except UnicodeError:
        return ""  # no text, so no token


def without_tokens(text: str) -> str:
    """A message without tokens, and without passwords in addresses."""
    for token in sorted(_seen, key=len, reverse=True):
        text = text.replace(token, _HIDDEN)
    return _IN_ADDRESS.sub(f"://{_HIDDEN}@", text)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """No error of aezoo that leaves this context shows a token."""
    try:
        yield
    except AezooError as error:
        error.args = tuple(
            without_tokens(part) if isinstance(part, str) else part
            for part in error.args
        )
        raise
