"""What goes wrong between a user and the Hub: the right bytes or an error, in time.

Every fault is real: a server that fails, a full disk, a killed process. The run ends
with the table of what happened (`pytest_terminal_summary` in conftest). Where a fault
needs a process of its own, it runs `remote.fetch`, the part of `aezoo.load` that
touches network and cache: eight imports of TensorFlow would be most of the time.
"""

import dataclasses
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("huggingface_hub")

import aezoo
from aezoo import errors
from aezoo.errors import ChecksumError, HubError
from aezoo.store import remote
from aezoo.store.load import load_folder
from aezoo.store.publish import Target, push_folder
from aezoo.store.remote import NoSuchFileError, Place
from tests.hub_server import HubServer

REPO, ENTRY, WEIGHTS = "org/tiny", "aezoo.json", "model.weights.h5"
# the client's own: it uploads LFS files by an argument that its HTTP library deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAMESPACE = ("unshare", "-rm", "sh", "-ec")
# `make faults` waits between attempts for as long as users do.
FIRST_WAIT = remote.FIRST_WAIT if "REAL_WAITS" in os.environ else 0.05
CHILD = """
import json, sys
from aezoo.store import remote
from aezoo.errors import AezooError
from aezoo.store.remote import Place, fetch
repo, filename, options, sha256, remote.FIRST_WAIT = json.loads(sys.argv[1])
try:
    result = {"path": str(fetch(Place(repo, **options), filename, sha256))}
except AezooError as error:
    result = {"error": type(error).__name__, "message": str(error)}
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """Two tiny models, as the files that `aezoo.save` writes."""
    folders = []
    for i in range(2):
        model = aezoo.create("dense_vae", input_shape=(8, 8, 1), hidden_units=(64,))
        folder = aezoo.save(model, tmp_path_factory.mktemp("models") / f"vae{i}")
        folders.append({path.name: path.read_bytes() for path in folder.iterdir()})
    return folders


@pytest.fixture(autouse=True)
def _waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", FIRST_WAIT)


@pytest.fixture
def files(models) -> dict[str, bytes]:
    return models[0]


@pytest.fixture
def hub(files) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(REPO, files)
        yield server


@pytest.fixture
def place(hub, tmp_path: Path) -> Place:
    return Place(REPO, cache_dir=tmp_path / "cache", endpoint=hub.url)


def load(place: Place) -> Any:
    """What `aezoo.load("hf://...")` does, on the test's own Hub."""
    return load_folder(*remote.fetch_model(place))


@pytest.fixture
def child(hub, place, files) -> Callable[..., Path]:
    """`fetch` in a process of its own, whose environment names the Hub."""

    def child(*prefix: str, **env: str) -> Path:
        return finish(start(*prefix, **env))

    def start(*prefix: str, **env: str) -> subprocess.Popen:
        argument = json.dumps(
            [REPO, WEIGHTS, {"cache_dir": str(place.cache_dir)}, None, FIRST_WAIT]
        )
        environment = os.environ | {"HF_ENDPOINT": hub.url} | env
        return subprocess.Popen(
            [*prefix, sys.executable, "-c", CHILD, argument],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(process: subprocess.Popen) -> Path:
        output, problems = process.communicate()
        assert output, problems
        result = json.loads(output.splitlines()[-1])
        if "error" in result:
            raise getattr(errors, result["error"])(result["message"])
        path = Path(result["path"])
        assert path.read_bytes() == files[WEIGHTS]
        return path

    child.start, child.finish = start, finish
    return child


@pytest.fixture
def table(hub, place, files, record_property) -> Callable[..., None]:
    """Make a call meet a fault, and write what happens into the table."""

    def table(
        fault: str,
        call: Callable[[], Any] | None = None,
        *,
        error: type[Exception] | None = None,
        match: str = "",
        within: float,
        model: dict[str, bytes] = files,
        leftovers: int = 0,
        is_intact: bool = True,
    ) -> None:
        before, start = len(hub.requests), time.monotonic()
        outcome = "the right model"
        if error is None:
            result = (call or (lambda: load(place)))()
            check_result(result, model)
            if isinstance(result, Path):
                outcome = "the right bytes"
        else:
            with pytest.raises(error, match=match) as caught:
                (call or (lambda: load(place)))()
            assert type(caught.value) is error
            outcome = f"{error.__name__}: {caught.value}"
            outcome = outcome.replace(str(place.cache_dir), "~/cache")
            outcome = re.sub(r"@[0-9a-f]{40}", "@<commit>", outcome)
        seconds, requests = time.monotonic() - start, len(hub.requests) - before
        record_property("fault", (fault, outcome, seconds, within, requests))
        if is_intact:
            check_cache(Path(place.cache_dir), leftovers)
        assert seconds < within

    return table


def check_result(result: Any, files: dict[str, bytes]) -> None:
    """A model or a file is what was published."""
    if isinstance(result, Path):
        assert result.read_bytes() == files[WEIGHTS]
        return
    with np.load(io.BytesIO(files["golden.npz"])) as golden:
        codes = result.encode(golden["inputs"])
        np.testing.assert_allclose(codes, golden["codes"], atol=1e-5)


def check_cache(folder: Path, leftovers: int) -> None:
    """Nothing half-written or damaged that a later load would take."""
    assert len(list(folder.rglob("*.incomplete"))) == leftovers
    for path in folder.rglob("snapshots/*/*"):
        assert not path.exists() or remote._is_intact(path, None), path


# --- The server ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_server_that_recovers(hub, table, method: str) -> None:
    hub.fault(WEIGHTS, method=method, status=500, times=2)
    table(f"{method} answers 500 twice, then recovers", within=15)
    assert hub.count(WEIGHTS, "GET") == (3 if method == "GET" else 1)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_server_that_stays_down(hub, table, method: str) -> None:
    hub.fault("resolve", method=method, status=500, times=None)
    message = r"answered 500 for aezoo.json of hf://org/tiny. Try again later"
    table(f"{method} answers 500 for ever", error=HubError, match=message, within=15)
    assert hub.count(ENTRY, method) == remote.ATTEMPTS


def test_a_rate_limit(hub, table) -> None:
    hub.fault(ENTRY, method="HEAD", status=429, retry_after=2)
    start = time.monotonic()
    table("429, Retry-After: 2", within=15)
    assert time.monotonic() - start > 2


def test_a_rate_limit_for_longer_than_anybody_waits(hub, table) -> None:
    hub.fault(ENTRY, method="HEAD", status=429, retry_after=600)
    message = r"answered 429 .* Try again in 600 s"
    table("429, Retry-After: 600", error=HubError, match=message, within=5)
    assert len(hub.requests) == 1


def test_a_connection_that_drops(hub, table) -> None:
    hub.fault(ENTRY, method="HEAD", drop=True, times=2)
    table("connection dropped twice before an answer", within=15)


def test_a_refused_connection(hub, table) -> None:
    hub.stop()
    message = r"could not be reached .*refused.* Check the connection, or set HF_END"
    table("connection refused", error=HubError, match=message, within=15)


def test_a_refused_connection_with_a_cache(hub, place, table) -> None:
    load(place)
    hub.stop()
    table("connection refused, model cached", within=10)


def test_no_such_host(child, table) -> None:
    def call() -> Path:
        return child(HF_ENDPOINT="http://nothing.invalid")

    message = r"could not be reached .*(resol|[Nn]ame).* Check the connection"
    table("DNS knows no such host", call, error=HubError, match=message, within=25)


def test_a_body_that_breaks_off(hub, table) -> None:
    hub.fault(WEIGHTS, method="GET", cut=True)
    table("body cut in half, once", within=15)


@pytest.mark.exhaustive
def test_bodies_that_always_break_off(hub, table) -> None:
    hub.fault(WEIGHTS, method="GET", cut=True, times=None)
    message = r"could not be reached for model.weights.h5 .*closed connection"
    table("body cut in half, always", error=HubError, match=message, within=30)


@pytest.mark.parametrize("filename", [ENTRY, WEIGHTS])
def test_a_flipped_bit(hub, table, filename: str) -> None:
    hub.fault(filename, method="GET", flip=True)
    table(f"one bit of {filename} flipped, once", within=10)
    assert hub.downloads(filename) == 2


def test_a_bit_that_is_always_flipped(hub, table) -> None:
    hub.fault(WEIGHTS, method="GET", flip=True, times=None)
    message = r"does not match its hash, and neither did a second download"
    table("one bit flipped, always", error=ChecksumError, match=message, within=10)
    assert hub.downloads(WEIGHTS) == 2
    hub.clear_faults()
    table("one bit flipped, always; later the server is well", within=10)


def test_a_slow_server(hub, child, table) -> None:
    """Slow is no fault: silence is."""
    hub.fault(WEIGHTS, method="GET", chunk_delay=0.3)
    start = time.monotonic()
    table(
        "3 s of dripping bytes, patience of 1 s",
        lambda: child(HF_HUB_DOWNLOAD_TIMEOUT="1"),
        within=20,
    )
    assert time.monotonic() - start > 3


def test_a_server_that_does_not_answer(hub, child, table) -> None:
    hub.fault(WEIGHTS, method="HEAD", delay=60, times=None)
    table(
        "no answer to a question, patience of 1 s",
        lambda: child(HF_HUB_ETAG_TIMEOUT="1"),
        error=HubError,
        match=r"could not be reached .*timed out.* Check the connection",
        within=20,
    )


@pytest.mark.exhaustive
def test_a_server_that_sends_no_bytes(hub, child, table) -> None:
    hub.fault(WEIGHTS, method="GET", delay=60, times=None)
    table(
        "no bytes of a file, patience of 1 s",
        lambda: child(HF_HUB_DOWNLOAD_TIMEOUT="1"),
        error=HubError,
        match=r"could not be reached .*timed out.* Check the connection",
        within=30,
    )


def test_another_size_than_announced(hub, table) -> None:
    hub.fault(WEIGHTS, method="HEAD", headers={"X-Linked-Size": "1000"}, times=None)
    message = r"sent model.weights.h5 of .* with another size than it had announced"
    table("announces another size", error=HubError, match=message, within=20)
    hub.clear_faults()
    table("announces another size; later the server is well", within=10)


def test_another_hash_than_announced(hub, table) -> None:
    etag = {"ETag": f'"{"0" * 40}"'}
    hub.fault(ENTRY, method="HEAD", headers=etag, times=None)
    message = r"aezoo.json of hf://org/tiny does not match its hash, and neither did"
    table("announces another hash", error=ChecksumError, match=message, within=10)
    hub.clear_faults()
    table("announces another hash; later the server is well", within=10)


def test_a_login_page(hub, table) -> None:
    hub.fault("", content=b"<html>Log in to this network</html>", times=None)
    message = r"is no Hub: a proxy, or the login page.* connection and HF_ENDPOINT"
    table("a login page to every request", error=HubError, match=message, within=5)


def test_a_login_page_with_a_cache(hub, place, table) -> None:
    load(place)
    hub.fault("", content=b"<html>Log in to this network</html>", times=None)
    table("a login page to every request, model cached", within=5)


# --- The repository -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "change", "message"),
    [
        ("repository", {"repo_id": "org/none"}, r"no repository hf://org/none, or it"),
        ("revision", {"revision": "v9"}, r"hf://org/tiny@v9 has no such revision"),
    ],
)
def test_what_is_not_there(place, table, fault, change, message) -> None:
    other = dataclasses.replace(place, **change)
    table(f"404: {fault}", lambda: load(other), error=HubError, match=message, within=5)


def test_a_repository_without_a_model(hub, table) -> None:
    hub.commit(REPO, {ENTRY: None})
    message = r"has no file aezoo.json, so it is not a model that aezoo published"
    table("404: file", error=NoSuchFileError, match=message, within=5)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"no repository hf://org/secret, or it is private.*pass `token=`"),
        ("hf_mistyped", r"answered 401 .* Check the token: pass another as `token=`"),
        ("hf_stranger", r"no repository hf://org/secret, or it is private"),
    ],
)
def test_a_private_repository(
    hub, place, files, table, caplog: pytest.LogCaptureFixture, token, message
) -> None:
    hub.add_repo("org/secret", files, private=True)
    hub.add_token("hf_stranger", repos=[REPO])
    secret = dataclasses.replace(place, repo_id="org/secret", token=token)
    caplog.set_level(logging.DEBUG)
    said = []

    def call() -> None:
        try:
            load(secret)
        except HubError as error:
            said.extend(traceback.format_exception(error))
            raise

    kind = {None: "no token", "hf_mistyped": "wrong token"}.get(token, "no rights")
    table(f"private: {kind}", call, error=HubError, match=message, within=5)
    if token:
        assert any(request.authorized for request in hub.requests)
        for text in (*said, caplog.text, repr(secret)):
            assert token not in text
    owner = dataclasses.replace(secret, token=hub.token)
    check_result(load(owner), files)
    assert hub.token not in caplog.text + repr(owner)


def test_a_renamed_repository(hub, table) -> None:
    hub.rename(REPO, "org/renamed")
    table("repository renamed, its old name redirects", within=5)


def test_a_branch_that_moves_between_two_files(hub, models, table) -> None:
    hub.fault(WEIGHTS, method="HEAD", delay=1)

    def move() -> None:
        while hub.count(ENTRY, "GET") == 0:
            time.sleep(0.01)
        hub.commit(REPO, models[1])

    thread = threading.Thread(target=move)
    thread.start()
    table("branch moves between entry and weights: the old one, whole", within=10)
    thread.join()
    assert not any("main" in r.path for r in hub.requests if WEIGHTS in r.path)
    table("branch moved since it was cached: the new one", within=5, model=models[1])


def test_a_pinned_commit_stays(hub, models, place, table) -> None:
    pinned = dataclasses.replace(place, revision=hub.revision(REPO))
    load(pinned)
    hub.commit(REPO, models[1])
    table("branch moved, commit pinned", lambda: load(pinned), within=5)


def test_other_weights_than_promised(hub, files, table) -> None:
    hub.commit(REPO, {WEIGHTS: files[WEIGHTS][:-1]})
    message = r"model.weights.h5 of hf://org/tiny@\w+ does not match its hash"
    table(
        "aezoo.json promises other bytes", error=ChecksumError, match=message, within=5
    )


HUGE = r"weights.h5 of .* must have at most [\d,]+ bytes. Received: [\d,]+ bytes"


def test_a_huge_file(hub, table) -> None:
    hub.commit(REPO, {WEIGHTS: bytes(30_000_000)})
    table("30 MB where 69 kB are promised", error=ChecksumError, match=HUGE, within=5)
    assert hub.downloads(WEIGHTS) == 0


def test_a_huge_file_whose_size_is_a_lie(hub, files, table) -> None:
    hub.commit(REPO, {WEIGHTS: bytes(60_000_000)})
    size = {"X-Linked-Size": str(len(files[WEIGHTS]))}
    hub.fault(WEIGHTS, method="HEAD", headers=size, times=None)
    hub.fault(WEIGHTS, method="GET", chunk_delay=0.5)  # all of it would take 5 s
    table("60 MB announced as 69 kB", error=ChecksumError, match=HUGE, within=3)
    assert hub.downloads(WEIGHTS) == 1


# --- Publishing ---------------------------------------------------------------------


@pytest.fixture
def publish(hub, models, tmp_path: Path) -> Callable[[], Any]:
    """Publish the second model over the first."""
    folder = tmp_path / "second"
    folder.mkdir()
    for name, data in models[1].items():
        (folder / name).write_bytes(data)
    target = Target(REPO, token=hub.token, endpoint=hub.url)
    return lambda: push_folder(folder, target)


def test_an_interrupted_publish_that_is_run_again(hub, models, publish, place, table):
    def again() -> Any:
        publish()
        return load(place)

    hub.fault("/commit/", method="POST", drop=True, times=None)
    message = r"could not be reached for org/tiny.* Publish again later"
    table("publish: line breaks", publish, error=HubError, match=message, within=20)
    check_result(load(place), models[0])
    hub.clear_faults()
    table("publish: interrupted, run again", again, within=10, model=models[1])
    assert hub.count("/lfs/", "PUT") == 2  # weights and golden tensors, once


def test_a_publish_whose_parent_moved(hub, models, publish, place, table) -> None:
    """Someone else commits between our look and our commit."""
    hub.fault("/commit/", method="POST", delay=1)

    def move() -> None:
        while hub.count("/lfs/", "PUT") < 2:
            time.sleep(0.01)
        hub.commit(REPO, {"notes.txt": b"theirs"})

    thread = threading.Thread(target=move)
    thread.start()
    message = r"Someone else committed to org/tiny meanwhile.* publish again"
    table("publish: parent moved", publish, error=HubError, match=message, within=10)
    thread.join()
    check_result(load(place), models[0])
    publish()
    check_result(load(place), models[1])
    assert hub.files(REPO)["notes.txt"] == b"theirs"


# --- This machine -------------------------------------------------------------------


def can_mount() -> bool:
    """Whether this process may mount folders of its own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*NAMESPACE, "mount -t tmpfs none /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_a_full_disk(place, child, table) -> None:
    if not can_mount():
        pytest.skip("needs the right to mount a small file system")
    cache = Path(place.cache_dir)
    cache.mkdir()
    mount = f'mount -t tmpfs -o size=32k none {cache}; exec "$@"'
    message = rf"cache {cache} cannot take .*No space left.* Free some space, or choose"
    table(
        "disk full",
        lambda: child(*NAMESPACE, mount, "sh"),
        error=HubError,
        match=message,
        within=10,
    )


def test_a_full_disk_and_room_again(child, table) -> None:
    def limited() -> Path:
        return child("sh", "-c", 'ulimit -f 8; exec "$@"', "sh")

    message = r"cannot take model.weights.h5 .*File too large. Free some space, or ch"
    table("file size limit", limited, error=HubError, match=message, within=10)
    table("file size limit; later there is room", child, within=10)


@pytest.fixture
def read_only(place) -> Iterator[tuple[str, ...]]:
    """What to put before a command, to which the cache is read-only."""
    cache = Path(place.cache_dir)
    cache.mkdir()
    if can_mount():
        mount = f"mount --bind {cache} {cache}; mount -o remount,ro,bind {cache}; "
        yield *NAMESPACE, mount + 'exec "$@"', "sh"
    elif os.geteuid():
        yield "sh", "-c", f'chmod -R a-w {cache}; exec "$@"', "sh"
        subprocess.run(["chmod", "-R", "u+w", cache], check=True)
    else:
        pytest.skip("needs the right to mount a folder, or a user other than root")


def test_a_read_only_cache(read_only, child, table) -> None:
    child()
    table("cache read-only, file cached", lambda: child(*read_only), within=10)


def test_an_empty_read_only_cache(read_only, child, table) -> None:
    table(
        "cache read-only, nothing cached",
        lambda: child(*read_only),
        error=HubError,
        match=r"cannot take .* Make it writable, or choose another folder by `cache_d",
        within=20,
    )


def test_damage_in_a_read_only_cache(read_only, child, table) -> None:
    path = child()
    path.write_bytes(path.read_bytes()[:-1])
    table(
        "cache read-only, file damaged",
        lambda: child(*read_only),
        error=ChecksumError,
        match=r"does not match its hash and cannot be removed: .* Remove it, or choose",
        within=10,
        is_intact=False,
    )


def test_a_cache_that_was_deleted(place, table) -> None:
    load(place)
    shutil.rmtree(place.cache_dir)
    table("cache deleted between two loads", within=5)


@pytest.mark.parametrize("pinned", [False, True])
def test_a_half_deleted_cache(hub, place, table, pinned: bool) -> None:
    if pinned:
        place = dataclasses.replace(place, revision=hub.revision(REPO))
    load(place)
    for blob in Path(place.cache_dir).rglob("blobs/*"):
        blob.unlink()
    which = "a pinned commit" if pinned else "a branch"
    table(f"cache of {which} half deleted: links dangle", lambda: load(place), within=5)


def test_damage_in_the_cache(hub, place, table) -> None:
    pinned = dataclasses.replace(place, revision=hub.revision(REPO))
    load(pinned)
    (path,) = Path(place.cache_dir).rglob(f"snapshots/*/{WEIGHTS}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    offline = dataclasses.replace(pinned, local_files_only=True)
    table("one bit flipped in the cache", lambda: load(pinned), within=5)
    path.write_bytes(data)
    message = r"did not match its hash and was removed .* without `local_files_only`"
    table(
        "one bit flipped in the cache, offline",
        lambda: load(offline),
        error=ChecksumError,
        match=message,
        within=5,
    )


def test_a_killed_download(hub, child, table) -> None:
    hub.fault(WEIGHTS, method="GET", chunk_delay=0.5, times=2)
    for kills in (1, 2):
        process = child.start()
        while hub.count(WEIGHTS, "GET") < kills:
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    fault = "SIGKILL during the download, twice; then again"
    table(fault, child, within=10, leftovers=2)


def test_eight_processes(hub, child, table) -> None:
    def eight() -> Path:
        processes = [child.start() for _ in range(8)]
        paths = {child.finish(process) for process in processes}
        assert len(paths) == 1
        return paths.pop()

    hub.fault(WEIGHTS, method="GET", chunk_delay=0.2, times=None)
    table("eight processes at once: one download", eight, within=40)
    assert hub.downloads(WEIGHTS) == 1


@pytest.mark.parametrize("is_cached", [True, False])
def test_offline(hub, child, table, is_cached: bool) -> None:
    def offline() -> Path:
        return child(HF_HUB_OFFLINE="1")

    if is_cached:
        child()
        table("HF_HUB_OFFLINE=1, cached", offline, within=10)
    else:
        message = r"not in the cache, and no request was allowed. Load it once without"
        table(
            "HF_HUB_OFFLINE=1, not cached",
            offline,
            error=HubError,
            match=message,
            within=10,
        )
        assert hub.requests == []
