"""Folders that mean harm: a named error or a model, in bounded time and memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aezoo import registry

FAMILIES = ("dense_vae", "flow_vae", "masked_ae")


def check(scratch: Path, families: tuple[str, ...], cases: int, seed: int) -> None:
    """As many folders of each kind of harm and family."""
    arguments = [str(scratch), ",".join(families), str(cases), str(seed)]
    result = subprocess.run(
        [sys.executable, "-m", "tests.hostile_folders", *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout)
    assert not found["wrong"], "\n".join(found["wrong"])
    counts = found["counts"]
    assert sum(counts.values()) == 6 * cases * len(families)
    assert counts["ManifestError"] > sum(counts.values()) / 4
    assert counts["loaded"] > 0, "what changes nothing is loaded"
    assert not list(scratch.iterdir())


@pytest.mark.timeout(900)
def test_hostile_folders(tmp_path: Path) -> None:
    check(tmp_path, FAMILIES, cases=4, seed=0)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", registry.list_families())
def test_more_hostile_folders(tmp_path: Path, family: str) -> None:
    check(tmp_path, (family,), cases=8, seed=1)
