"""Arithmetic with codes: what an attribute adds, put on and taken off."""

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from aezoo.modalities.image.files import write_image
from aezoo.registry import find_family
from tests.draws import chosen


@functools.cache
def tiny(family: str) -> Any:
    keras.utils.set_random_seed(0)
    return aezoo.create(family, **find_family(family).tiny)


def faces(n: int, is_marked: bool, seed: int) -> np.ndarray:
    """Images that are one of two patterns, more or less bright, with a mark or not."""
    draws = np.random.default_rng(seed)
    images = np.zeros((n, 8, 8, 1), "float32")
    images[:, :4] = draws.uniform(0.1, 0.9, (n, 1, 1, 1))
    images[:, 4:, :4] = draws.uniform(0.1, 0.9, (n, 1, 1, 1))
    if is_marked:
        images[:, 6:, 6:] = 0.8
    return images


@functools.cache
def linear_model() -> Any:
    """Three components, which are all that differs between the images above."""
    model = aezoo.create("linear_ae", input_shape=(8, 8, 1), latent_dim=3)
    both = np.concatenate(
        [faces(50, is_marked, seed=is_marked) for is_marked in (0, 1)]
    )
    return model.fit_closed_form(both)


def test_an_attribute_is_put_on_and_taken_off_and_nothing_else_changes() -> None:
    model = linear_model()
    marked, bare = faces(40, True, 2), faces(30, False, 3)
    # all that differs in the mean is taken for the attribute, so: the same patterns
    marked[:30, :6], marked[:30, 6:, :6] = bare[:, :6], bare[:, 6:, :6]
    vector = aezoo.attribute_vector(model, marked[:30], bare)
    assert vector.shape == (3,)
    assert vector.dtype == np.float32
    new = faces(5, False, 4)
    wanted = new.copy()
    wanted[:, 6:, 6:] = 0.8
    np.testing.assert_allclose(model.edit(new, vector), wanted, atol=1e-4)
    np.testing.assert_allclose(model.edit(wanted, vector, -1.0), new, atol=1e-4)
    half = model.edit(new, vector, amount=0.5)
    np.testing.assert_allclose(half[:, 6:, 6:], 0.4, atol=1e-4)


@pytest.mark.parametrize("family", chosen(["conv_vae", "conv_ae", "draw"], ["draw"]))
def test_no_amount_reconstructs_and_types_stay(family: str) -> None:
    model = tiny(family)
    x = (255 * faces(4, True, 0)).astype("uint8")
    vector = aezoo.attribute_vector(model, x[:2], x[2:])
    assert vector.shape == model.latent_shape
    edited = model.edit(x, vector, 0.0)
    assert edited.dtype == np.uint8
    np.testing.assert_array_equal(edited, model.reconstruct(x))
    moved = model.edit(x, vector, 100.0)
    assert (moved != edited).any()
    np.testing.assert_array_equal(model.edit(x[1], vector, 100.0), moved[1])
    codes = model.encode(x)
    from_codes = model.edit(codes, vector, 100.0, of="codes")
    np.testing.assert_allclose(255 * from_codes, moved, atol=1.0)


def test_vectors_are_differences_of_means_and_add() -> None:
    model, x = tiny("conv_vae"), faces(6, True, 5)
    vector = aezoo.attribute_vector(model, x[:4], x[4:])
    z = model.encode(x)
    np.testing.assert_allclose(vector, z[:4].mean(0) - z[4:].mean(0), atol=1e-6)
    np.testing.assert_allclose(aezoo.attribute_vector(model, x[4:], x[:4]), -vector)


def test_sentences_have_attributes_too() -> None:
    model = tiny("sentence_vae")
    vector = aezoo.attribute_vector(model, ["a b c", "a b"], ["d e f"])
    assert len(model.edit(["a b ."], vector, 2.0)) == 1
    assert isinstance(model.edit("a b .", vector), str)


def test_sets_that_are_no_attribute_are_refused() -> None:
    model, x = tiny("conv_vae"), faces(4, False, 6)
    with pytest.raises(ValueError, match=r"no example in common.*1 in both"):
        aezoo.attribute_vector(model, x[:2], x[1:])
    with pytest.raises(ValueError, match=r"`with_it` must hold at least one image"):
        aezoo.attribute_vector(model, x[:0], x)
    with pytest.raises(ValueError, match=r"`without_it` must hold at least one image"):
        aezoo.attribute_vector(model, x, [])
    with pytest.raises(ValueError, match=r"`with_it\[0\]` must be an arr"):
        aezoo.attribute_vector(model, ["a sentence"], x)
    with pytest.raises(ValueError, match=r"`without_it` must"):
        aezoo.attribute_vector(model, x, np.zeros((2, 9, 9, 1), "float32"))


@pytest.mark.parametrize("family", ["vq_vae", "categorical_vae", "semi_supervised_vae"])
def test_models_without_a_continuous_latent_are_refused(family: str) -> None:
    model, x = tiny(family), faces(4, False, 7)
    with pytest.raises(UnsupportedOperationError, match=r"Codes of .* are (dis|mixed)"):
        aezoo.attribute_vector(model, x[:2], x[2:])
    with pytest.raises(UnsupportedOperationError, match=r"no direction of an attribut"):
        model.edit(x, np.zeros(model.latent_shape))


def test_edits_that_make_no_sense_are_refused() -> None:
    model, x = tiny("conv_vae"), faces(2, False, 8)
    vector = np.ones(3, "float32")
    with pytest.raises(ValueError, match=r"`vector` must have the shape of one code"):
        model.edit(x, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`vector` holds NaN"):
        model.edit(x, np.full(3, np.nan))
    with pytest.raises(ValueError, match=r"`amount` must be a finite number\. Receiv"):
        model.edit(x, vector, amount=float("inf"))
    with pytest.raises(ValueError, match=r"`x` must have shape"):
        model.edit(np.zeros((2, 9, 9, 1), "float32"), vector)


def test_the_command_draws_images_beside_what_becomes_of_them(
    tmp_path: Path, tiny_zoo: Path
) -> None:
    del tiny_zoo
    name, shape = "conv_vae_mnist_z16", (28, 28, 1)
    draws = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype="uint8")
    for kind in ("with", "without"):
        (tmp_path / kind).mkdir()
    for i, place in enumerate(["with/a", "with/b", "without/a", "without/b", "x"]):
        write_image(tmp_path / f"{place}.png", draws[i])
    command = ["edit", name, str(tmp_path / "x.png"), "-o", str(tmp_path / "out.png")]
    sets = [f"--{kind}={tmp_path / kind}" for kind in ("with", "without")]
    told = CliRunner().invoke(main, [*command, *sets, "--amounts", "0,2"])
    assert told.exit_code == 0, told.output
    assert "the attribute added 0, 2 times" in told.output
    assert (tmp_path / "out.png").is_file()
    (tmp_path / "empty").mkdir()
    told = CliRunner().invoke(main, [*command, sets[0], f"--without={tmp_path}/empty"])
    assert told.exit_code == 2
    assert "holds no file that ends in .png" in told.output
