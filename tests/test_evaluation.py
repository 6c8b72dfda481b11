"""Metrics: right by an independent computation, whatever the batch size."""

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import aezoo
import aezoo.registry
from aezoo.data.datasets import Dataset, DatasetError
from aezoo.errors import (
    MissingDependencyError,
    UnknownModelError,
    UnsupportedOperationError,
)
from aezoo.evaluation import METRICS, context, evaluate, list_metrics
from aezoo.evaluation.abilities import ABILITIES
from aezoo.evaluation.definition import computation_of, is_possible
from aezoo.evaluation.metrics import likelihood
from aezoo.metrics.definition import words
from aezoo.registry import find_family
from aezoo.samplers import KINDS
from aezoo.store.golden import golden_conditions, golden_inputs
from tests.draws import exhaustive, some_cases


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (23, 8, 8, 1), dtype="uint8")


@pytest.fixture(scope="module")
def vae():
    return aezoo.create("dense_vae", input_shape=(8, 8, 1), latent_dim=3)


@pytest.fixture(scope="module")
def ae():
    return aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=3)


def test_mse_and_mae_are_means_over_images_and_pixels(ae, images) -> None:
    x = images / np.float32(255)
    report = evaluate(ae, images, metrics=["mse", "mae"])
    difference = ae.reconstruct(x) - x
    assert report["mse"].value == pytest.approx(np.mean(difference**2), rel=1e-5)
    assert report["mae"].value == pytest.approx(np.mean(np.abs(difference)), rel=1e-5)
    per_image = np.mean(difference**2, axis=(1, 2, 3))
    standard_error = stats.sem(per_image)
    assert report["mse"].standard_error == pytest.approx(standard_error, rel=1e-4)


def test_elbo_agrees_with_a_monte_carlo_estimate(vae, images) -> None:
    """Averaged over seeds, against scipy's densities and NumPy's noise."""
    x = images.reshape(23, -1) / 255.0
    posterior = vae.posterior(images)
    mean, std = np.asarray(posterior.mean), np.asarray(posterior.std)
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(200):
        z = mean + std * rng.standard_normal(mean.shape)
        p = vae.decode(z).reshape(23, -1).astype("float64")
        log_lik = np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=1)
        log_ratio = stats.norm.logpdf(z).sum(1) - stats.norm.logpdf(z, mean, std).sum(1)
        estimates.append(np.mean(log_lik + log_ratio))
    ours = [
        evaluate(vae, images, metrics=["elbo"], seed=s)["elbo"].value for s in range(20)
    ]
    spread = np.hypot(stats.sem(estimates), stats.sem(ours))
    assert abs(np.mean(estimates) - np.mean(ours)) < 4 * spread


def test_elbo_is_minus_the_sum_of_its_parts(vae, images) -> None:
    names = ["elbo", "reconstruction_nll", "kl"]
    report = {k: m.value for k, m in evaluate(vae, images, metrics=names).items()}
    parts = report["reconstruction_nll"] + report["kl"]
    assert report["elbo"] == pytest.approx(-parts, rel=1e-6)


def test_seeds_repeat_and_differ(vae, images) -> None:
    def value(seed: int) -> float:
        report = evaluate(vae, images, metrics=["elbo"], seed=seed)
        return report["elbo"].value

    assert value(0) == value(0)
    assert value(0) != value(1)


@pytest.mark.parametrize(
    "chunk", [pytest.param(1, marks=exhaustive), 7, pytest.param(23, marks=exhaustive)]
)
def test_no_metric_depends_on_the_batch_size(
    vae, images, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [n for n, d in METRICS.items() if d.is_per_example and is_possible(d, vae)]
    names = [n for n in names if "ssim" not in n]  # their window is larger
    settings = {"metrics": [*names, "kl_per_dim"], "importance_samples": 3}
    whole = evaluate(vae, images, **settings)
    monkeypatch.setattr(context, "CHUNK", chunk)
    monkeypatch.setattr(likelihood, "ROWS", 2 * chunk)
    split = evaluate(vae, images, **settings)
    for name in settings["metrics"]:
        assert split[name].value == pytest.approx(whole[name].value, rel=1e-6), name
    assert len(names) >= 12


def test_denoising_mse_measures_against_the_clean_image(images) -> None:
    """A model that returns its input keeps exactly the clipped noise."""
    model = aezoo.create("linear_ae", input_shape=(8, 8, 1), latent_dim=64)
    model.encoder.heads["z"].set_weights([np.eye(64), np.zeros(64)])
    model.decoder.pixels.set_weights([np.eye(64), np.zeros(64)])
    many = np.repeat(images, 40, axis=0)
    value = evaluate(model, many, metrics=["denoising_mse"])["denoising_mse"].value
    x = many / 255.0
    noise = 0.5 * np.random.default_rng(0).standard_normal(x.shape)
    expected = np.mean((np.clip(x + noise, 0, 1) - x) ** 2)
    assert value == pytest.approx(expected, rel=0.02)


def test_active_code_fraction_counts_units_above_one_percent_of_their_maximum() -> None:
    model = aezoo.create("linear_ae", input_shape=(1, 4, 1), latent_dim=4)
    model.encoder.heads["z"].set_weights([np.eye(4), np.zeros(4)])
    images = np.array(
        [[1.0, 0.5, 0.0, 0.0], [0.005, 0.0, 1.0, 0.0]], "float32"
    ).reshape(2, 1, 4, 1)
    report = evaluate(model, images, metrics=["active_code_fraction"])
    assert report["active_code_fraction"].value == pytest.approx((2 + 1) / 8)


def test_active_units_are_those_whose_mean_varies() -> None:
    """By standard deviations of 0, 0.05, 0.15 and 1: the threshold is 0.1."""
    model = aezoo.create(
        "dense_vae", input_shape=(1, 1, 1), latent_dim=4, hidden_units=()
    )
    scales = np.array([[0.0, 0.1, 0.3, 2.0]])  # pixels 0 and 1 deviate by 1/2
    model.encoder.heads["z_mean"].set_weights([scales, np.ones(4)])
    images = np.array([0.0, 1.0], "float32").reshape(2, 1, 1, 1)
    report = evaluate(model, images, metrics=["active_units"])
    assert report["active_units"].value == 2


def test_log_likelihood_is_ppcas_own(images) -> None:
    model = aezoo.create("ppca", input_shape=(8, 8, 1), latent_dim=3)
    report = evaluate(model, images, metrics=["log_likelihood"])["log_likelihood"]
    expected = float(np.mean(model.log_likelihood(images)))
    assert report.value == pytest.approx(expected, rel=1e-6)


def test_the_protocol_is_stamped(vae, images) -> None:
    data = Dataset("mnist", "3.0.1", "test", images)
    report = evaluate(vae, data, metrics=["elbo"], seed=5)
    protocol = report["elbo"].protocol
    for part in ("mnist/test, all 23 images", "seed 5", "KL(q(z|x)||p(z))"):
        assert part in protocol
    assert report["elbo"].unit == "nats per image"


def test_a_limit_is_stamped_and_takes_the_first_images(ae, images) -> None:
    report = evaluate(ae, images, metrics=["mse"], limit=5)
    assert "the first 5 of 23 images" in report["mse"].protocol
    first = evaluate(ae, images[:5], metrics=["mse"])
    assert report["mse"].value == first["mse"].value
    assert report.num_examples == 5


def test_a_metric_the_family_cannot_have_says_which_it_has(ae, images) -> None:
    with pytest.raises(
        UnsupportedOperationError, match=r"no metric 'elbo'.*It has: .*mse"
    ):
        evaluate(ae, images, metrics=["elbo"])


def test_unknown_metrics_offer_the_closest(ae, images) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'mse'"):
        evaluate(ae, images, metrics=["msee"])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((3, 8, 8, 1), np.nan, "float32"), "NaN or infinity"),
        (np.zeros((0, 8, 8, 1), "float32"), "is empty"),
        (np.full((3, 8, 8, 1), 255.0, "float32"), r"values in \[0, 1\]"),
    ],
)
def test_invalid_images_are_refused(ae, bad: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(ae, bad, metrics=["mse"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": []}, r"`metrics` must be a sequence of at least one"),
        ({"metrics": "mse"}, r"`metrics` must be a sequence"),
        ({"limit": -1}, r"`limit` must be an integer of at least 1"),
        ({"importance_samples": 0}, r"`importance_samples` must be an integer"),
        ({"num_samples": 1.5}, r"`num_samples` must be an integer"),
        ({"seed": -1}, r"`seed` must be in"),
    ],
)
def test_invalid_arguments_are_refused(ae, images, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(ae, images, **arguments)


def test_what_is_no_model_is_refused(images) -> None:
    with pytest.raises(ValueError, match=r"`model` must be a name.*Received: int"):
        evaluate(3, images)


def test_a_metric_that_needs_labels_says_so(ae, images) -> None:
    with pytest.raises(DatasetError, match=r"'kmeans_ari' needs labels"):
        evaluate(ae, images, metrics=["kmeans_ari"])


def test_only_the_metrics_that_a_model_can_have_are_listed(ae, vae) -> None:
    assert "elbo" in list_metrics(vae)
    assert "elbo" not in list_metrics(ae)
    assert set(list_metrics(ae)) < set(list_metrics()) == set(METRICS)


def test_default_metrics_are_those_that_the_model_has(ae, vae, images) -> None:
    assert set(evaluate(ae, images)) == {"mse", "mae", "psnr"}
    assert {"elbo", "kl", "reconstruction_nll"} < set(evaluate(vae, images))


def test_a_report_is_frozen_and_says_everything(vae, images) -> None:
    report = evaluate(vae, images, metrics=["mse", "kl_per_dim", "mse"], seed=3)
    assert list(report) == ["mse", "kl_per_dim"]
    assert len(report["kl_per_dim"].values) == 3
    with pytest.raises(AttributeError):
        report.seed = 4
    with pytest.raises(TypeError):
        report.metrics["mse"] = None
    document = json.loads(report.to_json())
    assert document == report.to_dict()
    assert document["seed"] == 3
    assert document["metrics"]["mse"]["value"] == report["mse"].value
    frame = report.to_dataframe()
    assert list(frame["metric"]) == ["mse", "kl_per_dim"]
    assert frame["protocol"][0] == report["mse"].protocol
    assert "squared error per pixel" in repr(report)
    with pytest.raises(KeyError, match=r"'elbo' was not measured. Measured: mse"):
        report["elbo"]


def test_pca_at_the_same_code_size_is_a_baseline_row(images) -> None:
    """Its error is the sum of the eigenvalues that it leaves out."""
    model = aezoo.create("dense_ae", input_shape=(8, 8, 1), latent_dim=3)
    report = evaluate(model, images, metrics=["mse"], train=images, baselines=True)
    x = images.reshape(23, -1) / 255.0
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    expected = eigenvalues[:-3].sum() / 64
    row = report.baselines["pca_z3"]
    # `reconstruct` clips to [0, 1], which can only come nearer
    assert 0.97 * expected < row["mse"].value <= expected * (1 + 1e-5)
    assert "pixels" not in report.baselines  # has no error to speak of
    assert set(report.to_dataframe()["model"]) == {model.name, "pca_z3"}


def test_a_baseline_needs_training_data(ae, images) -> None:
    with pytest.raises(DatasetError, match=r"Pass it as `train="):
        evaluate(ae, images, metrics=["mse"], baselines=True)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_described_and_computed(name: str) -> None:
    definition = METRICS[name]
    fields = {**words("example", "element"), "variant": "v", "seed": 0}
    fields |= {"importance_samples": 1, "num_samples": 1, "samples": "s", "kl": "k"}
    assert "{" not in definition.protocol.format(**fields)
    assert definition.unit.format(**fields)
    assert callable(computation_of(definition))
    assert set(definition.requires) - {f"sampler {kind}" for kind in KINDS} <= {
        *ABILITIES
    }
    assert definition.format == ".4g" or format(0.5, definition.format)


def test_one_example_names_the_metric_that_needs_more(vae, images) -> None:
    report = evaluate(vae, images[:1], metrics=["mse", "elbo", "kl_per_dim"])
    assert report["mse"].standard_error is None
    with pytest.raises(
        DatasetError, match=r"'frechet' needs at least 2 images. Received: 1\."
    ):
        evaluate(vae, images[:1], metrics=["frechet/lenet_mnist_v1"])
    with pytest.raises(DatasetError, match=r"'recall' needs at least 4 samples"):
        evaluate(vae, images, metrics=["recall/lenet_mnist_v1"], num_samples=3)
    everything = evaluate(vae, images[:1], metrics="all", importance_samples=2)
    assert not [r for r in everything.left_out.values() if "`a`" in r or "`b`" in r]
    assert "mse" in everything


def test_a_folder_is_a_model_too(ae, images, tmp_path: Path) -> None:
    aezoo.save(ae, tmp_path / "mine")
    expected = evaluate(ae, images, metrics=["mse"])["mse"]
    for folder in (tmp_path / "mine", str(tmp_path / "mine")):
        assert evaluate(folder, images, metrics=["mse"])["mse"] == expected


def test_metrics_of_all_modalities_know_no_images() -> None:
    """What is of images alone is in `image`; the others are for any example."""
    package = Path(aezoo.evaluation.__file__).parent
    general = [*(package / "metrics").glob("*.py"), package / "definition.py"]
    declared = Path(aezoo.metrics.__file__).parent
    general += [p for p in declared.glob("*.py") if p.name not in _OF_IMAGES]
    assert len(general) > 10
    for path in general:
        found = re.search(r".*(pixel|(?<!nd)image|/ 255).*", code_of(path))
        assert found is None, (path, found)


# The declarations of images, and what puts them together with the others.
_OF_IMAGES = ("image.py", "__init__.py")


def code_of(path: Path) -> str:
    """A module in lower case, without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if is_documented and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree).lower()


# Figures of fewer images than others have: untrained, all maps are rounded to 0.
FEW = {"hyperprior": 5}
# Without those that other tests of this process have registered.
OF_THE_ZOO = [
    name
    for name in aezoo.list_families()
    if find_family(name).objective.__module__.startswith("aezoo.")
]


@pytest.mark.parametrize("family", some_cases(OF_THE_ZOO, at_most=12))
def test_every_family_has_finite_figures(family: str, images) -> None:
    config = find_family(family).tiny
    is_of_images = "modality" not in config
    size = {"input_shape": (8, 8, 1)} if is_of_images else {}
    model = aezoo.create(family, **{**config, **size})
    x = images if is_of_images else golden_inputs(model)
    names = [
        name
        for name in list_metrics(model)
        if not (METRICS[name].needs or METRICS[name].variant or "ssim" in name)
        if not name.startswith("imputation")  # many steps: `test_inpainting`
    ]
    told = golden_conditions(model, len(x))
    if not names:  # every metric of samples needs a classifier's features
        assert not model.has_encoder
        return
    data = (x, told) if told else x
    report = evaluate(model, data, metrics=names, importance_samples=2)
    fewest = FEW.get(family, 7 if is_of_images else 4)
    assert len(report) >= (fewest if model.has_encoder else 0)  # of samples alone
    for name, record in report.items():
        assert np.isfinite(record.value), name


@pytest.mark.parametrize("name", ["precision", "linear_probe", "mig", "ssim"])
def test_a_missing_package_is_told_before_anything_is_measured(
    name: str, vae, images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, METRICS[name].package, None)
    monkeypatch.setattr(context.Evaluation, "chunks", lambda *_: pytest.fail("late"))
    with pytest.raises(MissingDependencyError, match=rf"{name!r} needs .*evaluation\]"):
        evaluate(vae, images, metrics=["mse", name])


def test_a_missing_extractor_is_told_before_anything_is_measured(
    vae, images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.Evaluation, "chunks", lambda *_: pytest.fail("late"))
    with pytest.raises(UnknownModelError, match=r"No feature extractor was trained"):
        evaluate(vae, images, metrics=["mse", "fid"])


def test_limits_of_zero_are_refused(vae, images) -> None:
    with pytest.raises(ValueError, match=r"`limit` must be an integer of at least 1"):
        evaluate(vae, images, limit=0)
    with pytest.raises(ValueError, match=r"`num_samples` must be an integer"):
        evaluate(vae, images, num_samples=0)
