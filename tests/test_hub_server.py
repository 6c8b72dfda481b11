"""The real client against `HubServer`: what it does, and what it does not notice."""

import hashlib
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_server import HubServer, card_problems

REPO = "org/vae"
NEW = "org/new"
WEIGHTS = "model.weights.h5"
CONFIG = b'{"family": "conv_vae"}'
DATA = bytes(range(256)) * 4000  # an LFS file, by its suffix

# the client's own: it uploads LFS files by an argument that its HTTP library deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub():
    """A Hub with one public repo."""
    with HubServer() as server:
        server.add_repo(REPO, {"config.json": CONFIG, WEIGHTS: DATA})
        yield server


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.url, token=hub.token)


@pytest.fixture
def revision(hub):
    return hub.revision(REPO)


@pytest.fixture
def download(hub, tmp_path):
    """Download into a cache of its own, without a token unless one is given."""

    def download(filename=WEIGHTS, repo_id=REPO, **kwargs) -> bytes:
        kwargs = {"cache_dir": tmp_path / "cache", "token": False} | kwargs
        path = hf_hub_download(repo_id, filename, endpoint=hub.url, **kwargs)
        return Path(path).read_bytes()

    return download


def add(path: str, data: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(path, data)


# -- publish, fetch, pin --


def test_files_come_back_as_they_were_uploaded(hub, api, download):
    assert api.create_repo(NEW, private=True).repo_id == NEW
    assert api.create_repo(NEW, exist_ok=True).repo_id == NEW
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(NEW)
    operations = [add("config.json", CONFIG), add(WEIGHTS, DATA), add("empty.h5", b"")]
    commit = api.create_commit(NEW, operations, commit_message="Publish")

    info = api.model_info(NEW, files_metadata=True)
    assert info.sha == commit.oid == hub.revision(NEW)
    assert info.private
    lfs = {file.rfilename: file.lfs for file in info.siblings}
    assert lfs[WEIGHTS].sha256 == hashlib.sha256(DATA).hexdigest()
    assert lfs["config.json"] is lfs["empty.h5"] is None
    for path, data in {"config.json": CONFIG, WEIGHTS: DATA, "empty.h5": b""}.items():
        assert download(path, NEW, token=hub.token) == hub.files(NEW)[path] == data
    assert api.whoami()["name"] == "owner"


def test_no_token_reaches_the_origin_of_large_files(hub, download):
    assert download(token=hub.token) == DATA
    head, get = hub.requests
    assert (head.method, head.status, head.authorized) == ("HEAD", 302, True)
    assert (get.method, get.status, get.authorized) == ("GET", 200, False)
    assert get.bytes == len(DATA)


def test_a_folder_is_uploaded_once(hub, api, tmp_path):
    folder = tmp_path / "model"
    (folder / "figures").mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(DATA[::-1])
    (folder / "figures" / "a.txt").write_text("a")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Card\n")
    published = api.upload_folder(repo_id=REPO, folder_path=folder)
    assert hub.files(REPO)[WEIGHTS] == DATA[::-1]
    assert hub.files(REPO)["figures/a.txt"] == b"a"
    assert hub.count(method="PUT") == 1

    again = api.upload_folder(repo_id=REPO, folder_path=folder)
    assert again.oid == published.oid  # nothing changed: no new commit
    assert hub.count("/commit/") == hub.count(method="PUT") == 1


CARD = """license: other
license_name: my own
tags: [autoencoder]
datasets: [mnist]
pipeline_tag: image-feature-extraction
model-index:
- name: vae
  results:
  - task: {type: image-feature-extraction}
    dataset: {type: mnist, name: MNIST}
    metrics: [{type: mse, value: 0.0}]"""


def problems(metadata: str) -> dict[str, list[str]]:
    return card_problems(f"---\n{metadata}\n---\n# Card\n")


def test_a_card_is_validated_by_the_client(hub):
    """It takes the Hub from its environment."""
    code = (
        "import sys; from huggingface_hub import ModelCard\n"
        "ModelCard(f'---\\n{sys.argv[1]}\\n---\\n').validate()"
    )

    def validate(metadata: str) -> subprocess.CompletedProcess:
        run = [sys.executable, "-c", code, metadata]
        env = os.environ | {"HF_ENDPOINT": hub.url}
        return subprocess.run(run, env=env, capture_output=True, text=True, check=False)

    done = validate(CARD)
    assert done.returncode == 0, done.stderr
    refused = validate(CARD.replace("license: other", "license: own"))
    assert re.search(r"ValueError: .*license: 'own' is not valid", refused.stderr)
    assert hub.count("validate-yaml") == 2


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("license: other", "license: own", r"^license: 'own' is not valid"),
        ("license_name: my own", "", r"'license_name' is a required property"),
        ("[autoencoder]", "[1]", r"^tags: \[1\] is not valid"),
        ("[mnist]", "{mnist: 1}", r"^datasets: .* is not valid"),
        ("- name: vae", "- nom: vae", r"model-index.*\[0\]: 'name' is a required"),
        ("{type: image-feature-extraction}", "{}", r"task: 'type' is a required"),
        (", name: MNIST", "", r"\[0\].dataset: 'name' is a required property"),
        (", value: 0.0", "", r"metrics\[0\]: 'value' is a required property"),
        ("MNIST", "'{", r"^YAML: "),
    ],
)
def test_a_card_that_is_wrong_has_errors(right, wrong, message):
    assert problems(CARD) == {"errors": [], "warnings": []}
    assert right in CARD
    (error,) = problems(CARD.replace(right, wrong))["errors"]
    assert re.search(message, error)


def test_a_card_may_have_warnings():
    assert problems("pipeline_tag: painting") == {
        "errors": [],
        "warnings": ["pipeline_tag: 'painting' is unknown"],
    }
    assert card_problems("# Card") == {
        "errors": [],
        "warnings": ["empty or missing yaml metadata in repo card"],
    }
    assert problems("text")["errors"] == ["$: 'text' is not of type 'object'"]


def test_large_files_that_the_hub_has_are_not_sent_again(hub, api):
    api.create_commit(REPO, [add("copy.h5", DATA)], commit_message="Same bytes")
    assert hub.files(REPO)["copy.h5"] == DATA
    assert hub.count(method="PUT") == 0


def test_delete_and_copy(hub, api):
    operations = [
        CommitOperationCopy(WEIGHTS, "old/" + WEIGHTS),
        CommitOperationCopy("config.json", "old/config.json"),
        CommitOperationDelete(WEIGHTS),
    ]
    api.create_commit(REPO, operations, commit_message="Move")
    expected = {".gitattributes", "config.json", "old/config.json", "old/" + WEIGHTS}
    assert set(hub.files(REPO)) == expected
    api.create_commit(REPO, [CommitOperationDelete("old/")], commit_message="Delete")
    assert set(hub.files(REPO)) == {".gitattributes", "config.json"}
    with pytest.raises(EntryNotFoundError, match="doesn't exist"):
        api.create_commit(REPO, [CommitOperationDelete("x")], commit_message="Again")


def test_snapshot_with_patterns(hub, revision, tmp_path):
    path = snapshot_download(
        REPO,
        allow_patterns=["*.json"],
        endpoint=hub.url,
        cache_dir=tmp_path,
        token=False,
    )
    assert [file.name for file in Path(path).iterdir()] == ["config.json"]
    assert Path(path).name == revision
    assert hub.downloads() == 1


def test_a_pinned_revision_stays_when_the_branch_moves(hub, revision, download):
    new = hub.commit(REPO, {WEIGHTS: b"new"})
    assert new != revision == hub.revision(REPO, revision[:7])
    assert download(revision=revision) == DATA
    assert download() == b"new"


def test_refs_trees_and_history(hub, api, revision):
    api.create_tag(REPO, tag="v1", revision=revision)
    api.create_branch(REPO, branch="feature/x")
    hub.commit(REPO, {"a/b/c.txt": b"c", WEIGHTS: None}, branch="feature/x")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(REPO, tag="v1")
    api.create_tag(REPO, tag="v1", exist_ok=True)
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": revision}
    assert {ref.name for ref in refs.branches} == {"main", "feature/x"}
    assert api.model_info(REPO, revision="v1").sha == revision

    hub.page_size = 2
    tree = api.list_repo_tree(REPO, recursive=True, revision="feature/x")
    paths = [entry.path for entry in tree]
    assert paths == [".gitattributes", "a", "a/b", "a/b/c.txt", "config.json"]
    (top,) = api.list_repo_tree(REPO, "a", revision="feature/x")
    assert top.path == "a/b"
    history = api.list_repo_commits(REPO, revision="feature/x")
    assert [c.title for c in history] == ["Upload", "Upload", "initial"]
    assert history[1].commit_id == revision

    api.delete_tag(REPO, tag="v1")
    api.delete_branch(REPO, branch="feature/x")
    with pytest.raises(RevisionNotFoundError, match="v1"):
        api.model_info(REPO, revision="v1")


def test_pull_request(hub, api, revision):
    commit = api.create_commit(
        REPO, [add("a.txt", b"a")], commit_message="Add", create_pr=True
    )
    assert commit.pr_revision == "refs/pr/1"
    assert hub.revision(REPO) == revision
    assert hub.revision(REPO, "refs/pr/1") == commit.oid
    assert "a.txt" in api.list_repo_files(REPO, revision="refs/pr/1")


def test_a_moved_branch_refuses_the_commit_of_an_old_parent(hub, api, revision):
    hub.commit(REPO, {"config.json": b"{}"})
    stale = {"commit_message": "Late", "parent_commit": revision}
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        api.create_commit(REPO, [add("a.txt", b"a")], **stale)
    assert error.value.response.status_code == 412
    assert "a.txt" not in hub.files(REPO)
    api.create_commit(
        REPO,
        [add("a.txt", b"a")],
        commit_message="In time",
        parent_commit=hub.revision(REPO),
    )
    assert "a.txt" in hub.files(REPO)


def test_a_renamed_repo_redirects(hub, api, download):
    hub.rename(REPO, NEW)
    assert download("config.json") == CONFIG
    assert api.model_info(REPO).id == NEW


# -- who may, and what is not there --


def test_private_repo(hub, api, download):
    hub.add_repo(NEW, {WEIGHTS: DATA}, private=True)
    stranger = hub.add_token("hf_stranger", repos=["org/other"])
    for token in (False, stranger):
        with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
            download(repo_id=NEW, token=token)
    with pytest.raises(HfHubHTTPError, match="401") as error:
        download(repo_id=NEW, token="hf_typo")
    assert not isinstance(error.value, RepositoryNotFoundError)
    assert hub.downloads() == 0
    reader = hub.add_token("hf_reader", repos=[NEW])
    assert download(repo_id=NEW, token=reader) == DATA
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_commit(NEW, [add("a", b"a")], commit_message="A", token=reader)


def test_gated_repo(hub, download):
    hub.add_repo(NEW, {WEIGHTS: DATA}, gated=True)
    stranger = hub.add_token("hf_stranger", repos=[])
    for token in (False, stranger):
        assert HfApi(endpoint=hub.url, token=token).model_info(NEW).gated == "auto"
        with pytest.raises(GatedRepoError, match="restricted"):
            download(repo_id=NEW, token=token)
    assert download(repo_id=NEW, token=hub.token) == DATA


def test_each_missing_thing_has_its_error(api, download):
    with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
        download(repo_id="org/none")
    with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
        api.model_info("org/none")
    for missing in ("v9", "0" * 40):
        with pytest.raises(RevisionNotFoundError, match="Revision Not Found"):
            download(revision=missing)
    with pytest.raises(EntryNotFoundError, match="Entry Not Found"):
        download("none.h5")
    api.delete_repo(REPO)
    with pytest.raises(RepositoryNotFoundError, match="Repository Not Found"):
        api.delete_repo(REPO)


# -- what goes wrong on the way --


def gets(hub: HubServer) -> list[tuple[int, str | None, int]]:
    """Status, range and bytes of all downloads, whole or not."""
    log = [request for request in hub.requests if request.method == "GET"]
    return [(get.status, get.range, get.bytes) for get in log]


def test_a_cut_download_is_resumed_after_whole_pieces(hub, download):
    data = DATA * 24
    kept, half = constants.DOWNLOAD_CHUNK_SIZE, len(data) // 2
    assert kept < half
    hub.commit(REPO, {WEIGHTS: data})
    hub.fault(WEIGHTS, cut=True)
    assert download() == data
    rest = (206, f"bytes={kept}-", len(data) - kept)
    assert gets(hub) == [(200, None, half), rest]


def test_a_cut_download_below_one_piece_starts_again(hub, download):
    hub.fault(WEIGHTS, cut=True)
    assert download() == DATA
    assert gets(hub) == [(200, None, len(DATA) // 2), (200, None, len(DATA))]


def test_a_metadata_request_is_retried(hub, download):
    hub.fault(WEIGHTS, method="HEAD", status=500, times=2)
    assert download() == DATA
    statuses = [request.status for request in hub.requests]
    assert statuses == [500, 500, 302, 200]


def test_a_server_error_on_the_bytes_is_not_retried(hub, download):
    hub.fault(WEIGHTS, method="GET", status=503)
    with pytest.raises(HfHubHTTPError, match="503"):
        download()
    assert hub.count(WEIGHTS, "GET") == 1


def test_a_dropped_connection_is_no_hub_error(hub, download):
    hub.fault(WEIGHTS, method="HEAD", drop=True)
    with pytest.raises(httpx2.RemoteProtocolError, match="disconnected"):
        download()
    assert [request.status for request in hub.requests] == [0]


def test_the_bytes_of_an_upload_are_retried_but_not_its_commit(hub, api, revision):
    operations = [add("new.h5", DATA[::-1])]
    hub.fault("/lfs/", method="PUT", status=500)
    hub.fault("/commit/", status=500)
    with pytest.raises(HfHubHTTPError, match="500"):
        api.create_commit(REPO, operations, commit_message="Add")
    assert (hub.count("/lfs/", "PUT"), hub.count("/commit/")) == (2, 1)
    assert hub.revision(REPO) == revision
    api.create_commit(REPO, operations, commit_message="Add")
    assert hub.count("/lfs/", "PUT") == 2  # the bytes were there already
    assert hub.files(REPO)["new.h5"] == DATA[::-1]


def test_a_rate_limit_is_waited_for(hub, download):
    hub.fault(WEIGHTS, method="GET", status=429, retry_after=0)
    assert download() == DATA
    assert [request.status for request in hub.requests] == [302, 429, 200]


@pytest.mark.parametrize("path", ["config.json", WEIGHTS])
def test_the_client_does_not_notice_a_flipped_bit(hub, revision, download, path):
    hub.fault(path, flip=True)
    data = hub.files(REPO)[path]
    received = download(path)
    assert len(received) == len(data)
    assert sum(a != b for a, b in zip(received, data, strict=True)) == 1
    assert download(path, revision=revision) == received  # the cache keeps it


def test_delays(hub, download):
    hub.fault(WEIGHTS, method="HEAD", delay=5)
    hub.fault(WEIGHTS, chunk_delay=0.01)
    # the client gives up, and asks again with more patience
    assert download(etag_timeout=0.1) == DATA
    assert hub.count(WEIGHTS, "GET") == 1


def test_a_stopped_hub_refuses_and_comes_back(hub, api, revision, download, tmp_path):
    assert download() == DATA
    hub.stop()
    assert download() == DATA  # the branch as it was last seen
    with pytest.raises(httpx2.ConnectError):
        api.model_info(REPO)
    with pytest.raises(LocalEntryNotFoundError, match="ConnectError"):
        snapshot_download(REPO, endpoint=hub.url, cache_dir=tmp_path / "empty")
    hub.start()
    assert api.model_info(REPO).sha == revision


# -- how many requests --


def test_a_cached_pinned_file_needs_no_request(hub, revision, download):
    assert download(revision=revision) == DATA
    hub.requests.clear()
    assert download(revision=revision) == DATA
    assert hub.requests == []
    assert download() == DATA  # a branch may have moved: one question, no bytes
    assert [request.method for request in hub.requests] == ["HEAD"]


def test_eight_threads_download_once(hub, download):
    hub.fault(WEIGHTS, chunk_delay=0.02)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: download(), range(8)))
    assert results == [DATA] * 8
    assert hub.downloads(WEIGHTS) == 1


def test_another_process_finds_the_hub_by_its_environment(hub, tmp_path):
    code = (
        f"import huggingface_hub as h; print(h.hf_hub_download({REPO!r}, {WEIGHTS!r}))"
    )
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    env["HF_TOKEN"] = hub.token
    run = [sys.executable, "-c", code]

    def call(**more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            run, env=env | more, capture_output=True, text=True, check=False
        )

    found = call()
    assert Path(found.stdout.strip()).read_bytes() == DATA, found.stderr
    hub.requests.clear()
    assert call(HF_HUB_OFFLINE="1").stdout == found.stdout
    assert hub.requests == []


def test_nothing_is_left_behind():
    before = set(threading.enumerate())
    with HubServer() as hub:
        hub.add_repo(REPO)
        assert HfApi(endpoint=hub.url, token=False).model_info(REPO).id == REPO
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx2.ConnectError):
        HfApi(endpoint=hub.url, token=False).model_info(REPO)
