"""Cases that are too many for every run: some stand for the others."""

from collections.abc import Collection, Iterable

import pytest

from aezoo.registry import find_family, list_families

exhaustive = pytest.mark.exhaustive
# Families that have another one's code beside defaults, network or quantiser, or what
# other families have beside it.
TWINS = {
    "ae": "conv_ae",
    "contractive_conv_ae": "contractive_ae",
    "conv_ae": None,
    "conv_vae": None,
    "dense_ae": "conv_ae",
    "dense_vae": "conv_vae",
    "fsq": "vq_vae",
    "linear_ae": "conv_ae",
    "motion_vae": "conv_vae",
    "music_vae": "conv_vae",
    "resnet_ae": "conv_ae",
    "resnet_vae": "conv_vae",
    "semi_supervised_vae": "conditional_vae",
    "sentence_vae": "conv_vae",
    "vae": "conv_vae",
    "voxel_vae": "conv_vae",
}
# The family that stands for an objective's own code, where it is named otherwise.
OF_OBJECTIVE = {"ae": "conv_ae", "vae": "conv_vae"}


def some_of(names: Iterable[str], at_most: int) -> tuple[str, ...]:
    """A few of the names, spread over all of them; the same at every run.

    Args:
        names: All names.
        at_most: How many.
    """
    ordered = sorted(names)
    step = max(1, -(-len(ordered) // at_most))
    return tuple(ordered[::step])


def some_cases(names: Iterable[str], at_most: int) -> list:
    """A case by name for `parametrize`: all but a few are exhaustive."""
    names = sorted(names)
    return chosen(names, some_of(names, at_most))


def image_families() -> list[str]:
    """Families that encode images; those of others have tests of their own."""
    return [
        name
        for name in list_families()
        if "modality" not in find_family(name).tiny
        if find_family(name).objective.has_encoder
    ]


def families() -> list:
    """A case by family: those that derive from another are exhaustive."""
    names = list_families()
    return chosen(names, [name for name in names if parent_of(name) is None])


def parent_of(family: str) -> str | None:
    """The family that a family derives from, or has all its code from, or None."""
    if family in TWINS:
        return TWINS[family]
    base = find_family(family).objective.__mro__[1]
    name = base.__module__.rpartition(".")[2]
    name = OF_OBJECTIVE.get(name, name)
    return name if name in list_families() else None


def chosen(names: Iterable[str], default: Collection[str]) -> list:
    """A case by name: what is not in `default` is exhaustive."""
    return [
        pytest.param(name, id=name, marks=[exhaustive] * (name not in default))
        for name in names
    ]
