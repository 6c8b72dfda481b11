"""Bounds from several samples, and posteriors and priors beyond one Gaussian."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

import aezoo
from aezoo.backend import BACKEND
from aezoo.distributions import IndexedNoise

TINY = {"input_shape": (8, 8, 1), "latent_dim": 3, "filters": (4, 6)}
TINY |= {"hidden_units": (8,)}


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.random((6, 8, 8, 1), dtype="float32")


def make(family: str, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **{**TINY, **arguments})
    model.build()
    return model


def gradients_of(model: keras.Model, objective) -> dict[str, np.ndarray]:
    """Derivatives of `objective()`, a scalar, by trainable weight."""
    variables = model.trainable_variables
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = objective()
        found = tape.gradient(value, variables, unconnected_gradients="zero")
    else:
        import jax

        def pure(values):
            pairs = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return objective()

        found = jax.grad(pure)([v.value for v in variables])
    return {v.path: np.asarray(g) for v, g in zip(variables, found, strict=True)}


def assert_same_gradients(a: dict, b: dict, **tolerance) -> None:
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **tolerance)


# --- Bounds ----------------------------------------------------------------------

BOUNDS = {
    "iwae": {"bound": "iwae", "num_samples": 4},
    "miwae": {"bound": "miwae", "num_samples": 3, "num_bounds": 2},
    "ciwae": {"bound": "ciwae", "num_samples": 4, "elbo_weight": 0.3},
}


def log_weights_of(model, x, outputs, is_stopped: bool = False):
    """`log p(x|z) + log p(z) - log q(z|x)`, a list of `(batch,)`, one per code."""
    parameters = model.make_posterior(outputs).parameters()
    if is_stopped:
        parameters = {k: ops.stop_gradient(v) for k, v in parameters.items()}
    q = model.make_posterior(parameters)
    values = []
    for i in range(outputs["codes"].shape[1]):
        z = outputs["codes"][:, i]
        log_p = model.observation(outputs["decoder_outputs"][:, i]).log_prob(x)
        values.append(log_p + model.log_prior(z) - q.log_prob(z))
    return values


def written_out(name: str, log_w: np.ndarray) -> np.ndarray:
    """Burda (8), Rainforth (11) and (13), in NumPy; `log_w` is `(codes, batch)`."""
    log_w = log_w.astype("float64")
    if name == "miwae":
        halves = [log_w[:3], log_w[3:]]
        return np.mean(
            [scipy.special.logsumexp(h, axis=0) - np.log(3) for h in halves], axis=0
        )
    iwae = scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))
    return iwae if name == "iwae" else 0.3 * log_w.mean(axis=0) + 0.7 * iwae


@pytest.mark.parametrize("gradient", ["standard", "doubly_reparameterised"])
@pytest.mark.parametrize("name", BOUNDS)
def test_the_loss_is_the_negative_bound(x, name, gradient) -> None:
    model = make("iwae", **BOUNDS[name], gradient=gradient)
    outputs = model(x, training=True)
    terms = {k: np.asarray(v) for k, v in model.compute_losses(x, outputs).items()}
    log_w = np.stack([np.asarray(v) for v in log_weights_of(model, x, outputs)])
    assert len(log_w) == model.codes_per_image
    np.testing.assert_allclose(terms["loss"], -written_out(name, log_w), rtol=1e-5)
    elbo = terms["reconstruction"] + terms["kl"]
    np.testing.assert_allclose(elbo, -log_w.mean(axis=0), rtol=1e-5)
    assert np.all(terms["tightening"] < 0.0)


def test_one_sample_is_the_vae(x) -> None:
    """The same noise gives the same code; KL is estimated without bias."""
    model, vae = make("iwae", num_samples=1), make("conv_vae")
    vae.set_weights(model.get_weights())
    noise = IndexedNoise(3)
    terms = model.compute_terms(x, model(x, sample_seed=noise))
    expected = vae.compute_terms(x, vae(x, sample_seed=noise))
    np.testing.assert_allclose(
        terms["reconstruction"], expected["reconstruction"], rtol=1e-5
    )
    np.testing.assert_allclose(terms["tightening"], 0.0, atol=1e-6)
    many = make("iwae", num_samples=20_000)
    codes = ops.reshape(
        many._draw_codes(vae.posterior(x[:1]), IndexedNoise(0)), (-1, 3)
    )
    q = many._posterior_of_codes(vae.posterior(x[:1]).parameters())
    ratios = np.asarray(q.log_prob(codes) - many.log_prior(codes))
    kl = float(vae.posterior(x[:1]).kl()[0])
    assert abs(ratios.mean() - kl) < 5 * ratios.std() / 20_000**0.5


@pytest.mark.parametrize("name", BOUNDS)
def test_the_standard_gradient_is_that_of_the_bound(x, name) -> None:
    """Derivatives of the bound written out, by automatic differentiation."""
    model = make("iwae", **BOUNDS[name])
    noise = IndexedNoise(1)

    def loss():
        return ops.sum(model.compute_losses(x, model(x, sample_seed=noise))["loss"])

    def bound():
        log_w = log_weights_of(model, x, model(x, sample_seed=noise))
        log_w = ops.stack(log_w, axis=1)
        if name == "miwae":
            log_w = ops.reshape(log_w, (-1, 2, 3))
            return -ops.sum(ops.mean(ops.logsumexp(log_w, axis=2), axis=1))
        iwae = ops.logsumexp(log_w, axis=1)
        if name == "ciwae":
            iwae = 0.7 * iwae + 0.3 * ops.mean(log_w, axis=1)
        return -ops.sum(iwae)

    assert_same_gradients(
        gradients_of(model, loss), gradients_of(model, bound), rtol=2e-3, atol=2e-4
    )


@pytest.mark.parametrize("name", BOUNDS)
def test_the_doubly_reparameterised_gradient_is_the_papers(x, name) -> None:
    """Tucker et al. (2019), equation 8, by two passes with weights as constants."""
    model = make("iwae", **BOUNDS[name], gradient="doubly_reparameterised")
    noise, importance = IndexedNoise(1), np.float32([1, 2, 0, 1, 0.5, 1])
    share = 0.3 if name == "ciwae" else 0.0
    by_bound = (6, 2, 3) if name == "miwae" else (6, 1, 4)

    def loss():
        losses = model.compute_losses(x, model(x, sample_seed=noise))["loss"]
        return ops.sum(losses * importance) / 7.0

    def estimator(power: int):
        def objective():
            outputs = model(x, sample_seed=noise)
            log_w = ops.stack(log_weights_of(model, x, outputs, True), axis=1)
            log_w = ops.reshape(log_w, by_bound)
            v = ops.stop_gradient(ops.softmax(log_w, axis=2)) ** power
            v = (1 - share) * v + share / by_bound[2]
            bound = ops.mean(ops.sum(v * log_w, axis=2), axis=1)
            return -ops.sum(bound * importance) / 7.0

        return objective

    plain = make("iwae", **BOUNDS[name])
    plain.set_weights(model.get_weights())
    found = gradients_of(model, loss)
    model.gradient = "standard"  # without the gate
    encoder, decoder = (gradients_of(model, estimator(p)) for p in (2, 1))
    expected = {
        k: (encoder if k in paths(model.encoder) else decoder)[k] for k in found
    }
    assert_same_gradients(found, expected, rtol=2e-3, atol=2e-4)
    other = gradients_of(model, loss)
    assert any(np.any(abs(found[k] - other[k]) > 1e-3) for k in paths(model.encoder))


def paths(layer: keras.layers.Layer) -> set[str]:
    return {v.path for v in layer.trainable_variables}


def linear_gaussian(gradient: str, num_samples: int) -> keras.Model:
    """x = 0.6 z + 0.4 + noise; the encoder is wrong, and has three weights."""
    model = make(
        "iwae",
        input_shape=(1, 1, 1),
        latent_dim=1,
        filters=(1,),
        strides=(1,),
        hidden_units=(),
        likelihood="gaussian",
        likelihood_scale=0.5,
        output_activation="linear",
        activation="linear",
        num_samples=num_samples,
        gradient=gradient,
    )
    generator = np.random.default_rng(5)
    model.set_weights(
        [0.5 + 0.2 * generator.random(w.shape) for w in model.get_weights()]
    )
    return model


def test_both_gradients_have_the_same_mean() -> None:
    """On a linear-Gaussian model, over many draws; the new one varies less."""
    n, groups = 800, 25
    x = np.full((n, 1, 1, 1), 0.9, "float32")
    moments = {}
    for gradient in ("standard", "doubly_reparameterised"):
        model = linear_gaussian(gradient, 16)
        draws = []
        for seed in range(groups):
            noise = IndexedNoise(seed)

            def loss(model=model, noise=noise):
                terms = model.compute_losses(x, model(x, sample_seed=noise))
                return ops.mean(terms["loss"])

            found = gradients_of(model, loss)
            draws.append([found[k].sum() for k in sorted(paths(model.encoder))])
        moments[gradient] = np.mean(draws, axis=0), np.std(draws, axis=0, ddof=1)
    (mean, std), (other, other_std) = moments.values()
    error = np.sqrt((std**2 + other_std**2) / groups)
    assert np.all(abs(mean - other) < 4.5 * error)
    assert np.any(abs(mean) > 8 * error)  # there is something to find
    assert np.all(other_std < std)


def test_more_samples_give_a_tighter_bound(x) -> None:
    values = []
    weights = make("iwae").get_weights()
    for k in (1, 5, 100):
        model = make("iwae", num_samples=k)
        model.set_weights([3.0 * w for w in weights])
        model.compile()
        data = np.tile(x, (20, 1, 1, 1))
        values.append(model.evaluate(data, verbose=0, return_dict=True)["loss"])
    assert values[0] > values[1] + 0.05
    assert values[1] > values[2] + 0.05


def test_images_of_no_weight_give_no_gradient(x) -> None:
    """Nor a division by zero in the gate."""
    model = make("iwae", num_samples=3, gradient="doubly_reparameterised")
    model.compile("sgd")
    before = [np.array(w) for w in model.get_weights()]
    model.fit(x, x, sample_weight=np.zeros(6), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bound": "elbo"}, r"`bound` must be one of 'iwae', 'miwae', 'ciwae'"),
        ({"num_samples": 0}, r"`num_samples` must be an integer of at least 1"),
        ({"num_bounds": 1.5}, r"`num_bounds` must be an integer of at least 1"),
        ({"elbo_weight": 1.1}, r"`elbo_weight` must be a finite number at least 0"),
        ({"gradient": "dreg"}, r"`gradient` must be one of 'standard', 'doubly_"),
    ],
)
def test_arguments_of_bounds_are_checked(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        make("iwae", **arguments)
