"""Codes of finitely many values: quantisers and the families that use them."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats
from keras import ops

import aezoo
from aezoo.evaluation import evaluate
from aezoo.models.families import compose
from aezoo.models.vq_vae import VQVAE
from aezoo.nn.backend import jacobian_product
from aezoo.nn.distributions import Categorical, IndexedNoise, QuantizedCode
from aezoo.nn.layers.quantizers import ScalarQuantizer, VectorQuantizer
from aezoo.nn.losses import categorical_kl
from aezoo.registry import find_family
from tests import checks
from tests.draws import exhaustive

VQ_VAE, FSQ = find_family("vq_vae"), find_family("fsq")
CATEGORICAL_VAE = find_family("categorical_vae")
VQ, CATEGORICAL = dict(VQ_VAE.tiny), dict(CATEGORICAL_VAE.tiny)
EMA = {**VQ, "codebook_update": "ema", "restart_below": 0.1}


@pytest.fixture
def x() -> np.ndarray:
    return checks.examples(VQ_VAE, VQ, n=20)


def quantizer(codes: np.ndarray, **kwargs) -> VectorQuantizer:
    arguments = {"is_averaged": True, "has_usage": True, **kwargs}
    layer = VectorQuantizer(len(codes), **arguments)
    layer.build((None, codes.shape[1]))
    layer.codebook.assign(codes)
    return layer


# --- Vector quantisation -------------------------------------------------------


def test_the_nearest_code_is_chosen(rng) -> None:
    z = rng.standard_normal((6, 5, 4, 3), "float32")
    codes = rng.standard_normal((11, 3), "float32")
    layer = quantizer(codes)
    distances = scipy.spatial.distance.cdist(z.reshape(-1, 3), codes)
    expected = distances.argmin(axis=1).reshape(6, 5, 4)
    indices = np.asarray(layer.nearest(z))
    np.testing.assert_array_equal(indices, expected)
    assert indices.dtype == np.int32
    np.testing.assert_array_equal(layer.lookup(indices), codes[expected])


def test_a_tie_goes_to_the_lowest_index() -> None:
    codes = np.float32([[3, 0], [1, 0], [-1, 0], [1, 0]])
    layer = quantizer(codes)
    z = np.float32([[0, 0], [1, 0], [0, 5]])
    np.testing.assert_array_equal(layer.nearest(z), [1, 1, 1])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_codes_are_exact_in_mixed_precision(policy, x) -> None:
    """No code is rounded, although the encoder computes in half precision."""
    model = checks.new_model(VQ_VAE, VQ, dtype=policy)
    codebook = np.asarray(model.quantizer.codebook)
    assert np.any(codebook != codebook.astype("float16"))
    outputs = model(x, training=False)
    indices = np.asarray(outputs["indices"])
    np.testing.assert_array_equal(outputs["z"], codebook[indices])
    np.testing.assert_array_equal(outputs["z_quantized"], codebook[indices])
    z = np.asarray(outputs["z_encoded"], "float64").reshape(-1, 3)
    nearest = scipy.spatial.distance.cdist(z, codebook).argmin(axis=1)
    np.testing.assert_array_equal(indices.ravel(), nearest)


def test_averages_follow_the_appendix(rng) -> None:
    """Against equations 6 to 8 with a sum and a count, as the paper has them."""
    codes = rng.standard_normal((5, 2), "float32")
    layer = quantizer(codes)
    counts, sums = np.zeros(5), np.zeros((5, 2))
    for _ in range(6):
        z = rng.standard_normal((4, 3, 2), "float32")
        indices = np.asarray(layer.nearest(z))
        layer.update(ops.convert_to_tensor(z), indices, decay=0.8)
        for i in range(5):
            chosen = z[indices == i]
            counts[i] = 0.8 * counts[i] + 0.2 * len(chosen)
            sums[i] = 0.8 * sums[i] + 0.2 * chosen.sum(axis=0)
        used = counts > 0
        assert used.any()
        expected = np.where(
            used[:, None], sums / np.maximum(counts, 1e-9)[:, None], codes
        )
        np.testing.assert_allclose(layer.codebook, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.usage, counts, rtol=1e-5)


def test_a_code_that_is_never_used_stays_and_stays_finite(rng) -> None:
    codes = np.float32([[0, 0], [90, 90]])
    layer = quantizer(codes)
    layer.usage.assign([1.0, 1.0])
    z = ops.convert_to_tensor(rng.standard_normal((10, 2), "float32"))
    for _ in range(60):  # 0.01**60 underflows
        layer.update(z, layer.nearest(z), decay=0.01)
    np.testing.assert_array_equal(np.asarray(layer.codebook)[1], [90, 90])
    assert np.isfinite(layer.codebook).all()


@pytest.mark.parametrize("is_averaged", [True, False])
def test_a_dead_code_moves_to_a_vector_of_the_batch(rng, is_averaged) -> None:
    codes = np.float32([[0, 0], [0.1, 0], [90, 90], [-90, 90]])
    layer = quantizer(codes, is_averaged=is_averaged)
    z = rng.standard_normal((40, 2), "float32")
    indices = layer.nearest(z)
    assert set(np.asarray(indices)) == {0, 1}
    draws = ops.convert_to_tensor(np.float32([0, 0, 0.5, 0.999]))
    layer.update(ops.convert_to_tensor(z), indices, 0.9, 0.5, draws)
    moved = np.asarray(layer.codebook)
    np.testing.assert_array_equal(moved[2:], z[[20, 39]])
    usage = np.asarray(layer.usage)
    # a code that starts anew has the mean of what all were used
    np.testing.assert_allclose(usage[2:], 0.1 * 40 / 4, rtol=1e-5)
    if not is_averaged:
        np.testing.assert_array_equal(moved[:2], codes[:2])


def test_the_gradient_passes_straight_through(x) -> None:
    """d loss / d z_encoded is d loss / d z, and the codebook's comes from its term."""
    model = checks.new_model(VQ_VAE, VQ)
    terms = checks.losses_of(model, x)
    outputs = {k: np.asarray(v) for k, v in model(x, training=False).items()}
    square = np.sum((outputs["z_encoded"] - outputs["z"]) ** 2, axis=-1)
    for name in ("commitment", "codebook"):
        np.testing.assert_allclose(terms[name], square.mean(axis=(1, 2)), rtol=1e-4)
    posterior = model.posterior(x)
    np.testing.assert_array_equal(posterior.mode(), outputs["z"])

    moved = {}
    for name in ("reconstruction", "commitment", "codebook"):
        weights = {k: float(k == name) for k in model.loss_weights}
        objective = type("Part", (VQVAE,), {"loss_weights": weights})
        part = compose(dataclasses.replace(VQ_VAE, objective=objective), **VQ)
        part.compile(keras.optimizers.SGD(0.01))
        before = checks.weights_of(part)
        part.fit(x, verbose=0)
        after = checks.weights_of(part)
        moved[name] = {
            part_name: any(
                np.any(after[k] != before[k]) for k in after if part_name in k
            )
            for part_name in ("to_code", "codebook", "to_map")
        }
    assert moved == {
        "reconstruction": {"to_code": True, "codebook": False, "to_map": True},
        "commitment": {"to_code": True, "codebook": False, "to_map": False},
        "codebook": {"to_code": False, "codebook": True, "to_map": False},
    }


@pytest.mark.parametrize("update", ["gradient", "ema"])
def test_dead_codes_restart_in_training_only(update, x) -> None:
    config = {**VQ, "codebook_update": update, "restart_below": 1e-6}
    model = checks.new_model(VQ_VAE, config)
    far = np.full((7, 3), 50.0, "float32")
    far[0] = 0.0
    model.quantizer.codebook.assign(far)
    model.evaluate(x, verbose=0)
    np.testing.assert_array_equal(model.quantizer.codebook, far)
    model.fit(x, batch_size=10, verbose=0)
    assert np.abs(model.quantizer.codebook).max() < 40.0


def test_restarts_keep_the_whole_codebook_in_use() -> None:
    """The claim of the option: usage falls without it and is high with it."""
    x = checks.examples(VQ_VAE, VQ, n=64)
    shares = {}
    for restart_below in (0.0, 0.1):
        config = {**EMA, "num_codes": 32, "restart_below": restart_below}
        model = checks.new_model(VQ_VAE, {**config, "ema_decay": 0.9})
        model.fit(x, batch_size=16, epochs=15, verbose=0)
        shares[restart_below] = len(np.unique(model.encode_indices(x))) / 32
    assert shares[0.1] > 0.8 > shares[0.0]


@exhaustive
@pytest.mark.parametrize(
    "check",
    [c for c in checks.CHECKS if c is not checks.check_every_weight_learns],
    ids=lambda check: check.__name__[6:],
)
def test_a_codebook_of_averages_keeps_the_common_promises(check) -> None:
    check(VQ_VAE, EMA)  # its codebook moves, but not as a trainable weight


def test_averages_are_saved(tmp_path) -> None:
    state = checks.trained(VQ_VAE, EMA)
    checks.check_keras_round_trip(VQ_VAE, EMA, tmp_path)
    names = {w.name for w in state.model.non_trainable_weights}
    assert names == {"codebook", "usage"}


# --- Indices --------------------------------------------------------------------


def test_indices_decode_to_the_reconstruction(x) -> None:
    model = checks.trained(VQ_VAE, VQ).model
    indices = model.encode_indices(x, batch_size=3)
    assert indices.shape == (20, 2, 2)
    assert indices.dtype == np.int32
    assert 0 <= indices.min() <= indices.max() < model.num_codes
    np.testing.assert_array_equal(indices, model.posterior(x).indices)
    np.testing.assert_allclose(
        model.decode_indices(indices), model.reconstruct(x), atol=1e-6
    )


@pytest.mark.parametrize(
    "indices",
    [
        np.zeros((2, 2), "int32"),
        np.zeros((3, 2, 1), "int32"),
        np.zeros((0, 2, 2), "int32"),
        np.zeros((3, 2, 2), "float32"),
        np.full((3, 2, 2), -1),
        np.full((3, 2, 2), 7),
    ],
)
def test_wrong_indices_are_refused(indices) -> None:
    model = checks.built(VQ_VAE, VQ)
    with pytest.raises(ValueError, match=r"integers from 0 to 6 of shape \(n, 2, 2\)"):
        model.decode_indices(indices)


def test_the_posterior_has_the_papers_constant_divergence(x) -> None:
    kl = np.asarray(checks.built(VQ_VAE, VQ).posterior(x).kl())
    np.testing.assert_allclose(kl, 4 * np.log(7), rtol=1e-6)


def test_metrics_of_the_codebook(x) -> None:
    model = checks.trained(VQ_VAE, VQ).model
    report = evaluate(model, x, metrics=["codebook_usage", "codebook_perplexity"])
    used = np.unique(model.encode_indices(x))
    assert report.metrics["codebook_usage"].value == pytest.approx(len(used) / 7)
    assert 1.0 <= report.metrics["codebook_perplexity"].value <= len(used) + 1e-6


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("num_codes", 0, "`num_codes` must be an integer of at least 1"),
        ("code_dim", 0, "`code_dim` must be an integer of at least 1"),
        ("commitment_cost", -1.0, "`commitment_cost` must be a finite number"),
        ("codebook_update", "em", "Did you mean 'ema'"),
        ("ema_decay", 1.5, "`ema_decay` must be a finite number .* at most 1"),
        ("restart_below", 2.0, "`restart_below` must be a finite number"),
        ("latent_dim", 3, "Unknown argument `latent_dim`"),
        ("hidden_units", (8,), "Unknown argument `hidden_units`"),
    ],
)
def test_wrong_arguments_of_vq_vae(argument, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("vq_vae", **{argument: value})


# --- Finite scalar quantisation -------------------------------------------------


def test_every_level_is_reached_and_no_other() -> None:
    """A unit from far below to far above passes all its levels, in order."""
    levels = np.array([2, 3, 4, 5, 7, 8])
    layer = ScalarQuantizer(levels)
    z = np.repeat(np.linspace(-9, 9, 4001, dtype="float32")[:, None], 6, axis=1)
    codes = np.asarray(layer.lookup(layer.nearest(layer.bound(z))))
    assert np.all(np.diff(codes, axis=0) >= 0)
    for unit, count in enumerate(levels):
        values = np.unique(codes[:, unit])
        expected = (np.arange(count) - count // 2) / (count // 2)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_bounded_vectors_are_those_of_the_papers_code(rng) -> None:
    """An independent transcription of appendix A.1, with its rounding."""
    levels, eps = np.array([8, 5, 4, 3]), 1e-3
    z = 3.0 * rng.standard_normal((50, 4), "float32")
    half_l = (levels - 1) * (1 - eps) / 2
    offset = np.array([0.5, 0.0, 0.5, 0.0])
    bounded = np.tanh(z + np.tan(offset / half_l)) * half_l - offset
    layer = ScalarQuantizer(levels)
    found = np.asarray(layer.bound(z))
    np.testing.assert_allclose(found * (levels // 2), bounded, rtol=1e-4, atol=1e-5)
    indices = layer.nearest(layer.bound(z))
    codes = np.round(bounded) / (levels // 2)
    np.testing.assert_allclose(layer.lookup(indices), codes, rtol=1e-6)
    # nearest: no other level of a unit is closer than half a step
    assert np.all(np.abs(found - codes) <= 0.5 / (levels // 2) + 1e-6)


def test_indices_are_numbers_of_mixed_radix() -> None:
    layer = ScalarQuantizer((5, 4, 3))
    everything = np.arange(60, dtype="int32")
    codes = np.asarray(layer.lookup(everything))
    assert len(np.unique(codes, axis=0)) == 60
    np.testing.assert_array_equal(layer.nearest(codes), everything)
    digits = np.stack(np.unravel_index(everything, (3, 4, 5))[::-1], axis=1)
    expected = (digits - [2, 2, 1]) / [2, 2, 1]
    np.testing.assert_allclose(codes, expected, rtol=1e-6)


def test_fsq_has_no_terms_of_a_codebook() -> None:
    model = checks.built(FSQ, dict(FSQ.tiny))
    assert model.loss_names == ("loss", "reconstruction")
    assert model.quantizer.num_codes == 25 * 16 * 9
    assert model.latent_shape == (2, 2, 3)
    assert not model.non_trainable_weights


def test_fsq_passes_its_gradient_straight_through() -> None:
    """The encoder moves as if there were no rounding."""
    x = checks.examples(FSQ, dict(FSQ.tiny))
    model = checks.new_model(FSQ, dict(FSQ.tiny))
    outputs = model(x, training=False)
    assert np.any(np.asarray(outputs["z"]) != np.asarray(outputs["z_encoded"]))
    q = model.posterior(x)
    np.testing.assert_array_equal(q.mode(), model.quantizer.lookup(q.indices))

    def through(z):
        codes = model.quantizer.lookup(outputs["indices"])
        return QuantizedCode(z, codes, outputs["indices"], 3600).mode()

    direction = ops.ones_like(outputs["z_encoded"])
    slope = jacobian_product(through, outputs["z_encoded"], direction)
    np.testing.assert_array_equal(slope, direction)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((1, 5), r"`levels` must be at least 2 each.*Received: levels=\(1, 5\)"),
        ((), "`levels` must hold at least 1 integers"),
        (8, "`levels` must be a sequence of integers"),
        ((2**16, 2**15), r"their product below 2\*\*31"),
    ],
)
def test_wrong_levels_are_refused(levels, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("fsq", levels=levels)


# --- Categorical codes ----------------------------------------------------------


@pytest.fixture
def logits(rng) -> np.ndarray:
    return 2.0 * rng.standard_normal((6, 3, 4), "float32")


def test_the_categorical_divergence_is_that_of_scipy(logits) -> None:
    p = scipy.special.softmax(logits.astype("float64"), axis=-1)
    expected = scipy.stats.entropy(p, np.full(4, 0.25), axis=-1).sum(axis=-1)
    np.testing.assert_allclose(categorical_kl(logits), expected, rtol=1e-5)
    np.testing.assert_allclose(Categorical(logits).kl(), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e-6, 1e-4, 1.0, 1e4])
def test_the_categorical_divergence_is_non_negative_and_finite(rng, scale) -> None:
    values = scale * rng.standard_normal((200, 5, 10), "float32")
    kl = np.asarray(categorical_kl(values))
    assert np.all(kl >= 0.0)
    assert np.all(kl <= 5 * np.log(10) + 1e-4)
    if scale == 0.0:
        assert np.all(kl == 0.0)


def test_categorical_masses_sum_to_one(logits) -> None:
    """Over all 64 codes, and each is the product of its variables' shares."""
    q = Categorical(logits)
    p = np.asarray(q.mean)
    total = 0.0
    for classes in itertools.product(range(4), repeat=3):
        z = np.broadcast_to(np.eye(4, dtype="float32")[list(classes)], logits.shape)
        mass = np.exp(np.asarray(q.log_prob(z)))
        np.testing.assert_allclose(mass, p[:, range(3), classes].prod(-1), rtol=1e-5)
        total = total + mass
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    assert np.all(np.isneginf(q.log_prob(p)))
    np.testing.assert_array_equal(np.asarray(q.mode()).argmax(-1), logits.argmax(-1))


def test_categorical_draws_have_their_probabilities() -> None:
    logits = np.float32([[[0.0, 1.0, -1.0], [3.0, 0.0, 0.0]]]).repeat(20_000, axis=0)
    q = Categorical(logits)
    for seed in (0, IndexedNoise(0), keras.random.SeedGenerator(0)):
        draws = np.asarray(q.sample(seed))
        assert set(np.unique(draws)) == {0.0, 1.0}
        np.testing.assert_array_equal(draws.sum(axis=-1), 1.0)
        error = np.abs(draws.mean(axis=0) - np.asarray(q.mean)[0])
        assert error.max() < 4 * 0.5 / np.sqrt(20_000)


def test_relaxed_draws_tend_to_the_hard_ones(logits) -> None:
    q = Categorical(logits)
    hard = np.asarray(q.sample(3))
    np.testing.assert_allclose(q.sample_relaxed(3, 1e-3), hard, atol=1e-3)
    warm = np.asarray(q.sample_relaxed(3, 1.0))
    np.testing.assert_array_equal(warm.argmax(-1), hard.argmax(-1))
    np.testing.assert_allclose(warm.sum(-1), 1.0, rtol=1e-5)
    assert np.all((warm > 0.0) & (warm < 1.0))
    np.testing.assert_allclose(q.sample_relaxed(3, 1e4), 0.25, atol=1e-2)
    # straight through: the value of the hard draw, the slope of the relaxed one
    straight = np.asarray(q.sample_relaxed(3, 0.7, is_hard=True))
    np.testing.assert_array_equal(straight, hard)
    x = ops.convert_to_tensor(logits)
    direction = ops.convert_to_tensor(np.cos(np.arange(72.0)).reshape(6, 3, 4), x.dtype)
    slopes = [
        np.asarray(
            jacobian_product(
                lambda v, h=h: Categorical(v).sample_relaxed(IndexedNoise(3), 0.7, h),
                x,
                direction,
            )
        )
        for h in (False, True)
    ]
    assert np.abs(slopes[0]).max() > 0.01
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-7)


def test_the_temperature_falls_exponentially() -> None:
    config = {"temperature": 2.0, "final_temperature": 0.5, "anneal_steps": 100}
    model = compose(CATEGORICAL_VAE, **CATEGORICAL, **config)
    for step, expected in ((0, 2.0), (50, 1.0), (100, 0.5), (900, 0.5), (None, 0.5)):
        assert float(model.temperature_at(step)) == pytest.approx(expected)
    model.anneal_steps = 0
    assert model.temperature_at(0) == 0.5


def test_training_follows_the_optimisers_step() -> None:
    """Relaxed codes in training, hotter at first; one-hot ones elsewhere."""
    config = {"temperature": 100.0, "final_temperature": 0.01, "anneal_steps": 10}
    model = checks.new_model(CATEGORICAL_VAE, {**CATEGORICAL, **config})
    images = checks.examples(CATEGORICAL_VAE, CATEGORICAL)
    largest = []
    for step in (0, 10):
        model.optimizer.iterations.assign(step)
        largest.append(np.asarray(model(images, training=True)["z"]).max(-1).mean())
    assert largest[0] < 0.27
    assert largest[1] > 0.9
    for outputs in (model(images), model(images, sample_seed=IndexedNoise(0))):
        assert set(np.unique(outputs["z"])) == {0.0, 1.0}
    model.hard = True
    outputs = model(images, training=True)
    assert set(np.unique(outputs["z"])) == {0.0, 1.0}


def test_the_importance_sampler_finds_the_exact_likelihood() -> None:
    """Against the sum over all 64 codes: right masses of prior and posterior."""
    config = {**CATEGORICAL, "likelihood": "bernoulli"}
    model = checks.trained(CATEGORICAL_VAE, config).model
    images = checks.examples(CATEGORICAL_VAE, CATEGORICAL, n=4)
    codes = list(itertools.product(range(4), repeat=3))
    z = np.eye(4, dtype="float32")[np.array(codes)]
    log_p = [
        np.asarray(
            model.make_likelihood(model.decode_parameters(z)).log_prob(
                np.repeat(image[None], 64, axis=0)
            )
        )
        for image in images
    ]
    exact = scipy.special.logsumexp(log_p, axis=1) - 3 * np.log(4)
    np.testing.assert_allclose(np.asarray(model.log_prior(z)), -3 * np.log(4))
    report = evaluate(model, images, metrics=["iwae_nll"], importance_samples=2000)
    assert report.metrics["iwae_nll"].value == pytest.approx(-exact.mean(), abs=0.02)


def test_prior_codes_are_one_hot_and_even() -> None:
    model = checks.built(CATEGORICAL_VAE, CATEGORICAL)
    z = model.sample_prior(4000, np.random.default_rng(0))
    np.testing.assert_array_equal(z.sum(axis=-1), 1.0)
    assert np.abs(z.mean(axis=0) - 0.25).max() < 0.03
    first = model.sample_prior(10, np.random.default_rng(0))
    np.testing.assert_array_equal(first, z[:10])


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("num_variables", 0, "`num_variables` must be an integer of at least 1"),
        ("num_classes", 0, "`num_classes` must be an integer of at least 2"),
        (
            "num_classes",
            1,
            "`num_classes` must be .* at least 2. Received: num_classes=1",
        ),
        ("temperature", 0.0, "`temperature` must be a finite number above 0"),
        ("final_temperature", -1.0, "`final_temperature` must be a finite number"),
        ("anneal_steps", -1, "`anneal_steps` must be an integer of at least 0"),
        ("latent_dim", 4, "Unknown argument `latent_dim`"),
    ],
)
def test_wrong_arguments_of_categorical_vae(argument, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("categorical_vae", **{argument: value})
