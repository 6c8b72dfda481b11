"""Tokens of the Hub: checked wherever they come from, and in no message."""

import dataclasses
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")

import httpx2
from huggingface_hub import constants

from aezoo.errors import HubError
from aezoo.store import remote, tokens
from aezoo.store.publish import Target
from aezoo.store.remote import Place, fetch
from tests.hub_server import HubServer

REPO, FILE = "org/name", "aezoo.json"
SECRET = "hf_SeCrEtSeCrEt"
NONE = {
    "a control character": f"{SECRET}\x07",
    "an escape sequence": f"\x1b[31m{SECRET}",
    "two lines": f"{SECRET}\n{SECRET}",
    "two words": f"{SECRET} {SECRET}",
    "a letter beyond ASCII": f"{SECRET}é",
    "a surrogate": f"{SECRET}\udc80",
    "too many letters": SECRET * 1000,
}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(REPO, {FILE: b"{}"})
        yield server


@pytest.fixture
def place(hub: HubServer, tmp_path: Path) -> Place:
    return Place(REPO, cache_dir=tmp_path / "cache", endpoint=hub.url)


def everything_in(error: BaseException | None) -> str:
    """All that an error, its causes and its contexts hold and show."""
    if error is None:
        return ""
    shown = "".join(traceback.format_exception(error)) + repr(error)
    held = repr(error.args) + repr(vars(error)) + repr(getattr(error, "object", ""))
    others = {id(e): e for e in (error.__cause__, error.__context__)}.values()
    return shown + held + "".join(map(everything_in, others))


def set_token(source: str, token: str, folder: Path, monkeypatch) -> None:
    if source == "file":
        path = folder / "token"
        path.write_bytes(token.encode("utf-8", "surrogateescape"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(path))
    else:
        monkeypatch.setenv(source, token)


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_token_is_refused_unseen(what: str, place: Place) -> None:
    for make in (
        lambda: Place(REPO, token=NONE[what]),
        lambda: dataclasses.replace(place, token=NONE[what]),
        lambda: Target(REPO, token=NONE[what]).check(),
    ):
        with pytest.raises(ValueError, match="`token` must be one word") as caught:
            make()
        assert "SeCrEt" not in everything_in(caught.value)


@pytest.mark.parametrize("token", [b"hf_x", 3, True, ["hf_x"]])
def test_what_is_no_text_is_no_token(token) -> None:
    with pytest.raises(ValueError, match="`token` must be one word"):
        Place(REPO, token=token)


@pytest.mark.parametrize(
    "what", sorted(set(NONE) - {"two lines"})
)  # which the client joins
@pytest.mark.parametrize("source", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "file"])
def test_the_clients_own_is_checked_as_well(
    what: str, source: str, place: Place, tmp_path: Path, monkeypatch
) -> None:
    set_token(source, NONE[what], tmp_path, monkeypatch)
    message = "in HF_TOKEN, or the one that `hf auth login` stored"
    for call in (
        lambda: fetch(place, FILE),
        lambda: Target(REPO, endpoint=place.endpoint).check(),
    ):
        with pytest.raises(HubError, match=message) as caught:
            call()
        assert "SeCrEt" not in everything_in(caught.value)


@pytest.mark.parametrize("source", ["HF_TOKEN", "file"])
def test_the_clients_own_is_used(
    source: str, hub: HubServer, place: Place, tmp_path: Path, monkeypatch
) -> None:
    hub.add_repo("org/secret", {FILE: b"{}"}, private=True)
    secret = dataclasses.replace(place, repo_id="org/secret")
    set_token(source, f" {hub.token}\n", tmp_path, monkeypatch)
    assert fetch(secret, FILE).read_bytes() == b"{}"
    assert any(request.authorized for request in hub.requests)


def test_none_is_used_where_the_client_may_use_none(
    hub: HubServer, place: Place, monkeypatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{SECRET}\x07")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    assert fetch(place, FILE).read_bytes() == b"{}"
    assert not any(request.authorized for request in hub.requests)


def test_what_echoes_a_token_does_not_show_it(place: Place, monkeypatch) -> None:
    def fail(*_, **__) -> None:
        request = httpx2.Request("GET", "https://host/")
        echo = f"no way with Bearer {SECRET} to https://me:pw@host/"
        raise httpx2.ConnectError(echo, request=request)

    monkeypatch.setattr(remote, "_attempt", fail)
    with pytest.raises(HubError) as caught:
        fetch(dataclasses.replace(place, token=SECRET), FILE)
    assert "Bearer <hidden> to https://<hidden>@host/" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_messages_are_left_as_they_are_without_tokens() -> None:
    tokens.find_token(SECRET)
    text = "hf://org/name@main, https://host/a@b"
    assert tokens.without_tokens(text) == text
    assert tokens.without_tokens(f"x{SECRET}y") == "x<hidden>y"
