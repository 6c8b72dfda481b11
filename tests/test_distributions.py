"""Posteriors, likelihoods, noise and paths against SciPy and definitions."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops

from aezoo.nn.distributions import (
    Bernoulli,
    DiagonalGaussian,
    DiscretizedLogisticMixture,
    FullGaussian,
    Gaussian,
    IndexedNoise,
    Laplace,
    PointMass,
    check_seed,
    interpolate_codes,
    standard_normal,
    uniform,
)


def scale_trils(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    factors = np.tril(rng.normal(size=(n, dim, dim)))
    index = np.arange(dim)
    factors[:, index, index] = np.exp(0.3 * rng.normal(size=(n, dim)))
    return factors.astype("float32")


def codes_of(n: int, dim: int, low: float = -5, high: float = 5) -> st.SearchStrategy:
    elements = st.floats(low, high, allow_nan=False, width=32)
    return hnp.arrays("float32", (n, dim), elements=elements)


# --- Posteriors ----------------------------------------------------------------


def test_point_mass_is_its_code_and_nothing_else(rng) -> None:
    z = rng.normal(size=(3, 4)).astype("float32")
    q = PointMass(z)
    for codes in (q.mean, q.mode(), q.sample(), q.sample(7), q.parameters()["z"]):
        np.testing.assert_array_equal(codes, z)
    np.testing.assert_array_equal(q.kl(), [np.inf] * 3)
    z[1, 2] += 1e-6
    np.testing.assert_array_equal(q.log_prob(z), [0.0, -np.inf, 0.0])


def test_diagonal_gaussian_is_scipys(rng) -> None:
    mean, log_var, z = rng.normal(size=(3, 5, 4)).astype("float32")
    q = DiagonalGaussian(mean, log_var)
    np.testing.assert_array_equal(q.mode(), mean)
    np.testing.assert_allclose(q.std, np.exp(0.5 * log_var), rtol=1e-6)
    expected = scipy.stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)).sum(axis=1)
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-5)


def test_full_gaussian_is_scipys(rng) -> None:
    mean, z = rng.normal(size=(2, 5, 3)).astype("float32")
    factors = scale_trils(rng, 5, 3)
    q = FullGaussian(mean, factors)
    np.testing.assert_array_equal(q.mode(), mean)
    for i, log_prob in enumerate(np.asarray(q.log_prob(z))):
        exact = scipy.stats.multivariate_normal(mean[i], factors[i] @ factors[i].T)
        np.testing.assert_allclose(log_prob, exact.logpdf(z[i]), rtol=1e-4)


def test_full_gaussian_kl_is_the_textbook_formula(rng) -> None:
    mean, factors = rng.normal(size=(5, 3)), scale_trils(rng, 5, 3)
    covariance = factors @ factors.transpose(0, 2, 1)
    trace = np.trace(covariance, axis1=1, axis2=2)
    _, log_det = np.linalg.slogdet(covariance)
    expected = 0.5 * (trace + (mean**2).sum(axis=1) - 3 - log_det)
    kl = FullGaussian(mean.astype("float32"), factors).kl()
    np.testing.assert_allclose(kl, expected, rtol=1e-4)


def test_full_gaussian_without_correlation_is_the_diagonal_one(rng) -> None:
    mean, log_var, z = rng.normal(size=(3, 6, 4)).astype("float32")
    factors = np.exp(0.5 * log_var)[:, :, None] * np.eye(4, dtype="float32")
    full, diagonal = FullGaussian(mean, factors), DiagonalGaussian(mean, log_var)
    np.testing.assert_allclose(full.kl(), diagonal.kl(), rtol=1e-4)
    np.testing.assert_allclose(full.log_prob(z), diagonal.log_prob(z), rtol=1e-4)
    np.testing.assert_allclose(full.sample(0), diagonal.sample(0), rtol=1e-4)


@given(codes_of(3, 4), codes_of(3, 4, -10, 4))
@settings(max_examples=50)
def test_full_gaussian_kl_is_non_negative(mean, log_var) -> None:
    factors = np.exp(0.5 * log_var)[:, :, None] * np.eye(4, dtype="float32")
    assert np.all(np.asarray(FullGaussian(mean, factors).kl()) >= 0.0)


def test_full_gaussian_kl_is_non_negative_close_to_the_prior(rng) -> None:
    factors = np.eye(6) + 1e-4 * np.tril(rng.normal(size=(500, 6, 6)))
    kl = FullGaussian(np.zeros((500, 6), "float32"), factors.astype("float32")).kl()
    assert np.all(np.asarray(kl) >= 0.0)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_draws_have_the_posteriors_moments(rng, kind) -> None:
    n = 40_000
    mean, log_var = rng.normal(size=(2, 1, 3)).astype("float32")
    factor = scale_trils(rng, 1, 3)
    if kind == "diagonal":
        covariance = np.diag(np.exp(log_var[0]))
        q = DiagonalGaussian(mean.repeat(n, 0), log_var.repeat(n, 0))
    else:
        covariance = factor[0] @ factor[0].T
        q = FullGaussian(mean.repeat(n, 0), factor.repeat(n, 0))
    z = np.asarray(q.sample(3))
    scale = np.sqrt(np.diag(covariance))
    assert np.all(abs(z.mean(axis=0) - mean[0]) < 5 * scale / np.sqrt(n))
    np.testing.assert_allclose(
        np.cov(z.T), covariance, atol=5 * scale.max() ** 2 / n**0.5
    )


def test_monte_carlo_over_draws_gives_the_kl(rng) -> None:
    n = 40_000
    mean, factor = rng.normal(size=(1, 3)).astype("float32"), scale_trils(rng, 1, 3)
    q = FullGaussian(mean.repeat(n, 0), factor.repeat(n, 0))
    z = q.sample(0)
    prior = scipy.stats.norm.logpdf(np.asarray(z)).sum(axis=1)
    ratios = np.asarray(q.log_prob(z)) - prior
    error = ratios.std() / np.sqrt(n)
    assert abs(float(q.kl()[0]) - ratios.mean()) < 5 * error


@pytest.mark.parametrize("kind", [DiagonalGaussian, PointMass])
def test_parameters_rebuild_the_posterior(rng, kind) -> None:
    arrays = rng.normal(size=(2, 3, 4)).astype("float32")
    q = kind(*arrays[: 1 if kind is PointMass else 2])
    again = kind(**q.parameters())
    np.testing.assert_array_equal(again.mean, q.mean)
    np.testing.assert_array_equal(again.kl(), q.kl())


# --- Observation models --------------------------------------------------------


def test_bernoulli_pixels(rng) -> None:
    logits = rng.normal(size=(2, 100, 100, 1)).astype("float32")
    p = Bernoulli(logits)
    images = np.asarray(p.sample(0))
    assert set(np.unique(images)) == {0.0, 1.0}
    assert abs(images.mean() - np.asarray(p.mean).mean()) < 5 * 0.5 / 20_000**0.5
    expected = scipy.stats.bernoulli.logpmf(images, np.asarray(p.mean))
    np.testing.assert_allclose(
        p.log_prob(images), expected.reshape(2, -1).sum(axis=1), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("cls", "exact"), [(Gaussian, scipy.stats.norm), (Laplace, scipy.stats.laplace)]
)
def test_noise_of_elements_has_its_distribution(cls, exact) -> None:
    p = cls(np.full((1, 150, 150, 1), 0.5, "float32"), np.log(0.2))
    draws = np.asarray(p.sample(0))
    assert np.isfinite(draws).all()
    assert scipy.stats.kstest(draws.ravel(), exact(0.5, 0.2).cdf).pvalue > 0.01
    np.testing.assert_allclose(
        p.log_prob(draws), [exact(0.5, 0.2).logpdf(draws).sum()], rtol=1e-3
    )


# --- Seeds and noise -----------------------------------------------------------


@pytest.mark.parametrize("draw", [standard_normal, uniform])
def test_integer_seeds_repeat_and_differ(draw) -> None:
    first = np.asarray(draw((3, 4), 0))
    np.testing.assert_array_equal(first, draw((3, 4), 0))
    assert np.any(first != np.asarray(draw((3, 4), 1)))
    assert np.any(np.asarray(draw((3, 4), None)) != np.asarray(draw((3, 4), None)))


def test_a_generator_draws_afresh_at_each_call() -> None:
    generator = keras.random.SeedGenerator(0)
    first = np.asarray(standard_normal((3, 4), generator))
    assert np.any(first != np.asarray(standard_normal((3, 4), generator)))


@pytest.mark.parametrize("seed", [0, 5, 2**31 - 1, np.int64(3), None])
def test_valid_seeds_pass(seed) -> None:
    assert check_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_seeds_out_of_range_are_refused(seed) -> None:
    with pytest.raises(ValueError, match=r"`seed` must be in \[0, 2\*\*31\)"):
        check_seed(seed)


@pytest.mark.parametrize("seed", [1.0, "1", True, [1]])
def test_seeds_that_are_no_integers_are_refused(seed) -> None:
    with pytest.raises(ValueError, match="`seed` must be an integer or None"):
        check_seed(seed)


def indexed(seed: int, shape: tuple, start: int = 0) -> np.ndarray:
    return np.asarray(IndexedNoise(seed, start).normal(shape))


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_indexed_noise_is_standard_normal(seed) -> None:
    noise = indexed(seed, (20_000, 20)).astype("float64")
    n = noise.size
    assert abs(noise.mean()) < 5 / n**0.5
    assert abs(noise.var() - 1.0) < 5 * (2 / n) ** 0.5
    assert scipy.stats.kstest(noise.ravel()[:100_000], "norm").pvalue > 1e-3
    assert np.isfinite(noise).all()


def test_indexed_noise_is_normal_in_every_unit_and_row() -> None:
    noise = indexed(0, (2_000, 2_000)).astype("float64")
    for axis in (0, 1):
        means = noise.mean(axis=axis) * 2_000**0.5
        assert scipy.stats.kstest(means, "norm").pvalue > 1e-3
        assert abs(means).max() < 5.5


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 256])
def test_indexed_noise_is_uncorrelated_between_rows_and_units(lag) -> None:
    noise = indexed(0, (4_000, 300))
    rows = np.mean(noise[lag:] * noise[:-lag])
    units = np.mean(noise[:, lag:] * noise[:, :-lag])
    assert abs(rows) < 5 / noise[lag:].size ** 0.5
    assert abs(units) < 5 / noise[:, lag:].size ** 0.5


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (7, 1007), (0, 2**30)])
def test_indexed_noise_is_uncorrelated_between_seeds(a, b) -> None:
    shape = (4_000, 100)
    first, second = indexed(a, shape), indexed(b, shape)
    assert abs(np.mean(first * second)) < 5 / first.size**0.5
    # nor is one seed's stream a shifted copy of the other's
    assert np.isin(first.ravel(), second.ravel()).mean() < 0.05


def test_indexed_noise_does_not_repeat_itself() -> None:
    values = np.asarray(IndexedNoise(0).uniform((2_000, 500))).ravel()
    # 1,000,000 draws of 23 bits repeat a value now and then: expect 5.7 %
    assert 1.0 - len(np.unique(values)) / len(values) < 0.06
    assert values.min() > 0.0
    assert values.max() < 1.0


@given(st.integers(0, 10), st.integers(0, 2**31 - 1))
@settings(max_examples=20)
def test_indexed_noise_does_not_depend_on_the_batch_split(cut, seed) -> None:
    whole = indexed(seed, (10, 3))
    parts = [indexed(seed, (cut, 3)), indexed(seed, (10 - cut, 3), start=cut)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6)


def test_the_largest_hash_is_still_below_one(monkeypatch) -> None:
    for bits in (0, 2**32 - 1):
        hashed = ops.convert_to_tensor(np.full((1, 1), bits, "uint32"))
        monkeypatch.setattr(
            "aezoo.nn.distributions.noise._hash32", lambda _, h=hashed: h
        )
        assert 0.0 < float(IndexedNoise(0).uniform((1, 1))[0, 0]) < 1.0
        assert np.isfinite(indexed(0, (1, 1))).all()


def test_indexed_noise_takes_a_tensor_as_start() -> None:
    start = ops.convert_to_tensor(6.0)
    noise = IndexedNoise(1, start).normal((4, 3))
    np.testing.assert_array_equal(noise, indexed(1, (10, 3))[6:])


# --- Discretised logistics --------------------------------------------------------


def written_out(parameters: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Probability of one pixel of whole levels, as in PixelCNN++, in NumPy; `(n,)`."""
    channels, size = levels.shape[1], 2
    logits, rest = parameters[:size], parameters[size:].reshape(-1, size)
    means, log_scales = rest[:channels], rest[channels : 2 * channels]
    slopes = np.tanh(rest[2 * channels :])
    x = 2.0 * levels.T / 255.0 - 1.0
    total = 0.0
    for k in range(size):
        p = np.exp(logits[k]) / np.exp(logits).sum()
        for c in range(channels):
            mean = means[c, k]
            for i in range(c):
                mean = mean + slopes[c * (c - 1) // 2 + i, k] * x[i]
            scale = np.exp(log_scales[c, k])
            low, high = (
                scipy.special.expit((x[c] + end / 255.0 - mean) / scale)
                for end in (-1.0, 1.0)
            )
            low = np.where(levels[:, c] == 0, 0.0, low)
            p = p * (np.where(levels[:, c] == 255, 1.0, high) - low)
        total = total + p
    return total


def mixture(rng, channels: int, n: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of one pixel, as such, and for `n` images of that pixel alone."""
    num = DiscretizedLogisticMixture.num_parameters(2, channels)
    parameters = rng.normal(size=num)
    parameters[2 + 2 * channels : 2 + 4 * channels] -= 2.0  # log scales
    tiled = np.tile(parameters.astype("float32"), (n, 1, 1, 1))
    return parameters, tiled


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_level_has_the_probability_between_its_borders(rng, channels) -> None:
    assert DiscretizedLogisticMixture.num_parameters(10, 3) == 100  # as in the paper
    levels = rng.integers(0, 256, (40, channels))
    levels[:3], levels[3:6] = 0, 255
    parameters, tiled = mixture(rng, channels, 40)
    q = DiscretizedLogisticMixture(ops.convert_to_tensor(tiled), channels)
    x = (levels / 255.0).astype("float32").reshape(40, 1, 1, channels)
    expected = np.log(written_out(parameters, levels))
    np.testing.assert_allclose(q.log_prob(x), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("log_scale", [-20.0, -4.0, 0.0, 4.0])
@pytest.mark.parametrize("mean", [-3.0, 0.3, 1.0])
def test_the_probabilities_of_all_levels_sum_to_one(mean, log_scale) -> None:
    x = (np.arange(256) / 255.0).astype("float32").reshape(256, 1, 1, 1)
    row = np.array([0.0, mean, log_scale], "float32")  # logit, mean, log scale
    parameters = ops.convert_to_tensor(np.tile(row, (256, 1, 1, 1)))
    log_p = DiscretizedLogisticMixture(parameters, 1).log_prob(x)
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(np.exp(np.float64(log_p)).sum(), 1.0, rtol=1e-4)


def test_two_channels_sum_to_one(rng) -> None:
    levels = np.stack(np.meshgrid(*[np.arange(256)] * 2), axis=-1).reshape(-1, 2)
    x = (levels / 255.0).astype("float32").reshape(-1, 1, 1, 2)
    _, tiled = mixture(rng, 2, len(x))
    log_p = DiscretizedLogisticMixture(ops.convert_to_tensor(tiled), 2).log_prob(x)
    np.testing.assert_allclose(np.exp(np.float64(log_p)).sum(), 1.0, rtol=1e-4)


def test_drawn_pixels_are_as_probable_as_stated(rng) -> None:
    n = 20_000
    parameters, tiled = mixture(rng, 2, n)
    q = DiscretizedLogisticMixture(ops.convert_to_tensor(tiled), 2)
    drawn = np.asarray(q.sample(0))
    assert drawn.shape == (n, 1, 1, 2)
    levels = np.round(255.0 * drawn).astype(int).reshape(n, 2)
    np.testing.assert_allclose(drawn.reshape(n, 2), levels / 255.0, atol=1e-6)
    assert levels.min() >= 0
    assert levels.max() <= 255
    np.testing.assert_array_equal(drawn, q.sample(0))
    # the entropy is the mean of -log p over draws, whoever drew them
    grid = np.stack(np.meshgrid(*[np.arange(256)] * 2), axis=-1).reshape(-1, 2)
    p = written_out(parameters, grid)
    seen = -np.asarray(q.log_prob(drawn), "float64")
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)))
    assert abs(seen.mean() - entropy) < 5 * seen.std() / n**0.5
    for channel in range(2):
        expected = np.sum(p * grid[:, channel])
        spread = levels[:, channel].std() / n**0.5
        assert abs(levels[:, channel].mean() - expected) < 5 * spread


def test_the_mean_is_that_of_narrow_components() -> None:
    row = np.array([0.0, 1.0, -0.5, 0.25, 0.5, 0.1, *[-5.0] * 4, 0.3, -0.2], "float32")
    q = DiscretizedLogisticMixture(ops.convert_to_tensor(row.reshape(1, 1, 1, -1)), 2)
    many = np.tile(row, (20_000, 1, 1, 1))
    drawn = DiscretizedLogisticMixture(ops.convert_to_tensor(many), 2).sample(0)
    expected = np.asarray(drawn).mean(axis=0)
    np.testing.assert_allclose(np.asarray(q.mean)[0], expected, atol=0.005)


# --- Paths ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["linear", "spherical"])
@given(a=codes_of(3, 4), b=codes_of(3, 4), steps=st.integers(2, 9))
@settings(max_examples=50)
def test_paths_meet_their_ends(method, a, b, steps) -> None:
    path = interpolate_codes(a, b, steps, method)
    assert path.shape == (3, steps, 4)
    assert path.dtype == np.float32
    assert np.isfinite(path).all()
    np.testing.assert_allclose(path[:, 0], a, atol=1e-4)
    np.testing.assert_allclose(path[:, -1], b, atol=1e-4)


def test_linear_paths_have_even_steps(rng) -> None:
    a, b = rng.normal(size=(2, 3, 4)).astype("float32")
    steps = np.diff(interpolate_codes(a, b, 6, "linear"), axis=1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(5, axis=1), atol=1e-6)


def test_spherical_paths_turn_evenly_and_grow_evenly(rng) -> None:
    a, b = rng.normal(size=(2, 3, 4)).astype("float32")
    path = interpolate_codes(a, b, 6, "spherical").astype("float64")
    norms = np.linalg.norm(path, axis=-1)
    np.testing.assert_allclose(
        norms, np.linspace(norms[:, 0], norms[:, -1], 6).T, rtol=1e-5
    )
    units = path / norms[..., None]
    angles = np.arccos(np.sum(units[:, 1:] * units[:, :-1], axis=-1))
    np.testing.assert_allclose(
        angles, np.broadcast_to(angles[:, :1], angles.shape), rtol=1e-3
    )


@pytest.mark.parametrize("factor", [1.0, 2.5, -1.0, -0.3, 0.0])
def test_spherical_paths_fall_back_to_straight_ones(rng, factor) -> None:
    a = rng.normal(size=(3, 4)).astype("float32")
    b = np.float32(factor) * a
    np.testing.assert_allclose(
        interpolate_codes(a, b, 5, "spherical"),
        interpolate_codes(a, b, 5, "linear"),
        atol=1e-5,
    )


def test_paths_keep_the_shape_of_codes(rng) -> None:
    a, b = rng.normal(size=(2, 3, 2, 2, 5)).astype("float32")
    assert interpolate_codes(a, b, 4, "spherical").shape == (3, 4, 2, 2, 5)
