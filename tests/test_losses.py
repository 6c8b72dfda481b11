"""Per-example terms against closed forms, SciPy and Keras."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from aezoo import losses

IMAGE = (4, 3, 2, 2)  # a batch of four
finite = {"allow_nan": False, "allow_infinity": False, "width": 32}


def arrays(low: float, high: float, shape: tuple = IMAGE) -> st.SearchStrategy:
    return hnp.arrays("float32", shape, elements=st.floats(low, high, **finite))


def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.random(IMAGE, "float32"), rng.random(IMAGE, "float32")


def per_image(values: np.ndarray) -> np.ndarray:
    return values.reshape(4, -1).sum(axis=1)


def test_squared_and_absolute_errors_sum_over_pixels(rng) -> None:
    x, x_hat = pair(rng)
    squared, absolute = losses.squared_error(x, x_hat), losses.absolute_error(x, x_hat)
    np.testing.assert_allclose(squared, per_image((x - x_hat) ** 2), rtol=1e-5)
    np.testing.assert_allclose(absolute, per_image(abs(x - x_hat)), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 3.0])
def test_smooth_l1_is_huber_over_beta(rng, beta) -> None:
    x, x_hat = pair(rng)
    huber = keras.losses.Huber(delta=beta, reduction=None)(x, x_hat)  # a pixel mean
    expected = per_image(np.asarray(huber)) * x.shape[-1] / beta
    np.testing.assert_allclose(losses.smooth_l1(x, x_hat, beta), expected, rtol=1e-5)


def test_smooth_l1_tends_to_the_absolute_error(rng) -> None:
    x, x_hat = pair(rng)
    absolute = losses.absolute_error(x, x_hat)
    np.testing.assert_allclose(losses.smooth_l1(x, x_hat, 1e-6), absolute, rtol=1e-4)


def test_smooth_l1_needs_a_positive_beta(rng) -> None:
    with pytest.raises(ValueError, match=r"`beta` must be above 0\. Received: beta=0"):
        losses.smooth_l1(*pair(rng), beta=0)


@given(arrays(0, 1), arrays(-12, 12))
def test_bernoulli_nll_from_logits_is_that_from_probabilities(x, logits) -> None:
    p = scipy.special.expit(logits.astype("float64"))
    expected = per_image(-(x * np.log(p) + (1 - x) * np.log1p(-p)))
    np.testing.assert_allclose(
        losses.bernoulli_nll(x, logits), expected, rtol=1e-4, atol=1e-4
    )


@given(arrays(0, 1), arrays(-1e6, 1e6))
def test_bernoulli_nll_is_finite_and_non_negative(x, logits) -> None:
    nll = np.asarray(losses.bernoulli_nll(x, logits))
    assert np.isfinite(nll).all()
    assert np.all(nll >= 0.0)


def test_bernoulli_nll_is_least_at_the_grey_value(rng) -> None:
    x = 0.05 + 0.9 * rng.random(IMAGE, "float32")
    logits = scipy.special.logit(x)
    best = np.asarray(losses.bernoulli_nll(x, logits))
    for shift in (-0.5, 0.5):
        assert np.all(losses.bernoulli_nll(x, logits + shift) > best)
    entropy = per_image(scipy.special.entr(x) + scipy.special.entr(1 - x))
    np.testing.assert_allclose(best, entropy, rtol=1e-4)


@given(arrays(-2, 2), arrays(-2, 2), st.floats(-3, 3))
def test_gaussian_nll_is_scipys(x, mean, log_scale) -> None:
    expected = scipy.stats.norm.logpdf(x.astype("float64"), mean, np.exp(log_scale))
    np.testing.assert_allclose(
        losses.gaussian_nll(x, mean, log_scale), -per_image(expected), rtol=1e-3
    )


@given(arrays(-2, 2), arrays(-2, 2), st.floats(-3, 3))
def test_laplace_nll_is_scipys(x, mean, log_scale) -> None:
    expected = scipy.stats.laplace.logpdf(x.astype("float64"), mean, np.exp(log_scale))
    np.testing.assert_allclose(
        losses.laplace_nll(x, mean, log_scale),
        -per_image(expected),
        rtol=1e-3,
        atol=1e-3,
    )


def test_scales_may_differ_by_unit(rng) -> None:
    x, mean = rng.random((2, 4, 3), "float32")
    log_scale = rng.standard_normal((4, 3)).astype("float32")
    gaussian = scipy.stats.norm.logpdf(x, mean, np.exp(log_scale)).sum(axis=1)
    laplace = scipy.stats.laplace.logpdf(x, mean, np.exp(log_scale)).sum(axis=1)
    np.testing.assert_allclose(
        losses.gaussian_nll(x, mean, log_scale), -gaussian, rtol=1e-4
    )
    np.testing.assert_allclose(
        losses.laplace_nll(x, mean, log_scale), -laplace, rtol=1e-4
    )


@given(arrays(-5, 5, (3, 6)), arrays(-20, 20, (3, 6)))
def test_kl_is_non_negative(z_mean, z_log_var) -> None:
    assert np.all(np.asarray(losses.gaussian_kl(z_mean, z_log_var)) >= 0.0)


@given(arrays(-(2**-7), 2**-7, (200, 1)))
def test_kl_is_non_negative_close_to_the_prior(z_log_var) -> None:
    kl = losses.gaussian_kl(np.zeros_like(z_log_var), z_log_var)
    assert np.all(np.asarray(kl) >= 0.0)


def test_kl_keeps_its_digits_close_to_the_prior() -> None:
    v = np.float32([[1e-2], [-1e-2], [3e-3]])
    exact = 0.5 * (np.expm1(v.astype("float64")) - v)[:, 0]
    np.testing.assert_allclose(
        losses.gaussian_kl(np.zeros_like(v), v), exact, rtol=2e-3
    )


def test_kl_is_zero_at_the_prior_and_only_there() -> None:
    zeros, ones = np.zeros((2, 5), "float32"), np.ones((2, 5), "float32")
    np.testing.assert_array_equal(losses.gaussian_kl(zeros, zeros), 0.0)
    np.testing.assert_allclose(losses.gaussian_kl(ones, zeros), 2.5)
    assert np.all(np.asarray(losses.gaussian_kl(zeros, 0.1 * ones)) > 0.0)


def test_kl_is_the_integral(rng) -> None:
    z = np.linspace(-30, 30, 60_001)
    for mean, log_var in rng.normal(size=(10, 2)):
        q = scipy.stats.norm(mean, np.exp(0.5 * log_var))
        integrand = q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z))
        kl = losses.gaussian_kl(np.float32([[mean]]), np.float32([[log_var]]))
        np.testing.assert_allclose(kl, np.trapezoid(integrand, z), rtol=1e-3)


def test_kl_is_the_monte_carlo_mean(rng) -> None:
    mean, log_var = rng.normal(size=(2, 1, 4)).astype("float32")
    q = scipy.stats.norm(mean, np.exp(0.5 * log_var))
    z = q.rvs((200_000, 4), random_state=1)
    ratios = (q.logpdf(z) - scipy.stats.norm.logpdf(z)).sum(axis=1)
    error = ratios.std() / np.sqrt(len(ratios))
    kl = float(losses.gaussian_kl(mean, log_var)[0])
    assert abs(kl - ratios.mean()) < 5 * error


@pytest.mark.parametrize(
    "function",
    [
        losses.squared_error,
        losses.absolute_error,
        losses.smooth_l1,
        losses.bernoulli_nll,
        losses.gaussian_nll,
        losses.laplace_nll,
        losses.gaussian_kl,
    ],
)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 1), (5, 3, 2, 2)])
def test_shapes_must_agree(function, shape) -> None:
    with pytest.raises(ValueError, match=r"must have the same shape\. Received"):
        function(ops.zeros(IMAGE), ops.zeros(shape))
