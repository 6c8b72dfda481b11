"""Adam with the fused kernel: the same optimiser as Keras's, only faster."""

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.nn.optimizers import Adam, averaged_weights
from tests.draws import exhaustive

TINY = {
    "input_shape": (8, 8, 1),
    "latent_dim": 3,
    "hidden_units": (8,),
}
IMAGES = np.random.default_rng(0).random((24, 8, 8, 1), dtype="float32")
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tests TensorFlow's kernel"
)


def _trained(optimizer: keras.optimizers.Optimizer, **compile_args) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = aezoo.create("dense_ae", **TINY)
    model.compile(optimizer, **compile_args)
    model.fit(IMAGES, batch_size=8, epochs=4, shuffle=False, verbose=0)
    return model


def _assert_same_state(a: keras.Model, b: keras.Model, **tolerance: float) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), **tolerance)
    for x, y in zip(a.optimizer.variables, b.optimizer.variables, strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), **tolerance)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"global_clipnorm": 0.1, "weight_decay": 0.01},
        {"use_ema": True, "ema_momentum": 0.9},
        {"gradient_accumulation_steps": 2},
        *(
            pytest.param(arguments, marks=exhaustive)
            for arguments in (
                {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
                {"clipnorm": 0.1},
                {"global_clipnorm": 0.1},
                {"clipvalue": 0.01},
                {"weight_decay": 0.01},
                {"amsgrad": True},
            )
        ),
    ],
    ids=lambda arguments: "-".join(arguments) or "defaults",
)
def test_its_trajectory_is_that_of_keras(arguments: dict) -> None:
    ours = _trained(Adam(1e-2, **arguments))
    theirs = _trained(keras.optimizers.Adam(1e-2, **arguments))
    _assert_same_state(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_moves_the_weights() -> None:
    keras.utils.set_random_seed(1)
    before = aezoo.create("dense_ae", **TINY)
    after = _trained(Adam(1e-2))
    for x, y in zip(before.weights, after.weights, strict=True):
        assert np.abs(x.numpy() - y.numpy()).max() > 1e-3


def test_a_learning_rate_schedule_is_followed() -> None:
    def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
        return keras.optimizers.schedules.CosineDecay(1e-2, decay_steps=10)

    ours = _trained(Adam(schedule()))
    theirs = _trained(keras.optimizers.Adam(schedule()))
    _assert_same_state(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_name_adam_means_this_one() -> None:
    model = aezoo.create("dense_ae", **TINY)
    model.compile("adam")
    assert isinstance(model.optimizer, Adam)
    model.compile()
    assert isinstance(model.optimizer, Adam)
    model.compile("rmsprop")
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)


@on_tensorflow
def test_the_fused_kernel_runs() -> None:
    import tensorflow as tf

    variable = keras.Variable(np.ones(3, "float32"))
    optimizer = Adam(1e-2)
    optimizer.build([variable])

    @tf.function
    def step() -> None:
        optimizer.apply([tf.ones(3)], [variable])

    graph = step.get_concrete_function().graph
    assert "ResourceApplyAdam" in {op.type for op in graph.get_operations()}


@on_tensorflow
def test_sparse_gradients_are_taken() -> None:
    import tensorflow as tf

    results = []
    for cls in (Adam, keras.optimizers.Adam):
        variable = keras.Variable(np.ones((4, 2), "float32"))
        optimizer = cls(1e-2)
        gradient = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), (4, 2))
        optimizer.apply([gradient], [variable])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert results[0][1, 0] < 1.0


@on_tensorflow
@pytest.mark.parametrize("steps_per_execution", [pytest.param(1, marks=exhaustive), 3])
def test_a_mirrored_strategy_takes_the_same_steps(steps_per_execution: int) -> None:
    import tensorflow as tf

    alone = _trained(Adam(1e-2))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        mirrored = _trained(Adam(1e-2), steps_per_execution=steps_per_execution)
    _assert_same_state(alone, mirrored, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_finite_and_learns(policy: str) -> None:
    keras.utils.set_random_seed(1)
    model = aezoo.create("dense_ae", **TINY, dtype=policy)
    model.compile(Adam(1e-2))
    losses = model.fit(IMAGES, batch_size=8, epochs=20, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def test_the_keras_file_resumes_where_it_stopped(tmp_path) -> None:
    straight = _trained(Adam(1e-2, clipnorm=1.0))
    path = tmp_path / "model.keras"
    straight.save(path)
    resumed = keras.saving.load_model(path)
    assert isinstance(resumed.optimizer, Adam)
    assert resumed.optimizer.clipnorm == 1.0
    _assert_same_state(straight, resumed, rtol=0)
    for model in (straight, resumed):
        model.fit(IMAGES, batch_size=8, epochs=2, shuffle=False, verbose=0)
    _assert_same_state(straight, resumed, rtol=1e-6)


def test_the_state_loads_into_keras_adam_and_back(tmp_path) -> None:
    ours = _trained(Adam(1e-2))
    theirs = _trained(keras.optimizers.Adam(1e-2))
    path = tmp_path / "state.weights.h5"
    ours.save_weights(path)
    theirs.load_weights(path)
    _assert_same_state(ours, theirs, rtol=0)


def test_the_config_round_trips() -> None:
    optimizer = Adam(2e-3, beta_1=0.8, clipnorm=1.0, skip_gradients_above=9.0)
    config = keras.saving.serialize_keras_object(optimizer)
    assert config["registered_name"] == "aezoo>Adam"
    restored = keras.saving.deserialize_keras_object(config)
    assert isinstance(restored, Adam)
    assert restored.get_config() == optimizer.get_config()


def test_one_step_has_its_closed_form() -> None:
    # The first step of Adam is the learning rate times the gradient's sign.
    variable = keras.Variable(np.zeros(3, "float32"))
    optimizer = Adam(0.1)
    optimizer.apply([ops.convert_to_tensor([1.0, -20.0, 0.3])], [variable])
    np.testing.assert_allclose(variable.numpy(), [-0.1, 0.1, -0.1], rtol=1e-3)


# --- Averages, accumulation, skipped steps ---------------------------------------


@pytest.mark.parametrize("family", ["dense_ae", "adversarial_ae"])
def test_averages_are_those_of_the_weights_and_are_swapped_in(family: str) -> None:
    keras.utils.set_random_seed(1)
    network = (
        TINY if family == "dense_ae" else {**TINY, "filters": (4,), "strides": (2,)}
    )
    model = aezoo.create(family, **network)
    optimizer = Adam(1e-2, use_ema=True, ema_momentum=0.6)
    model.compile(optimizer)
    main = model.optimizer.main if family == "adversarial_ae" else optimizer
    expected = None
    for _ in range(3):
        # not `fit`, which gives the model its averages in the end
        model.train_on_batch(IMAGES)
        trained = [np.array(v) for v in main._trainable_variables]
        expected = trained if expected is None else [
            0.6 * a + 0.4 * w for a, w in zip(expected, trained, strict=True)
        ]  # fmt: skip
    with averaged_weights(model):
        inside = [np.array(v) for v in main._trainable_variables]
    for found, average in zip(inside, expected, strict=True):
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
    for found, weight in zip(main._trainable_variables, trained, strict=True):
        np.testing.assert_array_equal(np.array(found), weight)
    assert any(np.any(a != w) for a, w in zip(inside, trained, strict=True))


def test_accumulated_gradients_are_those_of_one_large_batch() -> None:
    small = _trained(Adam(1e-2, gradient_accumulation_steps=3))  # batches of 8
    keras.utils.set_random_seed(1)
    large = aezoo.create("dense_ae", **TINY)
    large.compile(Adam(1e-2))
    large.fit(IMAGES, batch_size=24, epochs=4, shuffle=False, verbose=0)
    assert int(small.optimizer.iterations) == int(large.optimizer.iterations) == 4
    for x, y in zip(small.weights, large.weights, strict=True):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 100.0])
def test_a_skipped_step_changes_nothing_but_the_counter(bad: float) -> None:
    variable = keras.Variable(np.ones(3, "float32"))
    optimizer = Adam(
        0.1, skip_gradients_above=10.0, weight_decay=0.1, use_ema=True, ema_momentum=0.5
    )

    def step(gradient: list[float]) -> dict[str, np.ndarray]:
        optimizer.apply([ops.convert_to_tensor(np.float32(gradient))], [variable])
        state = (variable, *optimizer.variables)
        return {v.path: np.array(v) for v in state}

    step([bad, 0.0, 0.0])  # the averages start at the first step that is taken
    taken = step([6.0, -8.0, 0.0])  # a norm of 10
    np.testing.assert_array_equal(
        optimizer._model_variables_moving_average[0], variable
    )
    assert np.all(np.array(variable) != 1.0)
    skipped = step([0.0, bad, 1.0])
    changed = [path for path in taken if np.any(taken[path] != skipped[path])]
    assert [path.split("/")[-1] for path in changed] == ["iteration", "skipped_steps"]
    assert (int(optimizer.iterations), int(optimizer.skipped_steps)) == (3, 2)


def test_fit_skips_all_steps_or_none() -> None:
    limits = {"none": None, "loose": 1e9, "tight": 1e-9}
    models = {
        k: _trained(Adam(1e-2, skip_gradients_above=v)) for k, v in limits.items()
    }
    skipped = {k: int(models[k].optimizer.skipped_steps) for k in ("loose", "tight")}
    assert skipped == {"loose": 0, "tight": 12}
    keras.utils.set_random_seed(1)
    start = aezoo.create("dense_ae", **TINY)
    start.build()
    for other, same in ((models["none"], models["loose"]), (start, models["tight"])):
        for x, y in zip(other.weights, same.weights, strict=True):
            np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skip_gradients_above": 0.0}, "must be a finite number above 0"),
        (
            {"skip_gradients_above": 1.0, "gradient_accumulation_steps": 2},
            "cannot be combined with `gradient_accumulation_steps`",
        ),
    ],
)
def test_skipping_says_what_it_takes(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adam(**arguments)
