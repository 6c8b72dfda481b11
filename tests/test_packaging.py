"""A wheel built from the repository holds and loads every bundled model."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aezoo.manifest import entries

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
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"aezoo/weights_manifest.json", "aezoo/weights_manifest.schema.json"} < names
    for entry in entries().values():
        assert f"aezoo/weights/{entry.weights.file}" in names
        assert f"aezoo/weights/{entry.golden.file}" in names
    assert not [n for n in names if n.startswith(("tests", "training", "benchmarks"))]


def test_the_wheel_loads_every_model_outside_the_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    """The wheel's own files, in a fresh process that cannot see the checkout.

    Its dependencies are this environment's; `make` proves that a fresh one installs.
    """
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import aezoo, numpy as np, pathlib\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "assert pathlib.Path(aezoo.__file__).is_relative_to(here), aezoo.__file__\n"
        "x = np.zeros((2, 28, 28, 1), 'uint8')\n"
        "names = aezoo.list_models()\n"
        "for name in names:\n"
        "    assert aezoo.load(name).reconstruct(x).shape == x.shape\n"
        "print(len(names))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert int(result.stdout) == len(entries()) >= 10


def test_the_console_script_is_declared(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
    assert "aezoo = aezoo.cli:main" in archive.read(name).decode()
