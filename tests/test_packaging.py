"""A wheel built from the repository holds and verifies every bundled model."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aezoo.manifest import entries, extractors
from tests.draws import chosen, some_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, ROOT],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_manifest_schema_weights_and_goldens(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = set(archive.namelist())
    manifest = "aezoo/weights_manifest"
    assert {
        f"{manifest}{end}" for end in (".json", ".schema.json", ".texts.json")
    } < names
    files = [file for e in extractors().values() for file in (e.weights, e.golden)]
    for entry in entries().values():
        files += entry.weights, entry.golden, *entry.samplers.values()
    assert len(files) >= 20
    for file in files:
        content = archive.read(f"aezoo/weights/{file.file}")
        assert hashlib.sha256(content).hexdigest() == file.sha256, file.file
    assert not [n for n in names if n.startswith(("tests", "training", "benchmarks"))]


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's own files, in a folder that no optional package is seen from.

    The dependencies are this environment's; `make` proves that a fresh one installs.
    """
    folder = tmp_path_factory.mktemp("outside") / "site"
    zipfile.ZipFile(wheel).extractall(folder)
    optional = [
        *("matplotlib", "pandas", "sklearn", "skimage", "tensorflow_datasets"),
        "jsonschema",
    ]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({optional!r}))"
    (folder / "sitecustomize.py").write_text(blocked, encoding="utf-8")
    return folder


def run_outside(
    site: Path, *arguments: str, backend: str
) -> subprocess.CompletedProcess:
    """Run Python in a fresh process that cannot see the checkout."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site), "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("backend", chosen(["tensorflow", "jax"], ["jax"]))
def test_the_wheel_verifies_outside_the_checkout(site: Path, backend: str) -> None:
    """Models load, and compute what was published, on either backend.

    Some every week: the wheel's files are those of the checkout, which `test_golden`
    verifies.
    """
    code = "import aezoo; print(aezoo.__file__)"
    found = run_outside(site, "-c", code, backend=backend)
    assert Path(found.stdout.strip()).is_relative_to(site), found.stderr

    names = [*some_of(entries(), at_most=3), *extractors()]
    result = run_outside(site, "-m", "aezoo", "verify", *names, backend=backend)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == names


def test_the_console_script_is_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
    assert "aezoo = aezoo.cli:main" in archive.read(name).decode()
