"""Missing pixels: what is known stays, what is not follows from it."""

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation.image import imputation
from aezoo.models import inpainting
from aezoo.registry import find_family

HALF = np.zeros((8, 8), bool)
HALF[4:] = True


def images(n: int = 3, channels: int = 1) -> np.ndarray:
    draws = np.random.default_rng(0)
    return draws.integers(0, 256, (n, 8, 8, channels), dtype="uint8")


@functools.cache
def tiny(family: str) -> Any:
    keras.utils.set_random_seed(0)
    return aezoo.create(family, **find_family(family).tiny)


@pytest.mark.parametrize(
    "family", ["conv_vae", "hierarchical_vae", "masked_ae", "conv_ae", "vq_vae"]
)
def test_what_is_known_stays_and_seeds_repeat(family: str) -> None:
    model, x = tiny(family), images()
    options: dict[str, Any] = {"n": 2, "steps": 2, "candidates": 2}
    found = model.inpaint(x, HALF, seed=1, **options)
    assert found.shape == (3, 2, 8, 8, 1)
    assert found.dtype == np.uint8
    known = np.broadcast_to(x[:, None], found.shape)
    np.testing.assert_array_equal(found[:, :, :4], known[:, :, :4])
    again = model.inpaint(x, HALF, seed=1, **options)
    np.testing.assert_array_equal(found, again)
    # what is hidden is not looked at, and neither are the other examples
    changed = x.copy()
    changed[:, 4:] = 0
    np.testing.assert_array_equal(
        model.inpaint(changed, HALF, seed=1, **options), found
    )
    alone = model.inpaint(x[:1], HALF[None], seed=1, **options)
    np.testing.assert_allclose(alone[0].astype(int), found[0], atol=1)


def test_floats_come_back_as_floats_in_range() -> None:
    x = images().astype("float32") / 255.0
    found = tiny("conv_vae").inpaint(x, HALF, seed=0, steps=1)
    assert found.dtype == np.float32
    assert 0.0 <= found.min() <= found.max() <= 1.0
    np.testing.assert_array_equal(found[:, 0, :4], x[:, :4])


def test_positions_by_themselves_sum_to_the_likelihood() -> None:
    model = tiny("conv_vae")
    x = images().astype("float32") / 255.0
    parameters = np.random.default_rng(1).standard_normal((6, 8, 8, 1))
    parameters = parameters.astype("float32")
    by_position = inpainting.log_prob_at_positions(model, parameters, x, 2)
    assert by_position.shape == (6, 64)
    whole = model.make_likelihood(keras.ops.convert_to_tensor(parameters)).log_prob(
        keras.ops.convert_to_tensor(np.repeat(x, 2, axis=0))
    )
    np.testing.assert_allclose(by_position.sum(axis=1), whole, rtol=1e-5)


class TwoWorlds:
    """z is 0 or 1, and all pixels are z: what is known tells everything."""

    learns_binarised = False
    name = "two"

    class Posterior:
        def __init__(self, n: int) -> None:
            self.n = n

        def sample_with_log_prob(self, noise: Any) -> tuple[np.ndarray, np.ndarray]:
            z = (np.asarray(noise.uniform((self.n, 1))) > 0.5).astype("float32")
            return z, np.full(self.n, np.log(0.5))

    def posterior(self, x: np.ndarray, given: Any = None) -> Any:  # noqa: ARG002
        return self.Posterior(len(x))

    def run(self, name: str, z: np.ndarray, size: int) -> np.ndarray:  # noqa: ARG002
        return np.repeat(20.0 * z - 10.0, 64, axis=1).reshape(-1, 8, 8, 1)

    def prior_density(self) -> Any:
        return lambda z: np.full(len(z), np.log(0.5))

    def make_likelihood(self, logits: Any) -> Any:
        return aezoo.distributions.Bernoulli(logits)

    def point(self, logits: Any) -> Any:
        return keras.ops.sigmoid(logits)


def test_the_candidate_that_explains_what_is_known_is_kept() -> None:
    x = np.stack([np.zeros((8, 8, 1)), np.ones((8, 8, 1))] * 20).astype("float32")
    hidden = np.broadcast_to(HALF, (40, 8, 8))
    noise = aezoo.distributions.IndexedNoise(0)
    _, shown = inpainting.resample(TwoWorlds(), x, hidden, noise, 16)
    np.testing.assert_allclose(shown, x, atol=1e-3)
    # with one candidate nothing is kept: it is right half of the time
    _, shown = inpainting.resample(TwoWorlds(), x, hidden, noise, 1)
    assert 0.2 < np.abs(shown - x).mean() < 0.8


def test_a_masked_autoencoder_sees_patches_that_are_whole() -> None:
    model = tiny("masked_ae")
    x = images(2)
    mask = np.zeros((2, 8, 8), bool)
    mask[0, 0, 0] = mask[1, 4:] = True  # one patch of the first, two of the second
    found = model.inpaint(x, mask, seed=0)
    assert found.shape == (2, 1, 8, 8, 1)
    changed = x.copy()
    changed[0, 3, 3] ^= 255  # in the same patch, but known
    again = model.inpaint(changed, mask, seed=0)
    np.testing.assert_array_equal(found[0, 0, 0, 0], again[0, 0, 0, 0])
    nowhere_whole = np.eye(8, dtype=bool) | np.eye(8, dtype=bool)[::-1]
    found = model.inpaint(x, nowhere_whole, seed=0, steps=2)
    np.testing.assert_array_equal(found[:, 0, ~nowhere_whole], x[:, ~nowhere_whole])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((8, 8), bool), "must hide something"),
        (np.ones((8, 8)), "must be bools"),
        (np.ones((7, 8), bool), "must be bools"),
        (np.ones((2, 8, 8), bool), "must be bools"),
    ],
)
def test_wrong_masks_are_told(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("conv_vae").inpaint(images(), mask)


def test_sentences_are_refused() -> None:
    model = tiny("sentence_vae")
    x = model.modality.examples(2)
    with pytest.raises(UnsupportedOperationError, match="cannot fill in sentences"):
        model.inpaint(x, np.ones(model.modality.positions, bool))


def test_the_command_draws_completions(tmp_path: Path) -> None:
    aezoo.save(tiny("conv_vae"), tmp_path / "model")
    image, mask, out = (tmp_path / f"{name}.png" for name in ("x", "mask", "out"))
    Image.fromarray(images()[0, ..., 0]).save(image)
    Image.fromarray((255 * HALF).astype("uint8")).save(mask)
    arguments = [tmp_path / "model", image, "--mask", mask, "-o", out, "-n", "2"]
    done = CliRunner().invoke(main, ["inpaint", *map(str, arguments), "--steps", "2"])
    assert done.exit_code == 0, done.output
    assert "50 % of the pixels" in done.output
    with Image.open(out) as picture:
        assert picture.width > 3 * 8


def test_metrics_hide_what_their_protocols_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imputation, "STEPS", 2)
    model = tiny("conv_vae")
    names = [f"imputation_mse/{kind}" for kind in ("block", "half", "random")]
    report = aezoo.evaluate(model, images(6), metrics=names)
    for name in names:
        assert 0.0 < report[name].value < 1.0
        assert "10 completions" in report[name].protocol
    again = aezoo.evaluate(model, images(6), metrics=names[:1])
    assert again[names[0]].value == pytest.approx(report[names[0]].value)
