"""Restoration: what degrades is the code, what restores is learnt, at any size."""

import io
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.errors import UnsupportedOperationError
from aezoo.modalities.image.corruption import degraded
from aezoo.modalities.image.resampling import blur_weights, resize_weights
from aezoo.networks import NetworkError
from benchmarks import restoration as benchmark
from tests.checks import shaken

TINY = {"input_shape": (16, 16, 3), "filters": (4, 6), "blocks": 1}


def photograph(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Waves of several lengths, uint8: smooth, but not flat."""
    rows, columns = np.mgrid[:height, :width]
    waves = [
        np.sin(rows / (3.0 + c) + columns / (7.0 - c)) + np.cos(columns / (2.5 + c))
        for c in range(channels)
    ]
    return np.round(127.5 + 60.0 * np.stack(waves, axis=-1)).astype("uint8")


def restoration(**config) -> Any:
    """One whose weights are not those of its start."""
    return shaken("restoration", **{**TINY, **config})


# --- What is lost ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "level", "shape"),
    [
        ("downsample", 2, (8, 8, 3)),
        ("downsample", 4, (4, 4, 3)),
        ("grayscale", 0.5, (16, 16, 1)),
        ("jpeg", 30, (16, 16, 3)),
        ("blur", 1.5, (16, 16, 3)),
        ("blocks", 0.5, (16, 16, 3)),
        ("gaussian", 0.1, (16, 16, 3)),
    ],
)
def test_codes_are_degraded_examples(kind, level, shape) -> None:
    model = restoration(corruption=kind, corruption_level=level)
    x = photograph(16, 16)[None]
    z = model.encode(x)
    assert model.latent_shape == shape
    assert z.shape == (1, *shape)
    assert z.min() >= 0.0
    assert z.max() <= 1.0
    assert model.reconstruct(x).shape == x.shape
    restored = 255 * model.decode(z)
    assert np.abs(model.reconstruct(x) - restored).max() < 0.51


def test_smaller_images_are_those_of_pillow() -> None:
    """Pillow's own bicubic filter, antialiased, within a level of rounding."""
    x = photograph(48, 60)
    for factor in (2, 3, 4):
        ours = degraded(x[None] / np.float32(255), "downsample", factor, 0)
        size = (60 // factor, 48 // factor)
        theirs = np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC))
        inner = np.s_[2:-2, 2:-2]  # Pillow cuts the kernel at borders, and we mirror
        difference = 255 * np.asarray(ours)[0][inner] - theirs[inner]
        assert np.abs(difference).max() < 1.1


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize(("channels", "levels"), [(1, 1.5), (3, 3.0)])
def test_a_jpeg_is_that_of_pillow(quality, channels, levels) -> None:
    """But for its integers: within a few levels of 255, root mean square."""
    x = photograph(48, 64, channels)
    file = io.BytesIO()
    Image.fromarray(x[..., 0] if channels == 1 else x).save(
        file, "jpeg", quality=quality
    )
    theirs = np.asarray(Image.open(file), "float32").reshape(x.shape) / 255
    ours = np.asarray(degraded(x[None] / np.float32(255), "jpeg", quality, 0))[0]
    lost = np.mean((theirs - x / 255) ** 2)
    assert 255 * np.sqrt(np.mean((ours - theirs) ** 2)) < levels
    assert np.mean((ours - x / 255) ** 2) == pytest.approx(lost, rel=0.1)


def test_weights_sum_to_one_and_keep_what_is_flat() -> None:
    for weights in (
        resize_weights(31, 7), resize_weights(7, 31), blur_weights(9, 2.0),
        blur_weights(3, 4.0), resize_weights(2, 1),
    ):  # fmt: skip
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)


def test_cubic_interpolation_keeps_straight_lines() -> None:
    line = np.arange(32.0)
    larger = resize_weights(32, 64) @ line
    np.testing.assert_allclose(
        larger[8:-8], (np.arange(64) / 2 - 0.25)[8:-8], atol=1e-4
    )


def test_blocks_hide_squares() -> None:
    x = np.ones((50, 16, 16, 3), "float32")
    found = np.asarray(degraded(x, "blocks", 0.3, 0))
    squares = found.reshape(50, 8, 2, 8, 2, 3)
    assert np.all(squares == squares[:, :, :1, :, :1, :1])
    assert 1.0 - found.mean() == pytest.approx(0.3, abs=0.03)


def test_a_blur_is_that_of_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    x = photograph(20, 24, 1)[None] / np.float32(255)
    ours = np.asarray(degraded(x, "blur", 1.3, 0))
    theirs = gaussian_filter(x, (0, 1.3, 1.3, 0), mode="reflect")
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


# --- What is put back -----------------------------------------------------------------


def test_untrained_it_gives_what_came_in() -> None:
    """Of low resolution, enlarged: the baseline from which it learns."""
    x = photograph(16, 16)[None]
    denoiser = aezoo.create("restoration", **TINY, corruption="gaussian")
    np.testing.assert_allclose(
        denoiser.reconstruct(x / np.float32(255)), denoiser.encode(x), atol=1e-6
    )
    larger = aezoo.create("restoration", **TINY)
    enlarged = np.einsum(
        "ih,jw,nhwc->nijc",
        resize_weights(8, 16),
        resize_weights(8, 16),
        larger.encode(x),
    )
    np.testing.assert_allclose(
        larger.reconstruct(x / np.float32(255)), np.clip(enlarged, 0, 1), atol=1e-5
    )


@pytest.mark.parametrize(
    ("config", "channels", "factor"),
    [
        ({}, 3, 2),
        ({"corruption_level": 4}, 3, 4),
        ({"corruption": "grayscale"}, 1, 1),
        ({"corruption": "gaussian", "corruption_level": 0.1}, 3, 1),
    ],
)
def test_any_size_is_restored_without_seams(config, channels, factor) -> None:
    """Tiles give what the whole image at once gives."""
    model = restoration(**config)
    x = photograph(75, 93, channels)[None] / np.float32(255)
    whole = model.restore(x, tile=200)
    assert whole.shape == (1, 75 * factor, 93 * factor, 3)
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(model.restore(x, tile=16), whole, atol=1e-5)


def test_one_image_and_dtypes() -> None:
    model = restoration()
    x = photograph(9, 11)
    one = model.restore(x)
    assert one.dtype == np.uint8
    assert one.shape == (18, 22, 3)
    np.testing.assert_array_equal(model.restore(x[None])[0], one)
    floats = model.restore(x / np.float32(255))
    assert np.abs(255 * floats - one).max() <= 0.51


def test_an_ensemble_is_the_mean_of_all_views() -> None:
    model, x = restoration(), photograph(9, 12) / np.float32(255)
    views = []
    for turns in range(4):
        for mirror in (False, True):
            view = np.rot90(x, turns)
            view = view[:, ::-1] if mirror else view
            found = model.restore(np.ascontiguousarray(view))
            found = found[:, ::-1] if mirror else found
            views.append(np.rot90(found, -turns))
    mean = model.restore(x, ensemble=True)
    np.testing.assert_allclose(mean, np.mean(views, axis=0), atol=1e-6)
    assert np.abs(mean - views[0]).max() > 1e-3
    levels = model.restore(photograph(9, 12), ensemble=True)
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, np.round(255 * mean).astype("uint8"))


def test_restore_is_decode_at_its_own_size() -> None:
    model = restoration()
    z = model.encode(photograph(16, 16)[None])
    np.testing.assert_allclose(model.restore(z), model.decode(z), atol=1e-6)


def test_it_learns() -> None:
    """To fill in blocks of a colour that is always the same."""
    x = np.full((64, 16, 16, 3), (200, 120, 40), "uint8")
    model = aezoo.create(
        "restoration", **TINY, corruption="blocks", corruption_level=0.4
    )
    before = np.mean((model.reconstruct(x) / 255.0 - x / 255.0) ** 2)
    model.compile("adam", jit_compile=False)
    model.optimizer.learning_rate = 3e-3
    model.fit(x, epochs=40, batch_size=16, verbose=0)
    after = np.mean((model.reconstruct(x) / 255.0 - x / 255.0) ** 2)
    assert after < before / 5


def test_levels_are_drawn_in_training_alone() -> None:
    model = restoration(corruption="gaussian", corruption_level=0.3, lowest_level=0.0)
    x = np.full((200, 16, 16, 3), 0.5, "float32")
    trained = np.asarray(model(x, training=True)["z"]).std(axis=(1, 2, 3))
    assert trained.min() < 0.05
    assert trained.max() > 0.24
    assert np.corrcoef(np.sort(trained), np.arange(200))[0, 1] > 0.98  # evenly
    shown = model.encode(x).std(axis=(1, 2, 3))
    np.testing.assert_allclose(shown, 0.29, atol=0.03)  # clipped a little


# --- Where there are several answers --------------------------------------------------


def ambiguous(**config) -> Any:
    tiny = {**TINY, "corruption": "grayscale", "latent_units": 3}
    return shaken("restoration_vae", **{**tiny, **config})


def test_answers_differ_and_the_most_probable_one_is_that_of_the_mode() -> None:
    model = ambiguous()
    grey = photograph(21, 30, 1)
    found = model.restore(grey, n=4, seed=3)
    assert found.shape == (4, 21, 30, 3)
    assert found.dtype == np.uint8
    assert all(np.ptp(found[:, y, x], axis=0).max() > 0 for y, x in ((0, 0), (9, 9)))
    np.testing.assert_array_equal(model.restore(grey, n=4, seed=3), found)
    np.testing.assert_array_equal(model.restore(grey, n=2, seed=3), found[:2])
    assert np.any(model.restore(grey, n=4, seed=4) != found)
    both = model.restore(np.stack([grey, grey]), n=4, seed=3)
    np.testing.assert_array_equal(both[0], found)
    assert np.any(both[1] != found)
    one = model.restore(model.encode(photograph(16, 16)[None]))
    reconstructed = model.reconstruct(photograph(16, 16)[None] / np.float32(255))
    np.testing.assert_allclose(one, reconstructed, atol=1e-5)


def test_all_tiles_of_an_image_have_the_same_latent() -> None:
    model = ambiguous()
    x = photograph(75, 93, 1)[None] / np.float32(255)
    whole = model.restore(x, tile=200, n=2, seed=0)
    tiled = model.restore(x, tile=16, n=2, seed=0)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_its_loss_is_the_bound() -> None:
    """Error and divergence, of a latent that is drawn in training and in `evaluate`."""
    model = ambiguous(likelihood_scale=0.2, beta=0.5)
    x = photograph(16, 16)[None] / np.float32(255)
    outputs = model(x, sample_seed=0)
    terms = model.compute_terms(x, outputs)
    mean, log_var = (np.asarray(outputs[name]) for name in ("u_mean", "u_log_var"))
    kl = 0.5 * np.sum(mean**2 + np.exp(log_var) - 1 - log_var)
    assert np.asarray(terms["kl"])[0] == pytest.approx(kl, rel=1e-4)
    error = np.sum((np.asarray(outputs["x_hat"]) - x) ** 2)
    assert np.asarray(terms["reconstruction"])[0] == pytest.approx(error, rel=1e-4)
    assert model.loss_weights == {"reconstruction": pytest.approx(12.5), "kl": 0.5}
    assert np.any(np.asarray(model(x)["x_hat"]) != np.asarray(outputs["x_hat"]))


def test_it_learns_what_the_degraded_example_does_not_say() -> None:
    """Red or blue, of the same grey: answers differ as the examples do."""
    grey = (0.299, 0.587, 0.114)
    red, blue = np.array([0.9, 0.2, 0.2]), np.array([0.2, 0.3, 0.9])
    blue += np.dot(grey, red) - np.dot(grey, blue)
    pick = np.random.default_rng(0).random(256) < 0.5
    colours = np.where(pick[:, None], red, blue).astype("float32")
    x = np.tile(colours[:, None, None], (1, 8, 8, 1))
    keras.utils.set_random_seed(0)
    tiny = {"input_shape": (8, 8, 3), "filters": (8, 8), "blocks": 1}
    model = aezoo.create(
        "restoration_vae",
        **tiny,
        latent_units=2,
        corruption="grayscale",
    )
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=60, batch_size=32, verbose=0)
    answers = model.restore(model.encode(x[:1]), n=200, seed=0)[0][:, 4, 4]
    np.testing.assert_allclose(answers.mean(axis=0), x.mean(axis=(0, 1, 2)), atol=0.15)
    spread = answers.std(axis=0) / x.std(axis=(0, 1, 2))
    assert np.all(np.abs(spread - 1.0) < 0.4)


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"corruption_level": 5}, "`corruption_level` of 2, 3, 4"),
        ({"corruption_level": 3}, "that divides both sides"),
        ({"corruption": None}, "`corruption` must be one of gaussian"),
        ({"corruption": "fog"}, "`corruption` must be one of gaussian"),
        ({"corruption": "jpeg", "corruption_level": 0}, "at least 1 and at most 100"),
        ({"corruption": "blur", "corruption_level": 0}, "above 0"),
        (
            {"corruption": "grayscale", "input_shape": (8, 8, 1)},
            "is of images of 3 channels",
        ),
        ({"lowest_level": 0.1}, "`lowest_level` is of a corruption that is drawn"),
        (
            {"corruption": "gaussian", "corruption_level": 0.1, "lowest_level": 0.2},
            "`lowest_level` must be at most `corruption_level`",
        ),
        ({"output_activation": "sigmoid"}, "needs `output_activation='linear'`"),
    ],
)
def test_what_makes_no_sense_is_refused(config, message) -> None:
    with pytest.raises(ValueError, match=message):
        aezoo.create("restoration", **{**TINY, **config})


def test_networks_and_modalities_that_do_not_fit() -> None:
    with pytest.raises(NetworkError, match="needs the network 'unet'"):
        aezoo.create("restoration", network="conv")
    with pytest.raises(NetworkError, match="cannot carry a flat latent"):
        aezoo.create("ae", network="unet")
    with pytest.raises(ValueError, match="`corruption` must be one of "):
        aezoo.create("restoration", modality=aezoo.modalities.Voxels(8, 8, 8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 4), "uint8"), r"shape \(n, height, width, 3\)"),
        (np.zeros((4, 4, 1), "uint8"), "one image of 3 channels"),
        (np.zeros((1, 0, 4, 3), "uint8"), "Received: x.shape"),
        (np.full((4, 4, 3), 7.0), "Divide values of 0 to 255 by 255"),
        (np.full((4, 4, 3), np.nan), "NaN"),
    ],
)
def test_wrong_images_are_refused(x, message) -> None:
    with pytest.raises(ValueError, match=message):
        restoration().restore(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "`n` must be"),
        ({"n": 2, "seed": -1}, "`seed` must be"),
        ({"n": 2, "tile": 0}, "`tile` must be"),
    ],
)
def test_wrong_numbers_of_answers_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        ambiguous().restore(np.zeros((8, 8, 1), "uint8"), **arguments)


def test_it_does_not_sample() -> None:
    with pytest.raises(UnsupportedOperationError):
        restoration().sample(1)


# --- On the command line --------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("restoration") / "model"
    aezoo.save(restoration(), path)
    return str(path)


def run(*arguments) -> Result:
    return CliRunner().invoke(main, ["restore", *map(str, arguments)])


def test_a_file_is_restored_at_its_own_size(folder, tmp_path) -> None:
    source, target = tmp_path / "small.png", tmp_path / "large.png"
    x = photograph(30, 41)
    Image.fromarray(x).save(source)
    result = run(folder, source, "-o", target, "--tile", 16)
    assert result.exit_code == 0, result.output
    assert "82 x 60 pixels" in result.output
    found = np.asarray(Image.open(target))
    np.testing.assert_array_equal(found, aezoo.load(folder).restore(x))


def test_a_grey_file_is_converted_and_that_is_said(folder, tmp_path) -> None:
    source, target = tmp_path / "grey.png", tmp_path / "large.png"
    Image.fromarray(photograph(8, 8, 1)[..., 0]).save(source)
    result = run(folder, source, "-o", target)
    assert result.exit_code == 0, result.output
    assert "8x8 L -> 8x8 RGB: converted to RGB" in result.output


def test_answers_stand_side_by_side(folder, tmp_path) -> None:
    source, target = tmp_path / "grey.png", tmp_path / "colours.png"
    Image.fromarray(photograph(20, 30, 1)[..., 0]).save(source)
    aezoo.save(ambiguous(), tmp_path / "several")
    several = run(tmp_path / "several", source, "-o", target, "-n", 3, "--seed", 1)
    assert several.exit_code == 0, several.output
    assert "90 x 20 pixels" in several.output
    result = run(folder, source, "-o", target, "-n", 3)
    assert result.exit_code == 1
    assert "knows one answer" in result.output


def test_other_models_and_files_are_refused(folder, tmp_path) -> None:
    source = tmp_path / "x.png"
    Image.fromarray(photograph(8, 8)).save(source)
    result = run("conv_vae_mnist_z16", source, "-o", tmp_path / "y.png")
    assert result.exit_code == 1
    assert "restores nothing" in result.output
    result = run(folder, tmp_path / "none.png", "-o", tmp_path / "y.png")
    assert result.exit_code == 1
    assert "does not exist" in result.output
    assert run(folder, source, "-o", tmp_path / "y.txt").exit_code == 1


# --- The benchmark --------------------------------------------------------------------


def test_models_stand_beside_what_does_not_learn() -> None:
    """A model that enlarges as bicubic interpolation does is ahead by nothing."""
    originals = [photograph(40, 52), photograph(48, 41)]
    table, ahead, seconds = benchmark.measure(
        "mine", lambda x: benchmark.enlarged(x, 2), 2, originals
    )
    assert ahead == 0.0
    assert seconds > 0.0
    assert [row[0] for row in table][:2] == ["bicubic interpolation", "mine"]
    table, ahead, _ = benchmark.measure("mine", lambda x: x, 1, originals)
    methods = {row[0] for row in table}
    assert methods > {"non-local means", "total variation", "wavelets", "mine"}
    assert ahead <= 0.0
    assert benchmark.psnr(originals[0], benchmark.noisy(originals[0], 0)) == (
        pytest.approx(20.17, abs=0.5)
    )
