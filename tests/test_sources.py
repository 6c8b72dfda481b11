"""One model from three places: the package, the client's cache, the Hub."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("huggingface_hub")

import aezoo
from aezoo import manifest
from aezoo.errors import ChecksumError, HubError, ManifestError
from aezoo.models.autoencoder import Autoencoder
from aezoo.store import reference, remote
from aezoo.store.entry import ENTRY
from aezoo.store.load import load_entry
from tests.hub_server import HubServer
from tests.zoo_fixtures import change_entry, publish_zoo, run_python

NAME, REPO = "conv_vae_mnist_z16", "zoo/conv_vae_mnist_z16"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def zoo(own_zoo: Path, server: HubServer) -> Path:
    """A zoo whose model `NAME` is both bundled and published."""
    publish_zoo(own_zoo, server, [NAME])
    return own_zoo


@pytest.fixture
def options(server: HubServer, tmp_path: Path) -> dict[str, Any]:
    return {"cache_dir": tmp_path / "cache", "endpoint": server.url}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


def bundled(zoo: Path) -> Path:
    return zoo / "weights" / f"{NAME}.weights.h5"


def fetched(source: str = "hub", **options: Any) -> Path:
    """The weights file that `load(NAME)` opens, from the Hub of `options`."""
    found = reference.resolve(NAME, source, **options)
    assert found.place is not None, "it comes from the package"
    return reference.weights_file(manifest.describe(NAME), found.place)


def same(a: Autoencoder, b: Autoencoder) -> bool:
    return all(
        np.array_equal(x, y)
        for x, y in zip(a.get_weights(), b.get_weights(), strict=True)
    )


@pytest.mark.usefixtures("zoo")
def test_hub_and_package_give_the_same_model(server, options) -> None:
    entry = manifest.describe(NAME)
    loaded = load_entry(entry, fetched(**options))
    assert same(loaded, aezoo.load(NAME))
    assert loaded.name == NAME
    assert server.downloads() == server.downloads("model.weights.h5") == 1


@pytest.mark.usefixtures("zoo")
def test_a_pinned_model_in_the_cache_needs_no_request(server, options) -> None:
    path = fetched(**options)
    server.requests.clear()
    assert fetched(**options) == path
    assert fetched(**options, local_files_only=True) == path
    assert server.requests == []


def test_auto_prefers_the_package(zoo, server) -> None:
    assert reference.resolve(NAME).place is None
    bundled(zoo).unlink()
    place = reference.resolve(NAME).place
    assert place is not None
    assert (place.repo_id, place.revision) == (REPO, server.revision(REPO))
    other = reference.resolve("dense_vae_mnist_z2")
    assert other.place is None, "it is not on the Hub"


def test_a_revision_means_the_hub(zoo, server, options) -> None:
    server.commit(REPO, {"README.md": b"A better card."})
    place = reference.resolve(NAME, revision="main").place
    assert place is not None
    assert place.revision == "main"
    path = fetched("auto", revision="main", **options)
    assert path.parent.name == server.revision(REPO)
    assert path.read_bytes() == bundled(zoo).read_bytes()


@pytest.mark.usefixtures("zoo")
def test_other_weights_at_another_revision_are_refused(server, options) -> None:
    server.commit(REPO, {"model.weights.h5": b"retrained"})
    with pytest.raises(
        ChecksumError,
        match=rf"(?s)neither did a second.*manifest promises.*load\('hf://{REPO}@main",
    ):
        fetched(revision="main", **options)
    assert fetched(**options).is_file(), "the pinned revision stays what it is"


@pytest.mark.usefixtures("zoo")
def test_a_manifest_that_pins_other_weights_is_an_error(server, options) -> None:
    server.fault("model.weights.h5", method="GET", flip=True, times=None)
    with pytest.raises(ChecksumError, match=r"neither did a second download") as caught:
        fetched(**options)
    assert "manifest promises" not in str(caught.value)


@pytest.mark.usefixtures("zoo")
def test_a_byte_that_flips_in_the_cache_is_fetched_again(server, options) -> None:
    path = fetched(**options)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.resolve().write_bytes(data)
    assert fetched(**options).read_bytes() != data
    assert server.downloads("model.weights.h5") == 2


# --- What is refused -----------------------------------------------------------------


@pytest.mark.usefixtures("own_zoo")
@pytest.mark.parametrize("given", [{"source": "hub"}, {"revision": "main"}])
def test_a_model_that_is_not_on_the_hub(given: dict) -> None:
    with pytest.raises(HubError, match=r"is not on the Hub.*source='bundled'"):
        aezoo.load(NAME, **given)


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (NAME, {"source": "cloud"}, r"'auto', 'bundled', 'hub'.*source='cloud'"),
        (
            NAME,
            {"source": "bundled", "revision": "main"},
            r"`revision` belongs to models on the Hub.*source='bundled'",
        ),
        (
            NAME,
            {"source": "bundled", "local_files_only": True},
            r"`local_files_only` belongs to models on the Hub",
        ),
        ("./x", {"token": "hf_x"}, r"`token` belongs to.*name='\./x'"),
        ("./x", {"source": "bundled"}, r"`source` belongs to names from.*'bundled'"),
        ("hf://a/b", {"source": "hub"}, r"`source` belongs to names from.*'hf://a/b'"),
        (Path("x"), {"cache_dir": "x"}, r"`cache_dir` belongs to models on the Hub"),
    ],
)
def test_options_that_contradict(name: Any, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        aezoo.load(name, **given)
    assert "hf_x" not in str(caught.value)


def test_a_damaged_bundled_file_offers_the_hub_where_there_is_one(zoo: Path) -> None:
    bundled(zoo).write_bytes(b"damaged")
    for source in ("auto", "bundled"):
        with pytest.raises(ChecksumError, match=r"Reinstall.*or load.*source='hub'"):
            aezoo.load(NAME, source=source)
    other = zoo / "weights" / "dense_vae_mnist_z2.weights.h5"
    other.unlink()
    with pytest.raises(
        ChecksumError, match=r"is missing\. Reinstall aezoo to rest.*\.$"
    ):
        aezoo.load("dense_vae_mnist_z2")


def test_messages_tell_the_manifest_from_a_folder(tmp_path: Path, zoo: Path) -> None:
    path = aezoo.save(aezoo.create("linear_ae", input_shape=(4, 4, 1)), tmp_path / "m")
    entry = json.loads((path / ENTRY).read_text())
    for change, message in (
        ({"latent_shape": [7]}, "does not fit its configuration"),
        ({"family": "liner_ae"}, "does not describe a valid"),
    ):
        (path / ENTRY).write_text(json.dumps(entry | change))
        with pytest.raises(ManifestError, match=f"The folder's entry .* {message}"):
            aezoo.load(path)
        change_entry(zoo, NAME, lambda e: e.update(change))  # noqa: B023
        with pytest.raises(ManifestError, match=f"The manifest entry .* {message}"):
            aezoo.load(NAME)


@pytest.mark.usefixtures("own_zoo")
def test_a_name_is_one_of_three(tmp_path: Path) -> None:
    """Of nothing but a model of the zoo is anything looked up."""
    zoo = reference.resolve(NAME)
    assert (zoo.zoo, zoo.place) == (manifest.describe(NAME), None)
    assert (zoo.folder, zoo.repository, zoo.is_own) == (None, None, False)
    assert zoo.entry() is zoo.zoo
    own = reference.resolve(tmp_path / "no" / "such")
    assert (own.zoo, own.folder, own.repository) == (None, tmp_path / "no/such", None)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        own.entry()
    hub_model = reference.resolve("hf://a/b@c", local_files_only=True)
    assert (hub_model.zoo, hub_model.folder, hub_model.is_own) == (None, None, True)
    assert hub_model.repository == remote.Place("a/b", "c", local_files_only=True)
    with pytest.raises(ValueError, match="is a model of the zoo, and no folder"):
        zoo.model_folder()
    with pytest.raises(ValueError, match=r"`revision` belongs to models on the Hub"):
        reference.find_entry(NAME, revision="main")


# --- In a process of its own, where the environment names the Hub --------------------


@pytest.mark.exhaustive
def test_three_sources_one_model(zoo: Path, server, tmp_path: Path) -> None:
    """Hub, then cache, then package; then no package, then no network, then nothing."""
    code = f"""
import aezoo, huggingface_hub.constants, numpy as np
from aezoo.errors import HubError
name = {NAME!r}
models = [aezoo.load(name, source="hub"), aezoo.load(name, source="bundled")]
models += [aezoo.load(name), aezoo.load("hf://{REPO}")]
Path({str(bundled(zoo))!r}).unlink()
models += [aezoo.load(name), aezoo.load(name, local_files_only=True)]
x = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), "uint8")
for model in models:
    for a, b in zip(model.get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.encode(x), models[0].encode(x))
print("same")
try:
    aezoo.load(name, cache_dir={str(tmp_path / "empty")!r}, local_files_only=True)
except HubError as error:
    print(error)
"""
    env = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    result = run_python(code, zoo, **env)
    assert result.returncode == 0, result.stderr
    same, error = result.stdout.splitlines()
    assert same == "same"
    assert "is not in the cache, and no request was allowed" in error
    assert server.downloads("model.weights.h5") == 1

    server.requests.clear()
    code = f"""
import aezoo
from aezoo.errors import HubError
print(aezoo.load({NAME!r}).name)
try:
    aezoo.load("hf://zoo/other")
except HubError as error:
    print(error)
"""
    result = run_python(code, zoo, **env, HF_HUB_OFFLINE="1")
    assert result.stdout.splitlines()[0] == NAME, result.stderr
    assert "HF_HUB_OFFLINE" in result.stdout.splitlines()[1]
    assert server.requests == []
