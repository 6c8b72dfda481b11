"""What `python -m training.documents` writes into pages and recipes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from aezoo import manifest
from aezoo.manifest import Manifest, Metric, WeightsEntry
from aezoo.models.families import new_model
from aezoo.training.recipe import Recipe
from training import documents, draws, seeds, sweeps
from training.grid import (
    BUDGET,
    CONVOLUTIONS,
    GRID,
    MAP_NETWORK,
    NETWORK,
    OBJECTIVES,
)
from training.lessons import lesson_text, read_records
from training.recipes import load_recipe, recipe_names
from training.sweeps import Point, Results

SOURCE = manifest.read_manifest(documents.ROOT / "weights_manifest.json").models


def record(value: float, unit: str = "u") -> Metric:
    return Metric(value, unit, "invented")


def model(
    source: str, dataset: str, seconds: float = 60.0, **figures: float
) -> WeightsEntry:
    """An entry of the manifest with other figures."""
    entry = SOURCE[source]
    values = {name.replace("__", "/"): record(v) for name, v in figures.items()}
    return replace(
        entry,
        data=replace(entry.data, name=dataset),
        training=replace(entry.training, seconds=seconds),
        metrics={f"{dataset}/test": values},
    )


AE, VAE = "conv_ae_mnist_z32", "conv_vae_mnist_z16"
MODELS = {
    "conv_ae_mnist": model(AE, "mnist", mse=0.004, frechet__gmm__e_v1=5.5),
    "masked_ae_mnist": model("dense_ae_mnist_z2", "mnist", mse=0.003),
    "conv_vae_mnist": model(
        VAE,
        "mnist",
        seconds=1234.4,
        iwae_nll__binarised=86.4,
        elbo__binarised=-90.5,
        mse=0.008,
        kl__binarised=24.0,
        active_units=15.0,
        frechet__e_v1=20.0,
        frechet__gmm__e_v1=6.0,
        linear_probe=0.93,
    ),
    "conv_vae_mnist_sigma": model(VAE, "mnist", mse=0.007, kl=30.0, elbo=700.0),
    "conv_vae_mnist_z16": model(
        VAE, "mnist", mse=0.009, denoising_mse=0.05, frechet__e_v1=31.0
    ),
    "beta_vae_shapes_b4": model(VAE, "shapes", mse=0.01, kl=9.0, mig=0.25),
    "conv_vae_frey_faces": model(VAE, "frey_faces", mse=0.02, elbo=700.0),
}
_VAE = MODELS["conv_vae_mnist"]
MODELS["conv_vae_mnist"] = replace(_VAE, config={**_VAE.config, "binarize": True})


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A manifest with these models and a baseline."""
    path = tmp_path / "weights_manifest.json"
    rows = {"mnist/test": {"pca_z16": {"mse": record(0.025)}}}
    document = Manifest(MODELS, baselines=rows)
    path.write_text(manifest.manifest_text(document))
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    monkeypatch.setattr(seeds, "RESULTS", tmp_path / "seeds.csv")
    monkeypatch.setattr(draws, "RESULTS", tmp_path / "draws.csv")
    manifest.installed.cache_clear()
    yield
    manifest.installed.cache_clear()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(text: str) -> list[list[list[str]]]:
    """Markdown tables as cells, without the line below the headings."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    blocks = [lines for lines in blocks if lines[0].startswith("|")]
    return [[cells(line) for line in (lines[0], *lines[2:])] for lines in blocks]


# --- The grid ------------------------------------------------------------------------


@pytest.mark.usefixtures("install")
def test_the_grid_shows_what_is_trained_by_group() -> None:
    figures, _ = tables(documents.grid_text())
    assert figures[0] == [
        *("objective", "weights", "code", "NLL", "ELBO", "MSE", "KL", "active units"),
        *("Frechet, prior", "Frechet, mixture", "probe", "seconds", "seeds"),
    ]
    assert [row[0] for row in figures[1:] if row[0].startswith("**")] == [
        *("**Deterministic**", "**Gaussian**")
    ]
    weights = [row[1] for row in figures[1:] if row[1]]
    assert weights == [
        *("`conv_ae_mnist`", "`masked_ae_mnist`"),
        *("`conv_vae_mnist`", "`conv_vae_mnist_sigma`"),
    ]
    by_name = {row[1]: row[2:] for row in figures}
    assert by_name["`conv_vae_mnist`"] == [
        *("16", "86.40", "-90.50", "0.00800", "24.00", "15", "20.00", "6.00"),
        *("93.00%", "1,234", "1"),
    ]
    assert by_name["`conv_ae_mnist`"][-4:] == ["5.50", "", "60", "1"]
    of_grey = by_name["`conv_vae_mnist_sigma`"]
    assert of_grey[4] == "30.00 †", "KL of grey images"
    assert of_grey[2] == "700.00 †", "compares with no ELBO of binarised images"
    assert figures[3][0].endswith(" ‡"), "another network"
    assert not figures[2][0].endswith("‡")


@pytest.mark.usefixtures("install")
def test_the_grid_states_its_network_and_lessons() -> None:
    text = documents.grid_text()
    assert "16, 32, 32 filters, 128 dense units, 16 code units" in text
    assert f"{BUDGET['epochs']} epochs" in text
    _, lessons = tables(text)
    rows = {row.name: row for row in OBJECTIVES}
    assert [name for name, _ in lessons[1:]] == [
        *("`conv_ae_mnist`", "`masked_ae_mnist`"),
        *("`conv_vae_mnist`", "`conv_vae_mnist_sigma`"),
    ]
    records = read_records()
    for name, lesson in lessons[1:]:
        assert lesson == lesson_text(rows[name.strip("`")], records)
        assert lesson.endswith("seeds so far: no claim.)")


def of_seeds(name: str, metric: str, *values: float) -> None:
    """Figures of further seeds."""
    record = manifest.Metric
    seeds.append(
        seeds.RESULTS,
        [
            seeds.Figure(name, seed, metric, record(value, "u", "invented"), 1.0)
            for seed, value in enumerate(values, 1)
        ],
    )


@pytest.mark.usefixtures("install")
def test_only_what_is_ahead_beyond_the_noise_is_bold() -> None:
    assert "**0" not in documents.grid_text()
    of_seeds("conv_ae_mnist", "mse", 0.0041, 0.0042)
    of_seeds("conv_vae_mnist", "mse", 0.0081, 0.0082)
    text = documents.grid_text()
    assert "**0.00410 ± 0.00025**" in text
    assert "0.00300 |" in text, "one seed, however low, is not compared"
    assert "2 of 4 rows have their 3 seeds so far" in text
    assert "- MSE: `conv_ae_mnist` is ahead of every other row." in text


@pytest.mark.usefixtures("install")
def test_where_nothing_differs_beyond_the_noise_the_table_says_so() -> None:
    of_seeds("conv_ae_mnist", "mse", 0.0041, 0.0042)
    of_seeds("conv_vae_mnist", "mse", 0.0030, 0.0035)
    text = documents.grid_text()
    assert "**0" not in text
    assert "- MSE: no row is ahead; the best mean is that of `conv_ae_mnist`, and" in (
        text
    )


@pytest.mark.usefixtures("install")
def test_models_of_drawn_shapes_show_their_seeds_too() -> None:
    of_seeds("beta_vae_shapes_b4", "mig", 0.26, 0.27, 0.25, 0.26)
    of_seeds("beta_vae_shapes_b4", "mse", 0.01, 0.01, 0.01, 0.01)
    text = documents.models_text()
    assert "| 0.258 ± 0.010 |" in text
    assert "All rows have 5 seeds." in text
    assert documents.SECTIONS["shapes"].note in text


def test_rows_of_the_grid_are_different_weights() -> None:
    assert len({row.name for row in OBJECTIVES}) == len(OBJECTIVES) > 30
    assert all(rows and all(row.words for row in rows) for rows in GRID.values())


def test_recipes_of_the_grid_share_network_and_budget() -> None:
    """Or the table compares more than objectives."""
    matched = {row.name for row in OBJECTIVES if row.is_matched}
    for name in matched & set(recipe_names()):
        recipe = load_recipe(name)
        assert recipe.dataset == "mnist"
        assert {key: getattr(recipe, key) for key in BUDGET} == BUDGET, name
        assert recipe.beta_1 == Recipe.beta_1, name
        is_map = new_model(recipe.family, **recipe.config).latent.is_map
        for argument, value in (MAP_NETWORK if is_map else CONVOLUTIONS).items():
            assert tuple(recipe.config[argument]) == tuple(value), name
        assert recipe.config.get("latent_dim", 16) == NETWORK["latent_dim"], name


# --- Other weights, sweeps -----------------------------------------------------------


@pytest.mark.usefixtures("install")
def test_other_weights_stand_by_dataset_with_telling_columns() -> None:
    text = documents.models_text()
    titles = [line[4:] for line in text.splitlines() if line.startswith("### ")]
    assert titles == [
        *("MNIST, other networks", "Drawn shapes with known factors", "Frey faces")
    ]
    mnist, shapes, faces = tables(text)
    assert [row[0] for row in mnist[1:]] == [
        "`conv_vae_mnist_z16`",
        "pca_z16 (baseline)",
    ]
    assert mnist[0][3:] == ["MSE", "MSE denoising", "Frechet (e_v1)"]
    assert shapes[0][3:] == ["MSE", "KL", "MIG"]
    assert faces[0][3:] == ["MSE", "ELBO"]
    assert "**" not in text, "one training is the best of nothing"


@pytest.mark.usefixtures("install")
def test_distances_of_one_training_show_their_spread_over_draws() -> None:
    name, metric = "conv_vae_mnist_z16", "frechet/e_v1"
    assert " 31.00 |" in documents.models_text()
    draws.append(
        draws.RESULTS,
        [draws.Draw(name, metric, seed, 30.0 + seed % 2) for seed in range(10)],
    )
    assert " 30.50 ± 0.53 |" in documents.models_text()


def test_tables_say_what_their_figures_need() -> None:
    """Splits of ours, warm starts, numbers of codes, what does not compare."""
    text = documents.models_text()
    shown = [s for s in documents.SECTIONS.values() if f"### {s.title}\n" in text]
    assert len(shown) >= 8
    for section in shown:
        assert section.note in text
    assert "NLL takes 500 codes an example; 50 for `draw_mnist`" in text
    started = {
        name: entry.training.start_from
        for name, entry in manifest.entries().items()
        if entry.training.start_from
    }
    assert len(started) >= 4
    for name, start in started.items():
        assert re.search(rf"weights of `{start}`, not from .*`{name}`", text), name


def test_sweeps_that_have_run_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "FOLDER", tmp_path)
    assert documents.sweeps_text() == ""
    figures = {"kl/binarised": manifest.Metric(24.0, "nats", "p")}
    points = (Point(0, 61.2, figures), Point(0.25, 59.0, figures))
    results = Results("beta", "mnist", 6, "python -m x beta", "a CPU", points)
    sweeps.write_results(results)
    assert sweeps.read_results("beta") == results
    text = documents.sweeps_text()
    assert "6 epochs each (`python -m x beta`)" in text
    assert "../sweeps/beta.png" in text
    assert tables(text) == [
        [
            ["beta", "KL binarised", "seconds"],
            ["0", "24.00", "61"],
            ["0.25", "24.00", "59"],
        ]
    ]
