"""What the deterministic families add to an autoencoder, against independent results.

Contractive and regularised ones differentiate a network: the derivatives are checked
by finite differences, or against the whole Jacobian.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from keras import ops

import aezoo
from aezoo.models.autoencoder import Autoencoder
from aezoo.networks.vit import from_patches, to_patches
from aezoo.nn import losses
from aezoo.nn.distributions import IndexedNoise

TINY = {
    "input_shape": (8, 8, 1),
    "latent_dim": 3,
    "filters": (4, 6),
    "hidden_units": (8,),
    "activation": "softplus",  # smooth, so that finite differences are accurate
}


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.random((6, 8, 8, 1), dtype="float32")


def terms_of(model: Autoencoder, x: np.ndarray, **kwargs) -> dict[str, np.ndarray]:
    """All losses of a batch."""
    losses = model.compute_losses(ops.convert_to_tensor(x), model(x, **kwargs))
    return {name: np.asarray(values) for name, values in losses.items()}


def jacobians(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-2
) -> np.ndarray:
    """Central differences: `(batch, outputs, inputs)`."""
    columns = []
    for unit in range(x[0].size):
        move = np.zeros(x[0].size, "float32")
        move[unit] = step
        move = move.reshape(x.shape[1:])
        change = np.asarray(function(x + move)) - np.asarray(function(x - move))
        columns.append(change.reshape(len(x), -1) / (2 * step))
    return np.stack(columns, axis=-1)


# --- Hutchinson's estimate -------------------------------------------------------


def linear(matrix: np.ndarray) -> Callable:
    return lambda x: ops.matmul(x, ops.convert_to_tensor(matrix.T))


def test_the_jacobians_norm_is_estimated_without_bias(rng) -> None:
    matrix = rng.standard_normal((5, 4)).astype("float32")
    noise = rng.standard_normal((20_000, 4)).astype("float32")
    estimates = np.asarray(
        losses.squared_jacobian_norm(linear(matrix), np.zeros_like(noise), noise)
    )
    error = estimates.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - np.sum(matrix**2)) < 5 * error
    # Hutchinson's variance: twice the squares off the diagonal of J'J, and no others
    gram = matrix.T @ matrix
    variance = 2 * (np.sum(gram**2) - np.sum(np.diag(gram) ** 2))
    np.testing.assert_allclose(estimates.var(), variance, rtol=0.05)


def test_the_norm_is_exact_where_the_inputs_do_not_interact(rng) -> None:
    matrix = np.diag(rng.standard_normal(4)).astype("float32")
    noise = rng.standard_normal((3, 4)).astype("float32")
    estimates = losses.squared_jacobian_norm(linear(matrix), 0.0 * noise, noise)
    np.testing.assert_allclose(estimates, np.sum(matrix**2), rtol=1e-5)


# --- Regularised autoencoder -----------------------------------------------------


def test_rae_states_the_norms_of_code_and_decoder(x: np.ndarray) -> None:
    model = aezoo.create("rae", **TINY, code_norm_weight=0.3, penalty_weight=0.02)
    terms = terms_of(model, x)
    z = model.encode(x)
    np.testing.assert_allclose(terms["code_norm"], (z**2).sum(1) / 2, rtol=1e-4)
    kernels = [w for w in model.decoder.trainable_weights if w.name == "kernel"]
    assert len(kernels) == 4  # two dense, two convolutions
    norm = sum(np.sum(np.asarray(w) ** 2) for w in kernels)
    np.testing.assert_allclose(terms["decoder_norm"], norm, rtol=1e-5)
    expected = ((model.reconstruct(x) - x) ** 2).sum((1, 2, 3))
    expected = expected + 0.3 * terms["code_norm"] + 0.02 * norm
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-4)


def test_raes_gradient_penalty_is_the_norm_of_the_decoders_jacobian(x, rng) -> None:
    """In the mean over directions; of the decoded image, its activation included."""
    model = aezoo.create("rae", **TINY, penalty="gradient")
    model.decoder.set_weights(
        [w + 0.3 * rng.standard_normal(w.shape) for w in model.decoder.get_weights()]
    )
    z = model.encode(x[:2])
    expected = np.sum(jacobians(model.decode, z) ** 2, axis=(1, 2))
    repeated = np.repeat(x[:2], 1000, axis=0)
    estimates = terms_of(model, repeated, training=True)["decoder_gradient"]
    estimates = estimates.reshape(2, 1000)
    error = estimates.std(axis=1) / np.sqrt(1000)
    assert np.all(abs(estimates.mean(axis=1) - expected) < 5 * error + 0.01 * expected)
    assert np.all(error < 0.1 * expected)


@pytest.mark.parametrize("penalty", ["l2", "gradient"])
def test_raes_penalty_smooths_the_decoder(x: np.ndarray, penalty: str) -> None:
    model = aezoo.create("rae", **TINY, penalty=penalty, penalty_weight=100.0)
    model.compile(keras.optimizers.Adam(0.01))
    before = terms_of(model, x)
    model.fit(x, epochs=40, batch_size=6, verbose=0)
    name = "decoder_norm" if penalty == "l2" else "decoder_gradient"
    assert terms_of(model, x)[name].mean() < 0.3 * before[name].mean()


def test_raes_gradient_penalty_reaches_every_kernel_of_the_decoder(x) -> None:
    """Of all terms it alone has weight; biases enter it through the activations."""
    model = aezoo.create(
        "rae", **TINY, penalty="gradient", penalty_weight=1.0, code_norm_weight=0.0
    )
    model.reconstruction_term = lambda x, _: 0.0 * x[:, 0, 0, 0]
    model.compile(keras.optimizers.SGD(0.01))
    before = [np.array(w) for w in model.decoder.trainable_weights]
    model.fit(x, verbose=0)
    for weight, old in zip(model.decoder.trainable_weights, before, strict=True):
        assert np.any(np.array(weight) != old), weight.path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": "l1"}, r"`penalty` must be one of None, 'l2', 'gradient'"),
        ({"penalty_weight": -1.0}, r"`penalty_weight` must be a finite number"),
        ({"code_norm_weight": -1.0}, r"`code_norm_weight` must be a finite number"),
    ],
)
def test_rae_refuses_what_it_cannot_do(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("rae", **TINY, **arguments)


# --- Wasserstein autoencoder -----------------------------------------------------


def test_the_sliced_distance_is_that_of_the_best_assignments(rng) -> None:
    """Along each direction, of all ways to match one set with the other."""
    z, prior_z = rng.standard_normal((2, 7, 4)).astype("float32")
    directions = rng.standard_normal((5, 4)).astype("float32")
    expected = []
    for direction in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        cost = (np.subtract.outer(z @ direction, prior_z @ direction)) ** 2
        expected.append(cost[scipy.optimize.linear_sum_assignment(cost)].mean())
    found = losses.sliced_wasserstein(z, prior_z, directions)
    np.testing.assert_allclose(found, np.mean(expected), rtol=1e-5)
    longer = losses.sliced_wasserstein(z, prior_z, 7.0 * directions)
    np.testing.assert_allclose(longer, found, rtol=1e-5)


def test_the_sliced_distance_of_a_shift_and_of_a_set_from_itself(rng) -> None:
    z = rng.standard_normal((50, 4)).astype("float32")
    directions = rng.standard_normal((20_000, 4)).astype("float32")
    shift = np.float32([3.0, 0.0, -1.0, 2.0])
    found = losses.sliced_wasserstein(z, z[::-1] + shift, directions)
    np.testing.assert_allclose(found, np.sum(shift**2) / 4, rtol=0.02)
    # a matrix product may round a row by its place: by 1e-8, squared
    assert float(losses.sliced_wasserstein(z, z[::-1], directions)) < 1e-14


def brute_force_mmd(z: np.ndarray, prior_z: np.ndarray, kernel: str) -> float:
    """Pair by pair, in float64: mean kernels over pairs of two different codes."""
    dim = z.shape[1]

    def k(a: np.ndarray, b: np.ndarray) -> float:
        d = float(np.sum((a.astype("float64") - b) ** 2))
        if kernel == "rbf":
            return np.exp(-d / (2 * dim))
        scales = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
        return np.mean([s * 2 * dim / (s * 2 * dim + d) for s in scales])

    pairs = [(i, j) for i in range(len(z)) for j in range(len(z))]
    different = [(i, j) for i, j in pairs if i != j]
    within = sum(np.mean([k(v[i], v[j]) for i, j in different]) for v in (z, prior_z))
    return within - 2 * np.mean([k(z[i], prior_z[j]) for i, j in pairs])


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_waes_divergence_is_the_discrepancy_of_codes_and_prior(x, kernel) -> None:
    model = aezoo.create("wae", **TINY, kernel=kernel)
    outputs = model(x, training=True)
    z, prior_z = (np.asarray(outputs[name]) for name in ("z", "prior_z"))
    found = model.compute_terms(ops.convert_to_tensor(x), outputs)["divergence"]
    expected = brute_force_mmd(z, prior_z, kernel)
    np.testing.assert_allclose(found, np.full(6, expected), rtol=1e-4, atol=1e-6)


def test_waes_sliced_divergence_takes_other_directions_at_each_step(x) -> None:
    model = aezoo.create(
        "wae", **TINY, divergence="sliced_wasserstein", num_projections=11
    )
    steps = [np.asarray(model.directions(step)) for step in (None, 0, 1, 2)]
    assert steps[0].shape == (11, 3)
    np.testing.assert_array_equal(steps[0], steps[1])
    assert len(np.unique(np.concatenate(steps[1:]), axis=0)) == 33
    outputs = model(x, training=True)
    terms = model.compute_terms(ops.convert_to_tensor(x), outputs, 1)
    expected = losses.sliced_wasserstein(outputs["z"], outputs["prior_z"], steps[2])
    np.testing.assert_allclose(terms["divergence"], np.full(6, expected), rtol=1e-5)


def test_waes_prior_codes_are_standard_normal_and_independent(x) -> None:
    model = aezoo.create("wae", **TINY)
    many = np.repeat(x, 200, axis=0)
    draws = [
        np.asarray(model(many, training=t)["prior_z"]) for t in (True, True, False)
    ]
    for codes in draws:
        assert scipy.stats.kstest(codes.ravel(), "norm").pvalue > 1e-3
        assert len(np.unique(codes, axis=0)) == len(codes)
    assert np.any(draws[0] != draws[1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("divergence", ["mmd", "sliced_wasserstein"])
def test_waes_codes_come_to_be_distributed_as_the_prior(rng, divergence) -> None:
    """From far away: the divergence falls and the codes' mean and spread follow."""
    x = rng.random((200, 8, 8, 1), dtype="float32")
    model = aezoo.create("wae", **TINY, divergence=divergence, divergence_weight=1e4)
    model.compile(keras.optimizers.Adam(0.01))
    head = model.encoder.heads["z"]
    head.bias.assign([2.0, -1.0, 1.0])
    head.kernel.assign(4.0 * np.asarray(head.kernel))

    def state() -> tuple[float, float]:
        z = model.encode(x)
        terms = model.evaluate(x, batch_size=200, verbose=0, return_dict=True)
        return terms["divergence"], np.linalg.norm(z.mean(0))

    (divergence_before, mean_before) = state()
    model.fit(x, epochs=25, batch_size=50, verbose=0)
    (divergence_after, mean_after) = state()
    assert divergence_after < 0.3 * divergence_before
    assert mean_after < 0.3 * mean_before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"divergence": "kl"}, r"`divergence` must be one of 'mmd', 'sliced_wasser"),
        ({"kernel": "linear"}, r"`kernel` must be one of 'imq', 'rbf'"),
        ({"divergence_weight": -1.0}, r"`divergence_weight` must be a finite number"),
        ({"num_projections": 0}, r"`num_projections` must be an integer of at least 1"),
    ],
)
def test_wae_refuses_what_it_cannot_do(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("wae", **TINY, **arguments)


# --- Contractive autoencoders ----------------------------------------------------


def contractive(family: str = "contractive_ae", **kwargs) -> Autoencoder:
    """A small one with weights large enough to make its activations bend."""
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, input_shape=(4, 4, 1), latent_dim=3, **kwargs)
    model.build()
    model.encoder.set_weights([2.0 * w + 0.1 for w in model.encoder.get_weights()])
    return model


@pytest.mark.parametrize("code_activation", ["sigmoid", "tanh", "linear", "softplus"])
def test_the_exact_contraction_is_the_jacobians_norm(rng, code_activation) -> None:
    x = 0.1 + 0.8 * rng.random((3, 4, 4, 1), dtype="float32")
    model = contractive(code_activation=code_activation)
    expected = np.sum(jacobians(model.encode, x) ** 2, axis=(1, 2))
    found = terms_of(model, x)["contraction"]
    np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_the_exact_contraction_of_a_sigmoid_is_the_papers(rng) -> None:
    """Rifai et al. (2011), section 3.2: sum_j (h_j (1 - h_j))^2 sum_i W_ij^2."""
    x = rng.random((3, 4, 4, 1), dtype="float32")
    model = contractive()
    h, kernel = model.encode(x), np.asarray(model.encoder.heads["z"].kernel)
    expected = ((h * (1 - h)) ** 2 * (kernel**2).sum(axis=0)).sum(axis=1)
    np.testing.assert_allclose(terms_of(model, x)["contraction"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [
        ("contractive_ae", {"estimator": "hutchinson"}),
        (
            "contractive_ae",
            {
                "estimator": "hutchinson",
                "hidden_units": (5, 4),
                "activation": "softplus",
            },
        ),
        (
            "contractive_conv_ae",
            {"filters": (4,), "strides": (2,), "activation": "softplus"},
        ),
    ],
)
def test_the_estimated_contraction_is_so_in_the_mean(rng, family, arguments) -> None:
    x = 0.1 + 0.8 * rng.random((2, 4, 4, 1), dtype="float32")
    model = contractive(family, **arguments)
    expected = np.sum(jacobians(model.encode, x) ** 2, axis=(1, 2))
    repeated = np.repeat(x, 2000, axis=0)
    estimates = terms_of(model, repeated, training=True)["contraction"]
    estimates = estimates.reshape(2, 2000)
    error = estimates.std(axis=1) / np.sqrt(2000)
    assert np.all(abs(estimates.mean(axis=1) - expected) < 5 * error + 0.01 * expected)
    assert np.all(error < 0.1 * expected)


@pytest.mark.parametrize("estimator", ["exact", "hutchinson"])
def test_training_contracts(rng, estimator: str) -> None:
    x = rng.random((20, 4, 4, 1), dtype="float32")
    model = contractive(estimator=estimator, contraction_weight=100.0)
    model.compile(keras.optimizers.Adam(0.01))
    before = terms_of(model, x)["contraction"].mean()
    model.fit(x, epochs=40, batch_size=20, verbose=0)
    assert terms_of(model, x)["contraction"].mean() < 0.3 * before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"hidden_units": (5,)},
            r"`estimator='exact'` needs one dense layer to",
        ),
        ({"code_activation": "softmax"}, r"`estimator='exact'` needs one dense layer"),
        ({"estimator": "full"}, r"`estimator` must be one of 'exact', 'hutchinson'"),
        ({"contraction_weight": -1.0}, r"`contraction_weight` must be a finite number"),
    ],
)
def test_a_contractive_autoencoder_refuses_what_it_cannot_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.create("contractive_ae", **arguments)


# --- Adversarial autoencoder -----------------------------------------------------


def test_the_adversaries_state_their_losses(x: np.ndarray) -> None:
    """-log D(z) of the encoder, cross-entropy of the discriminator, by hand."""
    model = aezoo.create("adversarial_ae", **TINY, adversarial_weight=0.7)
    outputs = model(x, training=True)
    found = model.compute_losses(ops.convert_to_tensor(x), outputs)
    on_codes, on_prior = (
        scipy.special.expit(np.asarray(model.adversary(outputs[name]), "float64"))
        for name in ("z", "prior_z")
    )
    np.testing.assert_allclose(found["adversarial"], -np.log(on_codes), rtol=1e-4)
    expected = -0.5 * (np.log(on_prior) + np.log(1 - on_codes))
    np.testing.assert_allclose(found["discriminator"], expected, rtol=1e-4)
    total = np.asarray(found["reconstruction"]) - 0.7 * np.log(on_codes)
    np.testing.assert_allclose(found["loss"], total, rtol=1e-4)


@pytest.mark.parametrize("player", ["discriminator", "adversarial"])
def test_each_player_learns_against_one_that_stands_still(rng, player) -> None:
    x = rng.random((100, 8, 8, 1), dtype="float32")
    model = aezoo.create(
        "adversarial_ae", **TINY, adversarial_weight=10.0, discriminator_units=(16,)
    )
    rates = {"adversarial": 0.0, "discriminator": 0.0, player: 0.01}
    model.compile(
        keras.optimizers.Adam(rates["adversarial"]),
        adversary_optimizer=keras.optimizers.Adam(rates["discriminator"]),
    )
    model.encoder.heads["z"].bias.assign([3.0, -3.0, 3.0])
    history = model.fit(x, epochs=20, batch_size=50, verbose=0).history
    assert history[player][-1] < 0.7 * history[player][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adversarial_weight": -1.0}, r"`adversarial_weight` must be a finite number"),
        ({"discriminator_units": (0,)}, r"`discriminator_units\[0\]` must be an inte"),
    ],
)
def test_an_adversarial_autoencoder_refuses_bad_arguments(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("adversarial_ae", **TINY, **arguments)


# --- Masked autoencoder ----------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3)])
def test_patches_are_cut_row_by_row_and_put_together_again(rng, shape) -> None:
    images = rng.random((2, *shape), dtype="float32")
    patches = np.asarray(to_patches(ops.convert_to_tensor(images), 4))
    padded = np.pad(images, ((0, 0), (0, -shape[0] % 4), (0, -shape[1] % 4), (0, 0)))
    np.testing.assert_array_equal(patches[:, 1], padded[:, :4, 4:8].reshape(2, -1))
    grid = (padded.shape[1] // 4, padded.shape[2] // 4)
    np.testing.assert_array_equal(from_patches(patches, grid, 4), padded)


def test_hidden_patches_do_not_reach_the_image_and_others_do(rng) -> None:
    """The loss is over hidden patches, which the model must not have seen."""
    x = rng.random((6, 16, 16, 1), dtype="float32")
    model = aezoo.create("masked_ae", input_shape=(16, 16, 1), num_layers=1)
    outputs = model(x, sample_seed=IndexedNoise(0))
    hidden = np.asarray(outputs["hidden"])
    assert np.all(hidden.sum(axis=1) == 12)  # 75 % of 16
    assert len(np.unique(hidden, axis=0)) > 1
    pixels = np.repeat(np.repeat(hidden.reshape(6, 4, 4, 1), 4, 1), 4, 2)
    changed = np.where(pixels == 1.0, 1.0 - x, x)
    same = model(changed, sample_seed=IndexedNoise(0))["x_hat"]
    np.testing.assert_array_equal(same, outputs["x_hat"])
    seen = np.where(pixels == 1.0, x, 1.0 - x)
    other = model(seen, sample_seed=IndexedNoise(0))["x_hat"]
    assert np.all(np.abs(other - outputs["x_hat"]).max(axis=(1, 2, 3)) > 1e-4)
    # by hand: the mean error of the hidden, and of the visible, patches times 16
    errors = (np.asarray(outputs["x_hat"]) - x) ** 2
    terms = model.compute_terms(ops.convert_to_tensor(x), outputs)
    for name, of in (("reconstruction", pixels), ("visible", 1 - pixels)):
        expected = 16 * (errors * of).sum((1, 2, 3)) / (of.sum((1, 2, 3)) / 16)
        np.testing.assert_allclose(terms[name], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 28}, r"`patch_size` must divide the image into at least 2"),
        ({"mask_ratio": 1.5}, r"`mask_ratio` must be a finite number"),
        (
            {"normalize_patches": True, "reconstruction_loss": "mae"},
            r"`normalize_patches=True` needs `reconstruction_loss='mse'`",
        ),
    ],
)
def test_masked_ae_refuses_what_it_cannot_do(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("masked_ae", **arguments)
