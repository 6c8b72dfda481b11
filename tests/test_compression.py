"""Compressed bytes: small, the same on every machine, and refused when foreign."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import aezoo
from aezoo.cli import main
from aezoo.errors import (
    ChecksumError,
    CompressionError,
    MissingDependencyError,
    UnsupportedOperationError,
)
from aezoo.samplers.autoregressive import IMPOSSIBLE, AutoregressiveSampler

pytest.importorskip("constriction", reason="needs aezoo[compression]")

from aezoo.compression import arithmetic, bits_back, codes, container
from aezoo.compression.arithmetic import LARGEST, ONE, Kernel, to_grid
from aezoo.compression.coder import TOTAL_BITS, Stack
from aezoo.compression.networks import FlatLatents, TopDownLatents
from tests.checks import shaken

SMALL = {"input_shape": (8, 8, 1), "filters": (4, 6), "hidden_units": (8,)}
HIERARCHICAL = {
    "input_shape": (8, 8, 1),
    "blocks": ((1, 1), (4, 1)),
    "width": 8,
    "bottleneck": 6,
    "code_dim": 2,
}


@pytest.fixture(scope="module")
def hierarchical() -> Any:
    keras.utils.set_random_seed(1)
    return shaken("hierarchical_vae", **HIERARCHICAL)


@pytest.fixture(scope="module")
def discrete() -> Any:
    """With a prior that knows classes, and codes that it deems impossible."""
    keras.utils.set_random_seed(1)
    model = shaken("vq_vae", input_shape=(8, 8, 1), filters=(4, 6), num_codes=7)
    generator = np.random.default_rng(0)
    width, heads, size, layers, count = 8, 2, 4, 2, 7
    positions = int(np.prod(model.latent_shape[:-1]))

    def draw(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype("float32")

    bias = draw(positions, count)
    bias[1, 3] = IMPOSSIBLE
    model.samplers["autoregressive"] = AutoregressiveSampler(
        latent_shape=model.latent_shape,
        fit={"num_images": 5},
        codes=draw(count, model.latent_shape[-1]),
        token=draw(count, width),
        position=draw(positions, width),
        kernel_in=draw(layers, width, 3, heads, size),
        bias_in=draw(layers, 3, heads, size),
        kernel_mix=draw(layers, heads, size, width),
        bias_mix=draw(layers, width),
        kernel_up=draw(layers, width, 16),
        bias_up=draw(layers, 16),
        kernel_down=draw(layers, 16, width),
        bias_down=draw(layers, width),
        kernel_out=draw(width, count),
        bias_out=bias,
        class_token=draw(3, width),
    )
    return model


def binary(n: int, shape: tuple[int, ...] = (8, 8, 1), seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed).random((n, *shape))
    return (255 * (draws < 0.3)).astype("uint8")


def grey(n: int, shape: tuple[int, ...] = (8, 8, 1)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype="uint8")


# --- Arithmetic -----------------------------------------------------------------------


def test_exponentials_are_right_to_the_last_digits() -> None:
    x = np.linspace(-60.0, 60.0, 10_001)
    np.testing.assert_allclose(arithmetic.exp(x), np.exp(x), rtol=1e-14)
    np.testing.assert_allclose(arithmetic.tanh(x), np.tanh(x), rtol=0, atol=1e-15)


def test_distribution_functions_are_close_and_their_intervals_alike() -> None:
    from statistics import NormalDist

    x = np.linspace(-4.0, 4.0, 101)
    exact = [NormalDist().cdf(value) for value in x]
    np.testing.assert_allclose(arithmetic.normal_cdf(x), exact, atol=2e-5)
    borders, medians = arithmetic.normal_bins(3)
    exact = [NormalDist().inv_cdf(k / 8) for k in range(1, 8)]
    np.testing.assert_allclose(borders, exact, atol=1e-4)
    exact = [NormalDist().inv_cdf((k + 0.5) / 8) for k in range(8)]
    np.testing.assert_allclose(medians, exact, atol=1e-4)


@pytest.mark.parametrize("terms", [1, 9, 432, 3136])
def test_sums_of_products_are_exact_whatever_the_values(terms: int, rng: Any) -> None:
    """Compared with Python's integers, at the largest values that can occur."""
    x = rng.choice([-LARGEST, LARGEST, LARGEST - 1], (3, terms)).astype("float64")
    kernel = Kernel(rng.choice([-1.7, 1.7, 1.69999], (terms, 2)))
    exact = x.astype("int64").astype(object) @ kernel.values.astype("int64")
    assert max(abs(int(v)) for v in exact.ravel()) < 2**53
    sums = x @ kernel.values
    np.testing.assert_array_equal(sums.astype("int64"), exact.astype("int64"))
    order = rng.permutation(terms)
    np.testing.assert_array_equal(x[:, order] @ kernel.values[order], sums)
    np.testing.assert_array_equal((x[:1] @ kernel.values)[0], sums[0])


def test_values_outside_of_a_table_follow_its_slopes() -> None:
    x = np.array([-100.0, -16.0, 0.0, 16.0, 100.0])
    silu = arithmetic.activation("silu", to_grid(x)) / ONE
    np.testing.assert_allclose(silu, x / (1.0 + np.exp(-x)), atol=3e-4)
    with pytest.raises(UnsupportedOperationError, match="'mish' has no exact"):
        arithmetic.activation("mish", x)


def test_a_symbol_costs_what_its_integer_frequency_says() -> None:
    """`constriction` uses the very table, rather than one that it rounded."""
    counts = arithmetic.counts_of(np.array([1e-6, 0.25, 0.2500001]), TOTAL_BITS)
    assert counts.sum() == 2**TOTAL_BITS - 4
    for symbol in range(4):
        stack = Stack(np.arange(1, 9, dtype="uint32"))
        before = stack._coder.num_valid_bits()
        stack.push(np.full(3000, symbol), np.tile(counts, (3000, 1)))
        took = (stack._coder.num_valid_bits() - before) / 3000
        expected = TOTAL_BITS - np.log2(float(counts[symbol]) + 1.0)
        assert took == pytest.approx(expected, abs=2e-3)
        popped = stack.pop(np.tile(counts, (3000, 1)))
        assert np.all(popped == symbol)


# --- Networks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("dense_vae", {"input_shape": (8, 8, 1), "activation": "tanh"}),
        ("conv_vae", {**SMALL, "upsampling": "resize_conv"}),
        ("conv_vae", {**SMALL, "upsampling": "transposed_conv", "activation": "gelu"}),
        (
            "conv_vae",
            {
                **SMALL,
                "input_shape": (7, 9, 2),
                "upsampling": "subpixel",
                "residual_blocks": 1,
                "normalization": "group",
            },
        ),
        (
            "resnet_vae",
            {
                **SMALL,
                "strides": (2, 2),
                "residual_blocks": 1,
                "normalization": "batch",
            },
        ),
    ],
)
def test_exact_layers_compute_what_keras_computes(family: str, config: Any) -> None:
    model = shaken(family, **config, latent_dim=4)
    x = np.random.default_rng(0).random((5, *model.input_shape)).astype("float32")
    latents = FlatLatents(model)
    mean, std = latents.features(to_grid(x))
    wanted = {k: np.asarray(v) for k, v in model.posterior(x).parameters().items()}
    scale = 1.0 + np.abs(wanted["z_mean"]).max()
    np.testing.assert_allclose(mean, wanted["z_mean"], atol=5e-3 * scale)
    log_var = np.clip(wanted["z_log_var"], -30, 30)
    np.testing.assert_allclose(2.0 * np.log(std), log_var, atol=5e-3 * scale)
    z = np.random.default_rng(1).standard_normal((5, 4)).astype("float32")
    wanted = model.run("decode_parameters", z, 256)
    scale = 1.0 + np.abs(wanted).max()
    np.testing.assert_allclose(latents.decode(z) / ONE, wanted, atol=5e-3 * scale)


def test_exact_levels_compute_what_keras_computes(hierarchical: Any) -> None:
    x = binary(4).astype("float32") / 255.0
    z = np.random.default_rng(1).standard_normal((4, *hierarchical.latent_shape))
    path = hierarchical.run("walk_z", z.astype("float32"), 256, x=x)
    latents = TopDownLatents(hierarchical)
    features, walk = latents.features(to_grid(x)), latents.walk()
    start = 0
    for level, units in enumerate(latents.level_units):
        mean, std = walk.posterior(level, features)
        part = slice(start, start + units)
        np.testing.assert_allclose(mean, path["z_mean"][:, part], atol=2e-2)
        np.testing.assert_allclose(
            2.0 * np.log(std), path["z_log_var"][:, part], atol=2e-2
        )
        walk.advance(level, z[:, part])
        start += units
    wanted = hierarchical.run("decode_parameters", z.astype("float32"), 256)
    np.testing.assert_allclose(walk.parameters() / ONE, wanted, atol=5e-2)


def test_the_prior_computes_what_the_sampler_computes(discrete: Any) -> None:
    sampler = discrete.samplers["autoregressive"]
    prior = codes.ExactPrior(sampler)
    indices = np.random.default_rng(0).integers(0, 7, (3, prior.positions))
    labels = np.array([0, 2, 1])
    before = np.concatenate([indices[:, :1], indices[:, :-1]], axis=1)
    counts = prior.counts(before, 0, prior.new_cache(3), labels)
    wanted = np.exp(sampler.log_conditionals(indices, labels))
    np.testing.assert_allclose(counts / 2.0**TOTAL_BITS, wanted, atol=2e-3)
    cache = prior.new_cache(3)  # position by position: the same bits
    for i in range(prior.positions):
        step = prior.counts(before[:, i, None], i, cache, labels)
        np.testing.assert_array_equal(step[:, 0], counts[:, i])
    alone = prior.counts(before[1:2], 0, prior.new_cache(1), labels[1:2])
    np.testing.assert_array_equal(alone[0], counts[1])


# --- There and back -------------------------------------------------------------------


def test_levels_of_latents_give_back_every_bit(hierarchical: Any) -> None:
    x = binary(70)
    blob = aezoo.compress(hierarchical, x, lossless=True)
    found = aezoo.decompress(blob, hierarchical)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, x)
    unit = x[:3].astype("float32") / 255.0
    blob = aezoo.compress(hierarchical, unit, lossless=True)
    np.testing.assert_array_equal(aezoo.decompress(blob, hierarchical), unit)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "discretized_logistic"])
def test_grey_levels_come_back_under_a_density(likelihood: str) -> None:
    config = {**SMALL, "input_shape": (8, 8, 2), "likelihood": likelihood}
    model = shaken("conv_vae", **config, likelihood_scale=0.2)
    x = grey(9, (8, 8, 2))
    blob = aezoo.compress(model, x, lossless=True)
    np.testing.assert_array_equal(aezoo.decompress(blob, model), x)


def test_bits_back_costs_the_bound() -> None:
    """A model that fits: pixels of one latent unit, whose posterior is known."""
    model = aezoo.create("dense_vae", input_shape=(8, 8, 1), latent_dim=3)
    x = binary(600)
    blob = aezoo.compress(model, x, lossless=True)
    tables = container.unpack(blob)[0].tables
    assert len(tables) == 1
    words = container.unpack(blob)[1]
    unit = x.astype("float32") / 255.0
    posterior = model.posterior(unit)
    likelihood = model.likelihood_of(np.asarray(posterior.sample(seed=0)))
    nats = np.asarray(posterior.kl()) - np.asarray(likelihood.log_prob(unit))
    assert 32 * len(words) / np.log2(np.e) == pytest.approx(nats.sum(), rel=0.01)


def test_levels_of_a_mixture_cost_their_probability() -> None:
    """Tables of a channel given those before it, beside the distribution's own."""
    generator = np.random.default_rng(0)
    likelihood = bits_back.MixtureLevels(3)
    parameters = generator.standard_normal((200, 100)) * 0.5
    x = generator.integers(0, 256, (200, 3), dtype="uint8")
    stack = Stack(np.empty(0, "uint32"))
    likelihood.push(stack, x.astype("int32"), to_grid(parameters))
    own = aezoo.distributions.DiscretizedLogisticMixture(
        keras.ops.convert_to_tensor(parameters.astype("float32")), 3
    )
    values = keras.ops.convert_to_tensor(x.astype("float32") / 255.0)
    bits = -float(np.sum(own.log_prob(values))) / np.log(2.0)
    assert stack._coder.num_valid_bits() == pytest.approx(bits, rel=2e-3)
    found = likelihood.pop(stack, to_grid(parameters), x.shape)
    np.testing.assert_array_equal(found, x)


def test_units_that_say_nothing_take_no_bits(hierarchical: Any) -> None:
    latents = TopDownLatents(hierarchical)
    bits = bits_back.choose_bits(latents, to_grid(binary(8) / 255.0))
    assert tuple(map(len, bits)) == latents.level_units
    still = aezoo.create("hierarchical_vae", **HIERARCHICAL)
    for w in still.encoder.trainable_weights:
        w.assign(keras.ops.zeros_like(w))
    latents = TopDownLatents(still)
    bits = bits_back.choose_bits(latents, to_grid(binary(8) / 255.0))
    assert not np.concatenate(bits).any()
    x = binary(5)
    blob = aezoo.compress(still, x, lossless=True)
    np.testing.assert_array_equal(aezoo.decompress(blob, still), x)


def test_codes_come_back_under_the_prior(discrete: Any) -> None:
    x = grey(70)
    blob = aezoo.compress(discrete, x)
    assert container.unpack(blob)[0].mode == "prior"
    wanted = discrete.decode_indices(discrete.encode_indices(x))
    np.testing.assert_allclose(
        aezoo.decompress(blob, discrete) / 255.0, wanted, atol=0.5 / 255 + 1e-5
    )


def test_codes_without_a_prior_cost_their_entropy(rng: Any) -> None:
    model = shaken("vq_vae", input_shape=(8, 8, 1), filters=(4, 6), num_codes=7)
    share = [0.6, 0.3, 0.05, 0.03, 0.02]
    indices = rng.choice(5, (2000, 4), p=share)
    times = codes.frequencies(model.codebooks, indices)
    words = codes.encode_with_tables(model.codebooks, times, indices)
    entropy = -float(np.sum(share * np.log2(share)))
    assert 32 * len(words) == pytest.approx(entropy * indices.size, rel=0.02)
    found = codes.decode_with_tables(model.codebooks, times, words, indices.shape)
    np.testing.assert_array_equal(found, indices)
    x = grey(5)  # too few for a table to pay
    blob = aezoo.compress(model, x)
    assert container.unpack(blob)[0].tables == (b"",)
    assert aezoo.decompress(blob, model).shape == x.shape


def test_another_backend_writes_and_reads_the_same_bytes(
    hierarchical: Any, discrete: Any, tmp_path: Path
) -> None:
    """In a process of its own, with another number of threads and batch size."""
    x = binary(30)
    blobs = {
        "hierarchical": aezoo.compress(hierarchical, x, lossless=True),
        "discrete": aezoo.compress(discrete, x),
    }
    np.save(tmp_path / "x.npy", x)
    for name, model in (("hierarchical", hierarchical), ("discrete", discrete)):
        aezoo.save(model, tmp_path / name)
        (tmp_path / f"{name}.aez").write_bytes(blobs[name])
    code = (
        "import sys, json, hashlib, numpy as np, aezoo; from pathlib import Path\n"
        "import keras\n"
        "folder = Path(sys.argv[1]); x = np.load(folder / 'x.npy'); found = {}\n"
        "for name in ('hierarchical', 'discrete'):\n"
        "    model = aezoo.load(folder / name)\n"
        "    blob = (folder / f'{name}.aez').read_bytes()\n"
        "    y = aezoo.decompress(blob, model, batch_size=3)\n"
        "    again = aezoo.compress(model, x, lossless=name == 'hierarchical')\n"
        "    found[name] = [y.tolist(), again.hex()]\n"
        "print(json.dumps([keras.backend.backend(), found]))\n"
    )
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ
        | {"KERAS_BACKEND": other}
        | {"OPENBLAS_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    backend, found = json.loads(done.stdout.splitlines()[-1])
    assert backend == other
    np.testing.assert_array_equal(found["hierarchical"][0], x)
    mine = aezoo.decompress(blobs["discrete"], discrete).astype(int)
    assert (
        np.abs(np.array(found["discrete"][0]) - mine).max() <= 1
    )  # rounding of pixels
    for name, blob in blobs.items():
        assert found[name][1] == blob.hex()


# --- What is refused ------------------------------------------------------------------


def test_damage_anywhere_is_told(discrete: Any) -> None:
    blob = aezoo.compress(discrete, grey(3))
    with pytest.raises(CompressionError, match="do not begin as such"):
        aezoo.decompress(b"\x89PNG" + blob[4:], discrete)
    with pytest.raises(CompressionError, match="of version 9"):
        aezoo.decompress(blob[:3] + b"\x09" + blob[4:], discrete)
    for length in (0, 3, 20, len(blob) // 2, len(blob) - 1):
        with pytest.raises(CompressionError):
            aezoo.decompress(blob[:length], discrete)
    for place in range(4, len(blob), 17):
        damaged = bytearray(blob)
        damaged[place] ^= 1
        with pytest.raises(CompressionError, match="damaged or incomplete"):
            aezoo.decompress(bytes(damaged), discrete)


def forged(blob: bytes, words: np.ndarray | None = None, **changes: Any) -> bytes:
    """Bytes whose checksum fits, but which say something else."""
    header, own = container.unpack(blob)
    changed = msgspec.structs.replace(header, **changes)
    return container.pack(changed, own if words is None else words)


def test_bytes_that_lie_are_told(discrete: Any, hierarchical: Any) -> None:
    blob = aezoo.compress(discrete, grey(3))
    with pytest.raises(CompressionError, match="more than max_bytes"):
        aezoo.decompress(forged(blob, shape=(10**12, 8, 8, 1)), discrete)
    with pytest.raises(CompressionError, match="shape"):
        aezoo.decompress(forged(blob, shape=(3, 9, 9, 1)), discrete)
    with pytest.raises(ChecksumError, match="not what was encoded"):
        aezoo.decompress(forged(blob, content=bytes(16)), discrete)
    with pytest.raises(ChecksumError, match="not what was encoded"):
        aezoo.decompress(forged(blob, np.arange(5, dtype="uint32")), discrete)
    with pytest.raises(CompressionError, match="no stack"):
        aezoo.decompress(forged(blob, np.array([1, 0], "uint32")), discrete)
    with pytest.raises(CompressionError, match="header"):
        aezoo.decompress(forged(blob, dtype="float128"), discrete)
    lossless = aezoo.compress(hierarchical, binary(3), lossless=True)
    with pytest.raises(CompressionError, match="do not fit the latents"):
        aezoo.decompress(forged(lossless, tables=(b"\x63",)), hierarchical)


def test_another_model_is_refused(discrete: Any) -> None:
    blob = aezoo.compress(discrete, grey(3))
    with pytest.raises(CompressionError, match="is none of"):
        aezoo.decompress(blob)
    other = aezoo.create("vq_vae", input_shape=(8, 8, 1), filters=(4, 6), num_codes=7)
    other.samplers["autoregressive"] = discrete.samplers["autoregressive"]
    with pytest.raises(ChecksumError, match="other weights"):
        aezoo.decompress(blob, other)


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("conv_ae", {}, "lossless=True"),
        ("fsq", {"lossless": True}, "cannot code without loss"),
        ("vamp_vae", {"lossless": True}, "cannot code without loss"),
        ("conditional_vae", {"lossless": True}, "is told labels"),
    ],
)
def test_models_that_cannot_are_refused(
    family: str, config: dict[str, Any], message: str
) -> None:
    from aezoo.registry import find_family

    model = aezoo.create(family, **find_family(family).tiny)
    with pytest.raises(UnsupportedOperationError, match=message):
        aezoo.compress(model, grey(2), **config)


def test_pixels_without_probabilities_are_refused(hierarchical: Any) -> None:
    with pytest.raises(ValueError, match="must be binary"):
        aezoo.compress(hierarchical, grey(2), lossless=True)
    model = aezoo.create("conv_vae", **SMALL, likelihood="gaussian")
    with pytest.raises(ValueError, match="must be uint8"):
        aezoo.compress(model, grey(2) / 255.0, lossless=True)


def test_the_missing_package_is_named(
    discrete: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(MissingDependencyError, match=r"aezoo\[compression\]"):
        aezoo.compress(discrete, grey(1))


# --- Commands -------------------------------------------------------------------------


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_commands_go_there_and_back(hierarchical: Any, tmp_path: Path) -> None:
    aezoo.save(hierarchical, tmp_path / "model")
    files = []
    for i, image in enumerate(binary(3)):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(image[..., 0]).save(files[-1])
    blob, out = tmp_path / "out.aez", tmp_path / "out"
    done = invoke("compress", tmp_path / "model", *files, "--lossless", "-o", blob)
    assert done.exit_code == 0, done.output
    assert "bits per pixel" in done.output
    done = invoke("decompress", blob, "-o", out)
    assert "none of `aezoo.list_models()`" in done.stderr
    done = invoke("decompress", blob, "--model", tmp_path / "model", "-o", out)
    assert done.exit_code == 0, done.output
    for i, image in enumerate(binary(3)):
        found = np.asarray(Image.open(out / f"{i}.png"))
        np.testing.assert_array_equal(found, image[..., 0])


def test_rates_stand_beside_codecs(discrete: Any, tmp_path: Path) -> None:
    aezoo.save(discrete, tmp_path / "model")
    np.savez(tmp_path / "data.npz", images=grey(20))
    data, figure = tmp_path / "data.npz", tmp_path / "rates.png"
    done = invoke("rate", tmp_path / "model", data, "--json", "-o", figure)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    own, *others = found["rates"]
    assert own["bits"] == pytest.approx(8 * own["bytes"] / (20 * 64))
    assert {"JPEG, same rate", "JPEG, same error"} <= {r["method"] for r in others}
    assert all(r["mse"] > 0 for r in found["rates"])
    assert figure.stat().st_size > 1000


def test_rates_without_loss_name_the_bound(hierarchical: Any, tmp_path: Path) -> None:
    aezoo.save(hierarchical, tmp_path / "model")
    np.savez(tmp_path / "data.npz", images=grey(20))
    data = tmp_path / "data.npz"
    done = invoke("rate", tmp_path / "model", data, "--lossless")
    assert done.exit_code == 0, done.output
    assert "The model's own bound is" in done.output
    assert all(codec in done.output for codec in ("zlib", "PNG"))


@pytest.mark.exhaustive
def test_digits_take_few_bits_more_than_the_bound(mnist: Any) -> None:
    """The whole test set is measured by `aezoo rate`; here the first images."""
    model = aezoo.load("conv_vae_mnist")
    x = mnist[1][:300]
    x = (255 * (np.random.default_rng(0).random(x.shape) < x / 255.0)).astype("uint8")
    blob = aezoo.compress("conv_vae_mnist", x, lossless=True)
    np.testing.assert_array_equal(aezoo.decompress(blob), x)
    unit = x.astype("float32") / 255.0
    posterior = model.posterior(unit)
    likelihood = model.likelihood_of(np.asarray(posterior.sample(seed=0)))
    nats = np.asarray(posterior.kl()) - np.asarray(likelihood.log_prob(unit))
    bits = 8 * (len(blob) - 300) / len(x)
    assert bits < 1.02 * nats.mean() / np.log(2.0)


def test_the_difference_of_rates_is_that_of_straight_lines() -> None:
    """A curve of half the bits everywhere, and one that crosses another."""
    from aezoo.evaluation.image.rates import bd_rate

    jpeg = [(0.25, 27.0), (0.5, 30.0), (1.0, 33.0), (2.0, 36.0)]
    half = [(bits / 2, psnr) for bits, psnr in jpeg]
    assert bd_rate(half, jpeg) == pytest.approx(-0.5)
    assert bd_rate(jpeg, half) == pytest.approx(1.0)
    some = [(0.5, 33.0), (0.3, 30.5)]  # in any order, within the range
    assert -0.5 < bd_rate(some, jpeg) < -0.4
    with pytest.raises(ValueError, match="no range of errors in common"):
        bd_rate([(1.0, 50.0), (2.0, 55.0)], jpeg)
