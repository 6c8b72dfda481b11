"""Publishing: the real client, a real server, and all that goes wrong on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import aezoo
from aezoo.errors import HubError, ManifestError, UnsafeFileError
from aezoo.manifest import Metric
from aezoo.store import publish as publishing
from aezoo.store import remote
from aezoo.store.folder import WRITTEN, write_card
from aezoo.store.publish import Target, plan_push, push_folder
from tests.draws import exhaustive
from tests.hub_server import HubServer

REPO, WEIGHTS = "org/my-vae", "model.weights.h5"
SECRET = "hf_secret123"
# the client's own: it uploads LFS files by an argument that its HTTP library deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def target(hub) -> Target:
    return Target(REPO, token=hub.token, endpoint=hub.url)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def model():
    return aezoo.create("dense_vae", latent_dim=2, hidden_units=(16,))


@pytest.fixture(scope="module")
def _saved(model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = aezoo.save(model, tmp_path_factory.mktemp("saved") / "model")
    write_card(folder, f"hf://{REPO}")
    return folder


@pytest.fixture
def folder(_saved: Path, tmp_path: Path) -> Path:
    """A saved model that a test may change."""
    return Path(shutil.copytree(_saved, tmp_path / "model"))


def commits(hub: HubServer, repo_id: str = REPO) -> int:
    return len(hub._repos[repo_id].commits)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def published(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    files = hub.files(REPO, revision)
    return {name: data for name, data in files.items() if name in WRITTEN}


def change_card(folder: Path) -> None:
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")


# --- Publishing ----------------------------------------------------------------------


def test_what_is_published_is_what_was_saved(hub, target, folder: Path) -> None:
    done = push_folder(folder, target)
    assert (done.repo_id, done.is_new, done.pull_request) == (REPO, True, None)
    assert done.revision == hub.revision(REPO)
    assert done.url == f"{hub.url}/{REPO}"
    assert published(hub) == contents(folder)
    assert "README.md" in contents(folder)
    assert commits(hub) == 2, "the repository's first, and ours"


def test_publishing_again_makes_no_commit(hub, target, folder: Path) -> None:
    first = push_folder(folder, target)
    hub.requests.clear()
    again = push_folder(folder, target)
    assert (again.revision, again.is_new) == (first.revision, False)
    assert commits(hub) == 2
    assert hub.count(method="POST") == hub.count(method="PUT") == 0


def test_what_is_unchanged_is_not_sent_again(hub, target, folder: Path) -> None:
    push_folder(folder, target)
    change_card(folder)
    hub.requests.clear()
    assert push_folder(folder, target).is_new
    assert commits(hub) == 3
    assert hub.count(method="PUT") == 0
    assert published(hub) == contents(folder)


def test_files_of_others_stay_and_pictures_that_are_gone_go(
    hub, target, folder: Path
) -> None:
    push_folder(folder, target)
    hub.commit(REPO, {"notes.txt": b"mine", "sub/samples.png": b"mine"})
    (folder / "samples.png").unlink()
    (folder / "secret.txt").write_text("not for publication")
    push_folder(folder, target)
    files = hub.files(REPO)
    assert (files["notes.txt"], files["sub/samples.png"]) == (b"mine", b"mine")
    assert "samples.png" not in files
    assert "secret.txt" not in files, "only what `aezoo.save` writes is sent"


def test_private(hub, target, folder: Path) -> None:
    private = Target(REPO, private=True, token=hub.token, endpoint=hub.url)
    push_folder(folder, private)
    assert hub._repos[REPO].private
    assert not push_folder(folder, target).is_new
    assert hub._repos[REPO].private, "it stays private"


def test_a_public_repository_is_no_private_one(hub, folder: Path) -> None:
    hub.add_repo(REPO)
    private = Target(REPO, private=True, token=hub.token, endpoint=hub.url)
    with pytest.raises(HubError, match=r"is public, and `private=True` does not.*sett"):
        push_folder(folder, private)
    assert commits(hub) == 1


def test_a_pull_request_and_its_merge(hub, target, folder: Path) -> None:
    push_folder(folder, target)
    head = hub.revision(REPO)
    change_card(folder)
    request = Target(REPO, create_pr=True, token=hub.token, endpoint=hub.url)
    done = push_folder(folder, request)
    assert done.pull_request == f"{hub.url}/{REPO}/discussions/1"
    assert hub.revision(REPO) == head
    assert published(hub, "refs/pr/1") == contents(folder)
    hub.commit(REPO, contents(folder))  # the merge
    merged = push_folder(folder, request)
    assert (merged.is_new, merged.pull_request) == (False, None)
    assert merged.revision == hub.revision(REPO)


def test_a_former_name_leads_to_the_repository(hub, target, folder: Path) -> None:
    push_folder(folder, target)
    hub.rename(REPO, "org/renamed")
    change_card(folder)
    done = push_folder(folder, target)
    assert (done.repo_id, done.is_new) == ("org/renamed", True)


# --- Tags ----------------------------------------------------------------------------


def test_a_tag_names_the_commit(hub, folder: Path) -> None:
    tagged = Target(REPO, tag="v1.0", token=hub.token, endpoint=hub.url)
    done = push_folder(folder, tagged)
    assert hub.revision(REPO, "v1.0") == done.revision
    again = push_folder(folder, tagged)
    assert (again.revision, again.is_new) == (done.revision, False)


def test_a_tag_of_other_files_is_refused_before_anything_is_sent(
    hub, folder: Path
) -> None:
    tagged = Target(REPO, tag="v1.0", token=hub.token, endpoint=hub.url)
    first = push_folder(folder, tagged)
    change_card(folder)
    hub.requests.clear()
    with pytest.raises(HubError, match=r"The tag 'v1.0'.*other files.*choose another"):
        push_folder(folder, tagged)
    assert hub.count(method="POST") == 0
    assert hub.revision(REPO, "v1.0") == first.revision


def test_a_tag_of_the_same_files_is_the_revision(hub, folder: Path) -> None:
    """Other files were committed since."""
    tagged = Target(REPO, tag="v1.0", token=hub.token, endpoint=hub.url)
    first = push_folder(folder, tagged)
    hub.commit(REPO, {"notes.txt": b"mine"})
    again = push_folder(folder, tagged)
    assert (again.revision, again.is_new) == (first.revision, False)


# --- Faults --------------------------------------------------------------------------

STAGES = {
    "look": ("api/models/org/my-vae", "GET"),
    "create": ("repos/create", "POST"),
    "card": ("validate-yaml", "POST"),
    "preupload": ("preupload", "POST"),
    "lfs": ("objects/batch", "POST"),
    "upload": ("/lfs/", "PUT"),
    "commit": ("/commit/", "POST"),
    "tags": ("/refs", "GET"),
    "tag": ("/tag/", "POST"),
}


@pytest.mark.parametrize("status", [pytest.param(500, marks=exhaustive), 503])
@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_recovers_is_asked_again(
    hub, folder: Path, stage: str, status: int
) -> None:
    pattern, method = STAGES[stage]
    hub.fault(pattern, method=method, status=status)
    done = push_folder(
        folder, Target(REPO, tag="v1", token=hub.token, endpoint=hub.url)
    )
    assert published(hub, "v1") == contents(folder)
    assert (commits(hub), done.revision) == (2, hub.revision(REPO))


def test_a_busy_hub_is_left_alone_for_as_long_as_it_asks(
    hub, target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fault("repos/create", status=429, retry_after=1)
    start = time.monotonic()
    push_folder(folder, target)
    assert time.monotonic() - start >= 1
    monkeypatch.setattr(publishing, "LONGEST_WAIT", 0.1)
    hub.fault("models/org/my-vae", status=429, retry_after=3600)
    push_folder(folder, target)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_publish_is_completed_by_the_next(
    hub, folder: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    pattern, method = STAGES[stage]
    hub.fault(pattern, method=method, status=400)
    target = Target(REPO, tag="v1", token=hub.token, endpoint=hub.url)
    with pytest.raises((HubError, ValueError), match=r"400|metadata"):
        push_folder(folder, target)
    hub.clear_faults()
    push_folder(folder, target)
    assert published(hub, "v1") == contents(folder)
    assert commits(hub) == 2


def test_a_lost_answer_to_a_commit_makes_no_second_one(
    hub, target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits after the client has given up waiting."""
    monkeypatch.setattr(publishing, "TIMEOUT", 0.4)
    monkeypatch.setattr(remote, "FIRST_WAIT", 1.0)
    hub.fault("/commit/", method="POST", delay=0.8)
    done = push_folder(folder, target)
    assert published(hub) == contents(folder)
    assert (commits(hub), hub.count("/commit/", "POST")) == (2, 1)
    assert done.revision == hub.revision(REPO)


@pytest.mark.parametrize("stage", ["look", "upload", "commit"])
def test_a_dropped_connection_is_tried_again(hub, target, folder, stage: str) -> None:
    pattern, method = STAGES[stage]
    hub.fault(pattern, method=method, drop=True)
    push_folder(folder, target)
    assert (published(hub), commits(hub)) == (contents(folder), 2)


@pytest.mark.parametrize("stage", ["create", "commit"])
def test_a_server_that_stays_broken_is_an_error(hub, target, folder, stage) -> None:
    pattern, method = STAGES[stage]
    hub.fault(pattern, method=method, status=500, times=None)
    with pytest.raises(HubError, match=r"answered 500 for org/my-vae\. Publish again"):
        push_folder(folder, target)
    assert hub.count(pattern, method) == remote.ATTEMPTS


def test_a_server_that_never_answers_is_an_error(
    hub, target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "TIMEOUT", 0.1)
    hub.fault("repos/create", delay=30, times=None)
    start = time.monotonic()
    with pytest.raises(HubError, match=r"could not be reached for org/my-vae: .*again"):
        push_folder(folder, target)
    assert time.monotonic() - start < 5
    hub.stop()
    with pytest.raises(HubError, match=r"could not be reached for org/my-vae: .*again"):
        push_folder(folder, target)
    hub.start()


def test_an_answer_of_something_else_than_the_hub_is_an_error(folder: Path) -> None:
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Please log in.</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Portal) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        target = Target(REPO, endpoint=f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(HubError, match=r"answer for org/my-vae is not JSON. Pub"):
            push_folder(folder, target)
        server.shutdown()


def test_a_card_that_the_hub_refuses_is_an_error(hub, target, folder: Path) -> None:
    hub.fault("validate-yaml", status=400)
    with pytest.raises(ValueError, match=r"Invalid metadata in README.md"):
        push_folder(folder, target)


def test_what_the_hub_holds_is_compared_with_what_was_sent(folder: Path) -> None:
    class Forgetful(HubServer):
        def _apply(self, key: str, value: dict, files: dict) -> None:
            if value["path"] != "config.json":
                super()._apply(key, value, files)

    with Forgetful() as hub:
        target = Target(REPO, token=hub.token, endpoint=hub.url)
        with pytest.raises(HubError, match=r"of org/my-vae does not hold what was se"):
            push_folder(folder, target)


def test_a_pull_request_is_never_opened_twice(hub, target, folder: Path) -> None:
    push_folder(folder, target)
    change_card(folder)
    hub.fault("/commit/", status=503)
    request = Target(REPO, create_pr=True, token=hub.token, endpoint=hub.url)
    with pytest.raises(HubError, match=r"answered 503"):
        push_folder(folder, request)
    assert hub.count("/commit/.*create_pr") == 1


def test_nobodys_commit_is_overwritten(hub, target, folder: Path) -> None:
    """Someone else commits between our look and our commit."""
    hub.fault("objects/batch", delay=0.5)

    def commit_meanwhile() -> None:
        while not hub.count("preupload"):
            time.sleep(0.01)
        hub.commit(REPO, {"README.md": b"theirs"})

    thread = threading.Thread(target=commit_meanwhile)
    thread.start()
    with pytest.raises(HubError, match=r"Someone else committed to org/my-vae mean"):
        push_folder(folder, target)
    thread.join()
    assert hub.files(REPO)["README.md"] == b"theirs"
    assert WEIGHTS not in hub.files(REPO)
    push_folder(folder, target)
    assert published(hub) == contents(folder)


def test_a_tag_that_someone_else_takes_meanwhile(folder: Path) -> None:
    class Taken(HubServer):
        def _apply(self, key: str, value: dict, files: dict) -> None:
            refs = self._repos[REPO].refs
            refs["refs/tags/v1"] = refs["refs/heads/main"]
            super()._apply(key, value, files)

    with Taken() as hub:
        target = Target(REPO, tag="v1", token=hub.token, endpoint=hub.url)
        with pytest.raises(HubError, match=r"published as the commit.*used the tag"):
            push_folder(folder, target)
        assert published(hub) == contents(folder)


def test_a_killed_publish_is_completed_by_the_next(hub, target, folder: Path) -> None:
    hub.fault("/lfs/", method="PUT", delay=30)
    code = (
        "import sys\n"
        "from aezoo.store.publish import Target, push_folder\n"
        "push_folder(sys.argv[1], Target('org/my-vae'))\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    while not hub.count("objects/batch") and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert commits(hub) == 1
    push_folder(folder, target)
    assert (published(hub), commits(hub)) == (contents(folder), 2)


# --- What is refused -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "wrong", "read-only", "stranger"])
def test_a_token_that_may_not_write_is_named_and_never_shown(
    hub, folder: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add_repo(REPO, private=kind == "stranger")
    if kind == "read-only":
        hub.add_token(SECRET)
    elif kind == "stranger":
        hub.add_token(SECRET, repos=(), write=True)
    token = None if kind == "missing" else SECRET
    message = r"does not let this token publish|is taken by a repository that this"
    with pytest.raises(HubError, match=message) as caught:
        push_folder(folder, Target(REPO, token=token, endpoint=hub.url))
    assert commits(hub) == 1
    shown = "".join(capfd.readouterr()) + repr(Target(REPO, token=token))
    error: BaseException | None = caught.value
    shown += "".join(traceback.format_exception(error))
    assert SECRET not in shown


@pytest.mark.parametrize("token", [f"{SECRET} ", f"{SECRET}\n", "", f"é{SECRET}"])
def test_a_malformed_token_is_refused_unseen(model, token: str) -> None:
    with pytest.raises(ValueError, match=r"`token` must be one word") as caught:
        aezoo.push_to_hub(model, REPO, token=token)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repo_id": "my-vae"}, r"'organisation/name'.*Received: repo_id='my-vae'"),
        ({"repo_id": "org/my--vae"}, r"`repo_id` is not valid\. Cannot have --"),
        ({"repo_id": "hf://org/x"}, r"`repo_id` is not valid"),
        ({"tag": "v 1"}, r"`tag` must be letters.*Received: tag='v 1'"),
        ({"tag": "v1", "create_pr": True}, r"exclude each other.*after the merge"),
    ],
)
def test_arguments_are_checked_before_anything_is_done(
    hub, change: dict, message: str
) -> None:
    arguments = {"repo_id": REPO, "endpoint": hub.url} | change
    with pytest.raises(ValueError, match=message):
        aezoo.push_to_hub(None, **arguments)
    assert hub.requests == []


def test_another_kind_of_repository_is_not_overwritten(hub, target, folder) -> None:
    hub.add_repo(REPO, {"config.json": b"{}", "README.md": b"# Theirs"})
    with pytest.raises(HubError, match=r"holds config.json and no aezoo.json.*another"):
        push_folder(folder, target)
    assert commits(hub) == 2
    hub.add_repo("org/readme", {"README.md": b"# Made on the website"})
    other = Target("org/readme", token=hub.token, endpoint=hub.url)
    assert push_folder(folder, other).is_new


def test_a_folder_that_does_not_hold_together_is_not_published(
    hub, target, folder: Path, tmp_path: Path
) -> None:
    whole = contents(folder)
    with np.load(folder / "golden.npz") as golden:
        tensors = {**golden, "codes": golden["codes"] + 1.0}
    entry = json.loads(whole["aezoo.json"])

    def refuses(message: str, error: type[Exception] = ManifestError) -> None:
        with pytest.raises(error, match=message):
            push_folder(folder, target)
        for name, data in whole.items():
            (folder / name).unlink(missing_ok=True)
            (folder / name).write_bytes(data)

    (folder / "config.json").unlink()
    refuses(r"has no config.json, so it cannot be published\. Copy")
    np.savez_compressed(folder / "golden.npz", **tensors)
    refuses(r"does not match", OSError)
    np.savez_compressed(folder / "golden.npz", **tensors)
    entry["golden"]["sha256"] = aezoo.utils.files.sha256_of(folder / "golden.npz")
    (folder / "aezoo.json").write_text(json.dumps(entry))
    refuses(r"deviates from its golden codes by 1, tolerance 0.0001, so it is not")
    entry["golden"] = json.loads(whole["aezoo.json"])["golden"] | {"file": "x.npz"}
    (folder / "aezoo.json").write_text(json.dumps(entry))
    refuses(r"must be named model.weights.h5 and golden.npz\. Received.*x.npz")
    (tmp_path / "secret").write_text("secret")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "secret")
    refuses(r"must stay inside.*README.md", UnsafeFileError)
    with pytest.raises(FileNotFoundError, match=r"There is no folder"):
        push_folder(tmp_path / "none", target)
    assert not hub.count(method="POST")


def test_offline_nothing_is_published(hub, folder: Path) -> None:
    code = (
        "import sys\n"
        "from aezoo.store.publish import Target, plan_push\n"
        "plan_push(sys.argv[1], Target('org/my-vae'))\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "nothing was published. Unset HF_HUB_OFFLINE" in done.stderr
    assert hub.requests == []


def test_a_plan_writes_nothing_and_needs_no_token(hub, target, folder: Path) -> None:
    anyone = Target(REPO, endpoint=hub.url)
    plan = plan_push(folder, anyone)
    assert plan.repository is None
    assert {file.state for file in plan.files} == {"new"}
    revision = push_folder(folder, target).revision
    assert plan_push(folder, anyone).revision == revision
    change_card(folder)
    (folder / "samples.png").unlink()
    states = {file.path: file.state for file in plan_push(folder, anyone).files}
    assert states.pop("README.md") == "changed"
    assert states.pop("samples.png") == "deleted"
    assert set(states.values()) == {"unchanged"}


# --- A model of one's own ------------------------------------------------------------


def test_a_published_model_comes_back(hub, model, tmp_path: Path) -> None:
    done = model.push_to_hub(
        REPO,
        tag="v1",
        description="Untrained.",
        license="MIT",
        metrics={"noise/test": {"mse": Metric(0.1, "squared error", "invented")}},
        data={"name": "noise", "version": "1", "split": "train", "license": "CC0-1.0"},
        token=hub.token,
        endpoint=hub.url,
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "codes.npy", model.encode(images))
    np.save(tmp_path / "samples.npy", model.sample(4, seed=1))
    card = hub.files(REPO)["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    check = (
        "folder = sys.argv[1]\n"
        "images = np.load(f'{folder}/images.npy')\n"
        "codes, samples = model.encode(images), model.sample(4, seed=1)\n"
        "np.testing.assert_array_equal(codes, np.load(f'{folder}/codes.npy'))\n"
        "np.testing.assert_array_equal(samples, np.load(f'{folder}/samples.npy'))\n"
    )
    pinned = f"model = aezoo.load('hf://{REPO}@{done.revision}')\n"
    code = "import sys\n" + check.join([*blocks, pinned, ""])
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, check=True
    )
    assert hub.downloads(WEIGHTS) >= 1
    again = aezoo.push_to_hub(model, REPO, token=hub.token, endpoint=hub.url)
    assert again.is_new, "the card lost its texts"
    assert commits(hub) == 3
