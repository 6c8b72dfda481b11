"""What the deterministic families add to an autoencoder, against independent results.

Contractive and regularised ones differentiate a network: the derivatives are checked
by finite differences, or against the whole Jacobian.
"""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo import losses
from aezoo.models._base import Autoencoder

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
    """With weight it falls, and without the reconstruction it goes to 0."""
    found = {}
    for weight in (0.0, 10.0):
        keras.utils.set_random_seed(0)
        model = aezoo.create("rae", **TINY, penalty=penalty, penalty_weight=weight)
        model.compile(keras.optimizers.Adam(0.01))
        model.fit(x, epochs=30, batch_size=6, verbose=0)
        name = "decoder_norm" if penalty == "l2" else "decoder_gradient"
        found[weight] = terms_of(model, x)[name].mean()
    assert found[10.0] < 0.2 * found[0.0]


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
