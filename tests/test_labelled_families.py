"""Families that learn from labels: what labels change, and wrong ones."""

import keras
import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.data.datasets import DatasetError
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import evaluate
from aezoo.models.autoencoder import Autoencoder
from aezoo.registry import find_family
from aezoo.samplers import KINDS, fit_sampler
from tests import checks

CONDITIONAL = find_family("conditional_vae")
TINY = dict(CONDITIONAL.tiny)
LABELS = np.arange(10) % 3
FAMILIES = pytest.mark.parametrize("name", ["conditional_vae", "semi_supervised_vae"])


@pytest.fixture
def model() -> Autoencoder:
    return checks.trained(CONDITIONAL, TINY).model


@pytest.fixture
def x() -> np.ndarray:
    return checks.examples(CONDITIONAL, TINY)


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
    assert model.sample(2, seed=0, labels=1, noise=True).shape == (2, 8, 8, 1)


def bars() -> tuple[np.ndarray, np.ndarray]:
    """Images that their class determines: a bar in one of three places."""
    x = np.zeros((90, 8, 8, 1), "float32")
    labels = np.arange(90) % 3
    for c in range(3):
        x[labels == c, :, 2 * c : 2 * c + 3] = 1.0
    return x, labels


def test_the_class_is_learnt_and_the_code_freed() -> None:
    """Where the class determines the image the decoder paints it, without a code."""
    x, labels = bars()
    model = checks.new_model(CONDITIONAL, TINY)
    model.fit(x, labels, batch_size=10, epochs=30, verbose=0)
    for c in range(3):
        painted = model.decode(np.zeros((1, 3)), labels=c)
        assert np.mean((painted - x[c]) ** 2) < 0.05
    losses = model.evaluate(x, labels, verbose=0, return_dict=True)
    wrong = model.evaluate(x, (labels + 1) % 3, verbose=0, return_dict=True)
    assert losses["reconstruction"] < 0.5 * wrong["reconstruction"]


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_label_dropout_withholds_labels_in_training_only(dropout, x) -> None:
    model = checks.new_model(CONDITIONAL, {**TINY, "label_dropout": dropout})
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
        (0.5, "`labels` must be integers, one for each example.*dtype=float64"),
    ],
)
@FAMILIES
def test_wrong_labels_are_refused(name, labels, message, x) -> None:
    family = find_family(name)
    model = checks.trained(family, dict(family.tiny)).model
    for method, inputs in (
        (model.encode, x), (model.posterior, x), (model.reconstruct, x),
        (model.decode, np.zeros((10, *model.latent_shape))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            method(inputs, labels=labels)
    with pytest.raises(ValueError, match=message):
        model.sample(10, labels=labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"is told labels .*: pass batches \(x, labels\).*Received: nothing"),
        (LABELS + 1, "must be from 0 to 2, or -1 where unknown. Received: 1 to 3"),
        (LABELS.astype("float32"), "integers, one for each example.*dtype=float32"),
        (
            np.zeros((10, 3), "int32"),
            r"must be 10 integers, or one for all.*shape=\(10, 3\)",
        ),
    ],
)
@FAMILIES
def test_wrong_batches_are_refused(name, labels, message, x) -> None:
    family = find_family(name)
    for method in ("fit", "evaluate"):
        model = checks.new_model(family, dict(family.tiny))
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(x, labels, verbose=0)


def test_wrong_arguments_of_conditional_vae() -> None:
    with pytest.raises(ValueError, match="`num_classes` must be an integer"):
        aezoo.create("conditional_vae", num_classes=0)
    with pytest.raises(ValueError, match="`label_dropout` must be a finite number"):
        aezoo.create("conditional_vae", label_dropout=1.1)


def test_a_column_of_labels_is_fine(x) -> None:
    losses = [
        checks.new_model(CONDITIONAL, TINY).evaluate(x, y, verbose=0)
        for y in (LABELS, LABELS[:, None], LABELS.astype("uint8"))
    ]
    keras.tree.map_structure(
        lambda *v: np.testing.assert_allclose(v, v[0], rtol=1e-6), *losses
    )


# --- Semi-supervised -----------------------------------------------------------------

SEMI = find_family("semi_supervised_vae")
M2 = dict(SEMI.tiny)
UNKNOWN = np.full(10, -1)


@pytest.fixture
def m2() -> Autoencoder:
    """A model whose classes differ much more than those of a new one."""
    model = checks.new_model(SEMI, M2, seed=1)
    generator = np.random.default_rng(6)
    model.set_weights(
        [w + 0.3 * generator.normal(size=w.shape) for w in model.get_weights()]
    )
    return model


def terms_of(model, x, labels, **kwargs) -> dict[str, np.ndarray]:
    outputs = model(x, labels=ops.convert_to_tensor(labels))
    terms = model.compute_terms(ops.convert_to_tensor(x), outputs, **kwargs)
    return {name: np.asarray(values) for name, values in terms.items()}


def test_unlabelled_images_are_summed_over_their_classes(m2, x) -> None:
    """Equation 7 from equation 6: the expected bound, plus the entropy of q(y|x)."""
    q = m2.classify(x).T  # (3, 10)
    assert 0.05 < q.max(axis=0).mean() < 0.95
    given = [terms_of(m2, x, np.full(10, c)) for c in range(3)]
    terms = terms_of(m2, x, UNKNOWN)
    expected = sum(q[c] * given[c]["reconstruction"] for c in range(3))
    np.testing.assert_allclose(terms["reconstruction"], expected, rtol=1e-4)
    entropy = -np.sum(q * np.log(q), axis=0)
    expected = sum(q[c] * given[c]["kl"] for c in range(3)) - entropy
    np.testing.assert_allclose(terms["kl"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(terms["classification"], 0.0)
    for c in range(3):
        np.testing.assert_allclose(given[c]["classification"], -np.log(q[c]), rtol=1e-4)
    same = m2.compute_terms(ops.convert_to_tensor(x), m2(x))
    for name, values in terms.items():
        np.testing.assert_allclose(same[name], values, rtol=1e-6)


def test_a_batch_may_mix_labelled_and_unlabelled_images(m2, x) -> None:
    mixed = np.where(np.arange(10) < 4, LABELS, -1)
    terms, known, unknown = (terms_of(m2, x, y) for y in (mixed, LABELS, UNKNOWN))
    for name, values in terms.items():
        expected = np.where(mixed >= 0, known[name], unknown[name])
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        assert np.any(known[name][4:] != unknown[name][4:])


def test_a_code_is_z_and_the_most_probable_class(m2, x) -> None:
    codes, q = m2.encode(x), m2.classify(x)
    posterior = m2.posterior(x)
    best = q.argmax(axis=1)
    assert len(set(best)) > 1
    np.testing.assert_array_equal(codes[:, 3:], np.eye(3)[best])
    means = np.asarray(posterior.z_mean)[np.arange(10), best]
    np.testing.assert_allclose(codes[:, :3], means, atol=1e-5)
    np.testing.assert_allclose(np.asarray(posterior.mean)[:, 3:], q, atol=1e-5)
    given = m2.encode(x, labels=2)
    np.testing.assert_array_equal(given[:, 3:], np.eye(3)[np.full(10, 2)])
    means = np.asarray(posterior.z_mean)[:, 2]
    np.testing.assert_allclose(given[:, :3], means, atol=1e-5)


def test_labels_replace_the_class_of_a_code(m2, x) -> None:
    codes = m2.encode(x)
    other = np.concatenate([codes[:, :3], np.eye(3)[LABELS]], axis=1)
    for labels, expected in ((LABELS, other), (UNKNOWN, codes), (None, codes)):
        images = m2.decode(codes, labels=labels)
        np.testing.assert_allclose(images, m2.decode(expected), atol=1e-6)
    assert np.abs(m2.decode(other) - m2.decode(codes)).max() > 0.01
    drawn = m2.sample_prior(300, np.random.default_rng(0))
    np.testing.assert_allclose(drawn[:, 3:].sum(axis=0), 100, atol=30)
    codes = m2.sample_prior(4, np.random.default_rng(5))
    np.testing.assert_allclose(m2.sample(4, seed=5), m2.decode(codes), atol=1e-6)
    given = m2.sample(4, seed=5, labels=1)
    np.testing.assert_allclose(given, m2.decode(codes, labels=1), atol=1e-6)


@pytest.mark.parametrize("labels", [None, 1])
def test_the_posterior_is_a_distribution_over_pairs(m2, x, labels) -> None:
    """Draws, density, KL and prior agree; all of one image's codes."""
    many = np.repeat(x[:1], 20_000, axis=0)
    posterior = m2.posterior(many, labels=labels)
    z, log_q = (np.asarray(v, "float64") for v in posterior.sample_with_log_prob(0))
    q = m2.classify(x[:1])[0] if labels is None else np.eye(3)[labels]
    np.testing.assert_allclose(z[:, 3:].mean(axis=0), q, atol=0.015)
    expected = np.asarray(posterior.mean)[0]
    np.testing.assert_allclose(z.mean(axis=0), expected, atol=0.05)
    log_ratio = log_q - np.asarray(m2.log_prior(ops.convert_to_tensor(z, "float32")))
    error = log_ratio.std() / np.sqrt(len(z))
    assert abs(log_ratio.mean() - np.asarray(posterior.kl())[0]) < 4 * error + 1e-4
    if labels is None:  # else the prior's other classes are never drawn
        assert np.mean(np.exp(-log_ratio)) == pytest.approx(1.0, abs=0.1)
    between = 0.5 * z[:1].astype("float32")  # no class
    assert np.asarray(m2.posterior(x[:1]).log_prob(between)) == -np.inf


def test_no_sampler_is_fitted_to_pairs(m2, x) -> None:
    for kind in KINDS:
        with pytest.raises(
            UnsupportedOperationError,
            match=rf"sampler '{kind}' is for .* are mixed\. None can be fitted",
        ):
            fit_sampler(m2, x, kind)
        with pytest.raises(UnsupportedOperationError, match="None can be fitted"):
            m2.sample(1, sampler=kind)


def test_a_class_is_no_code_unit(m2, x) -> None:
    """Its one-hot row varies by more than most units, and has one in three on."""
    codes = m2.encode(x)
    assert np.sum(codes[:, 3:].var(axis=0) > 0.01) > 1
    head = m2.encoder.heads["z_mean"]
    kernel, bias = head.get_weights()
    head.set_weights([0.0 * kernel, np.full_like(bias, 2.0)])
    report = evaluate(m2, x, metrics=["active_units", "active_code_fraction"])
    assert report["active_units"].value == 0
    assert report["active_code_fraction"].value == 1.0


def test_likelihoods_sum_over_classes(m2, x) -> None:
    """With a decoder that sees the class alone, p(x) is a mean of three numbers."""
    kernel, bias = m2.decoder.hidden[0].get_weights()
    kernel[:3], kernel[3:] = 0.0, 3.0 * kernel[3:]
    m2.decoder.hidden[0].set_weights([kernel, bias])
    pixels = [
        np.asarray(m2.decode_parameters(ops.tile(code[None], (10, 1))))
        for code in np.eye(6, dtype="float32")[3:]
    ]
    by_class = [np.asarray(m2.make_likelihood(p).log_prob(x)) for p in pixels]
    exact = np.mean(np.logaddexp.reduce(by_class, axis=0) - np.log(3))
    assert np.ptp(by_class, axis=0).mean() > 1.0
    report = evaluate(m2, x, metrics=["iwae_nll", "elbo"], importance_samples=3000)
    assert report["iwae_nll"].value == pytest.approx(-exact, abs=0.05)
    assert report["elbo"].value < exact


@pytest.mark.exhaustive
def test_few_labels_name_the_classes_of_all_images() -> None:
    x, truth = bars()
    labels = np.where(np.arange(90) < 9, truth, -1)
    config = {**M2, "hidden_units": (32,), "activation": "silu"}
    accuracies = {}
    for name, y in (("few", labels), ("none", np.full(90, -1))):
        model = checks.new_model(SEMI, {**config, "classification_weight": 50.0})
        history = model.fit(x, y, batch_size=10, epochs=15, verbose=0).history
        assert (max(history["classification"]) == 0.0) == (name == "none")
        report = evaluate(model, (x, truth), metrics=["classification_accuracy"])
        accuracies[name] = report["classification_accuracy"].value
    assert accuracies["few"] == 1.0
    assert accuracies["none"] < 1.0  # it cannot know the names
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_images_are_classified(m2, x) -> None:
    q = m2.classify(x)
    assert q.shape == (10, 3)
    assert q.dtype == np.float32
    np.testing.assert_allclose(q.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(m2.classify(x, batch_size=3), q, atol=1e-6)
    as_bytes = checks.examples(SEMI, M2, dtype="uint8")
    np.testing.assert_allclose(m2.classify(as_bytes), q, atol=1e-5)
    for images, message in ((2.0 * x, r"values in \[0, 1\]"), (x[0], "shape")):
        with pytest.raises(ValueError, match=message):
            m2.classify(images)


def test_accuracy_is_the_share_of_right_classes(m2, model, x) -> None:
    best = m2.classify(x).argmax(axis=1)
    labels = np.where(np.arange(10) < 7, best, (best + 1) % 3)
    name = "classification_accuracy"
    record = evaluate(m2, (x, labels), metrics=[name])[name]
    assert record.value == pytest.approx(0.7)
    assert record.standard_error == pytest.approx(np.sqrt(0.7 * 0.3 / 9))
    assert "most probable class by the model's own q(y|x)" in record.protocol
    with pytest.raises(DatasetError, match="needs labels"):
        evaluate(m2, x, metrics=[name])
    with pytest.raises(DatasetError, match=r"from 0 to 2.*Received: 0 to 9"):
        evaluate(m2, (x, np.arange(10)), metrics=[name])
    with pytest.raises(UnsupportedOperationError, match=f"no metric '{name}'"):
        evaluate(model, (x, labels), metrics=[name])


def test_wrong_arguments_of_semi_supervised_vae() -> None:
    with pytest.raises(ValueError, match="`classification_weight` must be a finite"):
        aezoo.create("semi_supervised_vae", classification_weight=-1.0)
    with pytest.raises(ValueError, match=r"number or 'learned'.*'optimal'"):
        aezoo.create(
            "semi_supervised_vae", likelihood="gaussian", likelihood_scale="optimal"
        )
