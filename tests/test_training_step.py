"""`fit` and `evaluate` beyond the common checks: what the training step computes."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.models.ae import AE
from aezoo.models.families import compose
from aezoo.nn.backend import BACKEND
from aezoo.registry import find_family
from tests import checks

ROOT = Path(__file__).parent.parent
SHAPE = (6, 6, 1)
TINY = {"input_shape": SHAPE, "latent_dim": 2, "hidden_units": (8,)}
tensorflow_only = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="needs tf.GradientTape or tf.distribute"
)


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((10, *SHAPE), "float32")


def create(family: str = "dense_ae", optimizer=None, **config):
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **{**TINY, **config})
    model.compile(optimizer or keras.optimizers.Adam(0.01))
    return model


def fit(model, images, **kwargs) -> dict[str, list[float]]:
    kwargs = {"batch_size": 5, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(images, **kwargs).history


def losses_of(model, images) -> dict[str, np.ndarray]:
    outputs = model(images, training=False)
    found = model.compute_losses(ops.convert_to_tensor(images), outputs)
    return {name: ops.convert_to_numpy(value) for name, value in found.items()}


# --- Objective -----------------------------------------------------------------


@tensorflow_only
@pytest.mark.parametrize("family", ["dense_ae", "dense_vae"])
def test_the_step_is_a_plain_gradient_step(family, images) -> None:
    """`fit` moves the weights as a hand-written loop does."""
    import tensorflow as tf

    model = create(family, keras.optimizers.SGD(0.01))
    by_hand = create(family, keras.optimizers.SGD(0.01))
    by_hand.seed_generator.state.assign(model.seed_generator.state)
    fit(model, images, batch_size=4, epochs=2)
    for _ in range(2):
        for batch in (images[:4], images[4:8], images[8:]):
            with tf.GradientTape() as tape:
                outputs = by_hand(batch, training=True)
                losses = by_hand.compute_losses(tf.constant(batch), outputs)
                loss = tf.reduce_mean(losses["loss"])
            gradients = tape.gradient(loss, by_hand.trainable_variables)
            for weight, gradient in zip(
                by_hand.trainable_variables, gradients, strict=True
            ):
                weight.assign_sub(0.01 * gradient)
    for a, b in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_reported_losses_are_means_over_examples(images) -> None:
    model = create()
    expected = losses_of(model, images)
    found = model.evaluate(images, batch_size=4, verbose=0, return_dict=True)
    for name, value in found.items():
        assert value == pytest.approx(expected[name].mean(), rel=1e-5)


def test_a_short_last_batch_weighs_by_its_examples_in_fit(images) -> None:
    model = create(optimizer=keras.optimizers.SGD(0.0))
    expected = losses_of(model, images)["loss"].mean()
    history = fit(model, images, batch_size=7)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_sample_weights_weigh_losses_and_gradients(images) -> None:
    weights = np.float32([1, 0, 2, 1, 0.5, 0, 1, 1, 3, 0])
    model = create()
    losses = losses_of(model, images)["loss"]
    found = model.evaluate(
        images, images, sample_weight=weights, batch_size=4, verbose=0, return_dict=True
    )
    assert found["loss"] == pytest.approx(np.average(losses, weights=weights), rel=1e-5)

    weighted, selected = (create(optimizer=keras.optimizers.SGD(0.1)) for _ in range(2))
    mask = np.float32([1, 1, 0, 1, 0, 0, 0, 1, 0, 1])
    fit(weighted, images, y=images, sample_weight=mask, batch_size=10)
    fit(selected, images[mask == 1], batch_size=5)
    for a, b in zip(weighted.get_weights(), selected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_weighted_evaluation_of_a_vae_ignores_the_batch_split(images) -> None:
    model = create("dense_vae")
    weights = np.full(10, 0.5, "float32")
    results = [
        model.evaluate(images, images, sample_weight=weights, batch_size=n, verbose=0)
        for n in (10, 3)
    ]
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_a_target_of_its_own_is_learnt(images) -> None:
    """`fit(noisy, clean)`: the loss is measured against the clean images."""
    model = create()
    target = 1.0 - images
    found = model.evaluate(images, target, batch_size=10, verbose=0, return_dict=True)
    outputs = model(images, training=False)
    expected = model.compute_losses(ops.convert_to_tensor(target), outputs)["loss"]
    assert found["loss"] == pytest.approx(
        ops.convert_to_numpy(expected).mean(), rel=1e-5
    )


@pytest.mark.parametrize(("step", "factor"), [(0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)])
def test_the_kl_term_warms_up(images, step, factor) -> None:
    model = create("dense_vae", kl_warmup_steps=10, beta=3.0)
    outputs = model(images, training=True)
    x = ops.convert_to_tensor(images)
    losses = model.compute_losses(x, outputs, step=ops.convert_to_tensor(step))
    expected = losses["reconstruction"] + 3.0 * factor * losses["kl"]
    found, wanted = map(ops.convert_to_numpy, (losses["loss"], expected))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_fit_warms_up_by_optimiser_steps(images) -> None:
    """At step 0 the loss is the reconstruction alone; `evaluate` has the whole."""
    model = create("dense_vae", keras.optimizers.SGD(0.0), kl_warmup_steps=4)
    history = fit(model, images, batch_size=10, epochs=5)
    ratios = (np.array(history["loss"]) - history["reconstruction"]) / history["kl"]
    np.testing.assert_allclose(ratios, [0.0, 0.25, 0.5, 0.75, 1.0], atol=1e-3)
    found = model.evaluate(images, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["kl"])


def test_a_learned_scale_tends_to_the_residuals(images) -> None:
    """With a constant decoder, the best scale is the residuals' deviation."""
    model = create(
        "dense_vae",
        keras.optimizers.Adam(0.05),
        likelihood="gaussian",
        likelihood_scale="learned",
    )
    fit(model, np.tile(images, (200, 1, 1, 1)), batch_size=10)
    residuals = images - model.reconstruct(images)
    scale = float(np.exp(np.asarray(model.log_scale)))
    assert scale == pytest.approx(residuals.std(), rel=0.15)


def test_an_unused_learned_scale_makes_no_weight() -> None:
    model = create("dense_vae", likelihood="bernoulli", likelihood_scale="learned")
    assert all("log_scale" not in w.path for w in model.weights)


# --- Keras's options -----------------------------------------------------------


def test_gradient_clipping_limits_the_step(images) -> None:
    model = create(optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-3))
    before = model.get_weights()
    fit(model, images, batch_size=10)
    moves = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
    norm = np.sqrt(sum(np.sum(m**2) for m in moves))
    assert norm == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("family", ["dense_ae", "dense_vae"])
def test_steps_per_execution_changes_nothing(family, images) -> None:
    results = []
    for steps in (1, 3):
        model = create(family)
        model.compile(keras.optimizers.Adam(0.01), steps_per_execution=steps)
        history = fit(model, images, batch_size=2, epochs=2)
        evaluated = model.evaluate(images, batch_size=2, verbose=0)
        results.append(
            [*model.get_weights(), *map(np.array, history.values()), evaluated]
        )
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_running_eagerly_changes_nothing(images) -> None:
    results = []
    for eager in (False, True):
        model = create("dense_vae")
        model.compile(keras.optimizers.Adam(0.01), run_eagerly=eager)
        fit(model, images)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_frozen_weights_stay(images) -> None:
    model = create()
    model.encoder.trainable = False
    model.compile(keras.optimizers.Adam(0.01))
    before = [w.copy() for w in model.encoder.get_weights()]
    fit(model, images)
    for a, b in zip(model.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layer_regularisers_enter_the_gradient(images) -> None:
    plain, regularised = (
        create(optimizer=keras.optimizers.SGD(0.01)) for _ in range(2)
    )
    regularised.decoder.pixels.bias_regularizer = None
    kernel = regularised.decoder.pixels.kernel
    kernel.regularizer = keras.regularizers.L2(0.5)
    start = np.array(kernel)
    assert len(regularised.losses) == 1
    for model in (plain, regularised):
        fit(model, images, batch_size=10)
    difference = np.asarray(plain.decoder.pixels.kernel) - np.asarray(kernel)
    np.testing.assert_allclose(difference, 0.01 * start, atol=1e-6)


def test_validation_data_is_evaluated(images) -> None:
    model = create("dense_vae")
    history = fit(model, images, validation_data=(images,))
    assert {f"val_{name}" for name in model.loss_names} < set(history)
    last = model.evaluate(images, batch_size=5, verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(last["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "argument", ["loss", "loss_weights", "metrics", "weighted_metrics"]
)
def test_compile_refuses_an_objective(argument) -> None:
    with pytest.raises(ValueError, match=f"`{argument}` cannot be set in `compile`"):
        aezoo.create("dense_vae", **TINY).compile("adam", **{argument: ["mse"]})


def test_compile_says_what_is_reported() -> None:
    with pytest.raises(ValueError, match="reports loss, reconstruction, kl"):
        aezoo.create("dense_vae", **TINY).compile(loss="mse")


# --- Several devices -----------------------------------------------------------

TWO_DEVICES = """
    import sys
    import keras, numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    import aezoo

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    x = np.random.default_rng(0).random((11, 6, 6, 1), "float32")

    def run(scope, family, **config):
        keras.utils.set_random_seed(0)
        with scope:
            model = aezoo.create(family, input_shape=(6, 6, 1), latent_dim=2, **config)
            model.compile(keras.optimizers.SGD(0.01))
        # batches of 4, 4 and 3: two replicas get 2 + 1 of the last
        history = model.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0).history
        evaluated = model.evaluate(x, batch_size=4, verbose=0)
        return model, [*model.get_weights(), *history.values(), evaluated]

    for family, config in (
        ("dense_ae", {"hidden_units": (8,), "sparsity": 0.1}),
        ("ppca", {}),
    ):
        _, one = run(tf.distribute.get_strategy().scope(), family, **config)
        model, two = run(strategy.scope(), family, **config)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=family)
    vae = {"hidden_units": (8,), "likelihood": "gaussian", "corruption": "masking"}
    model, results = run(strategy.scope(), "dense_vae", **vae)
    assert all(np.isfinite(r).all() for r in results)
    assert np.isfinite(model.reconstruct(x)).all()
    # `evaluate` draws the same codes, however many devices share the examples
    alone, _ = run(tf.distribute.get_strategy().scope(), "dense_vae", **vae)
    alone.set_weights(model.get_weights())
    expected = alone.evaluate(x, batch_size=4, verbose=0)
    found = model.evaluate(x, batch_size=4, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    # in training every replica has noise of its own
    same = np.repeat(x[:1], 4, axis=0)
    data = tf.data.Dataset.from_tensor_slices(same).batch(4)
    batch = next(iter(strategy.experimental_distribute_dataset(data)))

    @tf.function
    def draw(batch):
        return strategy.run(lambda x: model(x, training=True)["z"], args=(batch,))

    codes = np.concatenate(strategy.experimental_local_results(draw(batch)))
    assert len(np.unique(codes[:, 0])) == 4, codes
    print("done")
"""


@pytest.mark.exhaustive
@tensorflow_only
def test_two_devices_train_as_one() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TWO_DEVICES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.strip().endswith("done")


def test_trained_models_stay_trained_after_a_keras_file(images, tmp_path) -> None:
    """Training goes on where it stopped, step counter and all."""
    model = create("dense_vae", kl_warmup_steps=8)
    fit(model, images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 2
    with checks.restored(model):
        expected = fit(model, images)
    found = fit(loaded, images)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0.1)


class HalvesTheError(AE):
    def reconstruction_term(self, x, outputs):
        return 0.5 * super().reconstruction_term(x, outputs)


def test_an_objective_of_ones_own_is_loaded_as_what_it_is(images, tmp_path) -> None:
    family = dataclasses.replace(find_family("dense_ae"), objective=HalvesTheError)
    model = compose(family, **TINY)
    model.compile("adam")
    fit(model, images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is HalvesTheError
    expected = model.evaluate(images, verbose=0)
    np.testing.assert_allclose(loaded.evaluate(images, verbose=0), expected, rtol=1e-6)
