"""Files from the Hub: the real client and a real server.

What goes wrong is in `test_hub_faults`.
"""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("huggingface_hub")

import aezoo
from aezoo.errors import ChecksumError, HubError, ManifestError, UnsafeFileError
from aezoo.store import load as loading
from aezoo.store import remote
from aezoo.store.remote import Place, fetch, parse_address
from aezoo.utils.files import sha256_of
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


def test_another_file_than_promised_is_an_error(place, tmp_path) -> None:
    (tmp_path / "right").write_bytes(DATA)
    promised = sha256_of(tmp_path / "right")
    assert fetch(place, WEIGHTS, promised).read_bytes() == DATA
    with pytest.raises(ChecksumError, match=r"aezoo.json of hf://org/name does not"):
        fetch(place, SMALL, promised)


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


def test_a_cached_branch_is_asked_for_once_and_kept_for_offline(hub, place) -> None:
    """A commit that is cached by its number serves the branch as well, from then on."""
    fetch(dataclasses.replace(place, revision=hub.revision(REPO)), WEIGHTS)
    fetch(place, WEIGHTS)
    hub.requests.clear()
    fetch(place, WEIGHTS)
    assert [request.method for request in hub.requests] == ["HEAD"]
    offline = dataclasses.replace(place, local_files_only=True)
    assert fetch(offline, WEIGHTS).read_bytes() == DATA


def test_gated_repositories_say_how_to_get_in(hub, place) -> None:
    hub.add_repo("org/gated", {WEIGHTS: DATA}, gated=True)
    gated = dataclasses.replace(place, repo_id="org/gated")
    with pytest.raises(HubError, match=r"hf://org/gated is gated. Ask for access on"):
        fetch(gated, WEIGHTS)


def test_names_that_the_hub_does_not_allow_are_named(place) -> None:
    with pytest.raises(HubError, match=r"hf://org/-name is not a valid address: "):
        fetch(dataclasses.replace(place, repo_id="org/-name"), WEIGHTS)


def test_larger_files_than_allowed_are_refused_before_the_download(hub, place) -> None:
    message = r"must have at most 204,799 bytes. Received: 204,800 bytes"
    with pytest.raises(ChecksumError, match=message):
        fetch(place, WEIGHTS, max_bytes=len(DATA) - 1)
    assert hub.downloads() == 0
    assert fetch(place, WEIGHTS, max_bytes=len(DATA)).read_bytes() == DATA


def test_eight_threads_share_one_download(hub, place) -> None:
    hub.fault(WEIGHTS, chunk_delay=0.02, times=None)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetch(place, WEIGHTS), range(8)))
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == DATA
    assert hub.downloads(WEIGHTS) == 1


def test_the_environment_names_the_hub_and_forbids_it(hub, tmp_path) -> None:
    code = (
        "from aezoo.store.remote import Place, fetch\n"
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


@pytest.mark.parametrize("token", ["hf_secret\n", "hf_se cret", "hf_sécret", ""])
def test_what_cannot_be_a_token_is_refused_unseen(token: str) -> None:
    """The client would print it, as a header that is not allowed."""
    with pytest.raises(
        ValueError, match=r"`token` must be one word of ASCII"
    ) as caught:
        aezoo.load("hf://org/name", token=token or " ")
    assert "cret" not in str(caught.value)


def test_addresses_name_repository_and_revision() -> None:
    assert parse_address("hf://org/name").revision is None
    place = parse_address("hf://org/na.me-1@v1.0", token="t")
    assert (place.repo_id, place.revision) == ("org/na.me-1", "v1.0")
    assert place.address == "hf://org/na.me-1@v1.0"
    assert parse_address("hf://org/name", revision="main").revision == "main"
    with pytest.raises(ValueError, match=r"`revision` must agree.*'v2'"):
        parse_address("hf://org/name@v1", revision="v2")


@pytest.mark.parametrize(
    "address", ["hf://name", "hf://a/b/..", "hf://a/b//c", "hf://", "hf://a/b@"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"must be named as 'hf://organisation/name'"):
        parse_address(address)


# --- Models -----------------------------------------------------------------------


@pytest.fixture
def model(hub, tmp_path: Path):
    """A tiny model, saved and committed to the Hub as `org/tiny`."""
    config = {"input_shape": (8, 8, 1), "hidden_units": (4,), "latent_dim": 3}
    tiny = aezoo.create("dense_vae", **config)
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
def test_files_may_be_kept_in_a_store_that_all_repositories_share(
    hub, tmp_path: Path
) -> None:
    """The client's layout with Xet: a repository's blobs are links once more."""
    cache = tmp_path / "cache"
    place = Place("org/tiny", cache_dir=cache, endpoint=hub.url)
    snapshot, _ = remote.fetch_model(place)
    blob = snapshot / (snapshot / WEIGHTS).readlink()
    store = cache / "blobs" / "ab" / ("ab" + "0" * 62)
    store.parent.mkdir(parents=True)
    blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    hub.requests.clear()
    assert loading.load_folder(*remote.fetch_model(place)).family == "dense_vae"
    assert hub.downloads() == 0
    store.write_bytes(b"x" + store.read_bytes()[1:])
    assert loading.load_folder(*remote.fetch_model(place)).family == "dense_vae"
    assert hub.downloads(WEIGHTS) == 1


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
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (236_000_000,), "chunks": True}, r"must fit the weights file"),
        ({"shape": (236_000_000,), "stated": 5}, r"must store every value"),
        ({"data": np.zeros(9), "stated": 9, "chunks": (9,)}, r"must store its"),
        ({"data": np.full(9, np.nan), "stated": 9}, r"must hold finite numbers"),
    ],
)
def test_what_a_folder_is_refused_for_a_repository_is_too(
    hub, tmp_path: Path, options: dict, message: str
) -> None:
    """54 kB that declare 236 million values took 3.2 GB."""
    entry, content = json.loads(hub.files("org/tiny")[SMALL]), io.BytesIO()
    entry["num_params"] = options.pop("stated", 236_000_000)
    with h5py.File(content, "w") as file:
        file.create_dataset("vars/0", dtype="f4", **options)
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    entry["weights"].update(bytes=len(content.getvalue()), sha256=sha256)
    files = {SMALL: json.dumps(entry).encode(), WEIGHTS: content.getvalue()}
    hub.commit("org/tiny", files)
    place = Place("org/tiny", cache_dir=tmp_path / "cache", endpoint=hub.url)
    with pytest.raises(ManifestError, match=message):
        loading.load_folder(*remote.fetch_model(place))


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
    assert result.stdout.split() == ["dense_vae", "3"], result.stderr
