"""The leaderboard: right rows, right order, right bold, from the manifest alone."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.cli import main
from aezoo.errors import ManifestError
from aezoo.evaluation.leaderboard import measured_datasets
from aezoo.manifest import Manifest, Metric
from aezoo.metrics import METRICS, definition_of, heading, higher_is_better
from tests.zoo_fixtures import _tiny_zoo_folder  # noqa: F401

FIGURES = {
    "conv_ae_mnist_z32": {"mse": 0.01, "linear_probe": 0.9, "odd_score": 7.25},
    "conv_vae_mnist_z16": {"mse": 0.03, "elbo": -97.0, "kl": 20.0, "frechet/a_v1": 5.0},
    "denoising_conv_ae_mnist_z32": {"mse": 0.02, "linear_probe": 0.95},
    "dense_vae_mnist_z2": {"elbo": -140.0, "kl": 7.0, "frechet/b_v1": 4.0},
}
BASELINES = {
    "pixels": {"linear_probe": 0.92},
    "pca_z2": {"mse": 0.04, "linear_probe": 0.45},
}


def records(figures: dict[str, float]) -> dict[str, Metric]:
    return {name: Metric(value, "u", "invented") for name, value in figures.items()}


@pytest.fixture
def install(
    _tiny_zoo_folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[dict, dict], None]]:
    """Installs a manifest with these figures on `mnist/test`, and these baselines."""

    def write(figures: dict, baselines: dict) -> None:
        document = manifest.read_manifest(_tiny_zoo_folder / "weights_manifest.json")
        for name, values in figures.items():
            measured = {"mnist/test": records(values)}
            if name == "conv_ae_mnist_z32":
                measured["other/test"] = records({"mse": 0.5})
            document.models[name] = replace(document.models[name], metrics=measured)
        rows = {name: records(values) for name, values in baselines.items()}
        document.baselines["mnist/test"] = rows
        path = tmp_path / "weights_manifest.json"
        path.write_text(manifest.manifest_text(document))
        monkeypatch.setattr(manifest, "manifest_path", lambda: path)
        manifest.installed.cache_clear()

    write(FIGURES, BASELINES)
    yield write
    manifest.installed.cache_clear()


def names(table: aezoo.evaluation.leaderboard.Leaderboard) -> list[str]:
    return [row.name for row in table.rows]


def cells(markdown: str) -> dict[str, dict[str, str]]:
    """A Markdown table's cells by row and column."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
    ]
    header, _, *rows = lines
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


@pytest.mark.usefixtures("install")
class TestOrder:
    def test_by_name_with_the_models_first(self) -> None:
        assert names(aezoo.leaderboard()) == [*sorted(FIGURES), "pca_z2", "pixels"]

    def test_lower_is_better(self) -> None:
        assert names(aezoo.leaderboard(sort="mse")) == [
            "conv_ae_mnist_z32",
            "denoising_conv_ae_mnist_z32",
            "conv_vae_mnist_z16",
            "pca_z2",
            *("dense_vae_mnist_z2", "pixels"),  # not measured: last
        ]

    def test_higher_is_better(self) -> None:
        assert names(aezoo.leaderboard(sort="linear_probe")) == [
            "denoising_conv_ae_mnist_z32",
            "pixels",
            "conv_ae_mnist_z32",
            "pca_z2",
            *("conv_vae_mnist_z16", "dense_vae_mnist_z2"),
        ]
        assert names(aezoo.leaderboard(sort="elbo", baselines=False)) == [
            *("conv_vae_mnist_z16", "dense_vae_mnist_z2"),
            *("conv_ae_mnist_z32", "denoising_conv_ae_mnist_z32"),
        ]

    def test_the_sorting_metric_is_always_shown(self) -> None:
        assert aezoo.leaderboard(sort="odd_score").columns[-1] == "odd_score"
        table = aezoo.leaderboard(sort="elbo", metrics=["mse"])
        assert table.columns == ("mse", "elbo")


@pytest.mark.usefixtures("install")
class TestMarkdown:
    def test_columns_come_in_the_stated_order_where_any_row_has_them(self) -> None:
        header = aezoo.leaderboard().to_markdown().splitlines()[0]
        assert [cell.strip() for cell in header.strip("|").split("|")] == [
            *("model", "code units", "parameters", "MSE", "KL"),
            *("Frechet (a_v1)", "Frechet (b_v1)", "probe"),
        ]

    def test_figures_and_the_best_in_bold(self) -> None:
        table = cells(aezoo.leaderboard().to_markdown())
        vae = table["`conv_vae_mnist_z16`"]
        entry = aezoo.describe("conv_vae_mnist_z16")
        assert list(vae.values()) == [
            *("`conv_vae_mnist_z16`", "16", f"{entry.num_params:,}", "0.03000"),
            *("20.00", "**5.00**", "", ""),
        ]
        assert table["`conv_ae_mnist_z32`"]["MSE"] == "**0.01000**"
        assert table["`denoising_conv_ae_mnist_z32`"]["probe"] == "**95.00%**"
        pixels = table["pixels (baseline)"]
        assert pixels["probe"] == "92.00%"
        assert pixels["code units"] == pixels["parameters"] == pixels["MSE"] == ""
        assert not any("**" in row["KL"] for row in table.values()), "neither is better"

    def test_the_best_model_is_bold_and_no_baseline(self, install: Callable) -> None:
        install(FIGURES, {"pixels": {"linear_probe": 0.99}})
        table = cells(aezoo.leaderboard().to_markdown())
        assert table["pixels (baseline)"]["probe"] == "99.00%"
        assert table["`denoising_conv_ae_mnist_z32`"]["probe"] == "**95.00%**"
        assert "pixels" not in aezoo.leaderboard(baselines=False).to_markdown()

    def test_figures_that_look_equal_share_the_bold(self, install: Callable) -> None:
        name = "denoising_conv_ae_mnist_z32"
        install({**FIGURES, name: {"mse": 0.010000001}}, {})
        table = cells(aezoo.leaderboard().to_markdown())
        assert table[f"`{name}`"]["MSE"] == "**0.01000**"
        assert table["`conv_ae_mnist_z32`"]["MSE"] == "**0.01000**"

    def test_figures_in_another_unit_are_marked_and_never_best(self) -> None:
        path = manifest.manifest_path()
        document = manifest.read_manifest(path)
        entry = document.models["conv_ae_mnist_z32"]
        density = {"elbo": Metric(400.0, "u, density", "p")}
        figures = {"mnist/test": {**entry.metrics["mnist/test"], **density}}
        document.models[entry.name] = replace(entry, metrics=figures)
        path.write_text(manifest.manifest_text(document))
        manifest.installed.cache_clear()
        table = aezoo.leaderboard(sort="elbo")
        column = {name: row["ELBO"] for name, row in cells(table.to_markdown()).items()}
        assert column["`conv_ae_mnist_z32`"] == "400.00†"
        assert column["`conv_vae_mnist_z16`"] == "**-97.00**"
        assert names(table)[:2] == ["conv_vae_mnist_z16", "dense_vae_mnist_z2"]

    def test_it_is_aligned(self) -> None:
        lines = aezoo.leaderboard().to_markdown().splitlines()
        assert len({len(line) for line in lines}) == 1

    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            ("iwae_nll", "NLL (IWAE)"),
            ("iwae_nll/binarised", "NLL binarised"),
            ("linear_probe/100", "probe, 100 labels"),
            ("linear_probe/7", "probe (7)"),
            ("kernel_distance/lenet_mnist_v1", "kernel distance (lenet_mnist_v1)"),
            ("frechet/gmm/lenet_mnist_v1", "Frechet gmm (lenet_mnist_v1)"),
            ("kl_per_dim", "kl per dim"),
        ],
    )
    def test_headings(self, metric: str, expected: str) -> None:
        assert heading(metric) == expected


@pytest.mark.usefixtures("install")
class TestMetrics:
    def test_a_name_stands_for_its_variants(self) -> None:
        columns = aezoo.leaderboard(metrics=["frechet", "mse"]).columns
        assert columns == ("frechet/a_v1", "frechet/b_v1", "mse")

    def test_to_dict_holds_what_is_shown(self) -> None:
        table = aezoo.leaderboard(sort="mse", metrics=["mse"]).to_dict()
        assert json.loads(json.dumps(table)) == table
        assert table["columns"] == ["mse"]
        assert table["rows"][0] == {
            "name": "conv_ae_mnist_z32",
            "is_baseline": False,
            "code_units": 32,
            "num_params": aezoo.describe("conv_ae_mnist_z32").num_params,
            "metrics": {"mse": records({"mse": 0.01})["mse"].to_dict()},
        }
        assert table["rows"][-1]["metrics"] == {}

    def test_another_dataset(self) -> None:
        table = aezoo.leaderboard("other")
        assert names(table) == ["conv_ae_mnist_z32"]
        assert measured_datasets() == ["mnist", "other"]
        assert measured_datasets(models="conv_vae*") == ["mnist"]

    def test_a_split_without_figures(self) -> None:
        with pytest.raises(ValueError, match=r"on 'train'.*: .*mnist/test"):
            measured_datasets("train")

    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            ("*_vae_*", ["conv_vae_mnist_z16", "dense_vae_mnist_z2"]),
            ("conv_ae_mnist_z32", ["conv_ae_mnist_z32"]),
            (
                ["dense*", "no_such", "conv_vae*"],
                ["conv_vae_mnist_z16", "dense_vae_mnist_z2"],
            ),
        ],
    )
    def test_models_by_name_or_pattern(self, patterns, expected: list[str]) -> None:
        table = aezoo.leaderboard(models=patterns)
        assert names(table) == [*expected, "pca_z2", "pixels"]
        without = aezoo.leaderboard(models=patterns, baselines=False)
        assert names(without) == expected
        assert "odd_score" not in without.columns

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"dataset": "minst"}, r"on 'minst/test'.*mnist/test.*mean 'mnist/test'"),
            ({"split": "train"}, r"Nothing was measured on 'mnist/train'"),
            ({"sort": "mes"}, r"`sort` must name .*odd_score.*Did you mean 'mse'"),
            ({"sort": "frechet"}, r"one metric of frechet/a_v1, frechet/b_v1\. Rec"),
            ({"metrics": ["elbow"]}, r"`metrics` must name .*Did you mean 'elbo'"),
            ({"metrics": "mse"}, r"`metrics` must be a sequence .*metrics='mse'"),
            ({"metrics": []}, r"`metrics` must be a sequence of at least one"),
            ({"models": "conv_vea"}, r"`models` must .*Received: 'conv_vea'\. Did you"),
            ({"models": []}, r"`models` must hold names or patterns"),
        ],
    )
    def test_errors_name_what_there_is(self, arguments: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            aezoo.leaderboard(**arguments)


@pytest.mark.usefixtures("install")
class TestCommand:
    def test_it_prints_the_markdown(self) -> None:
        result = CliRunner().invoke(main, ["leaderboard", "--sort", "mse"])
        assert result.stdout == aezoo.leaderboard(sort="mse").to_markdown() + "\n"

    def test_json_and_metrics(self) -> None:
        arguments = ["leaderboard", "--metrics", "elbo,kl", "--metrics", "mse"]
        result = CliRunner().invoke(main, [*arguments, "--json"])
        expected = aezoo.leaderboard(metrics=["elbo", "kl", "mse"])
        assert json.loads(result.stdout) == expected.to_dict()

    def test_all_datasets_one_after_the_other(self) -> None:
        arguments = ["leaderboard", "--dataset", "all", "--sort", "mse"]
        result = CliRunner().invoke(main, arguments)
        tables = [aezoo.leaderboard(name, sort="mse") for name in ("mnist", "other")]
        first, second = (table.to_markdown() for table in tables)
        assert result.stdout == f"mnist/test\n\n{first}\n\nother/test\n\n{second}\n"
        found = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
        assert found == [table.to_dict() for table in tables]

    def test_models_of_all_datasets_that_have_them(self) -> None:
        arguments = ["--dataset", "all", "--models", "conv_vae*", "--no-baselines"]
        result = CliRunner().invoke(main, ["leaderboard", *arguments])
        table = aezoo.leaderboard(models="conv_vae*", baselines=False)
        assert result.stdout == f"mnist/test\n\n{table.to_markdown()}\n"

    def test_errors_are_one_line(self) -> None:
        result = CliRunner().invoke(main, ["leaderboard", "--dataset", "minst"])
        assert result.exit_code == 1
        assert re.fullmatch(r"Error: Nothing was measured on .*\n", result.stderr)


def test_the_function_is_not_hidden_by_a_module() -> None:
    code = (
        "import aezoo, aezoo.cli, aezoo.evaluation.leaderboard, sys;"
        "aezoo.leaderboard();"
        "aezoo.leaderboard();"
        "heavy = {'tensorflow', 'keras', 'numpy', 'h5py', 'PIL', 'tabulate'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_metrics_are_listed_without_any_framework() -> None:
    code = (
        "import sys; from aezoo.cli import main;"
        "main(['metrics'], standalone_mode=False);"
        "heavy = {'tensorflow', 'keras', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# --- The manifest's part -------------------------------------------------------------


def test_a_manifest_without_baselines_has_none(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(manifest.manifest_text(Manifest()))
    assert manifest.read_manifest(path).baselines == {}


def test_baselines_are_typed_and_frozen(install: Callable) -> None:  # noqa: ARG001
    baselines = manifest.baselines()
    assert baselines["mnist/test"]["pixels"]["linear_probe"].value == 0.92
    with pytest.raises(TypeError):
        baselines["mnist/test"]["pixels"] = {}  # type: ignore[index]


@pytest.mark.parametrize("section", [[], {"mnist/test": 3}, {"mnist/test": {"x": 3}}])
def test_malformed_baselines_are_refused(tmp_path: Path, section: object) -> None:
    path = tmp_path / "manifest.json"
    head = {"schema_version": 2, "protocols": {}, "models": {}}
    path.write_text(json.dumps({**head, "baselines": section}))
    with pytest.raises(ManifestError, match=r"`baselines[^`]*` must be `object`"):
        manifest.read_manifest(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("elbo/binarised", True),
        ("frechet/gmm/lenet_mnist_v1", False),
        ("linear_probe/7", True),
        ("kl/binarised", None),
        ("odd_score", None),
    ],
)
def test_a_figure_is_better_as_its_metric_is(name: str, expected: bool | None) -> None:
    assert higher_is_better(name) is expected


@pytest.mark.parametrize("name", METRICS)
def test_a_declared_name_is_its_own(name: str) -> None:
    assert definition_of(name) is METRICS[name]
    assert heading(name) == METRICS[name].title


def test_list_sorts_variants_by_the_direction_of_their_metric(
    install: Callable,
) -> None:
    install(
        {
            "conv_vae_mnist_z16": {"elbo/binarised": -97.0},
            "dense_vae_mnist_z2": {"elbo/binarised": -140.0},
        },
        {},
    )
    listed = aezoo.list_models(sort="elbo/binarised")
    assert listed[:2] == ["conv_vae_mnist_z16", "dense_vae_mnist_z2"]
