"""Hostile images and archives: a named error or the right result, in bounded time."""

from pathlib import Path

import pytest

from tests import hostile


@pytest.mark.parametrize("what", hostile.CHECKS)
def test_nothing_hostile_gets_through(what: str, tmp_path: Path) -> None:
    cases = hostile.draw(hostile.CHECKS[what][0], 200, seed=1)
    assert hostile.run_cases(what, cases, tmp_path) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("what", hostile.CHECKS)
def test_nothing_hostile_gets_through_among_many(
    what: str, seed: int, tmp_path: Path
) -> None:
    cases = hostile.draw(hostile.CHECKS[what][0], 1_000, seed=seed)
    assert hostile.run_cases(what, cases, tmp_path) == []
