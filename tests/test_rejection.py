"""Samples that a classifier is sure of."""

import numpy as np
import pytest

import aezoo
from aezoo import rejection_sample
from aezoo.errors import UnknownModelError, UnsupportedOperationError
from aezoo.modalities.image.extractors import load_extractor


class GreyModel:
    """Samples are grey, evenly dark; with labels, a class per tenth."""

    def sample(self, n, seed=None, *, labels=None, **_):
        drawn = np.random.default_rng(seed).random(n, "float32")
        if labels is not None:
            drawn = (labels + drawn) / 10
        return np.broadcast_to(drawn[:, None, None, None], (n, 2, 2, 1))


def ten_classes(images: np.ndarray) -> np.ndarray:
    """Surest of class `k` at the grey value `k / 10`, and less of every other one."""
    return -100.0 * np.abs(10.0 * images[:, 0, 0] - np.arange(10.0)) / 10


def test_the_surest_are_kept() -> None:
    def likes_white(images: np.ndarray) -> np.ndarray:
        return np.column_stack([3.0 * images[:, 0, 0, 0], np.zeros(len(images))])

    drawn = GreyModel().sample(40, 3)
    kept = rejection_sample(GreyModel(), 10, 3, classifier=likes_white, keep=0.25)
    np.testing.assert_array_equal(kept, np.sort(drawn, axis=0)[::-1][:10])


def test_each_class_keeps_its_own() -> None:
    labels = [7, 1, 7, 1, 1, 0]
    kept = rejection_sample(
        GreyModel(), 6, 0, classifier=ten_classes, keep=0.1, labels=labels
    )
    distance = 10.0 * kept[:, 0, 0, 0] - labels
    assert np.all((distance >= 0.0) & (distance < 0.25))  # they are drawn below 1
    assert distance[0] < distance[2]  # the surest first
    assert distance[1] < distance[3] < distance[4]
    everything = rejection_sample(
        GreyModel(), 3, 0, classifier=ten_classes, keep=1.0, labels=4
    )
    drawn = GreyModel().sample(3, 0, labels=np.full(3, 4))
    np.testing.assert_array_equal(everything, np.sort(drawn, axis=0))


def test_a_classifier_of_the_zoo_by_name() -> None:
    model = aezoo.load("conv_vae_mnist_z16")
    images = model.sample(12, seed=0)
    kept = rejection_sample(model, 4, 0, classifier="lenet_mnist_v1", keep=1 / 3)
    logits = load_extractor("lenet_mnist_v1").logits(images).astype("float64")
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    surest = np.argsort(-p.max(axis=1))[:4]
    np.testing.assert_allclose(kept, images[surest], atol=1e-6)
    with pytest.raises(UnknownModelError, match="Unknown feature extractor 'lenet'"):
        rejection_sample(model, 4, classifier="lenet")
    with pytest.raises(UnsupportedOperationError, match="knows no classes"):
        rejection_sample(model, 4, classifier="lenet_mnist_v1", labels=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "`n`"),
        ({"keep": 0.0}, "`keep` must be a finite number above 0 and at most 1"),
        ({"keep": 1.5}, "`keep`"),
        ({"labels": [0, 1]}, "3 integers, or one for all"),
        ({"labels": 10}, "classes of the classifier, 0 to 9. Received: 10 to 10"),
        ({"labels": -1}, "classes of the classifier"),
        ({"classifier": lambda x: x[:, 0, 0, 0]}, r"logits of shape \(6, num_classes"),
    ],
)
def test_what_is_wrong_is_named(changes, message) -> None:
    arguments = {"n": 3, "classifier": ten_classes, **changes}
    with pytest.raises(ValueError, match=message):
        rejection_sample(GreyModel(), **arguments)
