"""A decoder without an encoder, and codes of examples by optimisation."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation import list_metrics
from aezoo.registry import find_family
from aezoo.store import golden


def tiny(family: str = "gan", **config: Any) -> Any:
    keras.utils.set_random_seed(0)
    return aezoo.create(family, **{**find_family(family).tiny, **config})


@pytest.fixture(scope="module")
def gan() -> Any:
    """Its generator's weights are large, so that codes make a difference."""
    model = tiny()
    draws = np.random.default_rng(3)
    for weight in model.decoder.trainable_weights:
        weight.assign(0.5 * draws.standard_normal(weight.shape))
    return model


def test_projected_codes_decode_to_the_examples(gan: Any) -> None:
    drawn = gan.sample(3, seed=5)
    codes = gan.project(drawn, steps=100)
    assert codes.shape == (3, *gan.latent_shape)
    assert codes.dtype == np.float32
    errors = np.square(gan.decode(codes) - drawn).mean(axis=(1, 2, 3))
    starts = gan.decode(gan.sample_prior(4, np.random.default_rng(0)))
    apart = np.square(starts[:, None] - drawn[None]).mean(axis=(2, 3, 4)).min(axis=0)
    assert (errors < 0.05 * apart).all(), (errors, apart)


def test_projection_depends_on_its_seed_alone(gan: Any) -> None:
    drawn = gan.sample(3, seed=5)
    codes = gan.project(drawn, steps=3)
    np.testing.assert_array_equal(gan.project(drawn, steps=3), codes)
    alone = gan.project(drawn[1:2], steps=3, batch_size=2)
    np.testing.assert_allclose(alone, codes[1:2], atol=1e-5)
    assert (gan.project(drawn, steps=3, seed=1) != codes).any()


def test_more_starts_are_no_worse(gan: Any) -> None:
    drawn = gan.sample(4, seed=7)
    one, five = (
        np.square(gan.decode(gan.project(drawn, 20, starts)) - drawn).sum(
            axis=(1, 2, 3)
        )
        for starts in (1, 5)
    )
    assert (five <= one + 1e-6).all()
    assert five.sum() < one.sum()


def test_models_with_an_encoder_project_as_well() -> None:
    model = tiny("conv_vae")
    x = model.modality.unrounded(model.modality.examples(2))
    found = model.decode(model.project(x, steps=60))
    by_encoder = model.reconstruct(x)
    assert np.square(found - x).sum() < np.square(by_encoder - x).sum()


def test_codes_of_a_sphere_stay_on_it() -> None:
    model = tiny("hyperspherical_vae")
    x = model.modality.examples(2)
    codes = model.project(x, steps=20)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1.0, rtol=1e-5)
    vector = np.full(model.latent_shape, 0.7, "float32")
    moved = model.encode(x) + 2.0 * vector
    expected = model.decode(moved / np.linalg.norm(moved, axis=1, keepdims=True))
    edited = model.edit(model.modality.unrounded(x), vector, 2.0)
    np.testing.assert_allclose(edited, expected, atol=1e-5)


def test_what_cannot_be_descended_is_refused() -> None:
    model = tiny("vq_vae")
    with pytest.raises(UnsupportedOperationError, match="Codes of 'vq_vae' are discr"):
        model.project(model.modality.examples(1))
    model = tiny("sentence_vae")
    with pytest.raises(
        UnsupportedOperationError, match="`project` follows the squared"
    ):
        model.project(["a b"])
    with pytest.raises(ValueError, match="`steps`"):
        tiny().project(np.zeros((1, 8, 8, 1)), steps=0)


def test_there_is_no_encoder_anywhere(gan: Any) -> None:
    x = np.zeros((2, 8, 8, 1), "uint8")
    for call in (
        lambda: gan.interpolate(x[0], x[1]),
        lambda: gan.traverse(x, dim=0),
        lambda: aezoo.attribute_vector(gan, x[:1], x[1:] + 1),
        lambda: aezoo.feature_info(gan),
        lambda: aezoo.feature_extractor(gan),
        lambda: aezoo.fit_sampler(gan, x, "gmm"),
    ):
        with pytest.raises(UnsupportedOperationError, match="has no encoder"):
            call()
    with pytest.raises(ValueError, match="sparsity"):
        tiny(sparsity=0.1)
    with pytest.raises(ValueError, match="over two axes, and cannot learn from sent"):
        aezoo.create("gan", modality=aezoo.modalities.Text(), network="recurrent")


def test_it_is_saved_shown_and_verified_by_its_samples(
    gan: Any, tmp_path: Path
) -> None:
    path = aezoo.save(gan, tmp_path / "gan")
    inputs = golden.golden_inputs(gan)
    assert set(golden.golden_tensors(gan, inputs)) == {"inputs", "samples"}
    assert aezoo.verify(path).ok
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "model.project(images)" in card
    assert "model.encode" not in card
    assert "model.reconstruct" not in card
    kinds = {m.partition("/")[0] for m in list_metrics(gan)}
    assert "frechet" in kinds
    assert not kinds & {"mse", "linear_probe", "active_units", "mig"}


def test_commands_say_that_there_is_no_encoder(gan: Any, tmp_path: Path) -> None:
    path = str(aezoo.save(gan, tmp_path / "gan"))
    picture = str(tmp_path / "a.png")
    keras.utils.save_img(picture, np.zeros((8, 8, 1)), scale=False)
    out = str(tmp_path / "out.png")
    result = CliRunner().invoke(main, ["sample", path, "-n", "2", "-o", out])
    assert result.exit_code == 0, result.output
    for command in ("reconstruct", "traverse"):
        result = CliRunner().invoke(main, [command, path, picture, "-o", out])
        assert result.exit_code == 1
        assert "This model has no encoder" in result.output
        assert "Traceback" not in result.output
