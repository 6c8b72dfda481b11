"""Docstrings as the documentation site reads them: an extension of griffe.

The style guide's section is `Example:`; griffe reads doctests under `Examples:` only.
Objectives declare their arguments as class attributes, which stand for parameters of
`__init__`, with types and defaults.
"""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_ARGUMENTS = "aezoo.models.arguments."
_KEYWORD = griffe.ParameterKind.keyword_only


class Docstrings(griffe.Extension):
    """Shows examples as code, and arguments of objectives as parameters."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Name the section as griffe does."""
        if obj.docstring is not None:
            value = _EXAMPLE.sub("Examples:", obj.docstring.value)
            obj.docstring.value = value

    def on_class(self, *, cls: Any, **_: Any) -> None:
        """Give an objective the constructor that its declared arguments make."""
        declared: dict[str, Any] = {}
        for owner in (cls, *cls.mro()):
            for name, member in owner.members.items():
                if name not in declared and _is_argument(member):
                    declared[name] = griffe.Parameter(
                        name,
                        annotation=member.annotation,
                        kind=_KEYWORD,
                        default=str(member.value.arguments[0]),
                    )
        own = [name for name in declared if name in cls.members]
        if own and "__init__" not in cls.members:
            shown = _documented(cls, declared) or own
            several = griffe.Parameter(
                "kwargs", kind=griffe.ParameterKind.var_keyword, default="{}"
            )
            parameters = [
                griffe.Parameter("self", kind=griffe.ParameterKind.positional_only),
                *(declared[name] for name in shown),
                several,
            ]
            function = griffe.Function(
                "__init__", parameters=griffe.Parameters(*parameters)
            )
            cls.set_member("__init__", function)


def _is_argument(member: Any) -> bool:
    """Whether a member is an attribute that declares an argument."""
    if not member.is_attribute or not isinstance(member.value, griffe.ExprCall):
        return False
    return str(member.value.function.canonical_path).startswith(_ARGUMENTS)


def _documented(cls: Any, declared: dict[str, Any]) -> list[str]:
    """Those that the class's own docstring describes."""
    text = cls.docstring.value if cls.docstring is not None else ""
    return [name for name in re.findall(r"^ +(\w+): ", text, re.M) if name in declared]
