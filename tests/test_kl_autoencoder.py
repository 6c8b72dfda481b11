"""The autoencoder of latent diffusion: its terms, its codes' moments, its tiles."""

import numpy as np
import pytest
from keras import ops

import aezoo
from aezoo.evaluation import evaluate
from aezoo.modalities.image.extractors import load_extractor
from aezoo.modalities.image.tiling import apply_in_tiles, smallest_tile
from aezoo.models.families import compose
from aezoo.nn.layers.discriminators import PatchDiscriminator
from aezoo.nn.losses import perceptual_error
from aezoo.registry import find_family
from tests import checks

FAMILY = find_family("kl_autoencoder")
CONFIG = dict(FAMILY.tiny)
CLASSIFIER = "lenet_mnist_v1"


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return checks.examples(FAMILY, CONFIG, n=12)


# --- Terms ----------------------------------------------------------------------


def test_the_perceptual_error_is_the_papers(rng) -> None:
    maps = [rng.random((3, 4, 5, 6), "float32"), rng.random((3, 2, 2, 9), "float32")]
    others = [rng.random(m.shape, "float32") for m in maps]
    expected = np.zeros(3)
    for a, b in zip(maps, others, strict=True):
        cosine = np.sum(a * b, axis=-1) / (
            np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
        )
        expected += (2.0 - 2.0 * cosine).mean(axis=(1, 2))
    np.testing.assert_allclose(perceptual_error(maps, others), expected, rtol=1e-4)
    np.testing.assert_allclose(perceptual_error(maps, maps), 0.0, atol=1e-9)
    nothing = ops.zeros((1, 2, 2, 3))  # no active feature: no distance, no NaN
    np.testing.assert_array_equal(perceptual_error([nothing], [nothing]), [0.0])


def test_it_compares_by_a_classifier_of_the_zoo(x) -> None:
    model = checks.built(FAMILY, {**CONFIG, "perceptual": CLASSIFIER})
    terms = checks.losses_of(model, x)
    maps = load_extractor(CLASSIFIER).network.maps
    expected = 64 * perceptual_error(maps(x), maps(model.reconstruct(x)))
    np.testing.assert_allclose(terms["perceptual"], expected, rtol=1e-4)
    assert not [w.path for w in model.weights if CLASSIFIER in w.path]
    with pytest.raises(ValueError, match="takes images of 1 channels"):
        compose(FAMILY, input_shape=(8, 8, 3), perceptual=CLASSIFIER)


def test_players_have_the_hinge_losses(x) -> None:
    model = checks.built(FAMILY, CONFIG)
    terms = checks.losses_of(model, x)
    real, fake = (np.asarray(model.adversary(v)) for v in (x, model.reconstruct(x)))
    assert real.shape == (12, 4)  # two halvings of 8 x 8
    hinge = np.maximum(0, 1 - real) + np.maximum(0, 1 + fake)
    np.testing.assert_allclose(
        terms["discriminator"], 0.5 * hinge.mean(axis=1), rtol=1e-4
    )
    np.testing.assert_allclose(
        terms["generator"], -fake.mean(axis=1), rtol=1e-4, atol=1e-6
    )


def test_a_patch_sees_its_neighbourhood_alone() -> None:
    discriminator = PatchDiscriminator((4,))  # one convolution is not normalised
    discriminator.build((None, 32, 32, 1))
    images = np.zeros((2, 32, 32, 1), "float32")
    images[1, 0, 0] = 1.0
    logits = np.asarray(discriminator(images)).reshape(2, 16, 16)
    changed = np.argwhere(logits[0] != logits[1])
    assert len(changed) > 0
    assert changed.max() <= 2


def test_the_generator_waits_for_its_start() -> None:
    config = {**CONFIG, "discriminator_start": 3, "kl_warmup_steps": 10}
    model = checks.built(FAMILY, config)
    at = {s: model.loss_schedule(ops.convert_to_tensor(s)) for s in (2, 3)}
    assert float(at[2]["generator"]) == 0.0
    assert float(at[3]["generator"]) == 1.0
    np.testing.assert_allclose(at[3]["kl"], 0.3, rtol=1e-6)


# --- Codes ----------------------------------------------------------------------


def test_scaled_codes_have_unit_variance_and_stay_so_when_saved(x, tmp_path) -> None:
    model = checks.new_model(FAMILY, CONFIG)
    codes = model.encode(x)
    np.testing.assert_array_equal(model.scale_codes(codes), codes)
    model.finish(x)
    scaled = model.scale_codes(codes)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1, 2)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 1, 2)), np.ones(3), rtol=1e-5)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(model.unscale_codes(scaled), codes, atol=1e-6)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    again = checks.new_model(FAMILY, CONFIG, seed=1)
    again.load_weights(path)
    np.testing.assert_array_equal(again.scale_codes(codes), scaled)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3\), one value per channel"):
        model.scale_codes(np.zeros((2, 2, 4)))


def test_metrics_of_gaussian_codes_take_maps(x) -> None:
    names = ["kl_per_dim", "aggregate_mean", "aggregate_variance"]
    names += ["mutual_information", "total_correlation", "total_correlation/gaussian"]
    model = checks.built(FAMILY, CONFIG)
    report = evaluate(model, x, metrics=names)
    kl = np.asarray(model.posterior(x).kl())
    metric = report.metrics["kl_per_dim"]
    assert len(metric.values) == 12
    assert metric.value == pytest.approx(kl.mean() / 12, rel=1e-4)
    assert all(np.isfinite(report.metrics[name].value) for name in names)


# --- Tiles ----------------------------------------------------------------------


def test_a_large_image_goes_through_in_tiles(x) -> None:
    model = checks.trained(FAMILY, CONFIG).model
    np.testing.assert_allclose(model.encode_tiled(x), model.encode(x), atol=1e-6)
    large = np.concatenate([x[:4], x[4:8]], axis=2)[:, :, :12]  # two and a half wide
    codes = model.encode_tiled(large, overlap=0.5)
    assert codes.shape == (4, 2, 3, 3)
    left, right = model.encode(large[:, :, :8]), model.encode(large[:, :, 4:])
    np.testing.assert_allclose(codes[:, :, 0], left[:, :, 0], atol=1e-6)
    np.testing.assert_allclose(codes[:, :, 2], right[:, :, 1], atol=1e-6)
    middle = (left[:, :, 1] + right[:, :, 0]) / 2
    np.testing.assert_allclose(codes[:, :, 1], middle, atol=1e-6)
    images = model.decode_tiled(codes, overlap=0.0)
    assert images.shape == (4, 8, 12, 1)
    np.testing.assert_allclose(
        images[:, :, :4], model.decode(codes[:, :, :2])[:, :, :4], atol=1e-6
    )


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_turn_into_each_other_without_a_seam(overlap, rng) -> None:
    values = rng.random((2, 13, 17, 3), "float32")

    def doubled(tiles: np.ndarray) -> np.ndarray:
        assert tiles.shape[1:3] == (4, 8)
        return tiles.repeat(2, axis=1).repeat(3, axis=2)

    whole = apply_in_tiles(doubled, values, (4, 8), overlap, grow=(2, 3))
    expected = values.repeat(2, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(whole, expected, atol=1e-6)

    shares = iter(range(100))
    ramp = apply_in_tiles(
        lambda tiles: np.full(tiles.shape, float(next(shares))),
        np.zeros((1, 8, 24, 1)), (8, 16), overlap,
    )[0, 0, :, 0]  # fmt: skip
    assert np.all(np.diff(ramp) >= 0.0)
    if overlap == 0.5:
        np.testing.assert_allclose(ramp[8:16], (np.arange(8) + 0.5) / 8, atol=1e-6)


@pytest.mark.parametrize(("side", "size"), [(64, 26), (32, 32), (56, 32), (33, 19)])
def test_tiles_are_no_larger_than_their_number_needs(side, size) -> None:
    """Three of 26 that overlap by a quarter cover 64; three of 32 would cover 80."""
    assert smallest_tile(side, 32, 0.25) == size


@pytest.mark.parametrize(
    "network",
    [
        {"network": "ldm", "filters": (4, 4), "groups": 2},
        {"network": "taesd", "width": 4, "encoder_blocks": (1, 1),
         "decoder_blocks": (1, 1)},
    ],
)  # fmt: skip
def test_networks_of_any_size_take_smaller_tiles(network, rng) -> None:
    """Whose codes and images are those of a model of their own size."""
    family = "kl_autoencoder" if network["network"] == "ldm" else "spatial_ae"
    large = aezoo.create(family, input_shape=(16, 16, 3), code_dim=2, **network)
    small = aezoo.create(family, input_shape=(12, 12, 3), code_dim=2, **network)
    small.set_weights(large.get_weights())
    x = rng.random((2, 20, 20, 3), "float32")  # two of 12 in place of two of 16
    codes = large.encode_tiled(x, overlap=0.25)
    np.testing.assert_allclose(codes, small.encode_tiled(x, overlap=0.25), atol=1e-5)
    np.testing.assert_allclose(
        large.decode_tiled(codes), small.decode_tiled(codes), atol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8), r"at least 8 x 8, in multiples of 4 x 4"),
        ((1, 4, 8, 1), "at least 8 x 8"),
        ((1, 8, 10, 1), "multiples of 4 x 4"),
        ((1, 8, 8, 3), r"\(n, height, width, 1\)"),
    ],
)
def test_what_tiles_do_not_cover_is_refused(shape, message) -> None:
    model = checks.built(FAMILY, CONFIG)
    with pytest.raises(ValueError, match=message):
        model.encode_tiled(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match=r"`overlap` must be .* at most 0\.5"):
        model.decode_tiled(np.zeros((1, 2, 2, 3)), overlap=0.7)
    odd = compose(FAMILY, input_shape=(7, 8, 1))
    with pytest.raises(ValueError, match="of multiples of the strides"):
        odd.encode_tiled(np.zeros((1, 8, 8, 1)))
