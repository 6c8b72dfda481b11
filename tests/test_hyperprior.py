"""The hyperprior: what it expects, what its bytes take, and images of any size."""

import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from keras import ops

import aezoo
from aezoo.cli import main
from aezoo.errors import ChecksumError, CompressionError, UnsupportedOperationError
from aezoo.models.hyperprior import from_blocks, log_mass_of, rounded, to_blocks
from aezoo.networks import NetworkError
from aezoo.nn.layers.factorized import FactorizedPrior
from tests.checks import shaken
from tests.draws import exhaustive

TINY = {
    "input_shape": (64, 64, 3), "filters": (6, 7), "hyper_filters": 5, "code_dim": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(2)
    model = aezoo.create("hyperprior", **TINY)
    # large maps, so that there is something to code
    kernel = model.encoder.heads["y"].kernel
    kernel.assign(6.0 * ops.convert_to_numpy(kernel))
    return model


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours, uint8."""
    coarse = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2, 3))
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.round(255 * fine).astype("uint8")


# --- Parts ----------------------------------------------------------------------------


@pytest.mark.parametrize("log_scale", [-2.2, 0.0, 2.0])
def test_the_masses_of_integers_sum_to_one(log_scale) -> None:
    values = ops.arange(-80.0, 81.0, dtype="float32")
    log_mass = ops.convert_to_numpy(
        log_mass_of(values + 0.3, ops.convert_to_tensor(log_scale))
    )
    assert np.exp(log_mass).sum() == pytest.approx(1.0, abs=1e-4)


def test_masses_are_those_of_scipy() -> None:
    from scipy.stats import norm

    values = np.array([0.0, 0.4, -3.0, 7.7], "float32")
    expected = norm.cdf((values + 0.5) / 1.7) - norm.cdf((values - 0.5) / 1.7)
    found = np.exp(
        ops.convert_to_numpy(
            log_mass_of(
                ops.convert_to_tensor(values),
                ops.convert_to_tensor(np.log(1.7), "float32"),
            )
        )
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_prior_of_hyperlatents_sums_to_one() -> None:
    prior = FactorizedPrior()
    prior.build((None, None, None, 3))
    for weight in prior.weights:
        noise = np.random.default_rng(1).standard_normal(weight.shape)
        weight.assign(ops.convert_to_numpy(weight) + 0.5 * noise)
    values = np.arange(-400.0, 401.0, dtype="float32")[:, None, None, None]
    mass = np.exp(ops.convert_to_numpy(prior(values + np.zeros(3, "float32"))))
    np.testing.assert_allclose(mass.sum(axis=(0, 1, 2)), 1.0, atol=1e-4)


def test_it_begins_with_principal_components() -> None:
    """With all of them, what is lost is the rounding of each: `step**2 / 12`."""
    whole = {"filters": (16, 64), "code_dim": 256, "hyper_filters": 4}
    model = aezoo.create("hyperprior", input_shape=(32, 48, 1), **whole)
    x = np.random.default_rng(0).integers(0, 256, (200, 32, 48, 1)).astype("uint8")
    model.distortion_weight = 0.5
    assert model.step == pytest.approx(np.sqrt(6 / (0.5 * np.log(2))))
    model.adapt(x)
    y = ops.convert_to_numpy(model.posterior(x).y)
    covariance = np.cov(y.reshape(-1, 256), rowvar=False)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 0.05 * covariance.max()
    z = np.round(y)
    error = 255.0 * np.asarray(model.decode(z)) - x
    assert np.mean(error**2) == pytest.approx(model.step**2 / 12, rel=0.1)


def test_fewer_components_lose_the_last_ones() -> None:
    from sklearn.decomposition import PCA

    few = {"filters": (16, 64), "code_dim": 9, "hyper_filters": 4}
    model = aezoo.create("hyperprior", input_shape=(16, 16, 1), **few)
    x = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 1)).astype("uint8")
    model.adapt(x)
    flat = x.reshape(80, -1) - x.mean()
    pca = PCA(9).fit(np.concatenate([flat, -flat]))  # around 0
    expected = flat - pca.inverse_transform(pca.transform(flat))
    y = ops.convert_to_numpy(model.posterior(x).y)
    found = 255.0 * ops.convert_to_numpy(model.decode_parameters(y)) - x
    assert np.mean(found**2) == pytest.approx(np.mean(expected**2), rel=1e-2)


def test_rounding_passes_the_gradient_on() -> None:
    x = ops.convert_to_tensor([0.2, 0.7, -1.4])
    np.testing.assert_array_equal(ops.convert_to_numpy(rounded(x)), [0.0, 1.0, -1.0])


# --- The model ------------------------------------------------------------------------


def test_codes_are_whole_distances_from_what_is_expected(model) -> None:
    x = photograph(64, 64)[None]
    posterior = model.posterior(x)
    z = model.encode(x)
    np.testing.assert_allclose(ops.convert_to_numpy(posterior.mode()), z, atol=1e-5)
    distance = z - ops.convert_to_numpy(posterior.center)
    np.testing.assert_allclose(distance, np.round(distance), atol=1e-4)
    assert np.abs(ops.convert_to_numpy(posterior.y) - z).max() <= 0.5 + 1e-4
    assert np.abs(distance).max() >= 2.0


def test_the_loss_is_the_length_and_the_error(model) -> None:
    x = photograph(64, 64)[None]
    model.compile("adam")
    found = model.evaluate(x, verbose=0, return_dict=True)
    x_hat = model.reconstruct(x / np.float32(255))
    # of values that are not cut to the range
    outputs = model(x / np.float32(255))
    error = np.sum((ops.convert_to_numpy(outputs["x_hat"]) - x / 255.0) ** 2)
    assert found["reconstruction"] == pytest.approx(error, rel=1e-4)
    assert x_hat.min() >= 0.0
    factor = 0.0067 * 255**2 * np.log(2) / 3
    total = factor * error + found["rate"]
    assert found["loss"] == pytest.approx(total, rel=1e-4)


def test_it_learns() -> None:
    keras.utils.set_random_seed(0)
    model = aezoo.create("hyperprior", **TINY)
    x = np.stack([photograph(64, 64, seed) for seed in range(16)])
    model.compile(keras.optimizers.Adam(3e-3))
    losses = model.fit(x, epochs=16, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert np.all(np.isfinite(losses))


# --- Bytes ----------------------------------------------------------------------------

pytest.importorskip("constriction", reason="needs aezoo[compression]")


def test_exact_arithmetic_expects_what_the_network_does(model) -> None:
    from aezoo.compression.hyper import HyperCoder, scale_of

    hyper = np.random.default_rng(0).integers(-5, 6, (2, 1, 2, 5)).astype("float32")
    center, index = HyperCoder(model).expected(hyper)
    # each block by itself
    expected = {
        name: np.stack(np.split(ops.convert_to_numpy(value), 2), axis=2)
        for name, value in model.expected(
            ops.convert_to_tensor(np.concatenate([hyper[:, :, :1], hyper[:, :, 1:]])),
            np.zeros((4, 4, 4, 4), "float32"),
        ).items()
    }
    expected = {k: v.reshape(2, 4, 8, 4) for k, v in expected.items()}
    np.testing.assert_allclose(center, expected["center"], atol=5e-3)
    scales = np.array([scale_of(int(i)) for i in index.ravel()]).reshape(index.shape)
    wanted = np.clip(np.exp(expected["log_scale"]), 0.0, scale_of(63))
    np.testing.assert_allclose(np.log(scales), np.log(wanted), atol=0.055)


@pytest.mark.parametrize(
    ("height", "width"), [pytest.param(64, 64, marks=exhaustive), (40, 75), (1, 130)]
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_of_any_size_come_back_as_decoded(model, height, width, dtype) -> None:
    x = np.stack([photograph(height, width, seed) for seed in (0, 1)])
    x = x if dtype == "uint8" else x / np.float32(255)
    blob = aezoo.compress(model, x)
    found = aezoo.decompress(blob, model)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    if (height, width) == (64, 64):
        expected = model.reconstruct(x)
        difference = np.abs(found.astype("float64") - expected)
        # a mean in exact arithmetic differs a little, and a rounding with it
        assert np.median(difference) <= (1 if dtype == "uint8" else 5e-3)


def test_bytes_are_as_many_as_the_model_says(model) -> None:
    """Also of images that are larger than the model's own, block by block."""
    x = np.stack([photograph(128, 192, seed) for seed in range(4)])
    blocks = x.reshape(4, 2, 64, 3, 64, 3).swapaxes(2, 3).reshape(-1, 64, 64, 3)
    model.compile("adam")
    found = model.evaluate(blocks, verbose=0, return_dict=True)
    bits = len(blocks) * found["rate"] / np.log(2)
    header = 8 * 200  # names, hashes
    # pixels beyond a block are seen in its map, zeros in those of an image of its own
    assert 8 * len(aezoo.compress(model, x)) < 1.05 * bits + header


def test_blocks_come_back() -> None:
    x = np.random.default_rng(0).random((2, 6, 8, 3), "float32")
    blocks = to_blocks(x, (3, 4), np)
    np.testing.assert_array_equal(blocks[1], x[0, :3, 4:])
    np.testing.assert_array_equal(blocks[2], x[0, 3:, :4])
    np.testing.assert_array_equal(from_blocks(blocks, (2, 2), np), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(to_blocks(x, (3, 4))), blocks)


def test_what_is_not_worth_its_bits_is_rounded_down() -> None:
    from aezoo.compression.coder import TOTAL_BITS
    from aezoo.compression.hyper import WORTH, bound_of, cheapest, scale_table

    wanted = np.random.default_rng(0).normal(0.0, 3.0, 4000)
    index = np.random.default_rng(1).integers(0, 40, 4000)
    chosen = cheapest(wanted, index)
    for exact, i, found in zip(wanted, index, chosen, strict=True):
        near = np.arange(round(exact) - 1, round(exact) + 2)
        share = (scale_table(int(i)) + 1.0)[near + bound_of(int(i))] / 2.0**TOTAL_BITS
        cost = -np.log(share) + WORTH * (near - exact) ** 2
        assert found == near[np.argmin(cost)]
    assert 0 < np.mean(chosen != np.rint(wanted)) < 0.5


def test_fewer_bits_are_worth_more_than_the_error(model, monkeypatch) -> None:
    from aezoo.compression import hyper

    x = np.stack([photograph(64, 64, seed) for seed in range(4)])
    sizes = []
    for worth in (1.0, 1e9):
        monkeypatch.setattr(hyper, "WORTH", worth)
        sizes.append(len(aezoo.compress(model, x)))
    assert sizes[0] < sizes[1]


def test_large_images_are_decoded_by_parts_without_seams(model, monkeypatch) -> None:
    from aezoo.compression import hyper

    blob = aezoo.compress(model, photograph(200, 330)[None] / np.float32(255))
    whole = aezoo.decompress(blob, model)
    monkeypatch.setattr(hyper, "TILE", 4)
    np.testing.assert_allclose(aezoo.decompress(blob, model), whole, atol=1e-5)


def test_another_backend_reads_the_same_codes(model, tmp_path) -> None:
    """And says so: the checksum is of the codes."""
    folder, path = tmp_path / "model", tmp_path / "x.aez"
    aezoo.save(model, folder)
    path.write_bytes(aezoo.compress(model, photograph(70, 90)[None]))
    mine = aezoo.decompress(path.read_bytes(), model)
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    code = (
        "import sys, aezoo, numpy as np, pathlib\n"
        "model = aezoo.load(sys.argv[1])\n"
        "found = aezoo.decompress(pathlib.Path(sys.argv[2]).read_bytes(), model)\n"
        "np.save(sys.argv[3], found)\n"
    )
    target = tmp_path / "found.npy"
    subprocess.run(
        [sys.executable, "-c", code, folder, path, target],
        check=True,
        env={**os.environ, "KERAS_BACKEND": other},
    )
    assert np.abs(np.load(target).astype(int) - mine).max() <= 1


def test_other_models_and_images_are_refused(model) -> None:
    x = photograph(64, 64)[None]
    blob = aezoo.compress(model, x)
    with pytest.raises(ChecksumError, match="of other weights"):
        aezoo.decompress(blob, shaken("hyperprior", **TINY, distortion_weight=0.1))
    with pytest.raises(CompressionError, match="damaged or incomplete"):
        aezoo.decompress(blob[:-30] + blob[-29:], model)
    with pytest.raises(ValueError, match="one image of 3 channels"):
        aezoo.compress(model, x[..., :1])
    with pytest.raises(UnsupportedOperationError, match="cannot code without loss"):
        aezoo.compress(model, x, lossless=True)


# --- What is refused ------------------------------------------------------------------


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(NetworkError, match="'transforms'"):
        aezoo.create("hyperprior", network="conv")
    with pytest.raises(NetworkError, match="cannot carry a flat latent"):
        aezoo.create("vae", network="transforms", input_shape=(64, 64, 3))


def test_the_commands_keep_the_size_of_photographs(model, tmp_path) -> None:
    folder = str(aezoo.save(model, tmp_path / "model"))
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for file, sides in zip(files, ((50, 90), (50, 90), (40, 90)), strict=True):
        PIL.Image.fromarray(photograph(*sides)).save(file)
    out, back = tmp_path / "out.aez", tmp_path / "back"

    def call(*arguments: object) -> Any:
        return CliRunner().invoke(main, [str(a) for a in arguments])

    result = call("compress", folder, *files[:2], "-o", out)
    assert result.exit_code == 0, result.output
    result = call("decompress", out, "-o", back, "--model", folder)
    assert result.exit_code == 0, result.output
    shapes = [np.asarray(PIL.Image.open(f)).shape for f in sorted(back.iterdir())]
    assert shapes == [(50, 90, 3)] * 2
    result = call("compress", folder, *files, "-o", out)
    assert result.exit_code == 2
    assert "c.png has 90 x 40 pixels" in result.output
