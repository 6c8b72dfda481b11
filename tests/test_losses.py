"""Per-example terms against closed forms, SciPy and Keras."""

import itertools

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from aezoo.nn import losses
from aezoo.nn.backend import jacobian_product
from tests.reference import multi_scale_ssim

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


def posteriors(rng: np.random.Generator, n: int, dim: int = 2) -> list[np.ndarray]:
    """Codes, means and log-variances of `n` posteriors."""
    mean = rng.normal(size=(n, dim))
    log_var = rng.uniform(-2.0, 0.0, size=(n, dim))
    z = mean + np.exp(0.5 * log_var) * rng.normal(size=(n, dim))
    return [values.astype("float32") for values in (z, mean, log_var)]


def mixture(z: np.ndarray, mean: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Densities of each unit of each code under each posterior, `(n, n, dim)`."""
    std = np.exp(0.5 * log_var.astype("float64"))
    return scipy.stats.norm.pdf(z[:, None].astype("float64"), mean[None], std[None])


def test_the_aggregate_posterior_of_a_whole_dataset_is_exact(rng) -> None:
    z, mean, log_var = posteriors(rng, 7, 3)
    density = mixture(z, mean, log_var)
    for dataset_size in (7, 3):  # a batch is at least as large as its dataset
        log_q, log_q_units = losses.aggregate_posterior_log_density(
            z, mean, log_var, dataset_size
        )
        exact = np.log(density.prod(axis=-1).mean(axis=1))
        np.testing.assert_allclose(log_q, exact, rtol=1e-4)
        units = np.log(density.mean(axis=1))
        np.testing.assert_allclose(log_q_units, units, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [2, 3, 5])
def test_the_aggregate_posterior_is_unbiased(rng, batch_size) -> None:
    """Over all batches with the first image, the mean density is the dataset's."""
    n = 6
    arrays = posteriors(rng, n)
    density = mixture(*arrays)[0]  # of the first code
    joint, units = [], []
    for others in itertools.combinations(range(1, n), batch_size - 1):
        batch = [values[[0, *others]] for values in arrays]
        log_q, log_q_units = losses.aggregate_posterior_log_density(*batch, n)
        joint.append(np.exp(log_q[0]))
        units.append(np.exp(log_q_units[0]))
    np.testing.assert_allclose(np.mean(joint), density.prod(-1).mean(), rtol=1e-4)
    np.testing.assert_allclose(np.mean(units, axis=0), density.mean(0), rtol=1e-4)


def test_the_aggregate_posterior_of_one_image_is_its_own(rng) -> None:
    z, mean, log_var = posteriors(rng, 1)
    log_q, _ = losses.aggregate_posterior_log_density(z, mean, log_var, 60_000)
    np.testing.assert_allclose(
        log_q, np.log(mixture(z, mean, log_var)[0].prod(-1)), rtol=1e-5
    )


def test_the_aggregate_posterior_is_finite_far_from_all_others() -> None:
    mean = np.float32([[0.0, 0.0], [1e4, -1e4], [1e4, 0.0]])
    log_var = np.full_like(mean, -10.0)
    log_q, log_q_units = losses.aggregate_posterior_log_density(
        mean, mean, log_var, 60_000
    )
    assert np.isfinite(log_q).all()
    assert np.isfinite(log_q_units).all()


def test_covariance_is_numpys(rng) -> None:
    z = rng.normal(size=(7, 3)).astype("float32") + 100.0
    expected = np.cov(z.T.astype("float64"), bias=True)
    np.testing.assert_allclose(losses.covariance(z), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(losses.covariance(z[:1]), np.zeros((3, 3)))


def brute_force_mmd(z: np.ndarray, prior_z: np.ndarray, kernel: str) -> float:
    n, dim = z.shape

    def k(a: np.ndarray, b: np.ndarray) -> float:
        d, c = np.sum((a.astype("float64") - b) ** 2), 2.0 * dim
        if kernel == "rbf":
            return np.exp(-d / c)
        return np.mean([s * c / (s * c + d) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)])

    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    within = np.mean([k(z[i], z[j]) + k(prior_z[i], prior_z[j]) for i, j in pairs])
    return within - 2 * np.mean([k(a, b) for a in z for b in prior_z])


@pytest.mark.parametrize("kernel", losses.MMD_KERNELS)
def test_mmd_is_the_mean_over_pairs(rng, kernel) -> None:
    z, prior_z = rng.normal(size=(2, 6, 3)).astype("float32")
    mmd = losses.maximum_mean_discrepancy(z + 0.5, prior_z, kernel)
    expected = brute_force_mmd(z + 0.5, prior_z, kernel)
    np.testing.assert_allclose(mmd, expected, rtol=1e-4, atol=1e-6)
    assert float(losses.maximum_mean_discrepancy(z[:1], prior_z[:1], kernel)) == 0.0


@pytest.mark.parametrize("kernel", losses.MMD_KERNELS)
def test_mmd_is_unbiased_and_grows_with_the_distance(rng, kernel) -> None:
    draws = rng.normal(size=(200, 2, 20, 2)).astype("float32")

    def mmds(shift: float, n: int = 200) -> np.ndarray:
        return np.array(
            [
                losses.maximum_mean_discrepancy(a + shift, b, kernel)
                for a, b in draws[:n]
            ]
        )

    same = mmds(0.0)
    assert abs(same.mean()) < 4 * same.std() / np.sqrt(len(same))
    assert same.min() < 0.0 < mmds(0.5, 20).mean() < mmds(2.0, 20).mean()


@pytest.mark.parametrize("kernel", losses.MMD_KERNELS)
def test_mmd_of_far_codes_is_finite(rng, kernel) -> None:
    z = 1e6 * rng.normal(size=(5, 2)).astype("float32")
    mmd = losses.maximum_mean_discrepancy(z, np.zeros_like(z), kernel)
    assert np.isfinite(float(mmd))


@pytest.mark.parametrize("shape", [(3, 11, 17, 1), (3, 23, 22, 3), (2, 45, 57, 2)])
def test_ms_ssim_is_that_of_plain_numpy(rng, shape) -> None:
    x = scipy.ndimage.gaussian_filter(rng.random(shape), (0, 1, 1, 0))
    for noise in (0.0, 0.05, 0.3, 3.0):
        x_hat = x + noise * rng.normal(size=shape) * x.std()
        expected = multi_scale_ssim(x, x_hat)
        found = losses.multi_scale_ssim(x.astype("float32"), x_hat.astype("float32"))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(
        losses.ms_ssim_error(x.astype("float32"), x_hat.astype("float32")),
        np.prod(shape[1:]) * (1.0 - expected),
        rtol=1e-3,
    )


def test_ms_ssim_of_opposed_images_is_zero_and_has_a_gradient(rng) -> None:
    x = ops.convert_to_tensor(rng.random((2, 24, 24, 1), dtype="float32"))
    similarity = np.asarray(losses.multi_scale_ssim(x, 1.0 - x))
    np.testing.assert_array_equal(similarity, 0.0)
    np.testing.assert_array_equal(multi_scale_ssim(np.asarray(x), np.asarray(1 - x)), 0)
    blank = ops.zeros_like(x)
    for x_hat in (1.0 - x, 0.5 + blank, blank):
        slope = jacobian_product(
            lambda v: losses.multi_scale_ssim(x, v), x_hat, x - 0.5
        )
        assert np.isfinite(slope).all()
        assert np.all(np.asarray(slope) > 0.0)
    at_best = jacobian_product(lambda v: losses.multi_scale_ssim(x, v), x, x - 0.5)
    np.testing.assert_allclose(at_best, 0.0, atol=1e-4)


def test_ms_ssim_needs_the_size_of_its_window() -> None:
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, .* height=10, wid"):
        losses.multi_scale_ssim(ops.zeros((1, 10, 11, 1)), ops.zeros((1, 10, 11, 1)))


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
        losses.maximum_mean_discrepancy,
        losses.multi_scale_ssim,
        losses.gaussian_log_scale,
        losses.laplace_log_scale,
    ],
)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 1), (5, 3, 2, 2)])
def test_shapes_must_agree(function, shape) -> None:
    with pytest.raises(ValueError, match=r"must have the same shape\. Received"):
        function(ops.zeros(IMAGE), ops.zeros(shape))
