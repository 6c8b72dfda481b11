"""Codes in groups of units: style and content, learnt from batches."""

import numpy as np
import pytest
from keras import ops

from aezoo.data.datasets import Dataset, DatasetError
from aezoo.models._groups import alike
from aezoo.models.group_vae import shared_by_pairs
from aezoo.nn.distributions import DiagonalGaussian
from aezoo.training.batches import ShuffledExamples, by_grid
from aezoo.training.loop import batch_grid, training_examples
from tests.bars import bars, recipe, tiny, trained
from tests.draws import exhaustive


def test_examples_are_alike_by_label_and_unknown_ones_by_themselves() -> None:
    found = alike(ops.convert_to_tensor(np.array([3, -1, 3, -1, 0])))
    expected = np.eye(5)
    expected[0, 2] = expected[2, 0] = 1
    np.testing.assert_array_equal(found, expected)


def test_the_evidence_of_a_group_is_multiplied_and_its_kl_counted_once() -> None:
    model = tiny("group_vae", style_dim=1)
    x = np.random.default_rng(0).random((6, 8, 8, 1), "float32")
    alone = model.infer(ops.convert_to_tensor(x))
    mean, precision = np.asarray(alone.mean), np.exp(-np.asarray(alone.log_var))
    style, content = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, -1, 0, 1, -1])
    told = {"style": style, "content": content}
    found = model.infer(
        ops.convert_to_tensor(x),
        **{name: ops.convert_to_tensor(labels) for name, labels in told.items()},
    )
    total = precision[:3, 0].sum()
    pooled = (precision[:3, 0] * mean[:3, 0]).sum() / total
    np.testing.assert_allclose(np.asarray(found.mean)[:3, 0], pooled, rtol=1e-5)
    np.testing.assert_allclose(found.log_var[0, 0], -np.log(total), rtol=1e-5)
    pair = precision[[0, 3], 1:]
    pooled = (pair * mean[[0, 3], 1:]).sum(axis=0) / pair.sum(axis=0)
    np.testing.assert_allclose(np.asarray(found.mean)[3, 1:], pooled, rtol=1e-5)
    np.testing.assert_allclose(found.mean[2, 1:], mean[2, 1:], rtol=1e-5)
    # as if each group were one example
    once = np.stack([found.mean[0, 0], found.mean[3, 0]])
    variances = np.exp(np.stack([found.log_var[0, 0], found.log_var[3, 0]]))
    of_styles = 0.5 * (once**2 + variances - 1 - np.log(variances)).sum()
    contents = [0, 1, 2, 5]
    once = np.asarray(found.mean)[contents, 1:]
    variances = np.exp(np.asarray(found.log_var)[contents, 1:])
    of_contents = 0.5 * (once**2 + variances - 1 - np.log(variances)).sum()
    np.testing.assert_allclose(
        np.asarray(found.kl()).sum(), of_styles + of_contents, rtol=1e-4
    )


def test_pairs_share_the_units_in_which_they_differ_least() -> None:
    generator = np.random.default_rng(0)
    mean, log_var = generator.normal(size=(2, 5, 4)).astype("float32")
    labels = np.array([7, 2, -1, 7, 2])
    found = shared_by_pairs(
        DiagonalGaussian(*map(ops.convert_to_tensor, (mean, log_var))),
        ops.convert_to_tensor(labels),
    )
    expected = mean.copy(), np.exp(log_var)
    for i, j in ((0, 3), (1, 4)):
        a, b = np.exp(log_var[i]), np.exp(log_var[j])
        kl = 0.5 * (np.log(b / a) + (a + (mean[i] - mean[j]) ** 2) / b - 1)
        here = kl < (kl.min() + kl.max()) / 2
        assert 0 < here.sum() < 4
        for one in (i, j):
            expected[0][one, here] = (mean[i] + mean[j])[here] / 2
            expected[1][one, here] = (a + b)[here] / 2
    np.testing.assert_allclose(found.mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(
        np.exp(np.asarray(found.log_var)), expected[1], rtol=1e-5
    )


def test_a_model_that_adapts_is_told_pairs() -> None:
    model = tiny("group_vae", style_dim=1, adaptive=True)
    x = np.zeros((4, 8, 8, 1), "uint8")
    model.compile("adam")
    model.fit(x, {"pair": np.array([0, 0, 1, -1])}, verbose=0)
    with pytest.raises(ValueError, match="two examples of a batch may have the same"):
        model.fit(x, {"pair": np.array([0, 0, 0, 1])}, batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="style"):
        model.fit(x, {"style": np.array([0, 0, 1, 1])}, verbose=0)


def test_style_and_content_are_learnt_apart() -> None:
    model = trained("group_vae", style_dim=2)
    images, _ = bars()
    bright, dark = images[5], images[1]
    swapped = model.swap(content_of=bright, style_of=dark[2:3])
    assert np.square(swapped - dark).mean() < 0.3 * np.square(bright - dark).mean()
    wanted, shown = images[2, 1:4], images[[0, 1, 3, 4, 5], 1:4]
    completed = model.complete(images[2, [0, 4]], shown.swapaxes(0, 1))
    assert completed.shape == wanted.shape
    apart = np.square(images[4, 1:4] - wanted).mean()
    assert np.square(completed - wanted).mean() < 0.1 * apart
    one_each = model.complete(images[2, [0, 4]], shown[-1])
    assert np.square(one_each - wanted).mean() < 0.3 * apart


def test_what_cannot_be_swapped_or_completed_is_refused() -> None:
    model, x = tiny("group_vae", style_dim=1), np.zeros((3, 8, 8, 1), "uint8")
    assert model.swap(x, x[:1]).dtype == np.uint8
    assert model.complete(x, x.astype("float32")).dtype == np.uint8
    with pytest.raises(ValueError, match=r"one example, or as many.*2 and 3"):
        model.swap(x, x[:2])
    with pytest.raises(ValueError, match=r"`style_of` must have shape"):
        model.swap(x, np.zeros((3, 9, 9, 1)))
    with pytest.raises(ValueError, match=r"`characters` must have shape"):
        model.complete(x, np.zeros((3, 9, 9, 1)))
    with pytest.raises(ValueError, match=r"`style_dim` must be below `latent_dim`"):
        tiny("group_vae", style_dim=4)
    with pytest.raises(ValueError, match=r"no factor 'styl'.*Did you mean 'style'"):
        model.group("styl")


def test_groups_of_one_example_are_refused() -> None:
    model, x = tiny("group_vae", style_dim=1), np.zeros((4, 8, 8, 1), "uint8")
    model.compile("adam")
    pairs, unknown = np.array([0, 0, 1, 1]), np.full(4, -1)
    model.fit(x, {"style": pairs, "content": unknown}, verbose=0)
    alone = {"style": pairs, "content": np.arange(4)}
    with pytest.raises(ValueError, match="`content` puts each of 4 examples into a gr"):
        model.fit(x, alone, verbose=0)
    batches = [(x[:2], {"style": np.arange(2), "content": unknown[:2]})]
    with pytest.raises(ValueError, match="`style` puts each of 2 examples into a gr"):
        model.fit(iter(batches), verbose=0)


def test_batches_without_groups_are_those_of_a_vae() -> None:
    x = np.random.default_rng(0).random((8, 8, 8, 1), "float32")
    models = [tiny("group_vae", style_dim=1), tiny("vae")]
    losses = []
    for model in models:
        model.compile("adam")
        losses.append(model.evaluate(x, verbose=0))
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)


def test_batches_hold_all_combinations_of_a_few_values() -> None:
    _, factors = bars()
    table = np.arange(30).reshape(6, 5)
    order = by_grid(table, (2, 3), 4, np.random.default_rng(0))
    batches = order.reshape(4, 6)
    for rows in batches:
        assert len({*map(tuple, factors[rows])}) == 6
        assert len({*factors[rows, 0]}) == 2
        assert len({*factors[rows, 1]}) == 3
    assert len({tuple(sorted(rows)) for rows in batches}) > 1
    told = {"style": factors[:, 0]}
    data = ShuffledExamples(np.arange(30), 6, 0, labels=told, grid=(table, (2, 3)))
    x, y = data[1]
    np.testing.assert_array_equal(y["style"], factors[x, 0])
    again = ShuffledExamples(np.arange(30), 6, 0, labels=told, grid=(table, (2, 3)))
    np.testing.assert_array_equal(again[1][0], x)
    double = ShuffledExamples(np.arange(30), 12, 0, labels=told, grid=(table, (2, 3)))
    np.testing.assert_array_equal(double[0][0][:6], data[0][0])
    assert len({*map(tuple, factors[double[0][0][6:]])}) == 6
    again.epoch = 1
    assert (again[1][0] != x).any()


def test_factors_and_combinations_that_are_missing_are_named() -> None:
    images, factors = bars()
    flat = images.reshape(-1, 8, 8, 1)
    how = recipe("group_vae", style_dim=1)
    named = Dataset("bars", "npz", "train", flat, None, factors, ("style", "tone"))
    with pytest.raises(DatasetError, match=r"no factor 'content'. It has: style, tone"):
        training_examples(tiny("group_vae", style_dim=1), named, how)
    with pytest.raises(DatasetError, match=r"no factor 'style'. It has: none"):
        batch_grid(how, Dataset("bars", "npz", "train", flat))
    holes = Dataset(
        "bars", "npz", "train", flat[:-1], None, factors[:-1], ("style", "content")
    )
    with pytest.raises(DatasetError, match=r"lacks 1 of the 30 combinations of style"):
        batch_grid(how, holes)
    with pytest.raises(ValueError, match=r"`batch_size` must be a multiple of the co"):
        how.with_overrides(batch_size=7)


@exhaustive
def test_groups_are_learnt_on_convolutions_too() -> None:
    model = trained("group_vae", style_dim=2, network="conv", filters=(8, 16))
    images, _ = bars()
    assert np.square(model.reconstruct(images[3]) - images[3]).mean() < 0.02
