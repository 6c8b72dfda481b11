"""Write the figures of README and recipe headers from the manifest.

    python -m training.documents

Run it after every export and every `python -m training.evaluate --write`; a test fails
while the documents and the manifest disagree.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from aezoo import manifest
from aezoo.files import atomic_path
from aezoo.manifest import WeightsEntry
from aezoo.ranking import leaderboard
from training.export import ROOT

README = ROOT / "README.md"
START = "<!-- models: written by `python -m training.documents` -->"
END = "<!-- /models -->"
DATASET, SORT = "mnist", "iwae_nll"


def readme_text() -> str:
    """The README with the leaderboard between its markers."""
    before, rest = README.read_text(encoding="utf-8").split(START)
    _, after = rest.split(END)
    table = leaderboard(DATASET, sort=SORT).to_markdown()
    return f"{before}{START}\n{table}\n{END}{after}"


def recipe_text(entry: WeightsEntry) -> str:
    """A recipe with what was measured in its header.

    The header names the figures; their values are the manifest's.
    """
    text = (ROOT / entry.recipe).read_text(encoding="utf-8")
    time = f"{entry.training.seconds:,.0f} s on {entry.training.hardware}"
    text = re.sub(r"(?m)^Measured: .*\.$", f"Measured: {time}.", text)

    def scores(line: re.Match[str]) -> str:
        figures = []
        for name in re.findall(r"([a-z][\w/]*) -?[\d.]+", line[1]):
            metric = entry.metric(name)
            if metric is None:
                raise click.ClickException(f"{entry.name} has no metric {name!r}.")
            figures.append(f"{name} {metric.value:.4g}")
        return f"Test split: {', '.join(figures)}."

    return re.sub(r"(?m)^Test split: (.*)\.$", scores, text)


def documents() -> Iterator[tuple[Path, str]]:
    """Every document with figures, and what it must say."""
    yield README, readme_text()
    for entry in manifest.read_manifest(manifest.manifest_path()).values():
        yield ROOT / entry.recipe, recipe_text(entry)


@click.command(help=__doc__)
def main() -> None:
    """Rewrite what is out of date."""
    for path, text in documents():
        if path.read_text(encoding="utf-8") != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            click.echo(f"Wrote {path.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
