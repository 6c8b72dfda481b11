"""Files from the Hub: the real client, a real server, and all that goes wrong."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("huggingface_hub")

import aezoo
from aezoo import hub as loading
from aezoo import remote
from aezoo.errors import ChecksumError, HubError, UnsafeFileError
from aezoo.files import sha256_of
from aezoo.remote import Place, fetch, parse_address
from tests.hub_server import HubServer

REPO, WEIGHTS, SMALL = "org/name", "model.weights.h5", "aezoo.json"
DATA = bytes(range(256)) * 800


@pytest.fixture
def hub():
    with HubServer() as server:
        server.add_repo(REPO, {WEIGHTS: DATA, SMALL: b"{}"})
        yield server


@pytest.fixture
def revision(hub) -> str:
    return hub.revision(REPO)


@pytest.fixture
def place(hub, tmp_path: Path) -> Place:
    return Place(REPO, cache_dir=tmp_path / "cache", endpoint=hub.url)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


@pytest.mark.parametrize("filename", [WEIGHTS, SMALL])
def test_a_file_is_fetched_once_and_then_cached(hub, place, filename: str) -> None:
    path = fetch(place, filename)
    assert path.read_bytes() == hub.files(REPO)[filename]
    assert fetch(place, filename) == path
    assert hub.downloads(filename) == 1


def test_a_pinned_cached_file_needs_no_request(hub, place, revision) -> None:
    pinned = Place(REPO, revision, place.cache_dir, endpoint=hub.url)
    fetch(pinned, WEIGHTS)
    hub.requests.clear()
    assert fetch(pinned, WEIGHTS).parent.name == revision
    assert hub.requests == []


def test_a_moved_branch_is_followed_and_a_pinned_commit_stays(
    hub, place, revision
) -> None:
    fetch(place, WEIGHTS)
    hub.commit(REPO, {WEIGHTS: b"new"})
    assert fetch(place, WEIGHTS).read_bytes() == b"new"
    pinned = Place(REPO, revision, place.cache_dir, endpoint=hub.url)
    assert fetch(pinned, WEIGHTS).read_bytes() == DATA


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_recovers_is_asked_again(hub, place, status: int) -> None:
    hub.fault(f"resolve/.*{WEIGHTS}", status=status, times=2)
    assert fetch(place, WEIGHTS).read_bytes() == DATA


@pytest.mark.parametrize("filename", [WEIGHTS, SMALL])
def test_a_flipped_byte_is_caught_and_fetched_again(hub, place, filename: str) -> None:
    hub.fault(filename, method="GET", flip=True)
    path = fetch(place, filename)
    assert path.read_bytes() == hub.files(REPO)[filename]
    assert hub.downloads(filename) == 2


def test_a_byte_that_stays_flipped_is_an_error_and_leaves_nothing(hub, place) -> None:
    hub.fault(WEIGHTS, method="GET", flip=True, times=None)
    with pytest.raises(ChecksumError, match=r"neither did a second download"):
        fetch(place, WEIGHTS)
    hub.clear_faults()
    assert fetch(place, WEIGHTS).read_bytes() == DATA


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(hub, place) -> None:
    path = fetch(place, WEIGHTS)
    path.resolve().write_bytes(b"x" + DATA[1:])
    assert fetch(place, WEIGHTS).read_bytes() == DATA
    path.resolve().write_bytes(b"x" + DATA[1:])
    offline = Place(
        REPO, cache_dir=place.cache_dir, local_files_only=True, endpoint=hub.url
    )
    with pytest.raises(ChecksumError, match=r"try again without `local_files_only`"):
        fetch(offline, WEIGHTS)


def test_another_file_than_promised_is_an_error(place, tmp_path) -> None:
    (tmp_path / "right").write_bytes(DATA)
    promised = sha256_of(tmp_path / "right")
    assert fetch(place, WEIGHTS, promised).read_bytes() == DATA
    with pytest.raises(ChecksumError, match=r"aezoo.json of hf://org/name does not"):
        fetch(place, SMALL, promised)


def test_a_body_that_breaks_off_is_completed(hub, place) -> None:
    hub.fault(WEIGHTS, method="GET", cut=True)
    assert fetch(place, WEIGHTS).read_bytes() == DATA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo_id": "org/nothing"}, r"no repository hf://org/nothing, or it is priv"),
        ({"revision": "v9"}, r"hf://org/name@v9 has no such revision"),
    ],
)
def test_what_is_not_there_is_named(place, change: dict, message: str) -> None:
    other = Place(
        **{"repo_id": REPO, "cache_dir": place.cache_dir, "endpoint": place.endpoint}
        | change
    )
    with pytest.raises(HubError, match=message):
        fetch(other, WEIGHTS)


def test_a_missing_file_says_that_this_is_no_model(place) -> None:
    with pytest.raises(HubError, match=r"has no file gone.json, so it is not a model"):
        fetch(place, "gone.json")


def test_private_repositories_need_a_token_that_is_never_shown(hub, tmp_path) -> None:
    hub.add_repo("org/secret", {WEIGHTS: DATA}, private=True)
    options = {"cache_dir": tmp_path, "endpoint": hub.url}
    stranger = hub.add_token("hf_stranger", repos=[REPO])
    for token, message in (
        (stranger or "hf_stranger", r"private one pass `token=`"),
        ("hf_mistyped", r"answered 401.*Check the token"),
    ):
        with pytest.raises(HubError, match=message) as caught:
            fetch(Place("org/secret", token=token, **options), WEIGHTS)
        assert token not in str(caught.value)
    place = Place("org/secret", token=hub.token, **options)
    assert fetch(place, WEIGHTS).read_bytes() == DATA
    assert hub.token not in repr(place)


def test_a_server_that_stays_down_is_an_error_in_bounded_time(hub, place) -> None:
    """The transfer is tried four times; the question before it by the client itself."""
    hub.fault(WEIGHTS, method="GET", status=500, times=None)
    with pytest.raises(HubError, match=r"answered 500 for model.weights.h5 of hf://o"):
        fetch(place, WEIGHTS)
    assert hub.count(WEIGHTS, "GET") == remote.ATTEMPTS


def test_a_line_that_breaks_is_tried_again_and_then_told(hub, place) -> None:
    hub.fault(WEIGHTS, method="HEAD", drop=True, times=1)
    assert fetch(place, WEIGHTS).read_bytes() == DATA
    hub.fault("resolve", method="HEAD", drop=True, times=None)
    with pytest.raises(HubError, match=r"could not be reached.*Check the connection"):
        fetch(place, SMALL)


@pytest.mark.slow
def test_a_refused_connection_is_an_error_that_says_so(place, hub) -> None:
    """The client itself waits 23 s before it gives up."""
    hub.stop()
    with pytest.raises(HubError, match=r"could not be reached.*Check the connection"):
        fetch(place, WEIGHTS)


def test_without_network_the_cache_answers_or_says_what_is_missing(hub, place) -> None:
    offline = Place(
        REPO, cache_dir=place.cache_dir, local_files_only=True, endpoint=hub.url
    )
    with pytest.raises(HubError, match=r"not in the cache, and no request was allowed"):
        fetch(offline, WEIGHTS)
    fetch(place, WEIGHTS)
    hub.requests.clear()
    assert fetch(offline, WEIGHTS).read_bytes() == DATA
    assert hub.requests == []


def test_a_full_disk_is_told_as_such(place, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(OSError, match=r"No space left") as caught:
        fetch(place, WEIGHTS)
    assert caught.value.errno == errno.ENOSPC
    assert not isinstance(caught.value, HubError)


def test_eight_threads_share_one_download(hub, place) -> None:
    hub.fault(WEIGHTS, chunk_delay=0.02, times=None)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetch(place, WEIGHTS), range(8)))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == DATA
    assert hub.downloads(WEIGHTS) == 1


def test_the_environment_names_the_hub_and_forbids_it(hub, tmp_path) -> None:
    code = (
        "from aezoo.remote import Place, fetch\n"
        f"print(fetch(Place({REPO!r}), {WEIGHTS!r}))"
    )
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}

    def run(**more: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=env | more, capture_output=True, text=True, check=False
        )

    offline = run(HF_HUB_OFFLINE="1")
    assert "no request was allowed" in offline.stderr
    online = run()
    assert Path(online.stdout.strip()).read_bytes() == DATA, online.stderr
    assert run(HF_HUB_OFFLINE="1").stdout == online.stdout


def test_addresses_name_repository_and_revision() -> None:
    assert parse_address("hf://org/name").revision is None
    place = parse_address("hf://org/na.me-1@v1.0", token="t")
    assert (place.repo_id, place.revision) == ("org/na.me-1", "v1.0")
    assert place.address == "hf://org/na.me-1@v1.0"
    assert parse_address("hf://org/name", revision="main").revision == "main"
    with pytest.raises(ValueError, match=r"`revision` must agree.*'v2'"):
        parse_address("hf://org/name@v1", revision="v2")


@pytest.mark.parametrize("address", ["hf://name", "hf://a/b/c", "hf://", "hf://a/b@"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"must be named as 'hf://organisation/name'"):
        parse_address(address)


# --- Models -----------------------------------------------------------------------


@pytest.fixture
def model(hub, tmp_path: Path):
    """A tiny model, saved and committed to the Hub as `org/tiny`."""
    tiny = aezoo.create("dense_vae", input_shape=(8, 8, 1), hidden_units=(4,))
    folder = aezoo.save(tiny, tmp_path / "tiny")
    hub.add_repo("org/tiny", {p.name: p.read_bytes() for p in folder.iterdir()})
    return tiny


def test_a_saved_folder_on_the_hub_is_a_model(hub, model, tmp_path: Path) -> None:
    place = Place("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.url)
    loaded = loading.load_folder(*remote.fetch_model(place))
    x = np.random.default_rng(0).random((3, 8, 8, 1), "float32")
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
    assert hub.downloads() == 2  # the entry and the weights, nothing else


@pytest.mark.usefixtures("model")
def test_weights_come_from_the_commit_of_their_entry(hub, tmp_path) -> None:
    """A branch that moves between the two files cannot mix two models."""
    place = Place("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.url)
    revision = hub.revision("org/tiny")
    snapshot, _ = remote.fetch_model(place)
    assert snapshot.name == revision
    paths = [request.path for request in hub.requests if WEIGHTS in request.path]
    assert any(f"/resolve/{revision}/" in path for path in paths)
    assert not any("/resolve/main/" in path for path in paths)


@pytest.mark.usefixtures("model")
def test_weights_that_the_entry_does_not_promise_are_refused(hub, tmp_path) -> None:
    hub.commit("org/tiny", {WEIGHTS: DATA})
    place = Place("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.url)
    with pytest.raises(ChecksumError, match=r"model.weights.h5 of hf://org/tiny@"):
        remote.fetch_model(place)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("name", ["../../../outside.h5", "/outside.h5"])
def test_names_that_leave_the_repository_are_refused_before_a_request(
    hub, tmp_path: Path, name: str
) -> None:
    entry = json.loads(hub.files("org/tiny")[SMALL])
    entry["weights"]["file"] = name
    hub.commit("org/tiny", {SMALL: json.dumps(entry).encode()})
    place = Place("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.url)
    with pytest.raises(UnsafeFileError, match=r"must stay inside its folder"):
        remote.fetch_model(place)
    assert hub.count("outside") == 0


@pytest.mark.usefixtures("model")
def test_load_takes_addresses_from_the_environments_hub(hub, tmp_path: Path) -> None:
    code = (
        "import aezoo\n"
        "model = aezoo.load('hf://org/tiny@main')\n"
        "print(model.family, model.latent_dim)"
    )
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, env=env, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["dense_vae", "20"], result.stderr


def test_options_of_the_hub_need_an_address_of_the_hub() -> None:
    with pytest.raises(ValueError, match=r"`revision` belongs to models on the Hub"):
        aezoo.load("conv_vae_mnist_z16", revision="main")
