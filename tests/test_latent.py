"""How a code is used, against direct sums and closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

import aezoo
from aezoo.evaluation import evaluate
from aezoo.evaluation.abilities import has_codebook
from aezoo.evaluation.metrics.latent import (
    codebook_perplexity,
    codebook_usage,
    perplexity_of_codebooks,
    usage_of_codebooks,
)


@pytest.fixture(scope="module")
def vae():
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), latent_dim=3)
    kernel, bias = model.encoder.heads["z_mean"].get_weights()
    model.encoder.heads["z_mean"].set_weights([20.0 * kernel, bias])
    return model


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).random((37, 4, 4, 1), "float32")


def test_kl_per_dim_adds_up_to_the_kl(vae, images) -> None:
    report = evaluate(vae, images, metrics=["kl_per_dim", "kl"])
    values = report["kl_per_dim"].values
    assert len(values) == 3
    assert sum(values) == pytest.approx(report["kl"].value, rel=1e-5)
    assert report["kl_per_dim"].value == pytest.approx(np.mean(values))


@pytest.mark.parametrize("family", ["dense_vae", "ppca", "dense_ae"])
def test_aggregate_moments_are_those_of_drawn_codes(family: str, images) -> None:
    model = aezoo.create(family, input_shape=(4, 4, 1), latent_dim=3)
    report = evaluate(model, images, metrics=["aggregate_mean", "aggregate_variance"])
    posterior = model.posterior(np.repeat(images, 500, axis=0))
    z = np.asarray(posterior.sample(0))
    np.testing.assert_allclose(
        report["aggregate_mean"].values, z.mean(axis=0), atol=0.05
    )
    np.testing.assert_allclose(
        report["aggregate_variance"].values, z.var(axis=0), rtol=0.05, atol=1e-6
    )


def test_information_is_that_of_the_mixture_of_all_posteriors(vae, images) -> None:
    """Against sums over scipy's densities of the same codes."""
    names = ["mutual_information", "total_correlation"]
    report = evaluate(vae, images, metrics=names, seed=4)
    posterior = vae.posterior(images)
    mean, log_var = np.asarray(posterior.mean), np.asarray(posterior.log_var)
    from aezoo.nn.distributions import IndexedNoise

    z = np.asarray(posterior.sample(IndexedNoise(4, 0)))
    per_unit = stats.norm.logpdf(
        z[:, None].astype("float64"), mean[None], np.exp(0.5 * log_var)[None]
    )  # (37 codes, 37 posteriors, 3)
    log_n = np.log(len(images))
    conditional = np.einsum("iij->i", per_unit)
    joint = special.logsumexp(per_unit.sum(axis=2), axis=1) - log_n
    marginals = special.logsumexp(per_unit, axis=1).sum(axis=1) - 3 * log_n
    information = np.mean(conditional - joint)
    assert report["mutual_information"].value == pytest.approx(information, rel=1e-4)
    assert 0.0 < information <= log_n
    correlation = np.mean(joint - marginals)
    assert report["total_correlation"].value == pytest.approx(correlation, rel=1e-3)


@pytest.mark.parametrize(("deviation", "is_meaningful"), [(0.9, True), (0.05, False)])
def test_total_correlation_is_left_out_where_information_saturates(
    deviation: float, is_meaningful: bool
) -> None:
    """Eight independent units have none, which narrow posteriors cannot show."""
    model = aezoo.create(
        "dense_vae", input_shape=(1, 8, 1), latent_dim=8, hidden_units=()
    )
    heads = model.encoder.heads
    scale = np.sqrt(12.0 * (1.0 - deviation**2))
    heads["z_mean"].set_weights([scale * np.eye(8), np.full(8, -scale / 2)])
    heads["z_log_var"].set_weights(
        [np.zeros((8, 8)), np.full(8, 2 * np.log(deviation))]
    )
    x = np.random.default_rng(0).random((1000, 1, 8, 1), "float32")
    names = ["mutual_information", "total_correlation", "total_correlation/gaussian"]
    report = evaluate(model, x, metrics=names)
    assert report["total_correlation/gaussian"].value < 0.05
    if is_meaningful:
        assert abs(report["total_correlation"].value) < 0.05
        return
    assert list(report) == [names[0], names[2]]
    assert "within 2 of log(1,000) = 6.91" in report.left_out["total_correlation"]
    with pytest.raises(KeyError, match=r"was left out\. Mutual information, 6\.9"):
        report["total_correlation"]


@pytest.mark.parametrize("noise", [1e-13, 1 / 12])
def test_gaussian_total_correlation_is_that_of_correlated_units(noise: float) -> None:
    """One unit is the other plus something of the same variance, and both are noisy."""
    model = aezoo.create(
        "dense_vae", input_shape=(1, 2, 1), latent_dim=2, hidden_units=()
    )
    heads = model.encoder.heads
    heads["z_mean"].set_weights([np.array([[1.0, 1.0], [0.0, 1.0]]), np.zeros(2)])
    heads["z_log_var"].set_weights([np.zeros((2, 2)), np.full(2, np.log(noise))])
    x = np.random.default_rng(0).random((5000, 1, 2, 1), "float32")
    name = "total_correlation/gaussian"
    value = evaluate(model, x, metrics=[name])[name].value
    variances = np.array([1 / 12 + noise, 2 / 12 + noise])
    squared_correlation = (1 / 12) ** 2 / variances.prod()
    assert value == pytest.approx(-0.5 * np.log(1 - squared_correlation), rel=0.05)


def test_codebook_usage_and_perplexity() -> None:
    even = np.arange(8).reshape(2, 4)
    assert codebook_usage(even, 8) == 1.0
    assert codebook_perplexity(even, 8) == pytest.approx(8.0)
    assert codebook_usage(np.zeros(5, "int64"), 4) == 0.25
    assert codebook_perplexity(np.zeros(5, "int64"), 4) == pytest.approx(1.0)
    indices = np.random.default_rng(0).integers(0, 5, 100)
    counts = np.bincount(indices, minlength=16)
    expected = np.exp(stats.entropy(counts))
    assert codebook_perplexity(indices, 16) == pytest.approx(expected)


def test_models_with_a_codebook_have_its_metrics() -> None:
    model = aezoo.create("vq_vae", input_shape=(8, 8, 1), filters=(4, 4), num_codes=4)
    assert has_codebook(model)
    assert not has_codebook(aezoo.create("linear_ae", input_shape=(2, 2, 1)))
    posterior = SimpleNamespace(indices=np.array([[[0, 1], [1, 1]]]))
    evaluation = SimpleNamespace(model=model, posterior=posterior)
    assert usage_of_codebooks(evaluation).value == 0.5


def test_each_codebook_has_its_own_perplexity() -> None:
    """All of the top's four codes, and one of the bottom's eight."""
    config = {"filters": (4, 4), "num_codes": 8, "num_top_codes": 4, "code_dim": 2}
    model = aezoo.create("vq_vae_2", input_shape=(16, 16, 1), **config)
    low, stop = model.index_bounds
    is_top = stop == 4
    indices = np.tile(np.where(is_top, 0, low), (4, 1))
    indices[:, is_top] = np.arange(4)[:, None]
    posterior = SimpleNamespace(indices=indices)
    evaluation = SimpleNamespace(model=model, posterior=posterior)
    perplexity = perplexity_of_codebooks(evaluation)
    assert perplexity.values == pytest.approx((4.0, 1.0))
    assert perplexity.value == pytest.approx(2.5)
    assert "mean over 2 codebooks" in perplexity.note
    assert usage_of_codebooks(evaluation).values == (1.0, 1 / 8)


@pytest.mark.parametrize(
    "indices", [np.array([], "int64"), np.array([0.5]), np.array([4]), np.array([-1])]
)
def test_indices_outside_the_codebook_are_refused(indices: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"from 0 to num_codes - 1.*num_codes=4"):
        codebook_usage(indices, 4)
