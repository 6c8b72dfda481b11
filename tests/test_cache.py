"""What is fetched in advance, listed, checked and pruned - and what is left alone."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")

from huggingface_hub import hf_hub_download
from huggingface_hub.utils import WeakFileLock

import aezoo
from aezoo import manifest
from aezoo.errors import HubError, UnknownModelError
from aezoo.store import cache, remote
from tests.hub_server import HubServer
from tests.zoo_fixtures import NAMES, change_entry, publish_zoo

NAME, OTHER = "conv_vae_mnist_z16", "dense_vae_mnist_z2"
PUBLISHED = [NAME, OTHER, "conv_ae_mnist_z32"]
ADDRESS = "hf://org/mine"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def zoo(own_zoo: Path, server: HubServer) -> Path:
    """A zoo of four models, of which three are published."""
    publish_zoo(own_zoo, server, PUBLISHED)
    return own_zoo


@pytest.fixture(scope="module")
def _mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), hidden_units=(4,))
    return aezoo.save(model, tmp_path_factory.mktemp("mine") / "vae")


@pytest.fixture
def mine(_mine: Path, server: HubServer) -> str:
    """The address of a model of someone else."""
    files = {path.name: path.read_bytes() for path in _mine.iterdir()}
    server.add_repo("org/mine", files)
    return ADDRESS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


class Client:
    """Downloads from a server into a cache folder."""

    def __init__(self, server: HubServer, folder: Path) -> None:
        self.options: dict[str, Any] = {"endpoint": server.url, "cache_dir": folder}

    def fetch(self, *names: str) -> dict[str, cache.Download]:
        places = cache.find_places(names or None, **self.options)
        return {each.name: each for each in cache.fetch_each(places)}


@pytest.fixture
def client(server: HubServer, folder: Path) -> Client:
    return Client(server, folder)


# --- Fetching in advance -------------------------------------------------------------


def test_all_published_models_are_fetched_once(server, client) -> None:
    found = client.fetch()
    assert sorted(found) == sorted(PUBLISHED)
    for name, each in found.items():
        entry = manifest.describe(name)
        assert each.error is None
        assert each.path.parent.name == entry.weights.hub.revision
        assert each.path.stat().st_size == each.bytes == entry.weights.bytes
        assert each.is_new
    assert server.downloads() == server.downloads("model.weights.h5") == 3
    server.requests.clear()
    assert not any(each.is_new for each in client.fetch().values())
    assert server.requests == []


def test_models_of_others_come_with_their_entry(server, client, mine) -> None:
    each = client.fetch(mine)[mine]
    assert each.path.name == "model.weights.h5"
    assert each.is_new
    assert (each.path.parent / "aezoo.json").is_file()
    assert not client.fetch(mine)[mine].is_new
    server.commit("org/mine", {"README.md": b"Another commit of the same weights."})
    assert not client.fetch(mine)[mine].is_new
    assert server.downloads("model.weights.h5") == 1


def test_what_fails_does_not_lose_the_others(server, client, mine) -> None:
    server.fault("mine/resolve/.*weights", method="GET", flip=True, times=None)
    server.fault(f"{OTHER}/resolve/.*weights", method="GET", status=403, times=None)
    found = client.fetch(NAME, mine, OTHER, "hf://org/nothing")
    assert found[NAME].path is not None
    assert "neither did a second download" in str(found[mine].error)
    assert "answered 403" in str(found[OTHER].error)
    assert "There is no repository" in str(found["hf://org/nothing"].error)


def test_a_damaged_file_counts_as_fetched(client, server) -> None:
    path = client.fetch(NAME)[NAME].path
    path.resolve().write_bytes(b"x" * path.stat().st_size)
    assert client.fetch(NAME)[NAME].is_new
    assert server.downloads() == 2


def test_downloads_run_in_parallel(server, client) -> None:
    """Each takes 1.5 s of waiting; one after the other they would take 4.5 s."""
    server.fault("weights", method="GET", delay=1.5, times=None)
    begin = time.perf_counter()
    client.fetch()
    assert time.perf_counter() - begin < 4.4


def test_names_are_checked_before_anything_is_fetched(folder) -> None:
    for names, error, message in (
        (["conv_vae_mnist_z15"], UnknownModelError, f"Did you mean '{NAME}'"),
        (["hf://a"], ValueError, "must be named as 'hf://organisation/name'"),
        (["denoising_conv_ae_mnist_z32"], HubError, "is not on the Hub"),
    ):
        with pytest.raises(error, match=message):
            aezoo.download([NAME, *names], cache_dir=folder)
    with pytest.raises(ValueError, match=r"`max_workers` must be at least 1.*=0"):
        aezoo.download(NAME, cache_dir=folder, max_workers=0)
    assert aezoo.download([], cache_dir=folder) == {}
    assert not folder.exists()


def test_download_in_a_process_of_its_own(zoo, server, folder) -> None:
    """The public function, without Keras; one error that names every failure."""
    code = (
        "import sys; from pathlib import Path; from aezoo import manifest\n"
        f"manifest.PACKAGE = Path({str(zoo)!r})\n"
        "import aezoo\n"
        f"print(aezoo.download({NAME!r}))\n"
        "try: aezoo.download()\n"
        "except aezoo.errors.HubError as error: print(error)\n"
        "print('keras' in sys.modules)\n"
    )
    for name in (OTHER, "conv_ae_mnist_z32"):
        server.fault(f"{name}/resolve/.*weights", status=403, times=None)
    env = os.environ | {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(folder)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    paths, error, keras = result.stdout.splitlines()
    assert str(folder / f"models--zoo--{NAME}" / "snapshots") in paths
    assert error.startswith("2 of 3 models could not be downloaded. ")
    assert f"{OTHER}: The Hub answered 403" in error
    assert "conv_ae_mnist_z32: The Hub answered 403" in error
    assert keras == "False"


# --- What is there -------------------------------------------------------------------


def test_an_empty_cache(folder) -> None:
    found = cache.contents(folder)
    assert [each.name for each in found.bundled] == list(NAMES)
    assert (found.revisions, found.interrupted, found.bytes) == ((), (), 0)
    assert not found.unreadable
    assert not cache.prune(folder).bytes
    folder.write_text("a file")
    with pytest.raises(ValueError, match="found a file"):
        cache.contents(folder)


def test_contents_are_listed_with_what_leads_to_them(
    server, client, mine, folder
) -> None:
    client.fetch(NAME, mine)
    old = server.revision("org/mine")
    server.commit("org/mine", {"README.md": b"new"})
    client.fetch(mine)
    hf_hub_download("org/mine", "README.md", **client.options)
    found = cache.contents(folder)
    by_commit = {each.commit: each for each in found.revisions}
    assert by_commit[old].is_outdated
    assert not by_commit[server.revision("org/mine")].is_outdated
    assert by_commit[server.revision("org/mine")].refs == ("main",)
    pinned = by_commit[server.revision(f"zoo/{NAME}")]
    assert (pinned.names, pinned.refs, pinned.is_outdated) == ((NAME,), (), False)
    assert pinned.bytes == manifest.describe(NAME).weights.bytes
    on_disk = [p for p in folder.rglob("blobs/*") if p.is_file()]
    assert found.bytes == sum(path.stat().st_size for path in on_disk)
    assert json.dumps(found.to_dict())
    assert found.to_dict()["revisions"][0]["is_outdated"] is False


def test_repositories_of_others_are_not_listed(server, client, folder) -> None:
    server.add_repo("org/bert", {"config.json": b"{}", "model.weights.h5": b"w"})
    hf_hub_download("org/bert", "config.json", **client.options)
    assert cache.contents(folder).revisions == ()


# --- Whether it is intact ------------------------------------------------------------


def damaged(folder: Path) -> dict[str, str]:
    checks = cache.check_files(folder)
    return {str(c.path): c.damage for c in checks if c.damage is not None}


def test_every_damaged_file_is_found(zoo, client, mine, folder) -> None:
    weights = {name: each.path for name, each in client.fetch(NAME, mine).items()}
    card = Path(hf_hub_download("org/mine", "README.md", **client.options))
    checks = cache.check_files(folder)
    assert len(checks) == 2 * len(NAMES) + 4
    assert not damaged(folder)
    bundled = zoo / "weights" / f"{OTHER}.golden.npz"
    broken = [*weights.values(), card, weights[mine].parent / "aezoo.json", bundled]
    for path in broken:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.resolve().write_bytes(data)
    assert sorted(damaged(folder)) == sorted(map(str, broken))
    assert all("expected hash" in reason for reason in damaged(folder).values())
    remedies = {str(c.path): c.remedy for c in cache.check_files(folder) if c.damage}
    assert remedies.pop(str(bundled)) == "Reinstall aezoo."
    assert all("aezoo cache --verify --prune" in text for text in remedies.values())
    pruned = cache.prune(folder, damaged=map(Path, remedies))
    assert len(pruned.damaged) == 4
    assert list(damaged(folder)) == [str(bundled)]
    assert client.fetch(NAME)[NAME].is_new


def test_pinned_weights_are_checked_against_the_manifest(client, folder) -> None:
    """A file that the cache itself finds in order, but that nobody published."""
    path = client.fetch(NAME)[NAME].path
    path.unlink()
    path.write_bytes(b"planted")
    assert list(damaged(folder)) == [str(path)]


def test_a_broken_folder_is_told(client, folder) -> None:
    path = client.fetch(NAME)[NAME].path
    path.resolve().unlink()
    repository = str(path.parents[2])
    assert "broken symlink" in cache.contents(folder).unreadable[repository]
    assert "broken symlink" in damaged(folder)[repository]
    assert client.fetch(NAME)[NAME].is_new
    assert not damaged(folder)


# --- Making room ---------------------------------------------------------------------


@pytest.fixture
def outdated(server, client, mine, folder) -> Path:
    """An outdated commit, in a cache with pinned, current and foreign ones."""
    client.fetch(NAME)
    path = client.fetch(mine)[mine].path.parent
    for i in range(5):  # duplicates, where the very same commit is not outdated
        copy = folder / f"models--org--copy{i}"
        shutil.copytree(folder / "models--org--mine", copy, symlinks=True)
    server.commit("org/mine", {"README.md": b"new", "aezoo.json": entry_of(server)})
    client.fetch(mine)
    server.add_repo("org/bert", {"config.json": b"{}"})
    revision = server.revision("org/bert")
    hf_hub_download("org/bert", "config.json", revision=revision, **client.options)
    for repo in ("org--mine", "org--bert", f"zoo--{NAME}"):
        name = f"{'0' * 64}.0a1b2c3d.incomplete"
        (folder / f"models--{repo}" / "blobs" / name).write_bytes(b"half")
    return path


def entry_of(server: HubServer) -> bytes:
    """The entry of `org/mine` in other words."""
    return server.files("org/mine")["aezoo.json"] + b"\n"


def tree(folder: Path) -> set[str]:
    paths = (p for p in folder.rglob("*") if ".locks" not in p.parts)
    return {p.relative_to(folder).as_posix() for p in paths if not p.is_dir()}


def test_pruning_removes_what_nothing_leads_to(
    server, client, folder, outdated
) -> None:
    before = tree(folder)
    size = cache.contents(folder).bytes
    planned = cache.prune(folder, dry_run=True)
    assert tree(folder) == before
    assert [r.path for r in planned.revisions] == [outdated]
    assert {i.repo_id for i in planned.interrupted} == {"org/mine", f"zoo/{NAME}"}
    assert json.dumps(planned.to_dict())
    assert cache.prune(folder) == planned
    gone = before - tree(folder)
    assert gone == {
        *(f"models--org--mine/snapshots/{outdated.name}/{name}"
          for name in ("aezoo.json", "model.weights.h5")),
        *(p for p in before if p.endswith(".incomplete") and "bert" not in p),
        *(p for p in gone if p.startswith("models--org--mine/blobs/")),
    }  # fmt: skip
    assert sum("/blobs/" in path for path in gone) == 3, "two halves, one old entry"
    assert size - cache.contents(folder).bytes == planned.bytes > 0
    assert cache.prune(folder).bytes == 0
    server.requests.clear()
    assert not client.fetch(NAME)[NAME].is_new
    assert server.requests == []
    assert not client.fetch(ADDRESS)[ADDRESS].is_new


def test_a_moved_pin_makes_the_old_commit_outdated(zoo, client, folder) -> None:
    path = client.fetch(NAME)[NAME].path
    change_entry(zoo, NAME, lambda e: e["weights"]["hub"].update(revision="0" * 40))
    assert [r.path for r in cache.prune(folder).revisions] == [path.parent]
    assert tree(folder) == {"CACHEDIR.TAG"}


def test_a_running_download_is_left_alone(folder, outdated) -> None:
    lock = folder / ".locks" / "models--org--mine" / f"{'0' * 64}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        pruned = cache.prune(folder)
    assert {i.repo_id for i in pruned.interrupted} == {f"zoo/{NAME}"}
    assert pruned.revisions == ()
    assert outdated.is_dir()
    assert len(cache.prune(folder).revisions) == 1


@pytest.mark.usefixtures("outdated")
def test_what_cannot_be_removed_is_an_error(
    folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:  # root may delete anything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(
        PermissionError, match=r"could not be removed from the cache\. C"
    ):
        cache.prune(folder)


def test_weights_in_the_store_that_repositories_share(client, folder) -> None:
    """Files from Xet lie in `blobs/` of the cache; two links lead there."""
    path = client.fetch(NAME)[NAME].path
    blob = path.parent / path.readlink()
    store = folder / "blobs" / "ab" / f"ab{'0' * 62}"
    store.parent.mkdir(parents=True)
    (folder / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    assert not damaged(folder)
    assert cache.contents(folder).revisions[0].names == (NAME,)
    assert not client.fetch(NAME)[NAME].is_new
    store.write_bytes(b"x" + store.read_bytes()[1:])
    assert list(damaged(folder)) == [str(path)]
