"""`python -m training.publish`: what is published, pinned, repeated and refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo import manifest
from aezoo.errors import ChecksumError, HubError, ManifestError, UnknownModelError
from aezoo.manifest import weights_folder
from aezoo.store import load as loading
from aezoo.store import remote
from aezoo.store.entry import SCHEMA_VERSION
from aezoo.store.publish import Target
from tests.draws import chosen, some_cases
from tests.hub_server import HubServer
from training.publish import build_folder, main, publish

NAME, REPO = "conv_vae_mnist_z16", "org/conv-vae"
TAG = f"v{aezoo.__version__}"
ROOT = Path(__file__).parent.parent
# the client's own: it uploads LFS files by an argument that its HTTP library deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def target(hub) -> Target:
    return Target(REPO, tag=TAG, token=hub.token, endpoint=hub.url)


@pytest.fixture
def zoo(_tiny_zoo_folder: Path, tmp_path: Path) -> Path:
    """The tiny zoo in one folder, as a run exports it, for a test to change."""
    folder = Path(shutil.copytree(_tiny_zoo_folder / "weights", tmp_path / "export"))
    shutil.copy(_tiny_zoo_folder / "weights_manifest.json", folder)
    return folder


@pytest.fixture
def run(zoo: Path, target: Target):
    """Publish from `zoo`; keywords change the target."""

    def run(dry_run: bool = False, **changes):
        return publish(
            NAME,
            replace(target, **changes),
            dry_run=dry_run,
            manifest_file=zoo / "weights_manifest.json",
            weights_folder=zoo,
        )

    return run


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


def entry_of(zoo: Path) -> manifest.WeightsEntry:
    return manifest.read_manifest(zoo / "weights_manifest.json").models[NAME]


def pinned(zoo: Path) -> tuple[str | None, str | None]:
    place = entry_of(zoo).weights.hub
    return (None, None) if place is None else (place.repo_id, place.revision)


def edit(zoo: Path, **changes) -> None:
    path = zoo / "weights_manifest.json"
    document = json.loads(path.read_text())
    document["models"][NAME].update(changes)
    path.write_text(json.dumps(document))


def commits(hub: HubServer) -> int:
    return len(hub._repos[REPO].commits)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- What is published ---------------------------------------------------------------


def test_a_model_is_published_tagged_and_pinned(hub, zoo: Path, run, capsys) -> None:
    done = run()
    files = hub.files(REPO, TAG)
    assert files["model.weights.h5"] == (zoo / f"{NAME}.weights.h5").read_bytes()
    assert files["golden.npz"] == (zoo / f"{NAME}.golden.npz").read_bytes()
    assert pinned(zoo) == (REPO, done.revision) == (REPO, hub.revision(REPO, TAG))
    told = capsys.readouterr().out
    assert f"Pinned: aezoo.load('hf://{REPO}@{done.revision}')" in told
    assert hub.token not in told
    entry = json.loads(files["aezoo.json"])
    stated = entry_of(zoo).to_dict()
    assert entry.pop("schema_version") == SCHEMA_VERSION
    assert entry.pop("name") == NAME
    assert entry["weights"].pop("file") == "model.weights.h5"
    assert entry["golden"].pop("file") == "golden.npz"
    for file in ("weights", "golden"):
        del stated[file]["file"]
    del stated["weights"]["hub"]
    assert entry == stated


def test_the_folder_is_read_by_aezoo_and_keras(zoo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    build_folder(entry_of(zoo), zoo, folder, f"hf://{REPO}")
    bundled = loading.load_entry(entry_of(zoo), zoo / f"{NAME}.weights.h5")
    images = np.zeros((2, 28, 28, 1), "uint8")
    for model in (aezoo.load(folder), keras.saving.load_model(folder)):
        assert model.name == NAME
        np.testing.assert_array_equal(model.encode(images), bundled.encode(images))
    again = tmp_path / "again"
    again.mkdir()
    build_folder(entry_of(zoo), zoo, again, f"hf://{REPO}")
    assert snapshot(again) == snapshot(folder)


@pytest.mark.parametrize("name", some_cases(manifest.entries(), at_most=2))
def test_bundled_models_make_folders_that_verify(name: str, tmp_path: Path) -> None:
    entry = manifest.describe(name)
    build_folder(entry, weights_folder(), tmp_path, "hf://org/name")
    assert aezoo.verify(tmp_path).ok
    assert keras.saving.load_model(tmp_path).family == entry.family


# --- Again ---------------------------------------------------------------------------


def test_publishing_again_changes_nothing(hub, zoo: Path, run, capsys) -> None:
    run()
    before = (zoo / "weights_manifest.json").read_bytes()
    capsys.readouterr()
    assert not run().is_new
    assert commits(hub) == 2
    assert (zoo / "weights_manifest.json").read_bytes() == before
    assert "Unchanged" in capsys.readouterr().out


def test_other_metrics_make_one_commit_without_the_weights(hub, zoo: Path, run) -> None:
    first = run()
    elbo = [1.0, None, None, "invented again"]  # in another unit
    edit(zoo, metrics={"mnist/test": {"elbo": elbo}})
    hub.requests.clear()
    with pytest.raises(HubError, match=rf"tag '{TAG}'.*other files.*another"):
        run()
    assert hub.count(method="POST") == 0
    second = run(tag="v9")
    assert (commits(hub), hub.count(method="PUT")) == (3, 0)
    assert pinned(zoo) == (REPO, second.revision)
    assert hub.revision(REPO, TAG) == first.revision
    assert b"invented again" in hub.files(REPO)["README.md"]


def test_a_pin_of_the_same_files_stays(hub, zoo: Path, run) -> None:
    first = run()
    hub.commit(REPO, {"notes.txt": b"mine"})
    run(tag=None)
    assert pinned(zoo) == (REPO, first.revision)


@pytest.mark.parametrize(
    "stage", chosen(["/commit/", "/lfs/", "/tag/", "pin"], ["/lfs/", "/tag/"])
)
def test_an_interrupted_publish_is_made_up_for(
    hub, zoo: Path, run, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        if stage == "pin":
            patch.setattr("training.publish.pin", interrupt)
        hub.fault(stage, status=400)
        with pytest.raises((HubError, KeyboardInterrupt)):
            run()
    assert pinned(zoo) == (None, None), "the pin comes last"
    hub.clear_faults()
    run()
    assert commits(hub) == 2
    assert pinned(zoo) == (REPO, hub.revision(REPO)) == (REPO, hub.revision(REPO, TAG))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.exhaustive
def test_the_command_survives_being_killed(hub, zoo: Path) -> None:
    command = [sys.executable, "-m", "training.publish", NAME]
    command += ["--repo-id", REPO, "--export", str(zoo)]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token}
    hub.fault("/lfs/", method="PUT", delay=30)
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    while not hub.count("objects/batch") and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    hub.clear_faults()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"@{hub.revision(REPO, TAG)}')" in done.stdout
    assert hub.token not in done.stdout + done.stderr
    assert (commits(hub), pinned(zoo)) == (2, (REPO, hub.revision(REPO)))


def test_the_command_ends_in_one_line_of_error(zoo: Path) -> None:
    options = ["--repo-id", REPO, "--export", str(zoo)]
    done = CliRunner().invoke(main, ["conv_vae_mnist_z61", *options])
    assert done.exit_code == 1
    assert re.fullmatch(rf"Error: .* Did you mean '{NAME}'\?.*\n", done.output)


# --- Without writing -----------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_needs_no_token(
    hub, zoo: Path, run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(zoo)
    assert run(dry_run=True, token=None) is None
    told = capsys.readouterr().out
    assert re.search(r"model\.weights\.h5 +new +[\d,]+ +[0-9a-f]{64}", told)
    assert "would be created as a public repository" in told
    assert "Nothing was written" in told
    run()
    capsys.readouterr()
    elbo = [1.0, None, None, "invented again"]  # in another unit
    edit(zoo, metrics={"mnist/test": {"elbo": elbo}})
    before = snapshot(zoo)
    hub.requests.clear()
    run(dry_run=True, token=None, tag=None)
    told = capsys.readouterr().out
    assert re.search(r"model\.weights\.h5 +unchanged", told)
    assert re.search(r"README\.md +changed", told)
    assert "One commit would be made" in told
    assert hub.count(method="POST") == hub.count(method="PUT") == 0
    assert not any(request.authorized for request in hub.requests)
    assert snapshot(zoo) == before


def test_a_pull_request_is_pinned_after_its_merge(
    hub, zoo: Path, run, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add_repo(REPO)
    done = run(create_pr=True, tag=None)
    told = capsys.readouterr().out
    assert f"Pull request: {done.pull_request}" in told
    assert "After its merge, publish again without --create-pr" in told
    assert pinned(zoo) == (None, None)
    hub.commit(REPO, hub.files(REPO, "refs/pr/1"))
    merged = run()
    assert (merged.is_new, commits(hub)) == (False, 3)
    assert pinned(zoo) == (REPO, hub.revision(REPO)) == (REPO, hub.revision(REPO, TAG))


# --- What is refused -----------------------------------------------------------------


def test_published_weights_are_immutable(hub, zoo: Path, run) -> None:
    run()
    shutil.copy(zoo / "dense_vae_mnist_z2.weights.h5", zoo / "other.weights.h5")
    hub.commit(REPO, {"model.weights.h5": (zoo / "other.weights.h5").read_bytes()})
    before = commits(hub)
    with pytest.raises(ManifestError, match=r"holds other weights.*name, e.g. '.*-v2'"):
        run()
    with pytest.raises(ManifestError, match=r"holds other weights"):
        run(dry_run=True)
    assert commits(hub) == before


def test_a_model_has_one_place(run) -> None:
    run()
    with pytest.raises(ManifestError, match=rf"is published as {REPO}@.*Received: rep"):
        run(repo_id="org/other")


def test_a_public_repository_stays_public(hub, zoo: Path, run) -> None:
    hub.add_repo(REPO)
    with pytest.raises(HubError, match=r"is public, and `private=True` does not"):
        run(private=True)
    assert pinned(zoo) == (None, None)
    assert not hub._repos[REPO].private


def test_files_that_are_not_the_manifests_are_not_published(hub, zoo, run) -> None:
    with pytest.raises(UnknownModelError, match=r"Did you mean.*Train it first"):
        publish("conv_vae", Target(REPO), manifest_file=zoo / "weights_manifest.json")
    golden = zoo / f"{NAME}.golden.npz"
    whole = golden.read_bytes()
    golden.write_bytes(b"other")
    with pytest.raises(ChecksumError, match=r"golden.npz does not match.*Export"):
        run()
    golden.write_bytes(whole)
    with np.load(golden) as file:
        tensors = {**file, "codes": file["codes"] + 1.0}
    np.savez(golden, **tensors)
    sha256 = aezoo.utils.files.sha256_of(golden)
    edit(zoo, golden={"file": golden.name, "sha256": sha256})
    with pytest.raises(
        ManifestError, match=r"not what the manifest promises.*\n.*\n.*"
    ):
        run()
    assert hub.requests == []
