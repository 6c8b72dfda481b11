"""`python -m training.evaluate`: published figures, measured again."""

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

import aezoo
from aezoo import manifest
from aezoo.evaluation.definition import find_metric
from aezoo.evaluation.metrics.latent import (
    aggregate_log_densities,
    mutual_information,
)
from aezoo.manifest import Metric
from aezoo.metrics.latent import SATURATION_MARGIN
from aezoo.modalities.image.digits import draw_digits
from aezoo.nn.distributions import DiagonalGaussian
from training import evaluate as script
from training.evaluate import (
    MOST_PARTS,
    PUBLISHED,
    figures_of,
    main,
    published,
    sample_figures,
    stored,
    tolerance,
)

# Of the zoo: a few models of one dataset.
MODELS = (
    *("conv_vae_mnist_z16", "dense_ae_mnist_z2", "linear_ae_mnist_z32"),
    "ppca_mnist_z32",
)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifest to write to, and drawn digits in MNIST's place."""
    whole, key = manifest.read_manifest(script.MANIFEST), "mnist/test"
    document = manifest.Manifest(
        {name: whole.models[name] for name in MODELS},
        baselines={key: whole.baselines[key]},
    )
    (tmp_path / "manifest.json").write_text(manifest.manifest_text(document))
    monkeypatch.setattr(script, "MANIFEST", tmp_path / "manifest.json")
    (tmp_path / "mnist").mkdir()
    for seed, split in enumerate(("train", "test")):
        images, labels = draw_digits(60, seed=seed)
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=images, labels=labels)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data-dir", str(folder)])


def figures(folder: Path, name: str) -> Mapping[str, Metric]:
    document = manifest.read_manifest(folder / "manifest.json")
    return document.models[name].metrics["mnist/test"]


def test_figures_are_printed_beside_the_stated_ones(zoo: Path) -> None:
    before = (zoo / "manifest.json").read_bytes()
    result = run(zoo, "linear_ae_mnist_z32", "--metrics", "mse,psnr")
    assert result.exit_code == 0, result.output
    assert "linear_ae_mnist_z32" in result.output
    assert "(stated " in result.output
    assert (zoo / "manifest.json").read_bytes() == before


def test_writing_replaces_the_figures_that_were_measured(zoo: Path) -> None:
    name = "linear_ae_mnist_z32"
    before = figures(zoo, name)
    result = run(zoo, name, "--metrics", "psnr,mse", "--write")
    assert result.exit_code == 0, result.output
    after = figures(zoo, name)
    assert "all 60 images" in after["mse"].protocol
    assert after["mse"].value != before["mse"].value
    assert after["mae"] == before["mae"]
    assert list(after)[:2] == ["mse", "mae"]  # those that the recipe names
    again = run(zoo, name, "--metrics", "psnr,mse", "--check")
    assert again.exit_code == 0, again.output


def test_the_recipe_says_how_many_importance_samples(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, load_recipe = "conv_vae_mnist_z16", script.load_recipe
    changed = {"importance_samples": 3}
    monkeypatch.setattr(
        script, "load_recipe", lambda name: load_recipe(name).with_overrides(**changed)
    )
    result = run(zoo, name, "--metrics", "iwae_nll,mse", "--write")
    assert result.exit_code == 0, result.output
    assert "K = 3, seed 0" in figures(zoo, name)["iwae_nll"].protocol
    changed["importance_samples"] = 0
    result = run(zoo, name, "--metrics", "iwae_nll,mse")
    assert result.exit_code == 0, result.output
    assert "mse" in result.output
    assert "iwae_nll" not in result.output


def test_only_what_is_missing_is_measured_on_request(zoo: Path) -> None:
    path = zoo / "manifest.json"
    document = json.loads(path.read_text())
    stated = document["models"]["ppca_mnist_z32"]["metrics"]["mnist/test"]
    stated.pop("mse", None)
    path.write_text(json.dumps(document))
    wanted = ["--metrics", "mse,log_likelihood", "--missing"]
    result = run(zoo, "ppca_mnist_z32", *wanted)
    assert "mse" in result.output
    assert "log_likelihood" not in result.output


def test_baselines_are_measured_and_filed_by_dataset(zoo: Path) -> None:
    result = run(zoo, "pca_z2", "pixels", "--metrics", "mse,kmeans_nmi", "--write")
    assert result.exit_code == 0, result.output
    rows = manifest.read_manifest(zoo / "manifest.json").baselines["mnist/test"]
    assert {"mse", "kmeans_nmi"} <= set(rows["pca_z2"])
    assert "kmeans_nmi" in rows["pixels"]
    assert "mse" not in rows["pixels"]  # the identity has no error


def of_two_datasets(zoo: Path) -> None:
    """Say of one of the models that it was trained on another dataset."""
    path = zoo / "manifest.json"
    document = json.loads(path.read_text())
    document["models"]["conv_vae_mnist_z16"]["data"]["name"] = "fashion_mnist"
    path.write_text(json.dumps(document))


def test_baselines_of_several_datasets_share_names(zoo: Path) -> None:
    of_two_datasets(zoo)
    shutil.copytree(zoo / "mnist", zoo / "fashion_mnist")
    result = run(zoo, "pca_z16", "--metrics", "mse", "--write")
    assert result.exit_code == 0, result.output
    assert "fashion_mnist/pca_z16" in result.output
    assert "\nmnist/pca_z16" not in result.output, "no model of MNIST has 16 units"
    rows = manifest.read_manifest(zoo / "manifest.json").baselines
    assert list(rows["fashion_mnist/test"]) == ["pca_z16"]
    result = run(zoo, "pixels", "--metrics", "kmeans_nmi")
    assert "fashion_mnist/pixels" in result.output
    assert "\nmnist/pixels" in result.output


def test_all_of_a_dataset_are_chosen(zoo: Path) -> None:
    of_two_datasets(zoo)
    found = script.subjects()
    chosen = script.choose(found, [], everything=False, dataset="fashion_mnist")
    assert [subject.title for subject in chosen] == [
        *("conv_vae_mnist_z16", "fashion_mnist/pca_z16"),
        *("fashion_mnist/pixels", "fashion_mnist/training_images"),
    ]


def test_a_check_fails_for_a_figure_outside_its_tolerance(zoo: Path) -> None:
    """The drawn digits are not MNIST, so that the stated figures are wrong here."""
    result = run(zoo, "linear_ae_mnist_z32", "--metrics", "mse", "--check")
    assert result.exit_code == 1
    assert "linear_ae_mnist_z32 mse: measured" in result.output


def test_a_check_fails_for_another_protocol(zoo: Path) -> None:
    name = "linear_ae_mnist_z32"
    run(zoo, name, "--metrics", "mse", "--write")
    path = zoo / "manifest.json"
    path.write_text(path.read_text().replace("mean over images and pixels", "mean"))
    result = run(zoo, name, "--metrics", "mse", "--check")
    assert result.exit_code == 1
    assert "by another protocol than stated" in result.output


@pytest.mark.parametrize(
    ("measured", "stated"), [(math.nan, 0.1), (0.1, math.nan), (math.nan, math.nan)]
)
def test_a_check_fails_for_what_is_no_number(measured: float, stated: float) -> None:
    record = manifest.Metric(stated, "u", "p")
    subject = dataclasses.replace(script.subjects()[0], stated={"mse": record})
    again = {"mse": replace(record, value=measured)}
    (line,) = script.compare(subject, again)
    assert f"measured {measured:.6g}, stated {stated:.6g}" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--missing", "--metrics", "mse"],  # it is stated
        ["--metrics", "mig"],  # it needs factors
        ["--sample", "3", "--metrics", "mig"],
    ],
)
def test_a_check_of_nothing_fails(zoo: Path, arguments: list[str]) -> None:
    result = run(zoo, "ppca_mnist_z32", *arguments, "--check")
    assert result.exit_code == 1
    assert "nothing to measure" in result.output
    assert run(zoo, "ppca_mnist_z32", *arguments).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name models or baselines, or pass --all"),
        (["conv_vae"], "Received: conv_vae. Known: "),
        (["--dataset", "minst"], "Received: minst."),
        (["--all", "--metrics", "mse,fidd"], "Unknown metric 'fidd'"),
    ],
)
def test_wrong_arguments_are_refused(zoo: Path, arguments, message: str) -> None:
    result = run(zoo, *arguments)
    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--write", "--check"], "--write makes the manifest right"),
        (["--sample", "2", "--missing"], "--sample draws what is stated"),
    ],
)
def test_options_that_exclude_each_other(zoo: Path, arguments, message: str) -> None:
    result = run(zoo, "ppca_mnist_z32", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_samples_of_figures_are_drawn_by_seed() -> None:
    found = script.subjects()
    drawn = sample_figures(found, 7, seed=1)
    assert sum(len(metrics) for _, metrics in drawn) == 7
    for subject, metrics in drawn:
        assert set(metrics) <= set(subject.metrics)
    assert sample_figures(found, 7, seed=1) == drawn
    assert sample_figures(found, 7, seed=2) != drawn


def test_tolerances_follow_the_figure() -> None:
    record = manifest.Metric(100.0, "nats", "p", standard_error=2.0)
    assert tolerance("elbo", record) == pytest.approx(0.2)
    exact = replace(record, standard_error=None)
    assert tolerance("elbo", exact) == pytest.approx(0.1)
    assert tolerance("kmeans_ari", manifest.Metric(0.4, "", "")) == 0.02


def test_all_published_metrics_exist_once() -> None:
    assert len(set(PUBLISHED)) == len(PUBLISHED) > 20
    for name in PUBLISHED:
        find_metric(name)


# --- What is published of whom --------------------------------------------------------

TINY = {"filters": (4, 8), "hidden_units": (8,), "latent_dim": 4}


def published_of(family: str, dataset: str, **config: object) -> set[str]:
    return set(published(aezoo.create(family, **config), dataset))


def test_a_model_of_binarised_images_has_no_likelihood_of_grey_ones() -> None:
    names = published_of("conv_vae", "mnist", **TINY, binarize=True)
    parts = {"elbo", "reconstruction_nll", "kl", "iwae_nll", "bits_per_dim"}
    assert {f"{name}/binarised" for name in parts} <= names
    assert names.isdisjoint({*parts, "kl_per_dim", "ood_auroc_elbo"})
    of_grey = published_of("conv_vae", "mnist", **TINY)
    assert of_grey == names | parts | {"kl_per_dim", "ood_auroc_elbo"}


def test_a_density_is_measured_on_grey_images() -> None:
    names = published_of("conv_vae", "mnist", **TINY, likelihood="gaussian")
    assert {"elbo", "iwae_nll", "bits_per_dim"} <= names
    assert not {name for name in names if name.endswith("/binarised")}


def test_without_a_likelihood_there_are_no_such_figures() -> None:
    names = published_of("conv_vae", "mnist", **TINY, likelihood="ms_ssim")
    assert names.isdisjoint({"elbo", "iwae_nll", "bits_per_dim", "ood_auroc_elbo"})
    assert {"mse", "frechet", "active_units"} <= names


@pytest.mark.parametrize(
    ("dataset", "present", "absent"),
    [
        ("mnist", {"frechet", "linear_probe", "ood_auroc_mse"}, {"mig"}),
        ("fashion_mnist", {"frechet", "knn_accuracy", "ood_auroc_mse"}, {"sap"}),
        ("cifar10", {"linear_probe", "kmeans_nmi"}, {"frechet", "ood_auroc_mse"}),
        ("shapes", {"mig", "dci_completeness"}, {"frechet", "linear_probe"}),
        ("frey_faces", {"mse", "active_units"}, {"recall", "linear_probe", "mig"}),
    ],
)
def test_a_dataset_decides_what_can_be_measured(
    dataset: str, present: set[str], absent: set[str]
) -> None:
    """By its labels, factors, extractor and usual unfamiliar dataset."""
    names = published_of("conv_vae", dataset, **TINY)
    assert present <= names
    assert names.isdisjoint(absent)
    assert {"mse", "elbo", "iwae_nll"} <= names


def test_codebooks_are_measured_where_there_is_one() -> None:
    config = {"filters": (4, 8), "num_codes": 8, "code_dim": 2}
    assert "codebook_usage" in published_of("vq_vae", "mnist", **config)
    assert "codebook_usage" not in published_of("conv_ae", "mnist", **TINY)


def test_each_fitted_sampler_has_its_distance() -> None:
    model = aezoo.create("conv_ae", **TINY)
    assert not {n for n in published(model, "mnist") if n.startswith("frechet")}
    model.samplers.read_later(dict.fromkeys(["gmm", "flow"]))
    frechet = [n for n in published(model, "mnist") if n.startswith("frechet")]
    assert sorted(frechet) == ["frechet/flow", "frechet/gmm"]
    assert not {n for n in published(model, "shapes") if n.startswith("frechet")}


def test_a_baseline_without_any_figure_is_none(zoo: Path) -> None:
    """Shapes have no labels for probes of pixels, and no extractor for images."""
    path = zoo / "manifest.json"
    document = json.loads(path.read_text())
    document["models"]["conv_vae_mnist_z16"]["data"]["name"] = "shapes"
    path.write_text(json.dumps(document))
    found = [s for s in script.subjects() if s.dataset == "shapes" and s.is_baseline]
    assert [subject.name for subject in found] == ["pca_z16"]
    assert {"mse", "mig"} <= set(found[0].metrics)


def test_pca_has_the_sizes_of_continuous_codes_alone(zoo: Path) -> None:
    """No baseline has as many units as M2 has for a code and its class."""
    path = zoo / "manifest.json"
    document = json.loads(path.read_text())
    for entry in document["models"].values():
        entry["data"]["name"] = "shapes"
    mixed = document["models"]["conv_vae_mnist_z16"]
    mixed.update(family="semi_supervised_vae", latent_shape=[26])
    mixed["data"]["name"] = "mnist"
    path.write_text(json.dumps(document))
    found = [s.name for s in script.subjects() if s.dataset == "mnist"]
    assert found == ["conv_vae_mnist_z16", "pixels", "training_images"]


@pytest.mark.parametrize("count", [3, MOST_PARTS, MOST_PARTS + 1])
def test_the_manifest_keeps_parts_unless_they_are_too_many(count: int) -> None:
    metric = Metric(0.5, "unit", "protocol", values=(0.5,) * count)
    kept = stored(metric)
    assert (kept.values is not None) == (count <= MOST_PARTS)
    assert kept.value == 0.5


# --- A total correlation that the images cannot tell ---------------------------------


@pytest.mark.parametrize("information", [3.0, 5.6, 20.0])
def test_independent_units_show_the_bias_that_the_margin_keeps_small(
    information: float,
) -> None:
    """True total correlation 0, of 10 units that share so many nats with an image."""
    units, num_images = 10, 2000
    variance = np.exp(-2 * information / units)  # the aggregate's is 1
    mean, noise = np.random.default_rng(0).normal(size=(2, num_images, units))
    mean = (mean * np.sqrt(1 - variance)).astype("float32")
    z = (mean + noise * np.sqrt(variance)).astype("float32")
    log_var = np.full_like(mean, np.log(variance))
    evaluation = SimpleNamespace(
        cached=lambda _, compute: compute(),
        parameters={"z_mean": mean, "z_log_var": log_var},
        sampled_codes=z,
        posterior=DiagonalGaussian(mean, log_var),
    )
    log_q = aggregate_log_densities(evaluation)
    bias = np.mean(log_q["joint"] - log_q["marginals"])
    left = math.log(num_images) - mutual_information(evaluation)
    assert (left > SATURATION_MARGIN) == (information < 6.0)
    assert bias < 1.0 if information < 6.0 else bias > 10.0


def test_the_manifest_states_no_total_correlation_that_images_cannot_tell() -> None:
    told = 0
    for subject in script.subjects():
        if "total_correlation" in subject.stated:
            protocol = subject.stated["total_correlation"].protocol
            num_images = int(
                re.search(r"all ([\d,]+) \w+", protocol)[1].replace(",", "")
            )
            information = subject.stated["mutual_information"].value
            assert information < math.log(num_images) - SATURATION_MARGIN, subject.title
            told += 1
    assert told >= 5


def test_a_left_out_total_correlation_is_not_missing() -> None:
    by_name = {s.name: s for s in script.subjects()}
    assert "total_correlation" not in by_name["conv_vae_mnist"].metrics
    assert "total_correlation" in by_name["factor_vae_shapes"].metrics
    assert figures_of(by_name["conv_vae_mnist"], PUBLISHED, only_missing=True) == ()
