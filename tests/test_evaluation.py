"""Metrics: right by an independent computation, whatever the batch size."""

import importlib

import numpy as np
import pytest
from scipy import stats

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import METRICS, evaluate


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
    report = evaluate(ae, images, ["mse", "mae"])
    difference = ae.reconstruct(x) - x
    assert report["mse"].value == pytest.approx(np.mean(difference**2), rel=1e-5)
    assert report["mae"].value == pytest.approx(np.mean(np.abs(difference)), rel=1e-5)
    per_image = np.mean(difference**2, axis=(1, 2, 3))
    standard_error = stats.sem(per_image)
    assert report["mse"].standard_error == pytest.approx(standard_error, rel=1e-4)


def test_negative_elbo_agrees_with_a_monte_carlo_estimate(vae, images) -> None:
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
        estimates.append(-np.mean(log_lik + log_ratio))
    ours = [
        evaluate(vae, images, ["negative_elbo"], seed=s)["negative_elbo"].value
        for s in range(20)
    ]
    spread = np.hypot(stats.sem(estimates), stats.sem(ours))
    assert abs(np.mean(estimates) - np.mean(ours)) < 4 * spread


def test_negative_elbo_is_the_sum_of_its_parts(vae, images) -> None:
    names = ["negative_elbo", "reconstruction_nll", "kl"]
    report = {k: m.value for k, m in evaluate(vae, images, names).items()}
    parts = report["reconstruction_nll"] + report["kl"]
    assert report["negative_elbo"] == pytest.approx(parts, rel=1e-6)


def test_seeds_repeat_and_differ(vae, images) -> None:
    def value(seed: int) -> float:
        return evaluate(vae, images, ["negative_elbo"], seed)["negative_elbo"].value

    assert value(0) == value(0)
    assert value(0) != value(1)


@pytest.mark.parametrize("chunk", [1, 7, 23])
def test_no_metric_depends_on_the_batch_size(
    vae, images, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("aezoo.evaluation.evaluate")
    names = [n for n, d in METRICS.items() if isinstance(vae, d.models)]
    whole = evaluate(vae, images, names)
    monkeypatch.setattr(module, "CHUNK", chunk)
    split = evaluate(vae, images, names)
    for name in names:
        assert split[name].value == pytest.approx(whole[name].value, rel=1e-6), name
    assert len(names) >= 6


def test_denoising_mse_measures_against_the_clean_image(images) -> None:
    """A model that returns its input keeps exactly the clipped noise."""
    model = aezoo.create("linear_ae", input_shape=(8, 8, 1), latent_dim=64)
    model.encoder.heads["z"].set_weights([np.eye(64), np.zeros(64)])
    model.decoder.pixels.set_weights([np.eye(64), np.zeros(64)])
    many = np.repeat(images, 40, axis=0)
    value = evaluate(model, many, ["denoising_mse"])["denoising_mse"].value
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
    report = evaluate(model, images, ["active_code_fraction", "active_units"])
    assert report["active_code_fraction"].value == pytest.approx((2 + 1) / 8)
    assert report["active_units"].value == 3  # the last unit never moves


def test_log_likelihood_is_ppcas_own(images) -> None:
    model = aezoo.create("ppca", input_shape=(8, 8, 1), latent_dim=3)
    report = evaluate(model, images, ["log_likelihood"])["log_likelihood"]
    expected = float(np.mean(model.log_likelihood(images)))
    assert report.value == pytest.approx(expected, rel=1e-6)


def test_the_protocol_is_stamped(vae, images) -> None:
    report = evaluate(vae, images, ["negative_elbo"], seed=5, dataset="mnist/test")
    protocol = report["negative_elbo"].protocol
    for part in ("mnist/test, all 23 images", "seed 5", "KL(q(z|x)||p(z))"):
        assert part in protocol
    assert report["negative_elbo"].unit == "nats per image"


def test_a_metric_the_family_cannot_have_says_which_it_has(ae, images) -> None:
    with pytest.raises(
        UnsupportedOperationError, match=r"no metric 'negative_elbo'.*It has: mse"
    ):
        evaluate(ae, images, ["negative_elbo"])


def test_unknown_metrics_offer_the_closest(ae, images) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'mse'"):
        evaluate(ae, images, ["msee"])


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
        evaluate(ae, bad, ["mse"])
