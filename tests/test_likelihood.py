"""Bounds and importance sampling, against densities that are known exactly."""

import resource

import numpy as np
import pytest
from scipy import special, stats

import aezoo
from aezoo.evaluation import context, evaluate
from aezoo.evaluation.context import Chunk, Evaluation, Settings
from aezoo.evaluation.metrics import likelihood


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Images that vary mostly in three directions."""
    generator = np.random.default_rng(1)
    factors = generator.normal(size=(60, 3)) @ generator.normal(size=(3, 16))
    pixels = special.expit(factors + 0.3 * generator.normal(size=(60, 16)))
    return np.round(255 * pixels).reshape(60, 4, 4, 1).astype("uint8")


@pytest.fixture(scope="module")
def linear_vae():
    """A Gaussian VAE whose p(x) is a Gaussian, and whose encoder is not quite right."""
    model = aezoo.create(
        "dense_vae",
        input_shape=(4, 4, 1),
        latent_dim=2,
        hidden_units=(),
        likelihood="gaussian",
        likelihood_scale=0.3,
        output_activation="linear",
    )
    generator = np.random.default_rng(2)
    weight = 0.2 * generator.normal(size=(2, 16))
    loc = np.full(16, 0.5)
    model.decoder.pixels.set_weights([weight, loc])
    inner = weight @ weight.T + 0.09 * np.eye(2)
    exact = np.linalg.solve(inner, weight).T  # (16, 2), the exact posterior's mean
    kernel = exact + 0.05 * generator.normal(size=exact.shape)
    model.encoder.heads["z_mean"].set_weights([kernel, -loc @ kernel])
    variance = 0.09 * np.diag(np.linalg.inv(inner))
    zeros = np.zeros((16, 2))
    model.encoder.heads["z_log_var"].set_weights([zeros, np.log(1.5 * variance)])
    covariance = weight.T @ weight + 0.09 * np.eye(16)
    return model, stats.multivariate_normal(loc, covariance)


def test_importance_sampling_finds_the_exact_likelihood_of_ppca(images) -> None:
    """Its posterior is exact, so that one sample is enough."""
    model = aezoo.create("ppca", input_shape=(4, 4, 1), latent_dim=3)
    model.fit_closed_form(images)
    names = ["iwae_nll", "log_likelihood"]
    report = evaluate(model, images, metrics=names, importance_samples=1)
    nll, exact = report["iwae_nll"], report["log_likelihood"]
    assert abs(nll.value + exact.value) < 0.1 * exact.standard_error
    assert nll.value == pytest.approx(-exact.value, abs=1e-3)
    assert nll.standard_error == pytest.approx(exact.standard_error, rel=1e-2)


def test_densities_have_another_unit_than_masses(linear_vae, images) -> None:
    names = ["elbo", "iwae_nll", "kl"]
    bernoulli = aezoo.create("dense_vae", input_shape=(4, 4, 1), latent_dim=2)
    for model, unit in (
        (bernoulli, "nats per image"),
        (linear_vae[0], "nats per image, density"),
    ):
        report = evaluate(model, images, metrics=names, importance_samples=1)
        assert report["elbo"].unit == report["iwae_nll"].unit == unit
        assert report["kl"].unit == "nats per image"


def test_importance_sampling_corrects_a_wrong_posterior(linear_vae, images) -> None:
    model, density = linear_vae
    exact = -density.logpdf(images.reshape(60, 16) / 255.0).mean()
    names = ["elbo", "iwae_nll"]
    reports = [
        evaluate(model, images, metrics=names, seed=seed, importance_samples=2000)
        for seed in range(4)
    ]
    estimates = [report["iwae_nll"].value for report in reports]
    assert abs(np.mean(estimates) - exact) < 4 * stats.sem(estimates) + 2e-3
    bound = -np.mean([report["elbo"].value for report in reports])
    assert bound > exact + 0.1  # the posterior is wrong indeed


def test_the_bound_tightens_with_the_number_of_samples(linear_vae, images) -> None:
    model, _ = linear_vae
    values = [
        evaluate(model, images, metrics=["iwae_nll"], importance_samples=k)[
            "iwae_nll"
        ].value
        for k in (1, 10, 300)
    ]
    assert values[0] > values[1] > values[2]
    elbo = evaluate(model, images, metrics=["elbo"])["elbo"].value
    assert values[0] == pytest.approx(-elbo, abs=0.5)


@pytest.mark.parametrize(("rows", "draws"), [(7, 2), (50, 50), (9, 4)])
def test_it_does_not_depend_on_how_calls_are_cut(
    linear_vae, images, rows: int, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = linear_vae
    settings = {"metrics": ["iwae_nll"], "importance_samples": 9}
    whole = evaluate(model, images, **settings)["iwae_nll"].value
    monkeypatch.setattr(likelihood, "ROWS", rows)
    monkeypatch.setattr(likelihood, "DRAWS", draws)
    monkeypatch.setattr(context, "CHUNK", 13)
    cut = evaluate(model, images, **settings)["iwae_nll"].value
    assert cut == pytest.approx(whole, rel=1e-6)


def test_another_seed_leaves_no_graph_of_the_last_one(linear_vae, images) -> None:
    model, _ = linear_vae
    for seed in range(3):
        evaluate(model, images, metrics=["iwae_nll"], seed=seed, importance_samples=3)
    kept = [key for key in model.compiled_functions if key[0] == "log_marginal"]
    assert [key[:3] for key in kept] == [("log_marginal", 2, 3)]


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    """All 4,000 decoded samples of 40 images together would take 500 MB."""
    model = aezoo.create("dense_vae", hidden_units=(8,), latent_dim=2)
    images = np.random.default_rng(0).random((40, 28, 28, 1), "float32")

    def peak_after(samples: int) -> int:
        evaluate(model, images, metrics=["iwae_nll"], importance_samples=samples)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB

    small = peak_after(100)
    assert peak_after(4000) - small < 60_000


def test_improbable_images_have_finite_likelihoods() -> None:
    """Weights of exp(-5000) and less vanish in float32 unless summed in log space."""
    model = aezoo.create("dense_vae", input_shape=(8, 8, 1), latent_dim=2)
    kernel, _ = model.decoder.pixels.get_weights()
    model.decoder.pixels.set_weights([kernel, np.full(64, 100.0)])
    images = np.zeros((3, 8, 8, 1), "uint8")
    report = evaluate(model, images, metrics=["iwae_nll"], importance_samples=5)
    assert report["iwae_nll"].value == pytest.approx(6400, rel=0.1)


def test_binarised_pixels_are_drawn_with_their_grey_value(images) -> None:
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), latent_dim=2)
    data = context.Dataset("images", "array", "test", images)

    def binarised(seed: int, start: int = 0, stop: int = 60) -> np.ndarray:
        evaluation = Evaluation(model, data, Settings(seed=seed), 60)
        return Chunk(evaluation, start, stop).view("binarised").x

    draws = np.stack([binarised(seed) for seed in range(300)])
    assert set(np.unique(draws)) == {0.0, 1.0}
    difference = draws.mean(axis=0) - images / 255.0
    assert np.abs(difference).max() < 5 * 0.5 / np.sqrt(300)
    np.testing.assert_array_equal(binarised(7), binarised(7))
    np.testing.assert_array_equal(binarised(7)[20:30], binarised(7, 20, 30))


def test_binarised_metrics_measure_binary_images(images) -> None:
    """On images that are binary already, binarising changes nothing."""
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), latent_dim=2)
    binary = (images > 127).astype("float32")
    names = ["elbo", "elbo/binarised", "iwae_nll", "iwae_nll/binarised"]
    report = evaluate(model, binary, metrics=names, importance_samples=4)
    for name in ("elbo", "iwae_nll"):
        binarised = report[f"{name}/binarised"]
        assert binarised.value == pytest.approx(report[name].value, rel=1e-6)
        assert "pixels drawn as 0 or 1" in binarised.protocol
        assert "grey values as they are" in report[name].protocol
    grey = evaluate(model, images, metrics=names[:2])
    assert grey["elbo"].value != grey["elbo/binarised"].value


def test_bits_per_dim_of_a_density_are_dequantised() -> None:
    """Pixels of one level, under a Gaussian a third of a level wide.

    The uniform noise has variance 1/12 of a squared level about the level's middle.
    """
    width = 0.3 / 256
    model = aezoo.create(
        "dense_vae",
        input_shape=(8, 8, 1),
        latent_dim=2,
        likelihood="gaussian",
        likelihood_scale=width,
        output_activation="linear",
    )
    kernel, _ = model.decoder.pixels.get_weights()
    middle = np.full(64, 100.5 / 256)
    model.decoder.pixels.set_weights([0.0 * kernel, middle])
    images = np.full((200, 8, 8, 1), 100, "uint8")
    report = evaluate(model, images, metrics=["bits_per_dim"], importance_samples=1)
    nats = 0.5 * np.log(2 * np.pi * 0.3**2) + 0.5 * (1 / 12) / 0.3**2
    posterior = model.posterior(images)
    assert np.asarray(posterior.kl()).max() < 0.2  # one sample is nearly enough
    record = report["bits_per_dim"]
    assert record.value == pytest.approx(nats / np.log(2), abs=0.02)
    assert "uniform dequantisation" in record.protocol


def test_bits_per_binary_dim_are_nats_in_other_units(images) -> None:
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), latent_dim=2)
    names = ["bits_per_dim/binarised", "iwae_nll/binarised"]
    report = evaluate(model, images, metrics=names, importance_samples=3)
    bits, nll = (report[name].value for name in names)
    assert bits == pytest.approx(nll / (16 * np.log(2)), rel=1e-6)
