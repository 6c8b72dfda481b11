"""What can be exported: every family in every format, tried.

    python -m training.exports
    python -m training.exports --format litert  # the others keep their section

writes `docs/exports.md`: which functions of a small model of each family become graphs
that compute the same, and why others do not. `docs/export.md` says what is done with
them.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
from tabulate import tabulate

from aezoo.engines.entry import PARTS, ExportEntry, read_entry
from aezoo.engines.export import FORMATS, export
from aezoo.models.families import compose
from aezoo.registry import find_family, list_families
from aezoo.utils.files import atomic_path
from aezoo.utils.progress import with_progress
from training.export import ROOT

DOCUMENT = ROOT / "docs" / "exports.md"
FUNCTIONS = tuple(dict.fromkeys(name for names in PARTS.values() for name in names))
HEADINGS: Mapping[str, str] = {
    "encode": "encode",
    "encode_parameters": "posterior",
    "sample_posterior": "its draws",
    "log_prob": "its density",
    "kl": "its KL",
    "decode": "decode",
    "reconstruct": "reconstruct",
    "draw_elements": "elements drawn",
    "write": "words drawn",
}
HEAD = (
    "# What can be exported\n\n"
    "Every family, by a small model of it: what `aezoo.export` writes, once the "
    "format's own runtime has computed what the model does ([how](export.md)). Made by "
    "`python -m training.exports`, which tries each.\n"
)
# Names of the nodes of one graph, which say nothing about the family.
_NODE = re.compile(r"\[[\w/.]+: (\w+)\]|'[\w/.]+/(\w+)'")


def tried(family: str, format: str) -> "ExportEntry | str":
    """What `export.json` of a small model says; or why there is none."""
    found = find_family(family)
    model = compose(found, **found.tiny)
    model.ensure_built()
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_entry(export(model, Path(folder) / "out", format))
        except ValueError as error:
            return str(error)


def cells_of(entry: "ExportEntry | str") -> tuple[dict[str, str], dict[str, str]]:
    """Cells of a row by function, and reasons by function."""
    if isinstance(entry, str):
        return {}, {"encode": entry}
    has = set(entry.graphs)
    if "encode_parameters" in has and "kl" not in entry.left_out:
        has.add("kl")
    return dict.fromkeys(has, "yes"), dict(entry.left_out)


def document(found: Mapping[tuple[str, str], "ExportEntry | str"]) -> str:
    """The page.

    Args:
        found: What `tried` returned, by family and format.
    """
    return "".join([HEAD, *sections(found).values()])


def sections(
    found: Mapping[tuple[str, str], "ExportEntry | str"],
) -> dict[str, str]:
    """The section of each format that was tried; as `document`."""
    return {
        format: section(found, format)
        for format in FORMATS
        if any(format == of_format for _, of_format in found)
    }


def section(found: Mapping[tuple[str, str], "ExportEntry | str"], format: str) -> str:
    """The table of a format, and why functions are not there."""
    rows: list[list[str]] = []
    reasons: dict[str, list[str]] = {}
    for (family, of_format), entry in found.items():
        if of_format != format:
            continue
        cells, why = cells_of(entry)
        rows.append([f"`{family}`", *(cells.get(name, "") for name in HEADINGS)])
        for name, reason in why.items():
            said = _NODE.sub(lambda m: f"`{m[1] or m[2]}`", reason)
            families = reasons.setdefault(f"{HEADINGS[name]}: {said}", [])
            families.append(f"`{family}`")
    lines = ["", f"## {format}", ""]
    table = tabulate(rows, ["family", *HEADINGS.values()], tablefmt="pipe")
    lines.append(table)
    if reasons:
        lines += ["", "Why not, each reason once:", ""]
    lines += [
        f"- {', '.join(families)}: {reason.rstrip('.')}."
        for reason, families in reasons.items()
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    help="Try these alone; the others keep their section.",
)
def main(formats: tuple[str, ...]) -> None:
    """Write docs/exports.md."""
    wanted = [(f, format) for format in formats or FORMATS for f in list_families()]
    found = {
        (family, format): tried(family, format)
        for family, format in with_progress(wanted, "Exporting", "model")
    }
    known = _sections_of(DOCUMENT.read_text(encoding="utf-8")) if formats else {}
    parts = {**known, **sections(found)}
    text = "".join([HEAD, *(parts[f] for f in FORMATS if f in parts)])
    with atomic_path(DOCUMENT) as path:
        path.write_text(text, encoding="utf-8")
    click.echo(f"Wrote {DOCUMENT.name}.")


def _sections_of(text: str) -> dict[str, str]:
    """The sections of the page by format."""
    return {
        part.partition("\n")[0]: f"\n## {part.rstrip()}\n"
        for part in text.split("\n## ")[1:]
    }


if __name__ == "__main__":
    main()
