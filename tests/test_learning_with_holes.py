"""Training on examples with missing elements: the bound is that of what is there."""

import functools
from typing import Any

import keras
import numpy as np
import pytest

import aezoo
from aezoo.nn.distributions import IndexedNoise
from aezoo.registry import find_family
from tests.draws import exhaustive

FAMILIES = (
    "conv_vae",
    "iwae",
    *(
        pytest.param(family, marks=exhaustive)
        for family in ("hierarchical_vae", "flow_vae", "vamp_vae")
    ),
)


def images(n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((n, 8, 8, 1)).astype("float32")


def holes(n: int = 6) -> np.ndarray:
    return np.random.default_rng(1).random((n, 8, 8)) < 0.5


def tiny(family: str, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = aezoo.create(family, **find_family(family).tiny, **options)
    model.compile("adam")
    return model


@functools.cache
def fixed(family: str) -> Any:
    return tiny(family)


def losses(model: Any, *data: Any, **options: Any) -> dict[str, float]:
    found: dict[str, float] = model.evaluate(
        *data, verbose=0, return_dict=True, batch_size=3, **options
    )
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_hidden_does_not_count(family: str) -> None:
    model, x, mask = fixed(family), images(), holes()
    found = losses(model, x, mask=mask)
    assert np.isfinite(list(found.values())).all()
    unknown = np.where(mask[..., None], np.nan, x)
    assert losses(model, unknown, mask=mask) == found
    nothing = losses(model, x, mask=np.zeros((8, 8), bool))
    for name, value in losses(model, x).items():
        assert nothing[name] == pytest.approx(value, rel=1e-5)
    assert found["reconstruction"] < nothing["reconstruction"], "half of the pixels"


def test_the_bound_is_that_of_the_pixels_that_are_there() -> None:
    model, x, mask = fixed("conv_vae"), images(), holes()
    seen = ~mask[..., None]
    # the encoder sees them larger by what is missing, as with dropout
    share = seen.mean(axis=(1, 2, 3), keepdims=True)
    shown = (np.where(seen, x, 0.0) / share).astype("float32")
    posterior = model.make_posterior(model.encode_parameters(shown))
    z = posterior.sample(IndexedNoise(0))
    logits = keras.ops.convert_to_numpy(model.decode_parameters(z))
    nats = np.log1p(np.exp(logits)) - x * logits
    expected = np.sum(nats * seen, axis=(1, 2, 3)).mean()
    found = losses(model, x, mask=mask)["reconstruction"]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", ["conv_vae", pytest.param("iwae", marks=exhaustive)])
def test_both_loops_and_datasets_learn_the_same(family: str) -> None:
    import tensorflow as tf

    x, mask = images(), holes()
    found = []
    for way in ("memory", "keras", "dataset"):
        model = tiny(family)
        options = {"shuffle": False, "epochs": 2, "verbose": 0}
        if way == "dataset":
            data = tf.data.Dataset.from_tensor_slices((x, {"mask": mask})).batch(3)
            history = model.fit(data, **options)
        else:
            history = model.fit(
                x, mask=mask, batch_size=3, in_memory=way == "memory", **options
            )
        found.append(history.history["loss"])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)


def test_labels_and_validation_data_go_with_a_mask() -> None:
    model, x, mask = tiny("conditional_vae"), images(), holes()
    labels = np.arange(6) % 3
    history = model.fit(
        *(x, labels),
        mask=mask,
        validation_data=(x, {"labels": labels, "mask": mask}),
        verbose=0,
    ).history
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    weights = np.ones(6)
    by_weights = losses(model, x, labels, mask=mask, sample_weight=weights)
    assert by_weights == pytest.approx(losses(model, x, labels, mask=mask), rel=1e-5)


def test_a_model_learns_from_halves() -> None:
    """Each example lacks half of its pixels, and no pixel is known of all."""
    x = np.repeat(np.float32([0.0, 1.0]), 32).reshape(-1, 1, 1, 1)
    x = np.broadcast_to(x, (64, 8, 8, 1))
    mask = np.random.default_rng(2).random((64, 8, 8)) < 0.5
    model = tiny("dense_vae")
    model.compile(keras.optimizers.Adam(1e-2))
    unknown = np.where(mask[..., None], 0.5, x)
    model.fit(unknown, mask=mask, epochs=40, batch_size=16, verbose=0)
    shown = model.reconstruct(np.where(mask[..., None], 0.0, x))
    assert np.abs(shown - x)[mask].mean() < 0.1


@pytest.mark.parametrize(
    ("family", "options", "why"),
    [
        ("conv_ae", {}, "looks at whole examples"),
        ("vae_gan", {}, "looks at whole examples"),
        ("semi_supervised_vae", {}, "looks at whole examples"),
        (
            "conv_vae",
            {"likelihood": "gaussian", "likelihood_scale": "optimal"},
            "'opti",
        ),
        ("sentence_vae", {}, "each word is told those before it"),
    ],
)
def test_who_cannot_is_told_so(family: str, options: dict[str, Any], why: str) -> None:
    model = tiny(family, **options)
    x = model.modality.examples(4)
    mask = np.zeros((4, *model.modality.positions), bool)
    with pytest.raises(ValueError, match=f"cannot learn from .*{why}"):
        model.fit(x, mask=mask, verbose=0)


def test_masks_that_do_not_fit_are_refused() -> None:
    model, x = fixed("conv_vae"), images()
    for mask in (np.zeros((6, 8, 7), bool), holes().astype("float32"), holes()[:3]):
        with pytest.raises(ValueError, match="`mask` must be bools, True where"):
            model.fit(x, mask=mask, verbose=0)
    with pytest.raises(ValueError, match=r"Datasets hold it: \(x, \{'mask'"):
        model.fit(iter([x]), mask=holes(), verbose=0)
    with pytest.raises(ValueError, match=r"`y` beside `mask` must be a dictionary"):
        model.fit(x, x, mask=holes(), verbose=0)
