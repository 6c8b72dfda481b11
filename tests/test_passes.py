"""`fit` and `evaluate` of arrays: one compiled loop with the results of Keras's."""

import functools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.models.passes import OrderedBatches
from aezoo.registry import find_family
from tests.draws import chosen, exhaustive

TINY = {"input_shape": (8, 8, 1), "hidden_units": (6,)}
CONV = {**TINY, "filters": (3, 4)}


@pytest.fixture
def x(rng) -> np.ndarray:
    return rng.integers(0, 256, (70, 8, 8, 1), dtype="uint8")


def new_model(family: str = "dense_vae", compiled: dict | None = None, **config):
    keras.utils.set_random_seed(3)
    small = TINY if family == "dense_vae" else CONV
    model = aezoo.create(family, **({**small, "latent_dim": 3} | config))
    model.compile(**({"optimizer": "adam"} | (compiled or {})))
    return model


def assert_same(model, other) -> None:
    assert int(model.optimizer.iterations) == int(other.optimizer.iterations)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def both(x, y=None, family="dense_vae", compiled=None, config=None, **arguments):
    """A model trained by the compiled loop, and one by Keras's; and their histories."""
    models, histories = [], []
    for in_memory in (True, False):
        make = {"compiled": compiled and {k: v() for k, v in compiled.items()}}
        model = new_model(family, **make, **(config or {}))
        history = model.fit(
            x,
            y,
            batch_size=16,
            epochs=2,
            shuffle=False,
            verbose=0,
            in_memory=in_memory,
            **arguments,
        )
        models.append(model)
        histories.append(history.history)
    return models, histories


@pytest.mark.parametrize(
    ("family", "compiled", "config"),
    [
        ("conv_vae", {}, {}),
        (
            "dense_vae",
            {"optimizer": lambda: aezoo.optimizers.Adam(1e-3, use_ema=True)},
            {"binarize": True},
        ),
        pytest.param(
            "dense_vae",
            {"optimizer": lambda: keras.optimizers.SGD(1e-4, clipnorm=1.0)},
            {},
            marks=exhaustive,
        ),
        ("adversarial_ae", {}, find_family("adversarial_ae").tiny),
    ],
)
def test_the_results_are_those_of_keras(x, family, compiled, config) -> None:
    if "input_shape" in config:
        x = np.resize(x, (70, *config["input_shape"]))
    models, (found, expected) = both(
        x,
        family=family,
        compiled=compiled or {"optimizer": lambda: "adam"},
        config=config,
        validation_data=x[:30],
    )
    assert_same(*models)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, err_msg=name)
    assert models[0].evaluate(x, verbose=0) == pytest.approx(
        models[1].evaluate(x, verbose=0, in_memory=False), rel=1e-4
    )


def test_mixed_precision_scales_losses_as_keras_does(x) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        models, _ = both(x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert type(models[0].optimizer).__name__ == "LossScaleOptimizer"
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_weights_and_other_targets_count(x, rng) -> None:
    weights = rng.random(70, "float32")
    models, histories = both(x, x[::-1].copy(), sample_weight=weights)
    assert_same(*models)
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-4)
    plain, _ = both(x)
    assert not np.allclose(plain[0].get_weights()[0], models[0].get_weights()[0])


def test_labels_and_a_split_are_those_of_keras(x, rng) -> None:
    labels = rng.integers(0, 10, 70)
    models, (found, expected) = both(
        x, labels, family="conditional_vae", validation_split=0.3
    )
    assert_same(*models)
    np.testing.assert_allclose(found["val_loss"], expected["val_loss"], rtol=1e-4)


@pytest.mark.parametrize("steps", [pytest.param(1, marks=exhaustive), 2, 64])
def test_the_seed_alone_decides_whatever_the_steps_between_turns(x, steps) -> None:
    def weights(steps: int) -> list[np.ndarray]:
        model = new_model(compiled={"steps_per_execution": steps})
        model.fit(x, batch_size=16, epochs=3, verbose=0)
        return model.get_weights()

    for a, b in zip(weights(steps), weights(5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_pass_has_another_order_that_the_seed_decides(x, monkeypatch) -> None:
    from aezoo.models import passes

    orders = []

    def to_device(data):
        if isinstance(data, np.ndarray) and data.dtype == "int32":
            orders.append(data.reshape(-1))
        return original(data)

    original = passes.to_device
    monkeypatch.setattr(passes, "to_device", to_device)
    for _ in range(2):
        new_model().fit(x, batch_size=70, epochs=2, verbose=0)
    first, second, third, fourth = orders
    assert sorted(first) == sorted(second) == list(range(70))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(second, fourth)


def test_a_second_fit_learns_from_its_own_arrays(x) -> None:
    model, other = new_model(), new_model()
    for each, second in ((model, 255 - x[:33]), (other, x[:33])):
        each.fit(x, batch_size=16, shuffle=False, verbose=0)
        each.fit(second, batch_size=16, shuffle=False, verbose=0)
    assert not np.allclose(model.get_weights()[0], other.get_weights()[0])


class Turns(keras.callbacks.Callback):
    """Notes the batches at which it has its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def on_train_batch_begin(self, batch, logs=None) -> None:  # noqa: ARG002
        self.seen.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.seen.append(("end", batch))
        assert isinstance(logs["loss"], float)


class Backwards(OrderedBatches):
    """Fewer batches than there are examples, another set at each epoch."""

    batch_size = 16

    def __init__(self, examples, labels=None) -> None:
        super().__init__()
        self.examples, self.labels, self.epoch = examples, labels, 0

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.examples))[::-1][self.epoch : self.epoch + 40]


@pytest.mark.parametrize(
    "family", chosen(["dense_vae", "conditional_vae"], ["conditional_vae"])
)
def test_batches_of_arrays_keep_their_order(x, rng, caplog, family) -> None:
    caplog.set_level("INFO", logger="aezoo")
    labels = None if family == "conv_vae" else rng.integers(0, 10, len(x))
    models = [new_model(family), new_model(family)]
    histories = []
    for model, in_memory in zip(models, (True, False), strict=True):
        batches = Backwards(x, labels)
        begin = functools.partial(setattr, batches, "epoch")
        callback = keras.callbacks.LambdaCallback(lambda epoch, _, f=begin: f(epoch))
        histories.append(
            model.fit(
                batches,
                epochs=3,
                shuffle=False,
                verbose=0,
                callbacks=[callback],
                in_memory=in_memory,
            )
        )
    assert "one compiled loop" in caplog.messages[0]
    assert "asked for" in caplog.messages[1]
    assert_same(*models)
    assert int(models[0].optimizer.iterations) == 9
    np.testing.assert_allclose(*(h.history["loss"] for h in histories), rtol=1e-5)


def test_a_callback_says_how_often_it_needs_a_turn(x) -> None:
    turns = Turns()
    turns.turn_seconds = 100.0
    new_model().fit(x, batch_size=2, verbose=0, callbacks=[turns])
    # the first one compiles, the second is timed, and the rest is one loop
    assert [batch for name, batch in turns.seen if name == "end"] == [0, 1, 34]


@pytest.mark.parametrize(
    ("steps", "ends"),
    [pytest.param(1, [0, 1, 2, 3, 4], marks=exhaustive), (3, [2, 3, 4])],
)
def test_callbacks_have_their_turn(x, steps, ends) -> None:
    turns = Turns()
    model = new_model(compiled={"steps_per_execution": steps})
    model.fit(x, batch_size=16, verbose=0, callbacks=[turns])
    assert [batch for name, batch in turns.seen if name == "end"] == ends


def test_a_callback_may_stop_in_the_middle_of_a_pass(x) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None) -> None:  # noqa: ARG002
            self.model.stop_training = batch == 2

    model = new_model()
    model.fit(x, batch_size=16, epochs=4, verbose=0, callbacks=[Stop()])
    assert int(model.optimizer.iterations) == 3


def test_epochs_stop_early_and_start_late(x) -> None:
    model = new_model(compiled={"optimizer": keras.optimizers.SGD(0.0)})
    early = keras.callbacks.EarlyStopping("val_loss", patience=1)
    history = model.fit(
        x, epochs=9, verbose=0, callbacks=[early], validation_data=x[:20]
    )
    assert len(history.history["val_loss"]) == 2
    assert model.fit(x, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]


def test_validation_may_be_a_dataset_and_rare(x) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(x[:20]).batch(8)
    history = new_model().fit(
        x, epochs=2, verbose=0, validation_data=dataset, validation_freq=2
    )
    assert len(history.history["val_loss"]) == 1
    assert len(history.history["loss"]) == 2


def test_an_argument_that_is_set_counts_from_the_next_turn_on(x) -> None:
    class Set(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None) -> None:  # noqa: ARG002
            self.model.reconstruction_loss = "mae"  # another graph

    arguments = {"batch_size": 70, "shuffle": False, "verbose": 0, "epochs": 2}
    changed, kept = (new_model("conv_ae") for _ in range(2))
    losses = [
        model.fit(x, **arguments, callbacks=calls).history["loss"]
        for model, calls in ((changed, [Set()]), (kept, []))
    ]
    assert losses[0][0] == losses[1][0]
    assert abs(losses[0][1] - losses[1][1]) > 1.0
    found = changed.evaluate(x, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(
        changed.evaluate(x, verbose=0, return_dict=True, in_memory=False)["loss"],
        rel=1e-4,
    )


def test_what_both_evaluates_report_follows_arguments_after_a_fit(x) -> None:
    """A function of `evaluate` that was compiled before an argument was set."""
    model = new_model("conv_ae")
    arguments = {"verbose": 0, "in_memory": False, "return_dict": True}
    model.evaluate(x, **arguments)
    model.fit(x, verbose=0, in_memory=False)
    model.reconstruction_loss = "mae"
    model.fit(x, verbose=0, in_memory=False)  # compiles its own function anew
    fresh = new_model("conv_ae", reconstruction_loss="mae")
    fresh.set_weights(model.get_weights())
    expected = fresh.evaluate(x, **arguments)["loss"]
    assert model.evaluate(x, **arguments)["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"steps_per_epoch": 2}, "`steps_per_epoch` is set"),
        ({"class_weight": {0: 1.0}}, "`class_weight` is set"),
        ({"shuffle": "batch"}, "`shuffle` is neither True nor False"),
        (
            {
                "x": tf.data.Dataset.from_tensors(np.zeros((2, 8, 8, 1))),
                "shuffle": False,
            },
            "the data are not arrays",
        ),
    ],
)
def test_what_cannot_be_one_loop_is_said(x, change, reason, caplog) -> None:
    arguments = {"x": x, "verbose": 0} | change
    with pytest.raises(
        ValueError, match=f"`in_memory` must be None or False, .*{reason}"
    ):
        new_model().fit(**arguments, in_memory=True)
    if "class_weight" not in change:
        with caplog.at_level(logging.INFO, "aezoo"):
            new_model().fit(**arguments)
        assert "Keras's own loop" in caplog.text
        assert reason in caplog.text


def test_what_keras_does_not_know_is_refused(x) -> None:
    with pytest.raises(TypeError, match="epoch"):
        new_model().fit(x, epoch=2, verbose=0)
    with pytest.raises((TypeError, ValueError), match="stepz"):
        new_model().evaluate(x, stepz=2, verbose=0)
    with pytest.raises(ValueError, match="`batch_size`"):
        new_model().fit(x, batch_size=0, verbose=0)


def test_the_log_says_which_loop_runs(x, caplog) -> None:
    with caplog.at_level(logging.INFO, "aezoo"):
        new_model().fit(x, verbose=0)
    assert "one compiled loop" in caplog.text


@pytest.mark.parametrize("share", [1.5, 0.99, -0.2])
def test_a_split_must_leave_examples_on_both_sides(x, share) -> None:
    with pytest.raises(ValueError, match="`validation_split` must be a share"):
        new_model().fit(x[:5], validation_split=share, verbose=0)


def test_what_encode_refuses_is_refused_before_the_first_step(x) -> None:
    model = new_model()
    with pytest.raises(ValueError, match="Divide"):
        model.fit(x.astype("float32"), verbose=0)
    assert int(model.optimizer.iterations) == 0
