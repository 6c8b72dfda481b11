"""Records: frozen, typed values, read from JSON that may come from others.

What msgspec refuses is told as aezoo tells it: field, rule, what was received.
"""

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from aezoo.errors import ManifestError

_Value = TypeVar("_Value", bound="Leaf")
_LARGEST = 2**63 - 1
# Characters of what stands on one line, though it holds more than values.
_SHORT = 400
# What decoding raises: the second for text that is no UTF-8.
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def matching(pattern: str) -> Meta:
    """Text that matches a pattern as a whole; `$` alone lets a line end follow."""
    return Meta(pattern=rf"^({pattern})$(?!\n)")


Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
Natural = Annotated[int, Meta(ge=0, le=_LARGEST)]
Shape = Annotated[tuple[Count, ...], Meta(min_length=1)]
Sha256 = Annotated[str, matching("[0-9a-f]{64}")]


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record of numbers, text, tuples and other records.

    `msgspec.structs.replace` gives a changed copy. Making one checks nothing; `decode`
    checks everything.

    Attributes:
        VERSION: Of a record that is a whole file, the `schema_version` that is read;
            None for parts of files.
    """

    VERSION: ClassVar[int | None] = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; without optional ones that are None or empty."""
        fields: dict[str, Any] = plain(self)
        return fields


class Record(Leaf, frozen=True):
    """A frozen record: mappings in it cannot be changed, lists are tuples."""

    def __post_init__(self) -> None:
        """Freeze mappings and lists."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, dict | list):
                msgspec.structs.force_setattr(self, name, frozen(value))


def frozen(value: Any) -> Any:
    """JSON values that cannot be changed."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(part) for key, part in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """JSON values of records and of what they hold: see `Record.to_dict`."""
    if isinstance(value, Leaf):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        if value.__struct_config__.array_like:
            parts = list(fields.values())
            while parts[-1] is None:
                parts.pop()
            return plain(parts)
        optional = _optional(type(value))
        return {
            name: plain(part)
            for name, part in fields.items()
            if name not in optional or not (part is None or part == {})
        }
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


@functools.cache
def _optional(cls: type[Leaf]) -> frozenset[str]:
    return frozenset(f.name for f in msgspec.structs.fields(cls) if not f.required)


def recast(record: Leaf, cls: type[_Value], **changes: Any) -> _Value:
    """A record of another kind, with the fields that the two share.

    Args:
        record: The record.
        cls: The other kind.
        **changes: Fields of that kind which are others.
    """
    shared = [f for f in cls.__struct_fields__ if f in record.__struct_fields__]
    return cls(**{name: getattr(record, name) for name in shared} | changes)


def decode(content: bytes, cls: type[_Value], what: str, remedy: str = "") -> _Value:
    """A record from JSON text.

    Args:
        content: The text, in UTF-8.
        cls: The kind of record.
        what: Where the text is from, e.g. `"The manifest x.json"`; begins messages.
        remedy: What to do about it; ends messages.

    Raises:
        ManifestError: If it is no JSON, of another version, or breaks a rule of the
            record; names the field and the rule, and shows what was received.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if cls.VERSION is None or _is_version(version, cls.VERSION):
            return msgspec.json.decode(content, type=cls)
    except _ERRORS as error:
        reason = _reason(error, content, cls)
        raise ManifestError(f"{what} is not {reason} {remedy}".strip()) from error
    raise ManifestError(
        f"{what} must have `schema_version` {cls.VERSION}. Received: "
        f"schema_version={version!r:.80}. Upgrade aezoo if it is newer."
    )


def encode(record: Record) -> str:
    """A record as JSON text: one innermost object a line, letters as they are.

    Raises:
        ManifestError: If it holds NaN or infinity, which JSON has not.
    """
    fields = record.to_dict()
    for where, value in _numbers(fields, ""):
        if not math.isfinite(value):
            raise ManifestError(f"`{where}` must be finite. Received: {value}.")
    return _lines(fields) + "\n"


def _numbers(value: Any, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield where, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{where}[{index}]")


class _Version(msgspec.Struct):
    schema_version: Any = None


def _is_version(version: Any, wanted: int) -> bool:
    return type(version) is int and version == wanted  # True is no version


def _lines(value: Any, depth: int = 0) -> str:
    """Records by lines that diffs can be read by, each indented by a space at most."""
    compact = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    is_short = depth > 2 and len(compact) <= _SHORT
    if isinstance(value, dict) and (
        depth < 2 or (any(map(_is_deep, value.values())) and not is_short)
    ):
        start, end = "{}"
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}:{_lines(part, depth + 1)}"
            for key, part in value.items()
        ]
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        start, end = "[]"
        parts = [_lines(part, depth + 1) for part in value]
    else:
        return compact
    if not parts:
        return start + end
    body = ",\n".join(" " + part for part in parts)
    return f"{start}\n{body}\n{' ' * (depth > 0)}{end}"


def _is_deep(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return any(isinstance(part, dict) for part in parts)


# --- What was wrong ------------------------------------------------------------------

_PLACE = re.compile(r"(.*?)(?: - at (`key` in )?`\$(.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


def _reason(error: Exception, content: bytes, cls: type[Leaf]) -> str:
    """What an error of msgspec is about, with names of keys and the wrong value."""
    try:
        document = msgspec.json.decode(content)
    except _ERRORS:
        return f"JSON: {error}."
    match = _PLACE.fullmatch(str(error))
    rule, is_key, path = match.groups() if match else (str(error), None, None)
    names, value = _find(str(error), document, cls, path or "", bool(is_key))
    field = re.fullmatch(r"Object (.*) field `(.*)`", rule)
    if field:
        what = "is missing" if field[1] == "missing required" else "is unknown"
        return f"valid: `{'.'.join((*names, field[2]))}` {what}."
    subject = f"`{'.'.join(names)}`" if names else "it"
    subject = f"each name in {subject}" if is_key else subject
    wanted = rule.partition("Expected ")[2].partition(", got ")[0]
    wanted = re.sub(
        r"`str` matching regex '\^\((.*)\)\$.*'", r"`str` that matches `\1`", wanted
    )
    told = f"{subject} must be {wanted}" if wanted else f"{subject}: {rule}"
    received = repr(value)
    more = "…" if len(received) > 80 else ""
    return f"valid: {told}. Received: {received:.80}{more}."


def _find(
    message: str, document: Any, cls: type[Leaf], path: str, is_key: bool
) -> tuple[list[str], Any]:
    """The names on the way to what a message is about, and what is there.

    msgspec does not name the keys of mappings: those are found by leaving out others.
    """

    def is_wrong() -> bool:
        try:
            msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            return str(error) == message
        return False

    def culprit(mapping: dict[str, Any]) -> str:
        everything, keys = dict(mapping), list(mapping)
        while len(keys) > 1:
            half, rest = keys[: len(keys) // 2], keys[len(keys) // 2 :]
            mapping.clear()
            mapping.update((key, everything[key]) for key in half)
            keys = half if is_wrong() else rest
        mapping.clear()
        mapping[keys[0]] = everything[keys[0]]
        return keys[0]

    names: list[str] = []
    value = document
    for field, index, _ in _STEP.findall(path):
        if index:
            names[-1:] = [f"{names[-1]}[{index}]" if names else f"[{index}]"]
            value = value[int(index)]
        else:
            names.append(field or culprit(value))
            value = value[names[-1]]
    return names, culprit(value) if is_key else value
