"""Cases that are drawn by the week: each comes in time, and never too many at once."""

import pytest

from tests.draws import in_turn, turn_of


@pytest.mark.parametrize(("count", "weeks"), [(1, 1), (4, 1), (5, 2), (55, 14)])
def test_every_name_has_its_turn_within_some_weeks(count: int, weeks: int) -> None:
    names = [f"model_{i}" for i in range(count)]
    turns = [turn_of(names, at_most=4, week=week) for week in range(700, 700 + weeks)]
    assert sorted(name for turn in turns for name in turn) == sorted(names)
    assert all(1 <= len(turn) <= 4 for turn in turns)


def test_the_others_are_exhaustive() -> None:
    cases = in_turn("edcba", at_most=2)
    assert [case.id for case in cases] == list("abcde")
    default = [case.id for case in cases if not case.marks]
    assert tuple(default) == turn_of("abcde", at_most=2)
    (mark,) = {m.name for case in cases for m in case.marks}
    assert mark == "exhaustive"


def test_no_names_are_no_cases() -> None:
    assert in_turn([], at_most=4) == []
