"""Spans of time on the command line."""

import re
from typing import Any

import click


class Duration(click.ParamType):
    """A span of time on the command line, in seconds: `90s`, `9m` or `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds; fails with a message that shows the forms."""
        if isinstance(value, float):  # converted before
            return value
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value)
        numbers = [int(part or 0) for part in parts.groups()] if parts else []
        if not any(numbers):
            self.fail(
                "must be a span of time such as '90s', '9m' or '1h30m', above 0. "
                f"Received: {value!r}.",
                param,
                ctx,
            )
        hours, minutes, seconds = numbers
        return float(3600 * hours + 60 * minutes + seconds)
