"""Two players in one training step: who moves what, and that both are resumed."""

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.models.factor_vae import exchange_units
from aezoo.nn.optimizers import OptimizerPair

TINY = {"input_shape": (8, 8, 1), "filters": (4, 6), "hidden_units": (8,)}


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.random((20, 8, 8, 1), dtype="float32")


def compiled(**kwargs) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = aezoo.create("factor_vae", discriminator_units=(8,), **TINY)
    model.compile(keras.optimizers.SGD(0.01), **kwargs)
    return model


def moved(model: keras.Model, x: np.ndarray) -> dict[str, bool]:
    before = [np.array(v) for v in model.trainable_variables]
    model.fit(x, verbose=0)
    return {
        v.path: bool(np.any(np.array(v) != old))
        for v, old in zip(model.trainable_variables, before, strict=True)
    }


def test_each_optimiser_moves_its_own_weights(x: np.ndarray) -> None:
    """A learning rate of 0 for one holds exactly its weights still."""
    model = compiled(adversary_optimizer=keras.optimizers.SGD(0.0))
    adversary = {v.path for v in model.adversary.trainable_variables}
    assert len(adversary) > 0
    for path, has_moved in moved(model, x).items():
        assert has_moved == (path not in adversary), path
    model = compiled(adversary_optimizer=keras.optimizers.SGD(0.01))
    model.optimizer.main.learning_rate = 0.0
    adversary = {v.path for v in model.adversary.trainable_variables}
    for path, has_moved in moved(model, x).items():
        assert has_moved == (path in adversary), path


def test_each_player_follows_the_gradient_of_its_own_loss(x: np.ndarray) -> None:
    """One SGD step lowers the discriminator's loss, whatever the model's does."""
    model = compiled(adversary_optimizer=keras.optimizers.SGD(1.0))
    model.optimizer.main.learning_rate = 0.0
    model.gamma = 0.0  # the discriminator must learn all the same
    losses = model.fit(x, epochs=40, batch_size=20, verbose=0).history["discriminator"]
    assert losses[-1] < losses[0]


def test_the_adversarys_optimiser_is_a_copy_by_default() -> None:
    optimizer = compiled().optimizer
    assert isinstance(optimizer, OptimizerPair)
    assert optimizer.main is not optimizer.adversary
    assert optimizer.adversary.get_config() == optimizer.main.get_config()
    optimizer.learning_rate = 0.5
    assert float(optimizer.main.learning_rate) == 0.5
    assert float(optimizer.adversary.learning_rate) == 0.5


def test_both_optimisers_are_resumed(x: np.ndarray, tmp_path) -> None:
    """Saved after one epoch and resumed, training goes on as if uninterrupted."""

    def new() -> keras.Model:
        model = compiled()
        model.compile("adam", adversary_optimizer=keras.optimizers.RMSprop(0.01))
        return model

    straight, first, second = new(), new(), new()
    straight.fit(x, epochs=2, shuffle=False, verbose=0)
    first.fit(x, epochs=1, shuffle=False, verbose=0)
    first.save_weights(tmp_path / "state.weights.h5")
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "state.weights.h5")
    second.seed_generator.state.assign(first.seed_generator.state)  # no weight
    assert int(second.optimizer.iterations) == int(first.optimizer.iterations) == 1
    assert any(np.any(np.array(v)) for v in second.optimizer.adversary.variables[2:])
    second.fit(x, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(straight.weights, second.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=a.path)


def test_an_optimiser_for_no_adversary_is_refused() -> None:
    model = aezoo.create("conv_vae", **TINY)
    with pytest.raises(
        ValueError, match=r"`adversary_optimizer` belongs to models with an"
    ):
        model.compile(adversary_optimizer="sgd")


def test_exchanged_codes_keep_each_units_values_and_break_the_rows() -> None:
    z = np.arange(20.0, dtype="float32").reshape(5, 4)
    exchanged = np.asarray(exchange_units(ops.convert_to_tensor(z)))
    np.testing.assert_array_equal(np.sort(exchanged, axis=0), z)
    np.testing.assert_array_equal(exchanged[0], [4.0, 9.0, 14.0, 19.0])


@pytest.mark.parametrize("batch", [2, 5, 7])
def test_a_batch_smaller_than_the_code_mixes_no_fixed_pairs_of_units(
    batch: int,
) -> None:
    """Two units share an image as often as by chance, never always."""
    dim = 400
    z = np.repeat(np.arange(batch, dtype="float32")[:, None], dim, axis=1)
    source = np.asarray(exchange_units(ops.convert_to_tensor(z)))
    for distance in (1, batch, 2 * batch, 3 * batch):
        shared = np.mean(source[:, distance:] == source[:, :-distance])
        assert abs(shared - 1 / batch) < 0.1, distance
    assert {*source.ravel()} == {*range(batch)}, "only whole units of the batch"


def test_a_batch_as_large_as_the_code_takes_no_two_units_from_one_image() -> None:
    z = np.repeat(np.arange(6, dtype="float32")[:, None], 6, axis=1)
    source = np.asarray(exchange_units(ops.convert_to_tensor(z)))
    assert all(len(set(row)) == 6 for row in source)
