"""What runs on what: every objective on every network, for every modality.

    python -m training.compositions

writes `docs/compositions.md`: a table per modality, and why something is refused. A
cell is tried: the model is created, not trained; the tests train them.
"""

from collections.abc import Iterator
from typing import Any

import click

from aezoo.modalities import Image, Modality, Music, Text, Trajectory, Voxels
from aezoo.models.families import compose
from aezoo.networks import (
    Dense,
    Network,
    NetworkError,
    ViT,
    network_class,
    network_kinds,
)
from aezoo.registry import Family, find_family, list_families
from aezoo.utils.files import atomic_path
from training.export import ROOT

DOCUMENT = ROOT / "docs" / "compositions.md"
# Small networks of each kind; `custom` has none of its own.
TINY: dict[str, dict[str, Any]] = {
    "conv": {"filters": (4, 6), "hidden_units": (8,)},
    "dense": {"hidden_units": (16,)},
    "draw": {"steps": 2, "encoder_units": 8, "decoder_units": 8},
    "grid3d": {"filters": (2, 4), "strides": (2, 2), "hidden_units": (8,)},
    "ldm": {"filters": (4, 4), "groups": 2},
    "linear_gaussian": {},
    "mae": {
        "patch_size": 4,
        "num_layers": 1,
        "num_heads": 2,
        "mlp_dim": 8,
        "decoder_dim": 8,
        "decoder_heads": 2,
        "decoder_mlp_dim": 8,
    },
    "motion": {
        "hidden_units": (16,),
        "patch_size": 4,
        "filters": (4, 6),
        "context_units": 8,
    },
    "occupancy": {
        "filters": (2, 4),
        "strides": (2, 2),
        "hidden_units": (8,),
        "point_units": 8,
        "blocks": 1,
        "frequencies": 1,
    },
    "patches": {"num_filters": 6, "patch_size": 3, "grid": 2},
    "recurrent": {"embedding_dim": 4, "units": 6},
    "resnet": {"filters": (4, 6), "strides": (2, 2), "normalization": None},
    "taesd": {"width": 4, "encoder_blocks": (1, 1), "decoder_blocks": (1, 1)},
    "top_down": {
        "blocks": ((1, 1), (4, 1)),
        "width": 8,
        "bottleneck": 6,
        "code_dim": 2,
    },
    "transforms": {"filters": (4, 4), "hyper_filters": 4},
    "two_level": {"filters": (4, 6)},
    "unet": {"filters": (4, 6), "blocks": 1},
    "voices": {
        "embedding_dim": 4,
        "encoder_units": 6,
        "summary_units": 4,
        "decoder_units": 6,
        "head_units": 4,
        "segment": 2,
        "conductor_units": 4,
    },
    "vit": {"num_layers": 1, "num_heads": 2, "dim": 8, "decoder_dim": 8},
}
MODALITIES: tuple[Modality, ...] = (
    Image(8, 8, 1),
    Voxels(8, 8, 8),
    Text(6, words="a b c d ."),
    Music(4, voices=2, low=60, high=64),
    Trajectory(4),
)
# Arguments that an objective needs on another network than its own.
NEEDED: dict[str, dict[str, Any]] = {"contractive_ae": {"estimator": "hutchinson"}}


def objectives() -> list[Family]:
    """One family per objective, by its own name."""
    families = [find_family(name) for name in list_families()]
    return [f for f in families if f.objective.__module__.endswith(f".{f.name}")]


def networks() -> Iterator[Network]:
    """A small network of each kind."""
    for kind in network_kinds():
        if kind in TINY:
            yield network_class(kind)(**TINY[kind])


def arguments_for(family: Family, network: Network) -> dict[str, Any]:
    """Small arguments of the objective alone, for another network than its own."""
    own = {*family.network.argument_names(), "input_shape", "modality"}
    small = {name: value for name, value in family.tiny.items() if name not in own}
    if type(network) is type(family.network) or network.kind == "dense":
        return small
    return {**small, **NEEDED.get(family.name, {})}


def model_of(family: Family, network: Network, modality: Modality) -> Any:
    """The model of a cell, not built.

    Args:
        family: Its objective.
        network: Its network.
        modality: What an example is.

    Raises:
        NetworkError: If the network cannot carry the modality or the latent.
        ValueError: If the objective does not go with either.
    """
    arguments = arguments_for(family, network)
    if network.kind == "vit" and family.name == "masked_ae":
        network = ViT(num_layers=1, num_heads=2, decoder_dim=8)
    if network.kind == "dense" and family.name in ("linear_ae", "contractive_ae"):
        network = Dense(())
    return compose(family, modality=modality, network=network, **arguments)


def reason_against(family: Family, network: Network, modality: Modality) -> str | None:
    """Why a cell is empty, in one sentence; None if it is not."""
    try:
        model_of(family, network, modality)
    except (NetworkError, ValueError) as error:
        return str(error).partition(". ")[0].rstrip(".") + "."
    return None


def document() -> str:
    """The page."""
    lines = [
        "# What runs on what",
        "",
        "Every objective on every network that carries its latent, for every modality. "
        "Made by `python -m training.compositions`, which creates each; "
        "`tests/test_compositions.py` trains them. `aezoo.create(objective, "
        "network=..., modality=...)` makes one, and `encoder=`, `decoder=` take the "
        "place of a network: the column `custom`.",
    ]
    for modality in MODALITIES:
        kinds = [network.kind for network in networks()]
        lines += ["", f"## {modality.noun.capitalize()}s", ""]
        lines.append(f"| objective | {' | '.join(kinds)} |")
        lines.append(f"| --- | {' | '.join(['---'] * len(kinds))} |")
        reasons: dict[str, str] = {}
        for family in objectives():
            cells = []
            for network in networks():
                reason = reason_against(family, network, modality)
                cells.append("yes" if reason is None else "")
                if reason:
                    reasons.setdefault(reason, f"`{family.name}` on `{network.kind}`")
            lines.append(f"| `{family.name}` | {' | '.join(cells)} |")
        lines += ["", "Why not, each reason once:", ""]
        lines += [f"- {where}: {reason}" for reason, where in reasons.items()]
    return "\n".join(lines) + "\n"


def cells() -> Iterator[tuple[str, str, str]]:
    """Objective, network and kind of modality of each cell that the page says yes to.

    Read, not tried: that takes half a minute.
    """
    _, *sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    for modality, section in zip(MODALITIES, sections, strict=True):
        rows = [
            [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            for line in section.splitlines()
            if line.startswith("|")
        ]
        (_, *kinds), _, *rest = rows
        for objective, *answers in rest:
            for kind, answer in zip(kinds, answers, strict=True):
                if answer == "yes":
                    yield objective, kind, modality.kind


@click.command()
def main() -> None:
    """Write docs/compositions.md."""
    text = document()
    with atomic_path(DOCUMENT) as path:
        path.write_text(text, encoding="utf-8")
    click.echo(f"Wrote {DOCUMENT.name}.")


if __name__ == "__main__":
    main()
