"""The transformer over discrete codes: its probabilities, its samples, its fit."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

import aezoo
from aezoo.errors import UnsupportedOperationError
from aezoo.manifest import BundledFile
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn.distributions import Categorical
from aezoo.registry import find_family
from aezoo.samplers import (
    AutoregressiveSampler,
    Samplers,
    fit_sampler,
    read_sampler,
    write_sampler,
)
from aezoo.samplers.autoregressive import IMPOSSIBLE
from aezoo.samplers.autoregressive_fit import TransformerNetwork
from aezoo.utils.files import sha256_of
from tests.draws import chosen, exhaustive

DISCRETE = ("vq_vae", "vq_vae_2", "fsq", "categorical_vae")
SMALL = {"width": 8, "layers": 2, "heads": 2}


def tiny(family: str) -> Autoencoder:
    found = find_family(family)
    levels = {"levels": (3, 4)} if family == "fsq" else {}
    return aezoo.create(family, **{**found.tiny, **levels})


def pixels(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1), dtype="uint8")


def transformer(
    shape: tuple[int, ...] = (2,), num_codes: int = 3, scale: float = 1.5
) -> AutoregressiveSampler:
    """One of random weights, far from uniform; its codes have two units."""
    generator = np.random.default_rng(5)
    network = TransformerNetwork(num_codes, math.prod(shape), seed=0, **SMALL)
    arrays = {
        name: (np.asarray(v) + generator.normal(0.0, scale, v.shape)).astype("float32")
        for name, v in network.tensors().items()
    }
    codes = generator.normal(size=(num_codes, 2)).astype("float32")
    return AutoregressiveSampler((*shape, 2), {"num_images": 1}, codes, **arrays)


def with_levels_and_classes() -> AutoregressiveSampler:
    """Two positions and two classes; the first has code 0 or 1, the other 2 to 4."""
    ours = transformer((2,), num_codes=5)
    bias = np.broadcast_to(ours.bias_out, (2, 5)).copy()
    bias[0, 2:] = bias[1, :2] = IMPOSSIBLE
    token = 4.0 * np.random.default_rng(1).normal(size=(2, ours.token.shape[1]))
    return dataclasses.replace(ours, bias_out=bias, class_token=token.astype("float32"))


def every_code(ours: AutoregressiveSampler) -> tuple[np.ndarray, np.ndarray]:
    """All sequences of indices, and the codes that they stand for."""
    choices = itertools.product(range(len(ours.codes)), repeat=ours.positions)
    indices = np.array(list(choices))
    return indices, ours.codes[indices].reshape(-1, *ours.latent_shape)


class MarkovModel:
    """A model whose codes are a Markov chain of three one-hot classes."""

    given: ClassVar[dict] = {}
    name = family = "markov"
    TASKS = ("reconstruction",)
    CODES = "discrete"
    START = np.array([0.6, 0.3, 0.1])
    STEP = np.array([[0.1, 0.8, 0.1], [0.05, 0.15, 0.8], [0.7, 0.2, 0.1]])

    def __init__(self, n: int, seed: int = 0, length: int = 6) -> None:
        generator = np.random.default_rng(seed)
        self.indices = np.empty((n, length), "int64")
        for i in range(length):
            p = self.STEP[self.indices[:, i - 1]] if i else np.tile(self.START, (n, 1))
            u = generator.random((n, 1))
            self.indices[:, i] = np.sum(np.cumsum(p, axis=1)[:, :2] <= u, axis=1)
        self.codes = np.eye(3, dtype="float32")[self.indices]
        self.latent_shape = (length, 3)
        self.samplers = Samplers(self)  # type: ignore[arg-type]

    def posterior(self, x: Any, **conditions: Any) -> Categorical:  # noqa: ARG002
        return Categorical(1e4 * self.codes)

    def get_weights(self) -> list[np.ndarray]:
        return []

    def log_prob(self) -> np.ndarray:
        steps = self.STEP[self.indices[:, :-1], self.indices[:, 1:]]
        return np.log(self.START[self.indices[:, 0]]) + np.log(steps).sum(axis=1)


# --- Probabilities -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 2)])
def test_the_probabilities_of_all_codes_have_sum_one(shape: tuple[int, ...]) -> None:
    ours = transformer(shape)
    probabilities = np.exp(ours.log_prob(every_code(ours)[1]))
    assert len(probabilities) == 3 ** math.prod(shape)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    assert probabilities.max() > 3 * probabilities.min(), "far from uniform"


def test_codes_are_drawn_as_often_as_they_are_probable() -> None:
    ours = transformer()
    indices, codes = every_code(ours)
    n = 100_000
    drawn = ours.sample_codes(n, np.random.default_rng(0))
    matches = np.all(drawn[:, None] == codes[None], axis=(2, 3))
    assert np.all(matches.sum(axis=1) == 1)
    p = np.exp(ours.log_prob(codes))
    error = np.abs(matches.mean(axis=0) - p) / np.sqrt(p * (1.0 - p) / n)
    assert error.max() < 4.0, indices[error.argmax()]


def test_positions_have_their_own_codes() -> None:
    ours = with_levels_and_classes()
    z = np.array([[ours.codes[i], ours.codes[j]] for i in (0, 1) for j in (2, 3, 4)])
    np.testing.assert_allclose(np.exp(ours.log_prob(z)).sum(), 1.0, rtol=1e-10)
    with pytest.raises(ValueError, match="must hold vectors out of the sampler"):
        ours.log_prob(z[:, ::-1])
    drawn = ours.sample_codes(200, np.random.default_rng(0))
    assert np.isfinite(ours.log_prob(drawn)).all()
    # equal vectors of two codebooks are told apart by where they are
    twins = ours.codes.copy()
    twins[3] = twins[1]
    ours = dataclasses.replace(ours, codes=twins)
    np.testing.assert_array_equal(
        ours._nearest(twins[None, [1, 3]].ravel()[None]), [[1, 3]]
    )


def test_a_class_changes_what_is_drawn_and_none_is_their_mean() -> None:
    ours = with_levels_and_classes()
    indices = np.array([[i, j] for i in (0, 1) for j in (2, 3, 4)])
    p = [
        np.exp(
            np.take_along_axis(
                ours.log_conditionals(indices, np.full(6, label)), indices[..., None], 2
            ).sum(axis=(1, 2))
        )
        for label in (0, 1)
    ]
    assert np.abs(p[0] - p[1]).max() > 0.1
    z = ours.codes[indices]
    np.testing.assert_allclose(np.exp(ours.log_prob(z)), np.mean(p, axis=0))
    for labels, expected in ((np.ones(4000, int), p[1]), (None, np.mean(p, axis=0))):
        drawn = ours.sample_codes(4000, np.random.default_rng(0), labels)
        same = np.all(drawn[:, None] == z[None], axis=(2, 3))
        np.testing.assert_allclose(same.mean(axis=0), expected, atol=0.04)
    labels = np.array([0, 1, 1])
    few = ours.sample_codes(3, np.random.default_rng(2), labels)
    more = ours.sample_codes(4, np.random.default_rng(2), np.array([0, 1, 1, 0]))
    np.testing.assert_array_equal(more[:3], few)


def test_classes_and_levels_are_evaluated_as_they_are_trained(tmp_path) -> None:
    ours = with_levels_and_classes()
    path = tmp_path / "sampler.npz"
    write_sampler(ours, path)
    file = BundledFile(path.name, path.stat().st_size, sha256_of(path))
    again = read_sampler(path, ours.kind, ours.latent_shape, file, "")
    network = TransformerNetwork(
        5, 2, seed=0, num_classes=2, bias_out=ours.bias_out, **SMALL
    )
    for name, variable in network._arrays.items():
        variable.assign(again.arrays()[name])
    rows = np.array([[1, 0, 4], [0, 1, 2]], "int32")
    log_p = again.log_conditionals(rows[:, 1:], rows[:, 0])
    chosen = np.take_along_axis(log_p, rows[:, 1:, None], axis=2).sum(axis=(1, 2))
    np.testing.assert_allclose(-np.asarray(network(rows)), chosen, rtol=1e-4)


@exhaustive
def test_a_model_samples_of_the_classes_that_it_was_fitted_with() -> None:
    """All images of a class are the same, so its samples are those images."""
    keras.utils.set_random_seed(3)  # weights that tell the two images apart
    model = tiny("vq_vae_2")
    images = np.repeat(pixels(2), 200, axis=0)
    labels = np.repeat([0, 1], 200)
    options = {**SMALL, "epochs": 40, "class_conditional": True}
    sampler = fit_sampler(model, images, "autoregressive", 0, labels, **options)
    assert sampler.num_classes == 2
    wanted = np.arange(100) % 2
    drawn = model.sample(100, 0, sampler="autoregressive", labels=wanted)
    expected = model.reconstruct(pixels(2) / np.float32(255))
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    own, other = (
        np.mean(np.abs(drawn - expected[labels]).max(axis=(1, 2, 3)) < 1e-5)
        for labels in (wanted, 1 - wanted)
    )
    assert own > 0.4
    assert other < 0.1
    for labels, message in (
        ([0, 2], "2 integers from 0 to 1"),
        ([0], "2 integers"),
        (0.5, "2 integers"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(2, sampler="autoregressive", labels=labels)


def test_samplers_and_priors_without_classes_refuse_labels() -> None:
    model = tiny("vq_vae")
    with pytest.raises(ValueError, match=r"needs `labels`: 60 integers.*labels=None"):
        fit_sampler(model, pixels(), "autoregressive", class_conditional=True)
    fit_sampler(model, pixels(), "autoregressive", epochs=1, **SMALL)
    with pytest.raises(UnsupportedOperationError, match="knows no classes"):
        model.sample(2, sampler="autoregressive", labels=[0, 1])
    with pytest.raises(UnsupportedOperationError, match=r"The prior of .* no classes"):
        tiny("categorical_vae").sample(2, labels=0)


def test_an_index_changes_what_comes_after_it_alone() -> None:
    ours = transformer((2, 3))
    indices = np.zeros((1, 6), "int64")
    before = ours.log_conditionals(indices)
    assert before.shape == (1, 6, 3)
    np.testing.assert_allclose(np.exp(before).sum(axis=2), 1.0)
    for i in range(6):
        moved = indices.copy()
        moved[0, i] = 1
        difference = np.abs(ours.log_conditionals(moved) - before).max(axis=(0, 2))
        assert np.all(difference[: i + 1] == 0.0)
        assert np.all(difference[i + 1 :] > 1e-6)


def test_what_is_cached_gives_the_same_as_all_at_once() -> None:
    """Sampling adds one position to the cache at a time; the density all of them."""
    ours = transformer((5,), num_codes=4)
    indices = np.random.default_rng(0).integers(0, 4, (7, 5))
    cache = ours._empty_cache(7)
    first = np.zeros((7, 1, ours.token.shape[1]))
    before = np.concatenate([first, ours.token[indices]], axis=1)
    steps = [ours._logits(before[:, i : i + 1], i, cache) for i in range(5)]
    logits = np.concatenate(steps, axis=1)
    log_p = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    np.testing.assert_allclose(log_p, ours.log_conditionals(indices), atol=1e-10)


def test_what_is_evaluated_is_what_was_trained() -> None:
    ours = transformer((2, 2), num_codes=5, scale=0.5)
    network = TransformerNetwork(5, 4, seed=0, **SMALL)
    for name, variable in network._arrays.items():
        variable.assign(ours.arrays()[name])
    indices = np.random.default_rng(0).integers(0, 5, (9, 4)).astype("int32")
    z = ours.codes[indices].reshape(9, 2, 2, 2)
    np.testing.assert_allclose(
        ours.log_prob(z), -np.asarray(network(indices)), rtol=1e-4
    )


def test_a_seed_gives_these_codes_on_every_backend() -> None:
    ours = transformer((2, 3), num_codes=4)
    z = ours.sample_codes(2, np.random.default_rng(7))
    indices = [[[1, 3, 1], [0, 0, 3]], [[0, 1, 1], [0, 1, 2]]]
    np.testing.assert_array_equal(z, ours.codes[indices])
    np.testing.assert_allclose(ours.log_prob(z), [-4.154985, -1.490974], rtol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = transformer((3,))
    z = ours.sample_codes(50, np.random.default_rng(0))
    log_p = ours.log_prob(z)
    monkeypatch.setattr(AutoregressiveSampler, "chunk", 7)
    np.testing.assert_array_equal(ours.sample_codes(50, np.random.default_rng(0)), z)
    np.testing.assert_allclose(ours.log_prob(z), log_p, rtol=1e-12)


@pytest.mark.parametrize("change", [0.1, np.nan])
def test_vectors_that_are_no_codes_have_no_probability(change: float) -> None:
    ours = transformer()
    z = ours.sample_codes(4, np.random.default_rng(0))
    ours.log_prob(z + 1e-7)  # rounding is no other code
    z[2, 1, 0] += change
    with pytest.raises(ValueError, match=r"`z` must hold vectors out of .* 3 codes"):
        ours.log_prob(z)


# --- Fitting -------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_it_learns_a_markov_chain() -> None:
    """Nearly the likelihood of the chain itself on other codes, and its steps."""
    model, fresh = MarkovModel(3000), MarkovModel(2000, seed=1)
    first, again = (
        fit_sampler(model, None, "autoregressive", epochs=8, **SMALL) for _ in range(2)
    )
    gap = fresh.log_prob() - first.log_prob(fresh.codes)
    assert -0.02 < gap.mean() < 0.1
    assert first.log_prob(fresh.codes).mean() > 6 * math.log(1 / 3) + 1.0
    drawn = first.sample_codes(4000, np.random.default_rng(0)).argmax(axis=2)
    steps = np.zeros((3, 3))
    np.add.at(steps, (drawn[:, :-1], drawn[:, 1:]), 1.0)
    steps /= steps.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(steps, MarkovModel.STEP, atol=0.06)
    starts = np.bincount(drawn[:, 0]) / len(drawn)
    np.testing.assert_allclose(starts, MarkovModel.START, atol=0.06)
    for name, array in first.arrays().items():
        np.testing.assert_allclose(array, again.arrays()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", chosen(DISCRETE, ["vq_vae_2", "fsq"]))
def test_discrete_families_sample_from_it(family: str) -> None:
    model, x = tiny(family), pixels()
    sampler = fit_sampler(model, x, "autoregressive", epochs=1, **SMALL)
    drawn = model.sample(3, seed=0, sampler="autoregressive")
    assert drawn.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(
        drawn, model.sample(3, seed=0, sampler="autoregressive")
    )
    log_p = sampler.log_prob(model.encode(x))
    assert np.all(np.isfinite(log_p) & (log_p < 0.0))
    units = math.prod(model.latent_shape[:-1])
    assert log_p.mean() > -1.2 * units * math.log(len(sampler.codes))
    z = sampler.sample_codes(5, np.random.default_rng(0))
    again = np.asarray(model.decode(z))
    assert again.shape == (5, 8, 8, 1)
    assert "causal transformer of 2 layers" in sampler.describe()
    assert "60 images" in sampler.describe("images")


@pytest.mark.parametrize("family", chosen(["vq_vae", "vq_vae_2", "fsq"], ["vq_vae_2"]))
def test_its_indices_are_the_models(family: str) -> None:
    model, x = tiny(family), pixels(9)
    sampler = fit_sampler(model, x, "autoregressive", epochs=1, **SMALL)
    indices = model.encode_indices(x)
    z = sampler.codes[indices]
    np.testing.assert_allclose(z, model.encode(x), atol=1e-6)
    np.testing.assert_allclose(
        model.decode(z), model.decode_indices(indices), atol=1e-5
    )
    log_p = sampler.log_conditionals(indices.reshape(9, -1))
    chosen = np.take_along_axis(log_p, indices.reshape(9, -1, 1), axis=2)
    np.testing.assert_allclose(sampler.log_prob(z), chosen.sum(axis=(1, 2)))


@pytest.mark.parametrize("family", DISCRETE)
def test_discrete_codes_have_no_sampler_of_continuous_ones(family: str) -> None:
    model = tiny(family)
    for kind in ("gmm", "vamp", "flow"):
        with pytest.raises(
            UnsupportedOperationError,
            match=rf"'{kind}' is for continuous codes, and those of '{family}' are "
            r"discrete\. Fit one with .*x, 'autoregressive'\)`; kinds for its "
            r"discrete codes: 'autoregressive'\.",
        ):
            fit_sampler(model, pixels(), kind)
        with pytest.raises(
            UnsupportedOperationError,
            match=f"no sampler '{kind}'.*x, 'autoregressive'",
        ):
            model.sample(1, sampler=kind)
    assert not model.samplers


@pytest.mark.parametrize("family", ["conv_ae", "conv_vae"])
def test_continuous_codes_have_no_sampler_of_discrete_ones(family: str) -> None:
    with pytest.raises(
        UnsupportedOperationError,
        match=rf"those of '{family}' are continuous\. Fit one with .*x, 'gmm'\)`; "
        "kinds for its continuous codes: 'gmm', 'vamp', 'flow'",
    ):
        fit_sampler(tiny(family), pixels(), "autoregressive")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"`width` must be a multiple of `heads`\. Received: width=8"),
        ({"layers": 0}, "`layers` must be an integer"),
        ({"heads": 0}, "`heads` must be an integer"),
        ({"width": 2.5}, "`width` must be an integer"),
        ({"epochs": 0}, "`epochs` must be an integer"),
        ({"num_layers": 2}, r"Unknown option `num_layers`.*Known: width, layers"),
    ],
)
def test_options_that_cannot_be_are_named(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_sampler(MarkovModel(10), None, "autoregressive", **{**SMALL, **options})


def test_a_codebook_too_large_to_list_is_refused() -> None:
    model = aezoo.create(
        "fsq", input_shape=(8, 8, 1), filters=(4, 6), levels=(1000, 1000)
    )
    with pytest.raises(
        UnsupportedOperationError, match=r"at most 16,384 codes\. Received: 1,000,000"
    ):
        fit_sampler(model, pixels(), "autoregressive")


# --- Files ---------------------------------------------------------------------------


def test_the_files_of_usual_sizes_are_small(tmp_path: Path) -> None:
    """8 x 8 codes out of 512: what `weights/` takes is 1 MB."""
    network = TransformerNetwork(512, 64, width=64, layers=3, heads=4, seed=0)
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.normal(size=v.shape).astype("float32")
        for name, v in network.tensors().items()
    }
    codes = generator.normal(size=(512, 16)).astype("float32")
    ours = AutoregressiveSampler((8, 8, 16), {"num_images": 1}, codes, **arrays)
    write_sampler(ours, tmp_path / "sampler.npz")
    assert (tmp_path / "sampler.npz").stat().st_size < 1_000_000
    assert sum(array.size for array in arrays.values()) < 250_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias_in": np.zeros(3, "float32")}, "must be float32 of shape"),
        (
            {"bias_in": np.zeros((2, 3, 4, 4), "float32")},
            r"`token` must be float32 of shape \(3, 16\)",
        ),
        ({"bias_up": np.zeros(3, "float32")}, "`kernel_up` must be float32 of shape"),
        ({"bias_out": np.zeros(0, "float32")}, r"`codes` must be .* \(0, 2\)"),
        ({"codes": np.zeros((3, 5), "float32")}, r"`codes` must be .* \(3, 2\)"),
        ({"position": np.zeros((3, 8), "float32")}, r"`position` must be .* \(2, 8\)"),
        ({"kernel_out": np.zeros((8, 3))}, "`kernel_out` must be float32.*float64"),
        ({"bias_mix": np.full((2, 8), np.inf, "float32")}, "`bias_mix` holds NaN"),
        ({"latent_shape": (2, 1, 3)}, r"`codes` must be .* \(3, 3\)"),
    ],
)
def test_arrays_that_make_no_transformer_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(transformer(), **change)
