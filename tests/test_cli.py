"""The `aezoo` command: what it answers, refuses, writes and imports."""

import importlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.modalities.image.digits import draw_digits
from tests.zoo_fixtures import NAMES, run_python

ROOT = Path(__file__).parent.parent
CONV_VAE, CONV_AE = "conv_vae_mnist_z16", "conv_ae_mnist_z32"
pytestmark = pytest.mark.usefixtures("tiny_zoo")


def aezoo_command(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def succeed(*arguments: Any) -> str:
    result = aezoo_command(*arguments)
    assert result.exit_code == 0, result.output
    assert result.exception is None
    return result.stdout


def fail(*arguments: Any, code: int = 1) -> str:
    """Runs a command that must fail with one line and no traceback; the line."""
    result = aezoo_command(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    if code == 1:
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def digits(tmp_path: Path) -> list[Path]:
    images, _ = draw_digits(3, seed=0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    return paths


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to load a model fails: what is tested must be checked before."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("a model was loaded")

    monkeypatch.setattr("aezoo.engines.load.load", refuse)


# --- list and describe ------------------------------------------------------------


def test_list_is_a_table() -> None:
    lines = succeed("list").splitlines()
    assert lines[0].split() == [
        *("name", "family", "latent", "params", "data", "metric", "value"),
    ]
    assert [line.split()[0] for line in lines[1:]] == sorted(NAMES)
    row = next(line for line in lines if line.startswith(CONV_VAE)).split()
    entry = aezoo.describe(CONV_VAE)
    assert row[1:] == [
        *("conv_vae", "16", f"{entry.num_params:,}", "mnist", "elbo", "-97")
    ]
    # Columns are aligned: every family begins where its heading does.
    start = lines[0].index("family")
    assert all(line[start - 1] == " " != line[start] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["conv_*"], ["conv_ae_mnist_z32", "conv_vae_mnist_z16"]),
        (["--family", "*vae*"], ["conv_vae_mnist_z16", "dense_vae_mnist_z2"]),
        (["--dataset", "mnist", "--latent-dim", "2"], ["dense_vae_mnist_z2"]),
        (["--task", "sampling"], ["conv_vae_mnist_z16", "dense_vae_mnist_z2"]),
        (
            ["--sort", "mse", "--family", "conv_ae"],
            [CONV_AE, "denoising_conv_ae_mnist_z32"],
        ),
        (["--max-params", "1"], []),
        (["--dataset", "cifar10"], []),
    ],
)
def test_list_filters(arguments: list[str], expected: list[str]) -> None:
    models = json.loads(succeed("list", "--json", *arguments))
    assert [model["name"] for model in models] == expected


def test_list_shows_the_metric_it_sorts_by() -> None:
    lines = succeed("list", "--sort", "mse").splitlines()
    assert lines[1].startswith("conv_ae_mnist_z32 ")
    assert lines[1].split()[-2:] == ["mse", "0.01"]


def test_list_without_a_match_says_so() -> None:
    result = aezoo_command("list", "nothing*")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "No model meets these filters" in result.stderr


def test_list_refuses_unknown_tasks_and_metrics() -> None:
    assert "Did you mean 'sampling'" in fail("list", "--task", "samplin")
    assert "`sort` must be a metric" in fail("list", "--sort", "beauty")


def test_json_is_the_manifests_entry_with_protocols_in_words() -> None:
    expected = {n: e.to_dict() for n, e in aezoo.manifest.entries().items()}
    described = json.loads(succeed("describe", CONV_AE, "--json"))
    assert described.pop("name") == CONV_AE
    assert described == expected[CONV_AE]
    protocol = described["metrics"]["mnist/test"]["mse"]["protocol"]
    assert protocol == "invented"
    listed = json.loads(succeed("list", "--json"))
    assert {entry.pop("name"): entry for entry in listed} == expected


def test_describe_prints_the_entry() -> None:
    assert succeed("describe", CONV_AE) == f"{aezoo.describe(CONV_AE)!r}\n"
    told = succeed("describe", CONV_AE, "--protocols").splitlines()
    assert told[-2:] == ["    mse  0.01000 none", "      invented"]


def test_version_and_help() -> None:
    assert succeed("--version") == f"aezoo {aezoo.__version__}\n"
    for arguments in ([], *([name] for name in main.all_commands())):
        assert "Usage: " in succeed(*arguments, "-h")


def test_names_are_completed() -> None:
    from click.shell_completion import ShellComplete

    complete = ShellComplete(main, {}, "aezoo", "_AEZOO_COMPLETE")
    found = complete.get_completions(["describe"], "conv_")
    assert [item.value for item in found] == [CONV_AE, CONV_VAE]
    for path in ("./my", "/srv/models/", "~/my"):
        (item,) = complete.get_completions(["describe"], path)
        assert (item.value, item.type) == (path, "dir")


# --- Commands that run models --------------------------------------------------------


def test_reconstruct_draws_inputs_beside_outputs(
    tmp_path: Path, digits: list[Path]
) -> None:
    output = tmp_path / "out.png"
    told = succeed("reconstruct", CONV_AE, digits[0], "-o", output)
    x = np.asarray(Image.open(digits[0]))
    x_hat = aezoo.load(CONV_AE).reconstruct(x[None, ..., None])[0, ..., 0]
    with Image.open(output) as image:
        scale = image.height // 32
        picture = np.asarray(image)[::scale, ::scale]
    np.testing.assert_array_equal(picture[2:30, 2:30], x)
    np.testing.assert_array_equal(picture[2:30, 32:60], x_hat)
    error = np.mean((x / 255.0 - x_hat / 255.0) ** 2)
    assert f"mean squared error per pixel {error:.4f}" in told
    assert f"Wrote {output} ({62 * scale} x {32 * scale} pixels" in told


def test_reconstruct_takes_many_images(tmp_path: Path, digits: list[Path]) -> None:
    told = succeed("reconstruct", CONV_VAE, *digits, "-o", tmp_path / "out.jpg")
    assert "3 images, each beside its reconstruction" in told


def test_conversions_are_printed(tmp_path: Path, digits: list[Path]) -> None:
    big = tmp_path / "big.png"
    Image.open(digits[0]).convert("RGB").resize((56, 56)).save(big)
    told = succeed("reconstruct", CONV_AE, digits[1], big, "-o", tmp_path / "o.png")
    assert f"{big}: 56x56 RGB -> 28x28 L: converted to grey" in told
    assert f"{digits[1]}:" not in told


def test_many_conversions_are_summed_up(tmp_path: Path) -> None:
    paths = []
    for i in range(20):
        size = 30 + i // 4 if i < 16 else 90 + i
        paths.append(tmp_path / f"{i:02}.png")
        Image.new("L", (size, size)).save(paths[-1])
    told = succeed("encode", CONV_AE, *paths, "-o", tmp_path / "z.npz")
    assert "4 files: 30x30 L -> 28x28 L: resized (Lanczos)\n" in told
    assert "3 more files converted by the same rule" in told
    assert len(told.splitlines()) == 7


def test_invert(tmp_path: Path, digits: list[Path]) -> None:
    paper = tmp_path / "paper.png"
    Image.fromarray(255 - np.asarray(Image.open(digits[0]))).save(paper)
    outputs = [tmp_path / "ink.npz", tmp_path / "paper.npz"]
    succeed("encode", CONV_AE, digits[0], "-o", outputs[0])
    told = succeed("encode", CONV_AE, paper, "--invert", "-o", outputs[1])
    assert "inverted" in told
    ink, inverted = (np.load(path)["z"] for path in outputs)
    np.testing.assert_array_equal(ink, inverted)
    assert "--invert" in succeed("encode", CONV_AE, paper, "-o", outputs[1])


def test_sample_is_what_the_model_samples(tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    told = succeed("sample", CONV_VAE, "-n", 4, "--seed", 7, "-o", output)
    assert "4 samples from the prior, seed 7" in told
    expected = aezoo.load(CONV_VAE).sample(4, seed=7)
    with Image.open(output) as image:
        scale = image.height // 62
        picture = np.asarray(image)[::scale, ::scale]
    # Second row, second column of a 2 x 2 grid with frames of 2 pixels.
    levels = np.round(255 * expected[3, ..., 0])
    np.testing.assert_array_equal(picture[32:60, 32:60], levels)

    again = tmp_path / "again.png"
    succeed("sample", CONV_VAE, "-n", 4, "--seed", 7, "-o", again)
    assert again.read_bytes() == output.read_bytes()
    succeed("sample", CONV_VAE, "-n", 4, "--seed", 8, "-o", again)
    assert again.read_bytes() != output.read_bytes()


def test_sample_steps_are_drawn_side_by_side_or_one_after_another(
    tmp_path: Path,
) -> None:
    config = {"steps": 3, "encoder_units": 8, "decoder_units": 8}
    model = aezoo.create("draw", latent_dim=2, **config)
    aezoo.save(model, tmp_path / "model")
    arguments = ("sample", tmp_path / "model", "-n", 2, "--seed", 7, "--steps", "-o")
    told = succeed(*arguments, tmp_path / "strip.png")
    assert "2 samples in 3 steps from the prior, seed 7" in told
    steps = model.generate_steps(2, seed=7)
    with Image.open(tmp_path / "strip.png") as image:
        scale = image.height // 62
        picture = np.asarray(image)[::scale, ::scale]
    # Second row, third column of a grid with frames of 2 pixels.
    levels = np.round(255 * steps[1, 2, ..., 0])
    np.testing.assert_allclose(picture[32:60, 62:90], levels, atol=1)
    told = succeed(*arguments, tmp_path / "steps.gif")
    assert "3 frames" in told
    with Image.open(tmp_path / "steps.gif") as image:
        assert image.n_frames == 3
    told = fail("sample", CONV_VAE, "--steps", "-o", tmp_path / "a.gif")
    assert "models that draw step by step, such as those of the family 'draw'" in told
    told = fail("sample", CONV_VAE, "-o", tmp_path / "a.gif")
    assert "must end in .png" in told


def test_sample_draws_given_classes_in_turn_and_at_a_temperature(
    tmp_path: Path,
) -> None:
    output, again = tmp_path / "out.png", tmp_path / "again.png"
    name = tmp_path / "classes"
    model = aezoo.create("conditional_vae", latent_dim=2, filters=(4, 4))
    aezoo.save(model, name)
    succeed("sample", name, "-n", 4, "--labels", "3,8", "-o", output)
    images = model.sample(4, seed=0, labels=[3, 8, 3, 8])
    with Image.open(output) as image:
        scale = image.height // 62
        picture = np.asarray(image)[::scale, ::scale]
    levels = np.round(255 * images[3, ..., 0])
    np.testing.assert_allclose(picture[32:60, 32:60], levels, atol=1)
    told = fail("sample", name, "--labels", "3,x", "-o", again, code=2)
    assert "'3,x' is not like 0,1,2" in told
    told = fail("sample", CONV_VAE, "--labels", "3", "-o", again)
    assert "knows no classes" in told
    told = fail("sample", CONV_VAE, "--temperature", "0.5", "-o", again)
    assert "cannot sample with `temperature`" in told

    chain = aezoo.create("draw", latent_dim=2, steps=2)
    aezoo.save(chain, tmp_path / "model")
    options = ("sample", tmp_path / "model", "-n", 4, "--temperature")
    succeed(*options, 0, "-o", output)
    succeed(*options, 0, "--seed", 1, "-o", again)
    assert again.read_bytes() == output.read_bytes()  # all modes
    succeed(*options, 1, "-o", again)
    assert again.read_bytes() != output.read_bytes()
    told = fail(
        *("sample", tmp_path / "model", "--steps", "--labels", "1", "-o", again), code=2
    )
    assert "knows no classes" in told


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_interpolate(tmp_path: Path, digits: list[Path], method: str) -> None:
    output = tmp_path / "out.png"
    told = succeed(
        *("interpolate", CONV_VAE, *digits[:2], "-o", output),
        *("--steps", 5, "--method", method),
    )
    assert f"5 images on the {method} path" in told
    with Image.open(output) as image:
        assert image.width * 32 == image.height * (7 * 30 + 2)
        scale = image.height // 32
        picture = np.asarray(image)[::scale, ::scale]
    a, b = (np.asarray(Image.open(path))[..., None] for path in digits[:2])
    path = aezoo.load(CONV_VAE).interpolate(a, b, steps=5, method=method)
    for i, expected in enumerate([a, *path, b]):
        shown = picture[2:30, 30 * i + 2 : 30 * i + 30]
        np.testing.assert_array_equal(shown, expected[..., 0])


def test_traverse_draws_a_row_per_unit(tmp_path: Path, digits: list[Path]) -> None:
    output = tmp_path / "out.png"
    told = succeed(
        *("traverse", CONV_VAE, digits[0], "-o", output),
        *("--dim", 3, "--dim", -1, "--values", "-2,0,2"),
    )
    assert "One row per code unit, from above: 3, -1." in told
    assert "the unit at -2, 0, 2" in told
    with Image.open(output) as image:
        assert image.width * 62 == image.height * 122, "4 columns, 2 rows"
        scale = image.height // 62
        picture = np.asarray(image)[::scale, ::scale]
    x = np.asarray(Image.open(digits[0]))[..., None]
    last = aezoo.load(CONV_VAE).traverse(x, -1, [2.0])[0]
    np.testing.assert_array_equal(picture[2:30, 2:30], x[..., 0])
    np.testing.assert_array_equal(picture[32:60, 92:120], last[..., 0])


def test_traverse_chooses_units_and_values_itself(
    tmp_path: Path, digits: list[Path]
) -> None:
    output = tmp_path / "out.png"
    told = succeed("traverse", "dense_vae_mnist_z2", digits[0], "-o", output)
    assert "from above: 0, 1. " in told
    assert "the unit at -3, -1.5, 0, 1.5, 3." in told
    told = succeed("traverse", CONV_AE, digits[0], "-o", output)
    assert told.split("from above: ")[1].split(".")[0].count(",") == 11
    x = np.asarray(Image.open(digits[0]))[None, ..., None]
    reach = np.abs(aezoo.load(CONV_AE).encode(x)).max()
    assert f", {reach:.3g}." in told, "without a prior: as far as the code reaches"


def test_encode_writes_codes_posterior_and_paths(
    tmp_path: Path, digits: list[Path]
) -> None:
    output = tmp_path / "z.npz"
    told = succeed("encode", CONV_VAE, *digits, "-o", output)
    assert "z (3, 16)" in told
    x = np.stack([np.asarray(Image.open(path))[..., None] for path in digits])
    with np.load(output) as archive:
        assert set(archive) == {"z", "z_mean", "z_log_var", "paths"}
        assert archive["paths"].tolist() == [str(path) for path in digits]
        np.testing.assert_array_equal(archive["z"], archive["z_mean"])
        np.testing.assert_allclose(
            archive["z"], aezoo.load(CONV_VAE).encode(x), atol=1e-6
        )
    succeed("encode", CONV_AE, digits[0], "-o", output)
    with np.load(output) as archive:
        assert set(archive) == {"z", "paths"}


def test_demo(tmp_path: Path) -> None:
    output = tmp_path / "demo.png"
    told = succeed("demo", "-o", output)
    assert f"Wrote {output}" in told
    assert "Walked through code space from 0 to 6" in told
    assert output.stat().st_size > 50_000


# --- evaluate and metrics -------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder of 12 drawn digits, in a subfolder per class."""
    images, labels = draw_digits(12, seed=0)
    folder = tmp_path / "digits"
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / str(label) / f"{i:02}.png")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.npz"
    images, labels = draw_digits(12, seed=0)
    np.savez(path, images=images, labels=labels)
    return path


def test_evaluate_a_folder(labelled: Path) -> None:
    told = succeed("evaluate", CONV_VAE, "--dataset", labelled, "--limit", 7)
    report = aezoo.evaluate(CONV_VAE, labelled, limit=7)
    table, protocols = told.split("\n\nMeasured on ")
    header, *rows = table.splitlines()
    assert header.split() == ["metric", CONV_VAE, "unit"]
    assert [row.split()[0] for row in rows] == list(report)
    mse = next(row for row in rows if row.startswith("mse "))
    value, error = mse.split("  squared")[0].split(maxsplit=1)[1].split(" ± ")
    assert float(value) == pytest.approx(report["mse"].value, rel=0.02)
    assert float(error) == pytest.approx(report["mse"].standard_error, rel=0.05)
    assert protocols.startswith("digits/test, the first 7 of 12 images:\n  mse: mean ")
    # Columns are aligned: every unit begins where its heading does.
    start = header.index("unit")
    assert all(row[start - 1] == " " != row[start] for row in rows)


def test_evaluate_an_archive_and_print_json(archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    told = succeed(
        *("evaluate", CONV_VAE, "--dataset", archive, "--json", "-o", output),
        *("--metrics", "mse,iwae_nll", "--metrics", "kl"),
        *("--seed", 3, "--importance-samples", 2),
    )
    expected = aezoo.evaluate(
        CONV_VAE,
        archive,
        metrics=["mse", "iwae_nll", "kl"],
        seed=3,
        importance_samples=2,
    )
    assert json.loads(told) == expected.to_dict()
    assert output.read_text() == told
    assert list(expected) == ["mse", "iwae_nll", "kl"]


def test_evaluate_takes_the_dataset_that_a_model_was_trained_on(
    tmp_path: Path, archive: Path
) -> None:
    (tmp_path / "mnist").mkdir()
    shutil.copy(archive, tmp_path / "mnist" / "validation.npz")
    told = succeed(
        *("evaluate", CONV_AE, "--split", "validation", "--data-dir", tmp_path),
        *("--metrics", "mse"),
    )
    assert "Measured on mnist/validation, all 12 images:" in told


def test_evaluate_draws_baselines_as_columns(archive: Path) -> None:
    told = succeed(
        *("evaluate", "dense_vae_mnist_z2", "--dataset", archive),
        *("--train", archive, "--metrics", "mse,kl", "--baselines"),
    )
    header, mse, kl, *_ = told.splitlines()
    assert header.split()[:3] == ["metric", "dense_vae_mnist_z2", "pca_z2"]
    assert mse.count("±") == 2
    assert kl.count("±") == 1, "a plain PCA has no KL divergence"


def test_evaluate_writes_a_report_and_prints_the_table(
    archive: Path, tmp_path: Path
) -> None:
    output = tmp_path / "report.json"
    told = succeed(
        *("evaluate", CONV_AE, "--dataset", archive, "--metrics", "mse", "-o", output)
    )
    assert told.startswith("metric")
    assert f"Wrote {output} (1 metric, 1 kB)." in told
    assert json.loads(output.read_text())["model"] == CONV_AE


def test_evaluate_everything_that_model_and_dataset_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model or a dataset cannot have is left out, and told with the reason."""
    from aezoo import evaluation

    monkeypatch.setattr(evaluation.measure, "METRICS", {})
    for name in ("mse", "log_likelihood", "frechet"):
        evaluation.measure.METRICS[name] = evaluation.METRICS[name]
    path = tmp_path / "plain.npz"
    np.savez(path, images=draw_digits(5, seed=0)[0])
    result = aezoo_command("evaluate", CONV_VAE, "--dataset", path, "--metrics", "all")
    assert result.exit_code == 0, result.output
    table = result.stdout.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table] == ["metric", "mse"]
    assert "Left out frechet: No feature extractor" in result.stderr
    report = aezoo.evaluate(CONV_VAE, path, metrics="all")
    assert list(report) == ["mse"]
    assert list(report.left_out) == list(report.to_dict()["left_out"]) == ["frechet"]


def test_metrics_lists_all_or_those_of_a_model() -> None:
    from aezoo.metrics import METRICS

    lines = succeed("metrics").splitlines()
    assert lines[0].split() == ["name", "better", "needs", "unit"]
    assert [line.split()[0] for line in lines[1 : len(METRICS) + 1]] == list(METRICS)
    assert lines[1].split()[:3] == ["mse", "lower", "squared"]
    listed = {
        metric["name"]: metric for metric in json.loads(succeed("metrics", "--json"))
    }
    assert listed["elbo"]["better"] == "higher"
    assert listed["kl"]["better"] == ""
    assert "seed <seed>" in listed["elbo"]["protocol"]
    own = json.loads(succeed("metrics", CONV_AE, "--json"))
    names = [metric["name"] for metric in own]
    assert "mse" in names
    assert "elbo" not in names


# --- Errors -----------------------------------------------------------------------


@pytest.mark.usefixtures("no_loading")
class TestRefusedBeforeLoading:
    """Everything that can be checked without TensorFlow is checked without it."""

    @pytest.mark.parametrize(
        "command",
        [
            ["describe"],
            ["sample", "-o", "x.png"],
            ["reconstruct", "-o", "x.png", "a.png"],
            ["interpolate", "-o", "x.png", "a.png", "b.png"],
            ["traverse", "-o", "x.png", "a.png"],
            ["encode", "-o", "x.npz", "a.png"],
            ["evaluate"],
            ["metrics"],
            ["verify"],
            ["download"],
        ],
    )
    def test_unknown_model(self, command: list[str]) -> None:
        name, *rest = command
        assert f"Did you mean '{CONV_VAE}'" in fail(name, "conv_vae_mnist", *rest)

    @pytest.mark.parametrize("command", ["sample", "reconstruct", "encode", "demo"])
    def test_output(self, command: str, tmp_path: Path, digits: list[Path]) -> None:
        arguments: list[Any] = [command]
        arguments += [] if command == "demo" else [CONV_VAE]
        arguments += digits if command in ("reconstruct", "encode") else []
        suffix = ".npz" if command == "encode" else ".png"
        missing = tmp_path / "no" / f"out{suffix}"
        assert f"folder {missing.parent} does not exist" in fail(
            *arguments, "-o", missing
        )
        wrong = tmp_path / "out.docx"
        assert "must end in" in fail(*arguments, "-o", wrong)
        (tmp_path / f"folder{suffix}").mkdir()
        assert "is a folder" in fail(*arguments, "-o", tmp_path / f"folder{suffix}")

    def test_images(self, tmp_path: Path, digits: list[Path]) -> None:
        broken = tmp_path / "broken.png"
        broken.write_text("no image")
        output = tmp_path / "out.png"
        told = fail("reconstruct", CONV_AE, digits[0], broken, "-o", output)
        assert f"{broken} is not an image" in told
        told = fail("encode", CONV_AE, tmp_path / "9.png", "-o", tmp_path / "z.npz")
        assert "9.png does not exist" in told
        told = fail("traverse", CONV_AE, tmp_path, "-o", output)
        assert "is a folder, not an image" in told
        assert not output.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--dataset", "no.npz"], "The file no.npz does not exist"),
            (["--dataset", "./no"], "There is no folder or .npz file no."),
            (["--train", "no.npz"], "The file no.npz does not exist"),
            (["-o", "report.txt"], "must end in .json"),
        ],
    )
    def test_evaluate(self, arguments: list[str], message: str) -> None:
        assert message in fail("evaluate", CONV_AE, *arguments)

    def test_sampling_without_a_prior(self, tmp_path: Path) -> None:
        told = fail("sample", CONV_AE, "-o", tmp_path / "out.png")
        assert "has no prior over its codes" in told
        assert "aezoo list --task sampling" in told

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["sample", CONV_VAE, "-n", "0", "-o", "x.png"], "0 is not in the range"),
            (["sample", CONV_VAE], "Missing option '-o'"),
            (["sample", CONV_VAE, "--seed", "-1", "-o", "x.png"], "not in the range"),
            (["reconstruct", CONV_AE, "-o", "x.png"], "Missing argument 'IMAGES...'"),
            (
                ["interpolate", CONV_AE, "a", "b", "--steps", "1", "-o", "x.png"],
                "1 is not in the range",
            ),
            (
                ["interpolate", CONV_AE, "a", "b", "--method", "x", "-o", "x.png"],
                "'x' is not one of 'spherical', 'linear'",
            ),
            (
                ["traverse", CONV_VAE, "a.png", "--dim", "16", "-o", "x.png"],
                "has 16 code units: -16 to 15. Received: 16",
            ),
            (
                ["traverse", CONV_VAE, "a.png", "--values", "1,x", "-o", "x.png"],
                "'1,x' is not like -3,-1.5,0,1.5,3",
            ),
            (["evaluate", CONV_VAE, "--limit", "0"], "0 is not in the range"),
            (["evaluate", CONV_VAE, "--num-samples", "1"], "1 is not in the range"),
            (
                ["evaluate", CONV_VAE, "--importance-samples", "x"],
                "'x' is not a valid integer",
            ),
            (
                ["evaluate", CONV_VAE, "--metrics", "mse,"],
                "'mse,' is not like mse,psnr",
            ),
            (["evaluate", CONV_VAE, "--data-dir", "no"], "'no' does not exist"),
            (["paint"], "No such command 'paint'"),
        ],
    )
    def test_usage(self, arguments: list[str], message: str) -> None:
        assert message in fail(*arguments, code=2)

    def test_demo_without_matplotlib(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        told = fail("demo", "-o", tmp_path / "demo.png")
        assert 'pip install "aezoo[plots]"' in told


def test_values_that_are_no_numbers(tmp_path: Path, digits: list[Path]) -> None:
    told = fail(
        *("traverse", CONV_VAE, digits[0], "-o", tmp_path / "x.png"),
        *("--dim", 0, "--values", "nan"),
    )
    assert "`values` must be a non-empty sequence of finite numbers" in told


def test_metrics_that_do_not_exist_or_cannot_be_had(archive: Path) -> None:
    told = fail("evaluate", CONV_AE, "--dataset", archive, "--metrics", "msee")
    assert "Did you mean 'mse'" in told
    told = fail("evaluate", CONV_AE, "--dataset", archive, "--metrics", "elbo")
    assert "has no metric 'elbo'. It has: mse" in told


def test_damaged_weights(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_zoo / "weights", folder)
    (folder / f"{CONV_VAE}.weights.h5").write_bytes(b"damaged")
    monkeypatch.setattr("aezoo.manifest.weights_folder", lambda: folder)
    told = fail("sample", CONV_VAE, "-o", tmp_path / "out.png")
    assert "does not match what is stated: expected" in told


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "disk is full; nothing was written"),
        (PermissionError(13, "Permission denied", "a.png"), "denied: a.png"),
        (MemoryError(), "Not enough memory"),
        (ValueError("two\nlines"), "Error: two lines"),
    ],
)
def test_errors_on_the_way_end_as_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def break_down(*_: Any) -> None:
        raise error

    monkeypatch.setattr("aezoo.modalities.image.files.write_image", break_down)
    assert message in fail("sample", CONV_VAE, "-n", 1, "-o", tmp_path / "out.png")


def test_bugs_keep_their_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("aezoo.modalities.image.files.write_image", break_down)
    result = aezoo_command("sample", CONV_VAE, "-n", 1, "-o", tmp_path / "out.png")
    assert isinstance(result.exception, KeyError)


def test_interrupts_end_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aezoo.engines.load.load", interrupt)
    result = aezoo_command("sample", CONV_VAE, "-o", tmp_path / "out.png")
    assert result.exit_code == 1
    assert result.stderr.strip() == "Aborted!"
    assert not (tmp_path / "out.png").exists()


# --- The real process ----------------------------------------------------------------


def run_process(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter whose zoo is `folder`."""
    return run_python(f"from aezoo.cli import main\n{code}", folder, **env)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["describe", CONV_AE], ["leaderboard"], ["--help"]),
        *(["evaluate", "--help"], ["cache", "--help"], ["download", "--help"]),
    ],
)
def test_looking_up_imports_nothing_heavy(tiny_zoo: Path, arguments: list[str]) -> None:
    heavy = ["tensorflow", "keras", "numpy", "PIL", "matplotlib", "h5py", "rich"]
    heavy += ["huggingface_hub"]
    code = (
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert not end.code\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    result = run_process(code, tiny_zoo)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "[]\n"
    assert len(result.stdout.splitlines()) >= 5


def test_tensorflows_chatter_stays_hidden(tiny_zoo: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    code = f"main(['sample', {CONV_VAE!r}, '-n', '1', '-o', {str(output)!r}])"
    result = run_process(code, tiny_zoo)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert f"Wrote {output}" in result.stdout


def test_stderr_comes_back_when_loading_fails(tiny_zoo: Path, tmp_path: Path) -> None:
    code = (
        "import aezoo.cli, types\n"
        "def load(name): raise ValueError('loading failed')\n"
        "sys.modules['aezoo.engines.load'] = types.SimpleNamespace(load=load)\n"
        f"main(['sample', {CONV_VAE!r}, '-o', {str(tmp_path / 'out.png')!r}])"
    )
    result = run_process(code, tiny_zoo)
    assert result.returncode == 1
    assert result.stderr == "Error: loading failed\n"


def test_the_entry_point_is_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["aezoo"].split(":")
    assert getattr(importlib.import_module(module), name) is main
    result = subprocess.run(
        [sys.executable, "-m", "aezoo", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == f"aezoo {aezoo.__version__}\n"
