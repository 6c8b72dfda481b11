"""The `aezoo` command with folders, the Hub and its cache, as a user meets them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("huggingface_hub")

from click.testing import CliRunner, Result
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.store import cache
from aezoo.utils.files import sha256_of
from tests.draws import exhaustive
from tests.hub_server import HubServer
from tests.zoo_fixtures import publish_zoo, run_python

NAME, OTHER = "conv_vae_mnist_z16", "dense_vae_mnist_z2"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def zoo(own_zoo: Path, server: HubServer) -> Path:
    publish_zoo(own_zoo, server, [NAME, OTHER])
    return own_zoo


@pytest.fixture(scope="module")
def _mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = aezoo.create("dense_vae", input_shape=(8, 8, 1), hidden_units=(4,))
    return aezoo.save(
        model,
        tmp_path_factory.mktemp("mine") / "vae",
        description="Red \x1b[31m text.",
        license="MIT",
        metrics={
            "noise/test": {"mse": aezoo.manifest.Metric(0.5, "level^2", "made up")}
        },
    )


@pytest.fixture
def mine(_mine: Path, server: HubServer) -> Path:
    """A folder that is also on the Hub, as `org/mine`."""
    files = {path.name: path.read_bytes() for path in _mine.iterdir()}
    server.add_repo("org/mine", files)
    return _mine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def full(server: HubServer, folder: Path, mine: Path) -> dict[str, cache.Download]:
    """A cache with a pinned model, an outdated commit and an interrupted download."""
    places = cache.find_places(
        [NAME, "hf://org/mine"], endpoint=server.url, cache_dir=folder
    )
    found = {each.name: each for each in cache.fetch_each(places)}
    entry = (mine / "aezoo.json").read_bytes() + b"\n"
    server.commit("org/mine", {"aezoo.json": entry})
    assert len(list(cache.fetch_each(places))) == 2
    blobs = folder / "models--org--mine" / "blobs"
    (blobs / f"{'0' * 64}.0a1b2c3d.incomplete").write_bytes(b"half" * 1000)
    return found


def aezoo_command(*arguments: Any, **options: Any) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], **options)


def succeed(*arguments: Any, **options: Any) -> str:
    result = aezoo_command(*arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments: Any, code: int = 1, **options: Any) -> Result:
    result = aezoo_command(*arguments, **options)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    return result


# --- Folders ------------------------------------------------------------------------


def test_describe_a_folder_shows_what_it_says_but_obeys_nothing(mine: Path) -> None:
    told = succeed("describe", mine)
    lines = [line.split() for line in told.splitlines()]
    assert "\x1b" not in told
    assert lines[1] == ["Red", r"\x1b[31m", "text."]
    assert ["family", "dense_vae"] in lines
    assert ["tasks", "reconstruction,", "features,", "sampling"] in lines
    assert ["input", "8", "x", "8", "x", "1"] in lines
    assert ["license", "MIT"] in lines
    assert ["metrics", "on", "noise/test"] in lines
    assert ["mse", "0.50000", "lower", "level^2"] in lines
    assert "      made up" in succeed("describe", mine, "--protocols").splitlines()
    described = succeed("describe", mine, "--json")
    assert json.loads(described) == json.loads((mine / "aezoo.json").read_text())
    assert described.isascii()


def test_describe_a_folder_of_nonsense(tmp_path: Path) -> None:
    path = aezoo.save(aezoo.create("linear_ae", input_shape=(4, 4, 1)), tmp_path / "m")
    entry = json.loads((path / "aezoo.json").read_text())
    for change, message in (
        ({"metrics": {"a": [1]}}, "`metrics.a` must be `object`. Received: [1]."),
        ({"metrics": {"b": {"c": 2}}}, "`metrics.b.c` must be `object`. Received: 2."),
        ({"tasks": {}}, "`tasks` must be `array`. Received: {}."),
        ({"description": 7}, "`description` must be `str | null`. Received: 7."),
        ({"license": ["MIT"]}, "`license` must be `str | null`. Received: ['MIT']."),
    ):
        (path / "aezoo.json").write_text(json.dumps(entry | change))
        assert message in fail("describe", path).stderr
        assert message in fail("verify", path).stderr
    (path / "aezoo.json").write_text("[]")
    assert "it must be `object`" in fail("describe", path).stderr
    assert "There is no folder no." in fail("describe", "./no").stderr


def test_models_in_folders_run(mine: Path, tmp_path: Path) -> None:
    image, output = tmp_path / "in.png", tmp_path / "out.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype="uint8")
    Image.fromarray(pixels).save(image)
    model = aezoo.load(mine)
    assert "beside its reconstruction" in succeed(
        "reconstruct", mine, image, "-o", output
    )
    assert "from the prior" in succeed("sample", mine, "-n", 2, "-o", output)
    told = succeed("traverse", mine, image, "--dim", 0, "-o", output)
    assert "One row per code unit" in told
    told = succeed("interpolate", mine, image, image, "--steps", 3, "-o", output)
    assert "3 images" in told
    succeed("encode", mine, image, "-o", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as file:
        np.testing.assert_allclose(file["z"], model.encode(pixels[None, ..., None]))
    assert "elbo" in succeed("metrics", mine)
    data = tmp_path / "data.npz"
    np.savez(data, images=np.stack([pixels[..., None]] * 4))
    told = succeed("evaluate", mine, "--dataset", data, "--metrics", "mse")
    assert told.startswith("metric")
    told = fail("evaluate", mine, code=2).stderr
    assert f"Say with --dataset on what to measure {mine}." in told
    assert "has 20 code units" not in told
    told = fail("traverse", mine, image, "--dim", 99, "-o", output, code=2).stderr
    assert f"has {model.latent_dim} code units" in told


def test_what_a_folder_cannot_do_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    path = aezoo.save(aezoo.create("linear_ae", input_shape=(4, 4, 1)), tmp_path / "m")
    (path / "model.weights.h5").unlink()
    told = fail("sample", path, "-o", tmp_path / "x.png").stderr
    assert "has no prior over its codes" in told


def test_verify_a_folder(mine: Path, tmp_path: Path) -> None:
    assert "8/8 checks" in succeed("verify", mine)
    path = aezoo.save(aezoo.create("linear_ae", input_shape=(4, 4, 1)), tmp_path / "m")
    (path / "model.weights.h5").write_bytes(b"damaged")
    result = fail("verify", mine, path)
    assert "does not match what is stated" in result.stdout
    assert f"1 of 2 models failed: {path}. If golden" in result.stderr
    assert "pip install" not in result.stderr


# --- The cache ----------------------------------------------------------------------


def test_an_empty_cache(folder: Path) -> None:
    told = succeed("cache", "--cache-dir", folder).splitlines()
    assert [line.split()[1] for line in told[1:5]] == ["bundled"] * 4
    assert told[-1] == f"0 models (0 kB) in the cache {folder}"
    assert succeed("cache", "--cache-dir", folder, "--prune") == (
        "There is nothing to prune.\n"
    )
    folder.write_text("a file")
    assert "found a file" in fail("cache", "--cache-dir", folder).stderr


@pytest.mark.usefixtures("full")
def test_the_cache_is_a_table(server: HubServer, folder: Path) -> None:
    told = succeed("cache", "--cache-dir", folder).splitlines()
    rows = [line.split() for line in told]
    assert rows[0] == ["model", "commit", "state", "size", "folder"]
    states = {(row[0], row[1]): row[2] for row in rows if row and row[0][:3] == "hf:"}
    pinned, current = server.revision(f"zoo/{NAME}"), server.revision("org/mine")
    assert states.pop((f"hf://zoo/{NAME}", pinned[:12])) == "pinned"
    assert states.pop(("hf://org/mine", current[:12])) == "main"
    assert list(states.values()) == ["outdated"]
    assert told[-2].startswith("2 models (")
    assert told[-1] == (
        "`aezoo cache --prune` removes 1 outdated commit and 1 interrupted download."
    )


@pytest.mark.usefixtures("full")
def test_the_cache_as_json(folder: Path) -> None:
    listed = json.loads(succeed("cache", "--cache-dir", folder, "--json"))
    assert listed == cache.contents(folder).to_dict()
    assert {"bundled", "revisions", "interrupted", "bytes"} <= set(listed)
    checked = json.loads(succeed("cache", "--cache-dir", folder, "--json", "--verify"))
    assert checked == listed | {"damaged": []}
    pruned = json.loads(
        succeed("cache", "--cache-dir", folder, "--json", "--prune", "--yes")
    )["pruned"]
    assert len(pruned["revisions"]) == len(pruned["interrupted"]) == 1


@pytest.mark.usefixtures("full")
def test_pruning_asks_first(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    result = fail("cache", "--cache-dir", folder, "--prune", input="n\n")
    assert "Remove these and free 5 kB? [y/N]" in result.stderr
    assert sorted(folder.rglob("*")) == before
    told = succeed("cache", "--cache-dir", folder, "--prune", input="y\n")
    assert [line.split()[0] for line in told.splitlines()] == [
        *("outdated", "interrupted", "Removed:")
    ]
    told = succeed("cache", "--cache-dir", folder, "--prune", "--yes")
    assert told == "There is nothing to prune.\n"
    assert "--yes belongs to --prune" in fail("cache", "--yes", code=2).stderr


def test_damaged_files_are_named_and_can_be_removed(zoo, full, folder) -> None:
    assert "0 damaged" in succeed("cache", "--cache-dir", folder, "--verify")
    path = full[NAME].path
    path.resolve().write_bytes(b"damaged")
    result = fail("cache", "--cache-dir", folder, "--verify")
    assert result.stdout.startswith(f"{path}: expected hash ")
    assert result.stderr.startswith(f"Error: 1 file damaged: {path}. `aezoo cache --v")
    told = succeed("cache", "--cache-dir", folder, "--verify", "--prune", "--yes")
    assert f"damaged      {path}" in told
    assert not path.exists()
    (zoo / "weights" / f"{OTHER}.golden.npz").write_bytes(b"damaged")
    result = fail("cache", "--cache-dir", folder, "--verify", "--prune", "--yes")
    assert "There is nothing to prune." in result.stdout
    assert result.stderr.endswith("golden.npz. Reinstall aezoo.\n")


# --- With a Hub, in a process of its own --------------------------------------------


class Shell:
    """`aezoo` commands in one fresh interpreter, with a Hub and a home of its own."""

    def __init__(self, zoo: Path, **env: str) -> None:
        self.zoo, self.env = zoo, env

    def run(self, *commands: list[str], **env: str) -> list[tuple[int, list[str]]]:
        """Exit code and lines (of both streams) of each command."""
        code = (
            "import contextlib, io, json\n"
            "from aezoo.cli import main\n"
            f"for command in {commands!r}:\n"
            "    out = io.StringIO()\n"
            "    with contextlib.ExitStack() as stack:\n"
            "        stack.enter_context(contextlib.redirect_stdout(out))\n"
            "        stack.enter_context(contextlib.redirect_stderr(out))\n"
            "        try: main(command)\n"
            "        except SystemExit as end: code = end.code\n"
            "    print(json.dumps([code or 0, out.getvalue().splitlines()]))\n"
        )
        result = run_python(code, self.zoo, **self.env, **env)
        assert result.returncode == 0, result.stderr
        return [tuple(json.loads(line)) for line in result.stdout.splitlines()]


@pytest.fixture
def shell(zoo: Path, server: HubServer, tmp_path: Path) -> Shell:
    return Shell(zoo, HF_ENDPOINT=server.url, HF_HOME=str(tmp_path / "home"))


@pytest.mark.usefixtures("mine")
def test_download(shell: Shell, server: HubServer) -> None:
    server.add_repo("org/secret", {"aezoo.json": b"{}"}, private=True)
    some, every, again, mixed, folder, both = shell.run(
        ["download", NAME],
        ["download", "--all"],
        ["download", "--all"],
        ["download", "hf://org/secret", NAME, "hf://org/mine"],
        ["download", "./folder"],
        ["download"],
    )
    assert some[0] == 0
    assert some[1][0].split()[:4] == [NAME, "from", "the", "Hub"]
    assert some[1][1].startswith("1 model from the Hub (")
    assert every[1][0] == "2 models on the Hub; 2 bundled only."
    assert [line.split()[0] for line in every[1][1:3]] == [NAME, OTHER]
    assert every[1][3].endswith("1 in the cache already.")
    assert again[1][-1] == "0 models from the Hub (0 kB), 2 in the cache already."
    assert server.downloads("model.weights.h5") == 3, "each once"
    code, lines = mixed
    assert code == 1
    assert lines[0].split() == ["hf://org/secret", "FAILED"]
    assert "or it is private" in lines[1]
    assert "in the cache already" in lines[2]
    assert "from the Hub" in lines[3]
    assert lines[-1] == (
        "Error: 1 of 3 models could not be downloaded: hf://org/secret. The same "
        "command tries these again."
    )
    assert folder[0] == both[0] == 2
    assert "is a folder on this machine already" in folder[1][-1]
    assert "Name models to download, or pass --all; not both." in both[1][-1]


def test_download_all_of_nothing(zoo: Path, server: HubServer, shell: Shell) -> None:
    from tests.zoo_fixtures import change_entry

    for name in (NAME, OTHER):
        change_entry(zoo, name, lambda e: e["weights"].pop("hub"))
    every, one = shell.run(["download", "--all"], ["download", NAME])
    assert every[0] == 0
    assert every[1][0] == "0 models on the Hub; 4 bundled only."
    assert one[0] == 1
    assert "is not on the Hub" in one[1][0]
    assert server.requests == []


@exhaustive
@pytest.mark.usefixtures("mine")
def test_addresses_of_the_hub(shell: Shell, server, tmp_path: Path) -> None:
    """Described without its weights, verified with its golden tensors, then run."""
    address = "hf://org/mine@main"
    ((code, lines),) = shell.run(["describe", address])
    assert code == 0, lines
    assert any(line.split() == ["family", "dense_vae"] for line in lines)
    assert server.downloads("aezoo.json") == server.downloads() == 1
    output = str(tmp_path / "out.png")
    verified, sampled, gone = shell.run(
        ["verify", address], ["sample", address, "-o", output], ["verify", "hf://a/b"]
    )
    assert verified[1][0].startswith(f"{address}  8/8 checks, largest deviation")
    assert sampled[0] == 0
    assert gone[0] == 1
    assert "There is no repository hf://a/b" in gone[1][-1]
    assert server.downloads("golden.npz") == server.downloads("weights.h5") == 1
    server.requests.clear()
    ((code, lines),) = shell.run(["verify", address], HF_HUB_OFFLINE="1")
    assert code == 0, lines
    assert server.requests == []

    server.commit("org/mine", {"model.weights.h5": b"other"})
    ((code, lines),) = shell.run(["verify", address])
    assert code == 1
    assert "0/1 checks" in lines[0]
    assert "sha256 of the weights: The file model.weights.h5 of hf://org" in lines[1]


@pytest.mark.exhaustive
def test_a_package_without_files_verifies_those_of_the_hub(zoo, shell, server) -> None:
    for path in (zoo / "weights").glob(f"{NAME}.*"):
        path.unlink()
    ((code, lines),) = shell.run(["verify", NAME])
    assert code == 0, lines
    assert lines[0].startswith(f"{NAME}  8/8 checks")
    assert server.downloads() == 2, "weights and golden tensors"
    golden = aezoo.describe(NAME).golden.sha256
    blob = next(Path(shell.env["HF_HOME"]).rglob(golden))
    blob.write_bytes(b"damaged")
    assert shell.run(["verify", NAME])[0][0] == 0, "fetched once more"
    assert sha256_of(blob) == golden


def test_looking_at_the_cache_imports_no_keras(zoo: Path, folder: Path) -> None:
    code = (
        "from aezoo.cli import main\n"
        f"try: main(['cache', '--verify', '--cache-dir', {str(folder)!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "print('keras' in sys.modules)"
    )
    result = run_python(code, zoo)
    assert result.stdout == "8 files checked, 0 damaged.\nFalse\n", result.stderr
    env = os.environ | {"HF_HUB_CACHE": str(folder)}
    result = subprocess.run(
        [sys.executable, "-m", "aezoo", "cache"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"in the cache {folder}" in result.stdout
