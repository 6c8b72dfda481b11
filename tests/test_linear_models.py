"""Linear autoencoder = PCA, and probabilistic PCA = its closed forms."""

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import sklearn.decomposition

import aezoo

SHAPE = (4, 5, 1)
PIXELS = 20
DIM = 3


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Draws from a PPCA model, scaled into [0, 1]."""
    rng = np.random.default_rng(0)
    weight = np.linalg.qr(rng.normal(size=(PIXELS, DIM)))[0] * [0.4, 0.3, 0.2]
    x = rng.normal(size=(600, DIM)) @ weight.T + 0.08 * rng.normal(size=(600, PIXELS))
    return np.clip(0.5 + x, 0, 1).reshape(-1, *SHAPE).astype("float32")


@pytest.fixture(scope="module")
def flat(images) -> np.ndarray:
    return images.reshape(len(images), -1).astype("float64")


def create(family: str, **config):
    keras.utils.set_random_seed(0)
    return aezoo.create(family, input_shape=SHAPE, latent_dim=DIM, **config)


def train(model, x: np.ndarray, steps: int, rate: float) -> None:
    """Adam with a rate that falls to zero, on batches of 100."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule))
    x = np.tile(x, (10, 1, 1, 1))  # fewer epochs, whose ends take time
    model.fit(x, batch_size=100, epochs=steps * 100 // len(x), verbose=0)


def mse(model, x: np.ndarray) -> float:
    return float(np.mean((model.reconstruct(x) - x) ** 2))


def largest_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Largest principal angle between two column spaces, in degrees."""
    return float(np.rad2deg(scipy.linalg.subspace_angles(a, b).max()))


# --- linear_ae -----------------------------------------------------------------


def test_closed_form_is_scikit_learns_pca(images, flat) -> None:
    model = create("linear_ae").fit_closed_form(images)
    pca = sklearn.decomposition.PCA(DIM, svd_solver="full").fit(flat)
    expected = pca.inverse_transform(pca.transform(flat))
    x_hat = model.reconstruct(images).reshape(flat.shape)
    np.testing.assert_allclose(x_hat, np.clip(expected, 0, 1), atol=1e-5)
    codes = model.encode(images)
    np.testing.assert_allclose(abs(codes), abs(pca.transform(flat)), atol=1e-5)
    np.testing.assert_allclose(codes.mean(axis=0), 0.0, atol=1e-5)
    assert np.all(np.diff(codes.var(axis=0)) < 0.0)


def test_closed_form_takes_a_stream(images) -> None:
    whole = create("linear_ae").fit_closed_form(images)
    stream = create("linear_ae").fit_closed_form(
        images[i : i + 90] for i in range(0, 600, 90)
    )
    for a, b in zip(whole.get_weights(), stream.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_training_by_gradient_finds_pca(images, flat) -> None:
    model = create("linear_ae")
    train(model, images, steps=1800, rate=0.1)
    pca = create("linear_ae").fit_closed_form(images)
    assert mse(pca, images) <= mse(model, images) < 1.02 * mse(pca, images)
    components = sklearn.decomposition.PCA(DIM).fit(flat).components_
    decoder = np.asarray(model.decoder.pixels.kernel)
    encoder = np.asarray(model.encoder.heads["z"].kernel)
    assert largest_angle(decoder.T, components.T) < 2.0
    assert largest_angle(encoder, components.T) < 5.0


@pytest.mark.exhaustive  # the same on drawn images above
def test_training_by_gradient_finds_pca_on_mnist(mnist) -> None:
    images, test = mnist[0][:10_000], mnist[1][:2_000] / 255.0
    model = aezoo.create("linear_ae", latent_dim=6)
    schedule = keras.optimizers.schedules.CosineDecay(0.003, 3_000)
    model.compile(keras.optimizers.Adam(schedule))
    model.fit(images, batch_size=200, epochs=60, verbose=0)
    pca = aezoo.create("linear_ae", latent_dim=6).fit_closed_form(images)
    assert mse(model, test) < 1.02 * mse(pca, test)
    components, trained = (np.asarray(m.decoder.pixels.kernel) for m in (pca, model))
    assert largest_angle(trained.T, components.T) < 5.0


def test_closed_form_is_pca_on_mnist(mnist) -> None:
    images, test = mnist[0][:5_000], mnist[1][:500] / 255.0
    model = aezoo.create("linear_ae", latent_dim=16).fit_closed_form(images)
    pca = sklearn.decomposition.PCA(16, svd_solver="covariance_eigh")
    pca.fit(images.reshape(5_000, -1) / 255.0)
    expected = pca.inverse_transform(pca.transform(test.reshape(500, -1)))
    np.testing.assert_allclose(
        model.reconstruct(test).reshape(500, -1), np.clip(expected, 0, 1), atol=1e-4
    )


# --- ppca ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def ppca(images):
    return create("ppca").fit_closed_form(images)


def parameters(model) -> tuple[np.ndarray, np.ndarray, float]:
    """`W`, mean and noise variance in float64."""
    encoder = model.encoder
    weight, loc = (np.asarray(v, "float64") for v in (encoder.weight, encoder.loc))
    return weight, loc, float(np.exp(np.float64(encoder.log_noise_var)))


def marginal(model):
    weight, loc, noise_var = parameters(model)
    covariance = weight @ weight.T + noise_var * np.eye(len(loc))
    return scipy.stats.multivariate_normal(loc, covariance)


def test_log_likelihood_is_scipys(ppca, images, flat) -> None:
    expected = marginal(ppca).logpdf(flat[:50])
    np.testing.assert_allclose(ppca.log_likelihood(images[:50]), expected, rtol=1e-4)
    np.testing.assert_allclose(
        ppca.log_likelihood(images[:50], batch_size=7),
        ppca.log_likelihood(images[:50]),
        rtol=1e-5,
    )


def test_log_likelihood_of_untrained_weights_is_scipys(images, flat) -> None:
    model = create("ppca")
    model.encoder.log_noise_var.assign(-1.3)
    expected = marginal(model).logpdf(flat[:50])
    np.testing.assert_allclose(model.log_likelihood(images[:50]), expected, rtol=1e-4)


def test_noise_variance_is_the_mean_of_the_lost_variances(ppca, flat) -> None:
    eigenvalues = np.linalg.eigvalsh(np.cov(flat.T, bias=True))[::-1]
    weight, loc, noise_var = parameters(ppca)
    assert noise_var == pytest.approx(eigenvalues[DIM:].mean(), rel=1e-4)
    np.testing.assert_allclose(loc, flat.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        np.sum(weight**2, axis=0), eigenvalues[:DIM] - noise_var, rtol=1e-4
    )


def test_log_likelihood_is_scikit_learns(images, flat) -> None:
    """scikit-learn scores PCA by PPCA too, with unbiased variances."""
    model = create("ppca").fit_closed_form(images)
    score = sklearn.decomposition.PCA(DIM).fit(flat).score(flat)
    assert model.log_likelihood(images).mean() == pytest.approx(score, rel=1e-3)


def test_posterior_is_bayes_rule(ppca, images, flat) -> None:
    weight, loc, noise_var = parameters(ppca)
    precision = np.eye(DIM) + weight.T @ weight / noise_var
    covariance = np.linalg.inv(precision)
    mean = (flat[:20] - loc) @ weight @ covariance / noise_var
    q = ppca.posterior(images[:20])
    np.testing.assert_allclose(q.mean, mean, atol=1e-4)
    factor = np.asarray(q.scale_tril, "float64")
    np.testing.assert_allclose(
        factor @ factor.transpose(0, 2, 1),
        np.tile(covariance, (20, 1, 1)),
        rtol=1e-3,
        atol=1e-6,
    )


def test_bayes_rule_holds_at_any_code(ppca, images, rng) -> None:
    """`log p(x|z) + log p(z) - log q(z|x)` is `log p(x)` whatever z is."""
    z = rng.normal(size=(20, DIM)).astype("float32")
    x = images[:20]
    likelihood = ppca.make_likelihood(ppca.decode_parameters(z)).log_prob(x)
    prior = scipy.stats.norm.logpdf(z).sum(axis=1)
    bayes = np.asarray(likelihood) + prior - np.asarray(ppca.posterior(x).log_prob(z))
    np.testing.assert_allclose(bayes, ppca.log_likelihood(x), rtol=2e-3, atol=0.05)


def test_loss_is_the_negative_log_likelihood(ppca, images) -> None:
    ppca.compile()
    losses = ppca.evaluate(images, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(
        -ppca.log_likelihood(images).mean(), rel=1e-4
    )
    total = losses["reconstruction"] + losses["kl"]
    assert losses["loss"] == pytest.approx(total, rel=1e-5)
    kl = np.asarray(ppca.posterior(images).kl()).mean()
    assert losses["kl"] == pytest.approx(kl, rel=1e-4)


def test_maximum_likelihood_beats_its_neighbours(ppca, images, rng) -> None:
    best = ppca.log_likelihood(images).mean()
    weights = ppca.get_weights()
    other = create("ppca")
    for i, size in enumerate((0.01, 0.01, 0.05)):
        for _ in range(5):
            moved = [w.copy() for w in weights]
            moved[i] = moved[i] + size * rng.normal(size=moved[i].shape)
            other.set_weights(moved)
            assert other.log_likelihood(images).mean() < best


def test_samples_have_the_models_moments(ppca) -> None:
    x = ppca.sample(20_000, seed=0, noise=True).reshape(-1, PIXELS)
    exact = marginal(ppca)
    np.testing.assert_allclose(x.mean(axis=0), exact.mean, atol=0.01)
    np.testing.assert_allclose(np.cov(x.T), exact.cov, atol=0.003)
    means = ppca.sample(20_000, seed=0).reshape(-1, PIXELS)
    weight, _, _ = parameters(ppca)
    np.testing.assert_allclose(np.cov(means.T), weight @ weight.T, atol=0.003)


def test_training_by_gradient_approaches_maximum_likelihood(ppca, images) -> None:
    model = create("ppca")
    train(model, images, steps=1200, rate=0.05)
    best = ppca.log_likelihood(images).mean()
    reached = model.log_likelihood(images).mean()
    assert best - 0.01 < reached < best + 1e-3
    assert largest_angle(parameters(model)[0], parameters(ppca)[0]) < 1.0


def test_images_without_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="the noise variance of PPCA would be zero"):
        create("ppca").fit_closed_form(np.full((10, *SHAPE), 0.5, "float32"))


def test_ppca_has_a_linear_output_only() -> None:
    with pytest.raises(ValueError, match="`output_activation` must be 'linear'"):
        create("ppca", output_activation="sigmoid")
