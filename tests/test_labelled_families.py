"""Families that learn from labels: what labels change, and wrong ones."""

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.models.conditional_vae import ConditionalVAE
from tests import checks

TINY = ConditionalVAE.TINY_CONFIG
LABELS = np.arange(10) % 3


@pytest.fixture
def model() -> ConditionalVAE:
    return checks.trained(ConditionalVAE, TINY).model


@pytest.fixture
def x() -> np.ndarray:
    return checks.pixels(TINY)


def test_labels_change_every_answer(model, x) -> None:
    z = model.encode(x)
    for method, inputs in (
        (model.encode, x),
        (model.decode, z),
        (model.reconstruct, x),
        (lambda values, **kw: np.asarray(model.posterior(values, **kw).mean), x),
    ):
        answers = [method(inputs, labels=labels) for labels in (None, 0, 1, 2)]
        for i in range(1, 4):
            assert np.any(answers[i] != answers[0])
            assert np.any(answers[i] != answers[i - 1])
        mixed = method(inputs, labels=LABELS)
        for i in range(10):  # each image with its own
            np.testing.assert_allclose(mixed[i], answers[1 + i % 3][i], atol=1e-5)
        np.testing.assert_array_equal(method(inputs, labels=[-1] * 10), answers[0])


def test_the_graph_and_the_entry_points_agree(model, x) -> None:
    outputs = model(x, labels=ops.convert_to_tensor(LABELS))
    np.testing.assert_allclose(
        outputs["z"], model.encode(x, batch_size=3, labels=LABELS), atol=1e-5
    )
    np.testing.assert_allclose(
        outputs["x_hat"], model.reconstruct(x, labels=LABELS), atol=1e-5
    )


def test_samples_are_of_the_classes_asked_for(model) -> None:
    generator = np.random.default_rng(0)
    z = model.sample_prior(4, generator)
    given = model.sample(4, seed=0, labels=[0, 1, 2, 0])
    np.testing.assert_allclose(given, model.decode(z, labels=[0, 1, 2, 0]), atol=1e-6)
    drawn = model.sample(40, seed=0)
    assert drawn.shape == (40, 8, 8, 1)
    assert model.sample(2, seed=0, labels=1, pixel_noise=True).shape == (2, 8, 8, 1)


def test_the_class_is_learnt_and_the_code_freed() -> None:
    """Images that their class determines: the decoder paints it, without a code."""
    x = np.zeros((90, 8, 8, 1), "float32")
    labels = np.arange(90) % 3
    for c in range(3):
        x[labels == c, :, 2 * c : 2 * c + 3] = 1.0
    model = checks.new_model(ConditionalVAE, TINY)
    model.fit(x, labels, batch_size=10, epochs=30, verbose=0)
    for c in range(3):
        painted = model.decode(np.zeros((1, 3)), labels=c)
        assert np.mean((painted - x[c]) ** 2) < 0.05
    losses = model.evaluate(x, labels, verbose=0, return_dict=True)
    wrong = model.evaluate(x, (labels + 1) % 3, verbose=0, return_dict=True)
    assert losses["reconstruction"] < 0.5 * wrong["reconstruction"]


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_label_dropout_withholds_labels_in_training_only(dropout, x) -> None:
    model = ConditionalVAE(**TINY, label_dropout=dropout)
    model.compile("adam")
    means = [
        np.asarray(model(x, training=True, labels=ops.full((10,), c))["z_mean"])
        for c in (0, 1)
    ]
    assert np.all(means[0] == means[1]) == (dropout == 1.0)
    means = [model.encode(x, labels=c) for c in (0, 1)]
    assert np.any(means[0] != means[1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3, "must be from 0 to 2, or -1 where unknown. Received: 3 to 3"),
        (-2, "must be from 0 to 2"),
        ([0, 1], r"`labels` must be 10 integers, or one for all.*shape=\(2,\)"),
        (0.5, "`labels` must be 10 integers.*dtype=float64"),
    ],
)
def test_wrong_labels_are_refused(labels, message, model, x) -> None:
    for method, inputs in (
        (model.encode, x), (model.posterior, x), (model.reconstruct, x),
        (model.decode, np.zeros((10, 3))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            method(inputs, labels=labels)
    with pytest.raises(ValueError, match=message):
        model.sample(10, labels=labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "learns from labels: pass batches.*Received: no labels"),
        (LABELS + 1, "must be from 0 to 2, or -1 where unknown. Received: 1 to 3"),
        (LABELS.astype("float32"), "one integer per image.*dtype=float32"),
        (np.zeros((10, 3), "int32"), r"one integer per image.*shape=\(None, 3\)"),
    ],
)
def test_wrong_batches_are_refused(labels, message, x) -> None:
    for name in ("fit", "evaluate"):
        model = checks.new_model(ConditionalVAE, TINY)
        with pytest.raises(ValueError, match=message.replace("None", r"(None|10)")):
            getattr(model, name)(x, labels, verbose=0)


def test_wrong_arguments_of_conditional_vae() -> None:
    with pytest.raises(ValueError, match="`num_classes` must be an integer"):
        aezoo.create("conditional_vae", num_classes=0)
    with pytest.raises(ValueError, match="`label_dropout` must be a finite number"):
        aezoo.create("conditional_vae", label_dropout=1.1)


def test_a_column_of_labels_is_fine(x) -> None:
    losses = [
        checks.new_model(ConditionalVAE, TINY).evaluate(x, y, verbose=0)
        for y in (LABELS, LABELS[:, None], LABELS.astype("uint8"))
    ]
    keras.tree.map_structure(
        lambda *v: np.testing.assert_allclose(v, v[0], rtol=1e-6), *losses
    )
