"""Bounds from several samples, and posteriors and priors beyond one Gaussian."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

import aezoo
from aezoo.models._flows import (
    InverseAutoregressiveStep,
    NormalizingFlow,
    PlanarStep,
)
from aezoo.nn.backend import BACKEND
from aezoo.nn.distributions import (
    GaussianUnderPrior,
    IndexedNoise,
    VonMisesFisher,
    bessel_ratio,
    gaussian_mixture_log_prob,
    log_bessel_scaled,
)
from tests.draws import chosen

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
        log_p = model.make_likelihood(outputs["decoder_outputs"][:, i]).log_prob(x)
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
    assert len(log_w) == model.codes_per_example
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
    for k in (1, 5, 50):
        model = make("iwae", num_samples=k)
        model.set_weights([3.0 * w for w in weights])
        model.compile()
        data = np.tile(x, (10, 1, 1, 1))
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


# --- Priors ----------------------------------------------------------------------


def test_a_mixtures_density_is_scipys(rng) -> None:
    means, log_vars = rng.normal(size=(2, 5, 3)).astype("float32")
    weights = rng.dirichlet(np.ones(5)).astype("float32")
    z = rng.normal(size=(7, 3)).astype("float32")
    parts = scipy.stats.norm.logpdf(z[:, None], means, np.exp(0.5 * log_vars))
    expected = scipy.special.logsumexp(parts.sum(axis=2), b=weights, axis=1)
    found = gaussian_mixture_log_prob(z, np.log(weights), means, log_vars)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mixtures_density_is_finite_far_away_and_for_narrow_components() -> None:
    z = np.float32([[1e3, -1e3], [0.0, 0.0]])
    log_vars = np.full((2, 2), -20.0, "float32")
    means = np.float32([[0.0, 0.0], [3.0, 3.0]])
    found = np.asarray(
        gaussian_mixture_log_prob(z, np.log(np.float32([0.5, 0.5])), means, log_vars)
    )
    assert np.isfinite(found).all()
    np.testing.assert_allclose(
        found[1], np.log(0.5) - np.log(2 * np.pi) + 20, rtol=1e-5
    )


def spread_out(model: keras.Model, scale: float = 0.3) -> keras.Model:
    """With weights that make a posterior and a prior with something to them."""
    generator = np.random.default_rng(3)
    model.set_weights(
        [w + scale * generator.normal(size=w.shape) for w in model.get_weights()]
    )
    return model


PRIORS = {
    "mixture_vae": {"num_components": 3},
    "vamp_vae": {"num_pseudo_inputs": 3},
}


@pytest.mark.parametrize("family", PRIORS)
def test_the_prior_is_a_density_and_is_what_is_sampled(family) -> None:
    """It integrates to 1 over a grid, and draws have its mean log density."""
    model = spread_out(make(family, latent_dim=2, **PRIORS[family]))
    if family == "vamp_vae":
        model.pseudo_inputs.assign(np.clip(model.pseudo_inputs, 0, 1))
    _, means, log_vars = map(np.asarray, model.prior_components())
    reach = abs(means).max() + 7 * np.exp(0.5 * log_vars.max())
    axis = np.linspace(-reach, reach, 500, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_p = np.asarray(model.log_prior(grid), "float64")
    cell = (axis[1] - axis[0]) ** 2
    assert np.exp(log_p).sum() * cell == pytest.approx(1.0, abs=1e-3)
    draws = model.sample_prior(20_000, np.random.default_rng(0))
    assert draws.dtype == np.float32
    log_draws = np.asarray(model.log_prior(draws), "float64")
    entropy = np.sum(np.exp(log_p) * log_p) * cell
    assert abs(log_draws.mean() - entropy) < 5 * log_draws.std() / 20_000**0.5
    few = model.sample_prior(3, np.random.default_rng(0))
    np.testing.assert_array_equal(few, draws[:3])


def test_the_vamp_prior_is_the_posteriors_of_the_pseudo_inputs(x) -> None:
    model = spread_out(make("vamp_vae", num_pseudo_inputs=4))
    model.init_pseudo_inputs(x)
    z = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    q = model.posterior(x[:4])
    each = [
        scipy.stats.norm.logpdf(z[:, None], np.asarray(q.mean), np.asarray(q.std)).sum(
            axis=2
        )
    ]
    expected = scipy.special.logsumexp(each[0], axis=1) - np.log(4)
    np.testing.assert_allclose(model.log_prior(z), expected, rtol=1e-4)


def test_pseudo_inputs_come_from_images_and_stay_in_their_range(x) -> None:
    model = make("vamp_vae", num_pseudo_inputs=4)
    as_bytes = np.round(255 * x).astype("uint8")
    model.init_pseudo_inputs(as_bytes)
    np.testing.assert_allclose(model.pseudo_inputs, as_bytes[:4] / 255.0, atol=1e-6)
    model.encoder.trainable = model.decoder.trainable = False
    model.compile(keras.optimizers.SGD(30.0, clipnorm=1.0))
    model.fit(x, verbose=0)
    moved = np.asarray(model.pseudo_inputs)
    assert np.any(abs(moved - as_bytes[:4] / 255.0) > 0.1)
    assert moved.min() >= 0.0
    assert moved.max() <= 1.0
    with pytest.raises(ValueError, match=r"`x` must hold at least 4 examples"):
        model.init_pseudo_inputs(x[:3])
    with pytest.raises(ValueError, match=r"`x` must have shape \(n, 8, 8, 1\)"):
        model.init_pseudo_inputs(x[:, :4])


@pytest.mark.exhaustive
def test_one_standard_component_is_the_plain_vae(x) -> None:
    """KL by sampling has the mean of the closed form, to the standard normal."""
    model, vae = make("mixture_vae", num_components=1), make("conv_vae")
    model.prior_means.assign(np.zeros((1, 3)))
    weights = dict(
        zip([w.path for w in model.weights], model.get_weights(), strict=True)
    )
    vae.set_weights([v for k, v in weights.items() if "prior_" not in k])
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(model.log_prior(z), vae.log_prior(z), rtol=1e-5)
    spread = spread_out(vae)
    exact = np.asarray(spread.posterior(x).kl())
    q = GaussianUnderPrior(
        *spread.posterior(x).parameters().values(), lambda: vae.log_prior, 4000
    )
    np.testing.assert_allclose(q.kl(), exact, rtol=0.05)


SAMPLED = {
    **PRIORS,
    "flow_vae": {"num_flows": 2, "flow_units": (6,), "context_dim": 4},
}


@pytest.mark.parametrize("family", chosen(SAMPLED, ["flow_vae"]))
def test_evaluation_estimates_the_kl_to_the_models_own_prior(x, family) -> None:
    """By a stated number of seeded draws: as brute force, and repeatable."""
    model = spread_out(make(family, **SAMPLED[family]))
    if family == "vamp_vae":
        model.init_pseudo_inputs(x)
    names = ["kl", "elbo", "reconstruction_nll"]
    report, again, other = (
        aezoo.evaluate(model, x, metrics=names, seed=seed) for seed in (0, 0, 1)
    )
    assert report["kl"].value == again["kl"].value != other["kl"].value
    for name in ("kl", "elbo"):
        assert "over 100 codes z ~ q(z|x) per image, seed 0" in report[name].protocol
        assert "closed form" not in report[name].protocol
    expected = -report["reconstruction_nll"].value - report["kl"].value
    assert report["elbo"].value == pytest.approx(expected, rel=1e-5)
    q, ratios = model.posterior(x), []
    for seed in range(100):
        z, log_q = q.sample_with_log_prob(seed)
        ratios.append(np.asarray(log_q - model.log_prior(z)).mean())
    error = np.std(ratios) * (1 / 100 + 1 / 100) ** 0.5
    assert abs(report["kl"].value - np.mean(ratios)) < 5 * error
    assert abs(np.mean(q.kl()) - np.mean(ratios)) < 6 * error
    assert np.mean(ratios) > 0.0


def test_closed_forms_keep_their_protocol(x) -> None:
    report = aezoo.evaluate(make("conv_vae"), x, metrics=["kl", "elbo"])
    assert report["kl"].protocol.endswith(
        "mean over images of KL(q(z|x)||p(z)) in closed form: the second part of the "
        "negative ELBO; grey values as they are"
    )
    assert "seed 0, KL in closed form with weight 1; grey" in report["elbo"].protocol


@pytest.mark.parametrize("family", [*SAMPLED, "hyperspherical_vae"])
def test_importance_sampling_finds_the_same_likelihood_as_integration(
    x, family
) -> None:
    """On two units, over a grid of codes; whatever the posterior and the prior."""
    model = spread_out(make(family, latent_dim=2, **SAMPLED.get(family, {})), 0.15)
    if family == "vamp_vae":
        model.init_pseudo_inputs(x)
    x = x[:3]
    record = aezoo.evaluate(model, x, metrics=["iwae_nll"], importance_samples=4000)
    if family == "hyperspherical_vae":
        angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
        grid = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
        cell = 2 * np.pi / 4000
    else:
        axis = np.linspace(-9, 9, 160, dtype="float32")
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        cell = float(axis[1] - axis[0]) ** 2
    log_prior = np.asarray(model.log_prior(grid), "float64")
    logits = model.run("decode_parameters", grid, 1000)
    nlls = []
    for image in x:
        tiled = np.broadcast_to(image, logits.shape)
        log_p = np.asarray(model.make_likelihood(logits).log_prob(tiled), "float64")
        nlls.append(-scipy.special.logsumexp(log_p + log_prior) - np.log(cell))
    assert record["iwae_nll"].value == pytest.approx(np.mean(nlls), abs=0.05)


def test_metrics_of_a_standard_normal_prior_are_left_to_models_that_have_one() -> None:
    for family in (*SAMPLED, "hyperspherical_vae"):
        possible = aezoo.evaluation.list_metrics(make(family))
        assert {"kl", "elbo", "iwae_nll", "active_units"} <= set(possible)
        assert {"kl_per_dim", "aggregate_variance"}.isdisjoint(possible), family
    assert "kl_per_dim" in aezoo.evaluation.list_metrics(make("iwae"))


# --- Flows -----------------------------------------------------------------------


def flow_of(kind: str, dim: int = 4):
    """A flow with weights that bend, codes and contexts."""
    if kind == "planar":
        steps = [PlanarStep() for _ in range(3)]
    else:
        units = () if kind == "iaf_linear" else (9, 7)
        steps = [InverseAutoregressiveStep(units, "tanh") for _ in range(3)]
    flow = NormalizingFlow(steps)
    flow.build((dim, 5))
    generator = np.random.default_rng(0)
    flow.set_weights(
        [w + 0.5 * generator.normal(size=w.shape) for w in flow.get_weights()]
    )
    z, context = generator.normal(size=(6, dim)), generator.normal(size=(6, 5))
    return flow, z.astype("float32"), context.astype("float32")


KINDS = ["iaf", "iaf_linear", "planar"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flows_determinant_is_that_of_its_jacobian(kind) -> None:
    """By central differences, a unit at a time."""
    flow, z, context = flow_of(kind)
    _, log_det = flow.forward(z, context)
    step = 3e-3
    columns = []
    for j in range(z.shape[1]):
        shift = step * np.eye(z.shape[1], dtype="float32")[j]
        up, down = (
            np.asarray(flow.forward(z + s, context)[0]) for s in (shift, -shift)
        )
        columns.append((up - down) / (2 * step))
    jacobians = np.stack(columns, axis=-1).astype("float64")
    signs, expected = np.linalg.slogdet(jacobians)
    assert np.all(abs(expected) > 1e-2)
    assert np.all(signs == signs[0])
    np.testing.assert_allclose(log_det, expected, atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_and_its_inverse_undo_each_other(kind) -> None:
    flow, z, context = flow_of(kind)
    y, log_det = flow.forward(z, context)
    assert np.abs(np.asarray(y) - z).max() > 0.3
    back, same = flow.inverse(y, context)
    np.testing.assert_allclose(back, z, atol=2e-4)
    np.testing.assert_allclose(same, log_det, atol=2e-3)
    other, _ = flow.inverse(z, context)
    np.testing.assert_allclose(flow.forward(other, context)[0], z, atol=2e-4)


def test_a_step_of_the_autoregressive_flow_looks_back_only() -> None:
    step = InverseAutoregressiveStep((8,), "tanh")
    step.build((4, 5))
    generator = np.random.default_rng(0)
    step.set_weights([generator.normal(size=w.shape) for w in step.get_weights()])
    z, context = generator.normal(size=(1, 4)), generator.normal(size=(1, 5))
    z, context = z.astype("float32"), context.astype("float32")

    def answers(z, context):
        return np.stack([np.asarray(v)[0] for v in step._shift_and_gate(z, context)])

    base = answers(z, context)
    for unit in range(4):
        moved = z.copy()
        moved[0, unit] += 1.0
        changed = np.any(answers(moved, context) != base, axis=0)
        assert list(changed) == [i > unit for i in range(4)]
    assert np.all(answers(z, context + 1.0) != base)  # the first unit sees it too


@pytest.mark.parametrize("kind", ["iaf", "planar"])
def test_a_flows_density_of_a_given_code_is_that_of_the_sample(x, kind) -> None:
    config = {**SAMPLED["flow_vae"], "flow": kind}
    model = spread_out(make("flow_vae", **config))
    q = model.posterior(x)
    z, log_q = q.sample_with_log_prob(3)
    np.testing.assert_allclose(q.sample(3), z)
    np.testing.assert_allclose(q.log_prob(z), log_q, atol=2e-3)
    # the same by a histogram-free check: the density integrates to 1
    model = spread_out(make("flow_vae", **{**config, "latent_dim": 2}))
    parameters = model.posterior(x[:1]).parameters()
    z = np.asarray(model.posterior(x[:1]).mode())[0]
    axis = np.linspace(-8, 8, 220, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) + z
    tiled = {
        k: np.repeat(np.asarray(v), len(grid), axis=0) for k, v in parameters.items()
    }
    density = np.exp(np.asarray(model.make_posterior(tiled).log_prob(grid), "float64"))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=0.02)


def test_a_flows_mean_is_the_mean_of_its_draws(x) -> None:
    q = spread_out(make("flow_vae", **SAMPLED["flow_vae"])).posterior(x)
    draws = np.stack([np.asarray(q.sample(seed)) for seed in range(150)])
    error = draws.std(axis=0) * (1 / 150 + 1 / 100) ** 0.5
    assert np.all(abs(np.asarray(q.mean) - draws.mean(axis=0)) < 5 * error)


@pytest.mark.parametrize(
    ("family", "arguments", "message"),
    [
        ("flow_vae", {"flow": "maf"}, r"`flow` must be one of 'iaf', 'planar'"),
        ("flow_vae", {"num_flows": 0}, r"`num_flows` must be an integer of at least"),
        ("flow_vae", {"context_dim": 0}, r"`context_dim` must be an integer of at le"),
        ("flow_vae", {"flow_units": 3}, r"`flow_units` must be a sequence of integers"),
        ("mixture_vae", {"num_components": 0}, r"`num_components` must be an integer"),
        ("vamp_vae", {"num_pseudo_inputs": 0}, r"`num_pseudo_inputs` must be an int"),
        ("hyperspherical_vae", {"latent_dim": 1}, r"`latent_dim` must be at least 2"),
    ],
)
def test_arguments_of_posteriors_and_priors_are_checked(
    family, arguments, message
) -> None:
    with pytest.raises(ValueError, match=message):
        make(family, **arguments)


# --- The sphere ------------------------------------------------------------------

KAPPA = np.geomspace(1e-3, 1e4, 60).astype("float32")[:, None]


def exact_ratio(order: float) -> np.ndarray:
    """`I_{order+1} / I_order`, by a long recurrence in double precision."""
    x = KAPPA.astype("float64")
    ratio = x / (order + 20_000 + np.sqrt(x**2 + (order + 20_000) ** 2))
    for v in range(20_000, 0, -1):
        ratio = 1.0 / (2.0 * (order + v) / x + ratio)
    return ratio


def derivative_at_kappa(function) -> np.ndarray:
    """Derivative of a function of each concentration alone."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(KAPPA)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return np.asarray(tape.gradient(y, x))
    import jax

    return np.asarray(jax.grad(lambda x: function(x).sum())(KAPPA))


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 3.0, 7.0, 15.5, 31.0, 64.0])
def test_the_log_bessel_function_is_scipys(order) -> None:
    x = KAPPA.astype("float64")
    with np.errstate(divide="ignore"):  # SciPy's vanishes in double precision
        expected = np.log(scipy.special.ive(order, x))
    known = np.isfinite(expected)
    assert known.mean() > 0.8
    found = np.asarray(log_bessel_scaled(order, KAPPA))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[known], expected[known], rtol=2e-5, atol=2e-5)
    ratio = exact_ratio(order)
    np.testing.assert_allclose(bessel_ratio(order, KAPPA), ratio, rtol=3e-6)
    slope = derivative_at_kappa(lambda x: log_bessel_scaled(order, x))
    error = abs(slope - (ratio + order / x - 1.0))
    assert np.all(error < 1e-4 * (order + 0.5) / x)


@pytest.mark.parametrize("dim", [2, 3, 4, 16, 33, 64])
def test_the_kl_on_the_sphere_and_its_gradient(dim) -> None:
    """Value `k A - log 0F1`, gradient `k A'`, in double precision; tiny k in series."""
    direction = np.eye(dim, dtype="float32")[:1].repeat(60, axis=0)
    kl = np.asarray(VonMisesFisher(direction, KAPPA).kl())
    slope = derivative_at_kappa(lambda x: VonMisesFisher(direction, x).kl())[:, 0]
    k, order = KAPPA[:, 0].astype("float64"), dim / 2 - 1
    ratio = exact_ratio(order)[:, 0]
    assert np.all(kl > 0.0)
    tiny = k < 0.02
    np.testing.assert_allclose(kl[tiny], k[tiny] ** 2 / (2 * dim), rtol=1e-3)
    np.testing.assert_allclose(slope[tiny], k[tiny] / dim, rtol=1e-3)
    rest = k > 0.3
    log_0f1 = np.log(scipy.special.ive(order, k)) + k - order * np.log(k / 2)
    expected = k * ratio - log_0f1 - scipy.special.gammaln(order + 1)
    np.testing.assert_allclose(kl[rest], expected[rest], rtol=1e-3)
    derivative = 1.0 - ratio**2 - (dim - 1) / k * ratio
    middle = rest & (k < 1e3)
    np.testing.assert_allclose(slope[middle], (k * derivative)[middle], rtol=1e-2)
    large = k > 1e3
    np.testing.assert_allclose(slope[large], (dim - 1) / (2 * k[large]), rtol=5e-2)


@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 5000.0])
@pytest.mark.parametrize("dim", [2, 3, 16])
def test_draws_on_the_sphere_have_their_distribution(dim, kappa) -> None:
    """Cosines by their distribution function; directions around it even."""
    n = 4000
    direction = np.eye(dim, dtype="float32")[:1].repeat(n, axis=0)
    q = VonMisesFisher(direction, np.full((n, 1), kappa, "float32"))
    z = np.asarray(q.sample(0), "float64")
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)
    angles = np.linspace(0, np.pi, 400_001)
    log_f = kappa * (np.cos(angles) - 1) + (dim - 2) * np.log(np.sin(angles) + 1e-300)
    f = np.exp(log_f - log_f.max())
    cdf = np.cumsum(f) / f.sum()
    found = 2 * np.arcsin(np.minimum(np.linalg.norm(z - direction, axis=1) / 2, 1))
    uniforms = np.interp(found, angles, cdf)
    assert scipy.stats.kstest(uniforms, "uniform").pvalue > 1e-3
    around = z[:, 1:]
    mean, error = around.mean(axis=0), around.std(axis=0) / n**0.5
    assert np.all(abs(mean) < 5 * error)
    np.testing.assert_allclose(
        np.asarray(q.mean)[0, 0], z[:, 0].mean(), atol=5 * z[:, 0].std() / n**0.5
    )
    # and the density is the one they have: the mean log density is the entropy
    width = f.sum() * (angles[1] - angles[0])
    log_area = np.log(2) + (dim - 1) / 2 * np.log(np.pi)
    log_area -= scipy.special.gammaln((dim - 1) / 2)
    log_q = kappa * (z[:, 0] - 1) - log_f.max() - np.log(width) - log_area
    if dim > 2:  # in two dimensions the surface across is two points
        np.testing.assert_allclose(
            np.asarray(q.log_prob(z.astype("float32"))).mean(),
            log_q.mean(),
            atol=2e-3 * max(1.0, abs(log_q.mean())),
        )


def test_the_gradient_of_draws_has_no_bias() -> None:
    """d/dk E[w] = A'(k), which the proposal's derivative alone would miss."""
    for dim in (2, 3, 16):
        for kappa in (0.5, 5.0, 200.0):
            n = 20_000
            direction = np.eye(dim, dtype="float32")[:1].repeat(n, axis=0)
            concentration = np.full((n, 1), kappa, "float32")
            slopes = slope_of_cosines(direction, concentration)
            v = dim / 2 - 1
            a = scipy.special.ive(v + 1, kappa) / scipy.special.ive(v, kappa)
            expected = 1 - a * a - (dim - 1) / kappa * a
            error = slopes.std() / n**0.5
            assert abs(slopes.mean() - expected) < 5 * error + 1e-3 * expected


def slope_of_cosines(direction: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    """Derivative of each draw's cosine with the direction by its concentration."""

    def cosines(k):
        return VonMisesFisher(direction, k).sample(1)[:, :1]

    if BACKEND == "tensorflow":
        import tensorflow as tf

        k = tf.constant(concentration)
        with tf.GradientTape() as tape:
            tape.watch(k)
            w = cosines(k)
        return np.asarray(tape.gradient(w, k))
    import jax

    return np.asarray(jax.grad(lambda k: cosines(k).sum())(concentration))


def test_samples_of_the_hyperspherical_prior_are_even_on_the_sphere() -> None:
    model = make("hyperspherical_vae")
    z = model.sample_prior(5000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, rtol=1e-5)
    for unit in range(3):  # in three dimensions a coordinate is uniform (Archimedes)
        assert scipy.stats.kstest(z[:, unit], "uniform", (-1, 2)).pvalue > 1e-3
    np.testing.assert_allclose(model.log_prior(z), -np.log(4 * np.pi), rtol=1e-6)
