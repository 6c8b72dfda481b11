"""Write the README's table of models from the manifest.

    python -m training.readme

Run it after every export; a test fails while README and manifest disagree.
"""

from collections.abc import Iterable
from pathlib import Path

from aezoo import manifest
from aezoo.files import atomic_path
from aezoo.manifest import WeightsEntry

README = Path(__file__).parent.parent / "README.md"
START = "<!-- models: written by `python -m training.readme` -->"
END = "<!-- /models -->"
# Column heading and the metric it shows.
COLUMNS = {
    "MSE": "mse",
    "-ELBO": "negative_elbo",
    "KL": "kl",
    "log p(x)": "log_likelihood",
    "MSE denoising": "denoising_mse",
    "active code": "active_code_fraction",
}


def model_table(entries: Iterable[WeightsEntry]) -> str:
    """A Markdown table with a row per model, by name."""
    heading = ["model", "code", "parameters", "MB", *COLUMNS, "training"]
    rows = [heading, ["---", *["---:"] * (len(heading) - 2), "---"]]
    for entry in sorted(entries, key=lambda e: e.name):
        figures = []
        for metric_name in COLUMNS.values():
            metric = entry.metric(metric_name)
            figures.append("" if metric is None else figure(metric.value))
        rows.append(
            [
                f"[`{entry.name}`]({entry.recipe})",
                str(entry.latent_dim),
                f"{entry.num_params:,}",
                f"{entry.weights.bytes / 1e6:.1f}",
                *figures,
                f"{entry.training.seconds:,.0f} s",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(value: float) -> str:
    """A metric with as many digits as a reader can use."""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.1f}"


def with_table(text: str, table: str) -> str:
    """The README's text with the table between its markers replaced."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table}\n{END}{after}"


def main() -> None:
    """Rewrite the README."""
    table = model_table(manifest.read_manifest(manifest.manifest_path()).values())
    text = with_table(README.read_text(encoding="utf-8"), table)
    with atomic_path(README) as path:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
