"""Which cases a default run takes: few, spread, and the same at every run."""

import pytest

from tests.conftest import group_of
from tests.draws import some_cases, some_of


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (4, 4), (5, 3), (55, 4)])
def test_some_are_few_and_spread(count: int, expected: int) -> None:
    names = [f"model_{i:02}" for i in range(count)]
    some = some_of(reversed(names), at_most=4)
    assert some == some_of(names, at_most=4)
    assert len(some) == expected
    assert set(some) <= set(names)
    assert some[0] == names[0]


def test_the_others_are_exhaustive() -> None:
    cases = some_cases("edcba", at_most=2)
    assert [case.id for case in cases] == list("abcde")
    default = [case.id for case in cases if not case.marks]
    assert tuple(default) == some_of("abcde", at_most=2) == ("a", "d")
    (mark,) = {m.name for case in cases for m in case.marks}
    assert mark == "exhaustive"


def test_no_names_are_no_cases() -> None:
    assert some_cases([], at_most=4) == []


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("test_common.py::test_family[flow_vae-losses]", "flow_vae"),
        ("test_common.py::test_there_are_families_and_checks_to_run", "test_common.py"),
        ("test_golden.py::test_weights[conv_vae_mnist_z16]", "conv_vae_mnist_z16"),
        ("test_latent.py::test_moments[dense_vae]", "test_latent.py"),
    ],
)
def test_what_shares_fixtures_shares_a_process(test: str, group: str) -> None:
    assert group_of(f"tests/{test}") == group
