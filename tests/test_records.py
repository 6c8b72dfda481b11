"""Records: what is refused, by which message, and what is never read at all."""

import contextlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from msgspec.structs import replace

from aezoo.errors import ManifestError
from aezoo.utils.records import (
    Count,
    Record,
    Sha256,
    Text,
    decode,
    encode,
    frozen,
    matching,
    recast,
)


class Part(Record, frozen=True):
    file: Text
    sha256: Sha256


class Row(Record, frozen=True, array_like=True):
    value: float
    note: Text | None = None


class Whole(Record, frozen=True, kw_only=True):
    VERSION: ClassVar[int | None] = 1

    schema_version: int
    size: Count
    ratio: float = 0.5
    part: Part | None = None
    config: Mapping[str, Any] = {}
    rows: Mapping[str, Row] = {}
    parts: Mapping[Annotated[str, matching("[a-z]+")], Mapping[str, Part]] = {}
    shape: Annotated[tuple[Count, ...], Meta(max_length=3)] = ()


HASH = "0" * 64
GOOD = {"file": "x", "sha256": HASH}


def read(content: object) -> Whole:
    if isinstance(content, dict):
        content = {"schema_version": 1, "size": 1, **content}
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return decode(content, Whole, "The file x", "Write it again.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"size": 0}, "`size` must be `int` >= 1. Received: 0."),
        ({"size": True}, "`size` must be `int`. Received: True."),
        ({"size": 1.0}, "`size` must be `int`. Received: 1.0."),
        ({"size": None}, "`size` must be `int`. Received: None."),
        (
            {"size": 10**400},
            "`size` must be `int` <= 9223372036854775807. Received: 10",
        ),
        ({"ratio": 10**400}, "`ratio`: Number out of range. Received: 10"),
        ({"sise": 1}, "`sise` is unknown."),
        ({"part": {"file": "x"}}, "`part.sha256` is missing."),
        ({"part": {**GOOD, "more": 1}}, "`part.more` is unknown."),
        ({"part": 3}, "`part` must be `object | null`. Received: 3."),
        ({"part": {**GOOD, "file": ""}}, "`part.file` must be `str` of length >= 1."),
        (
            {"part": {**GOOD, "sha256": f"{HASH}\n"}},
            "`part.sha256` must be `str` that matches `[0-9a-f]{64}`. Received: '0000",
        ),
        ({"shape": [1, "2"]}, "`shape[1]` must be `int`. Received: '2'."),
        ({"shape": [1] * 4}, "`shape` must be `array` of length <= 3. Received: [1,"),
        ({"shape": {}}, "`shape` must be `array`. Received: {}."),
        ({"rows": {"a": [1], "b": {}}}, "`rows.b` must be `array`. Received: {}."),
        (
            {"rows": {"a": [1, ""]}},
            "`rows.a[1]` must be `str` of length >= 1. Received: ''",
        ),
        ({"parts": {"Ab": {}}}, "each name in `parts` must be `str` that matches"),
        (
            {"parts": {"a": {}, "b": {str(i): GOOD for i in range(99)} | {"c.d": 3}}},
            "`parts.b.c.d` must be `object`. Received: 3.",
        ),
        ([], "it must be `object`. Received: []."),
        (b"3", "it must be `object`. Received: 3."),
    ],
)
def test_a_message_names_field_and_rule_and_shows_the_value(
    content: object, message: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        read(content)
    assert f"The file x is not valid: {message}" in str(caught.value)
    assert str(caught.value).endswith(" Write it again.")
    assert len(str(caught.value)) < 300, "however large the value is"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{no",
        b"\xff\xfe",
        b'{"schema_version": 1, "size": 1, "part": {"file": "\xff"}}',
        b'{"schema_version": 1, "size": 1, "part": {"file": "\\ud800"}}',
        b'{"schema_version": 1, "size": NaN}',
        b'{"schema_version": 1, "size": 1, "ratio": Infinity}',
        b'{"schema_version": 1, "ratio": 1e999, "size": 1}',
        b'{"schema_version": 1, "size": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"schema_version": 1, "size": 1, "config": {"a": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError, match=r"The file x is not (JSON|valid): .*again"):
        read(content)


@pytest.mark.parametrize("version", [2, 0, True, 1.0, "1", None, [1], 10**400])
def test_another_version_is_told_apart_from_a_mistake(version: object) -> None:
    with pytest.raises(
        ManifestError, match=r"`schema_version` 1\. .*=.* Upgrade aezoo"
    ):
        read({"schema_version": version, "size": "and all else is wrong, too"})


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["schema_version", "size", "part", "file", "sha256", "rows", "parts", "a"]
        ),
        parts,
        max_size=5,
    ),
    max_leaves=12,
))  # fmt: skip
def test_anything_else_is_read_or_refused(content: object) -> None:
    """No value leads to another error, in reading or in telling what is wrong."""
    with contextlib.suppress(ManifestError):
        read(content)


def test_a_record_cannot_be_changed() -> None:
    whole = read({"config": {"a": [1, {"b": [2]}]}, "rows": {"r": [1]}, "shape": [3]})
    with pytest.raises(AttributeError, match="immutable"):
        whole.size = 2  # type: ignore[misc]
    for mapping in (whole.config, whole.rows, whole.config["a"][1]):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]
    assert whole.config["a"] == (1, {"b": (2,)})
    assert whole.shape == (3,)
    assert replace(whole, config={"a": [1]}).config == frozen({"a": [1]})


def test_what_is_written_is_read_again() -> None:
    whole = read(
        {
            "config": {"ü": [1, None], "deep": {"a": {}}},
            "rows": {"a": [0.1], "b": [2.0, "“note”"]},
            "part": GOOD,
        }
    )
    text = encode(whole)
    assert decode(text.encode(), Whole, "") == whole
    assert '"a":[0.1]' in text, "nulls at the end of a list are left out"
    assert "parts" not in text, "and so are optional fields without anything"
    assert "“note”" in text
    assert whole.to_dict()["config"] == {"ü": [1, None], "deep": {"a": {}}}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_text_holds_nan(value: float) -> None:
    rows = {"a": Row(value)}
    with pytest.raises(ManifestError, match=r"`rows\.a\[0\]` must be finite. Received"):
        encode(Whole(schema_version=1, size=1, rows=rows))


def test_a_record_becomes_one_of_another_kind() -> None:
    class Named(Part, frozen=True, kw_only=True):
        name: str

    part = Part("x", HASH)
    named = recast(part, Named, name="n")
    assert named == Named("x", HASH, name="n")
    assert recast(named, Part) == part
