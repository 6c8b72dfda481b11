"""Two levels of codes in one sequence: what is quantised when, and by what."""

import numpy as np
import pytest
from keras import ops

from aezoo.networks.two_level import TwoLevelQuantizer
from aezoo.nn.layers.quantizers import VectorQuantizer
from aezoo.registry import find_family
from tests import checks

# An odd side: a bottom map of 3 x 2 positions, and a top map of 2 x 1.
VQ_VAE_2 = find_family("vq_vae_2")
CONFIG = {**VQ_VAE_2.tiny, "input_shape": (9, 8, 1)}


@pytest.fixture
def x() -> np.ndarray:
    return checks.examples(VQ_VAE_2, CONFIG, n=6)


def test_a_code_is_the_top_map_and_then_the_bottom_map(x) -> None:
    model = checks.built(VQ_VAE_2, CONFIG)
    assert model.latent_shape == (2 + 6, 3)
    codes, indices = model.encode(x), model.encode_indices(x)
    assert indices.shape == (6, 8)
    top, bottom = model.split_levels(codes)
    top_indices, bottom_indices = model.split_levels(indices)
    assert top.shape == (6, 2, 1, 3)
    assert bottom.shape == (6, 3, 2, 3)
    levels = model.quantizer.top, model.quantizer.bottom
    for vectors, chosen, level in zip(
        (top, bottom), (top_indices, bottom_indices), levels, strict=True
    ):
        assert 0 <= chosen.min() <= chosen.max() < level.num_codes
        np.testing.assert_array_equal(vectors, np.asarray(level.codebook)[chosen])
    np.testing.assert_allclose(
        model.decode_indices(indices), model.reconstruct(x), atol=1e-6
    )
    nats = 2 * np.log(5) + 6 * np.log(7)
    np.testing.assert_allclose(model.posterior(x).kl(), np.full(6, nats), rtol=1e-6)


def test_indices_of_the_other_level_are_refused(x) -> None:
    model = checks.built(VQ_VAE_2, CONFIG)
    indices = model.encode_indices(x)
    for position, wrong in ((0, 5), (2, 4), (7, 12), (0, -1)):
        changed = indices.copy()
        changed[0, position] = wrong
        with pytest.raises(ValueError, match=r"0 to 11, each within `index_bounds`"):
            model.decode_indices(changed)
    with pytest.raises(ValueError, match=r"`values` must be codes of shape \(n, 8, 3"):
        model.split_levels(indices[:, :7])


def test_the_top_is_quantised_first_and_the_bottom_given_it(x) -> None:
    """Algorithm 1: e_bottom = Encoder_bottom(x, e_top)."""
    model = checks.new_model(VQ_VAE_2, CONFIG)
    before = np.asarray(model.posterior(x).z_encoded)
    codebook = model.quantizer.top.codebook
    codebook.assign(-3.0 - ops.convert_to_tensor(codebook))
    after = np.asarray(model.posterior(x).z_encoded)
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert np.all(np.abs(after[:, 2:] - before[:, 2:]).max(axis=(1, 2)) > 1e-3)
    codebook = model.quantizer.bottom.codebook
    codebook.assign(1.0 + ops.convert_to_tensor(codebook))
    np.testing.assert_array_equal(model.posterior(x).z_encoded, after)


def test_each_codebook_follows_the_vectors_of_its_level(rng) -> None:
    z = ops.convert_to_tensor(rng.standard_normal((4, 5, 3), "float32"))
    draws = ops.convert_to_tensor(rng.random(11, "float32"))

    def quantizer(num_codes: int, seed: int) -> VectorQuantizer:
        layer = VectorQuantizer(num_codes, is_averaged=True, has_usage=True)
        layer.build((None, 3))
        codes = np.random.default_rng(seed).standard_normal((num_codes, 3))
        layer.codebook.assign(codes)
        return layer

    both = TwoLevelQuantizer(quantizer(4, 0), quantizer(7, 1), num_top_positions=2)
    both.build((None, 3))
    indices = both.nearest(z)
    both.update(z, indices, 0.9, 0.5, draws)
    for ours, alone, level, kept in (
        (both.top, quantizer(4, 0), z[:, :2], draws[:4]),
        (both.bottom, quantizer(7, 1), z[:, 2:], draws[4:]),
    ):
        alone.update(level, alone.nearest(level), 0.9, 0.5, kept)
        np.testing.assert_allclose(ours.codebook, alone.codebook, rtol=1e-6)
        np.testing.assert_allclose(ours.usage, alone.usage, rtol=1e-6)
