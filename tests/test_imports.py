"""Models of diffusers and transformers: converted, compared with what those compute.

`training/references.py` made the files in `tests/fixtures/imports/`.
"""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import aezoo
from aezoo.errors import (
    ConversionError,
    HubError,
    UnsafeFileError,
    UnsupportedOperationError,
)
from aezoo.store.foreign.sources import MODULES
from tests.draws import chosen, exhaustive
from tests.hub_server import HubServer

FIXTURES = Path(__file__).parent / "fixtures" / "imports"
WEIGHTS = "diffusion_pytorch_model.safetensors"
TOLERANCE = 1e-4
KL = ("kl_sd", "kl_flux", "kl_plain")


def expected(name: str) -> dict[str, np.ndarray]:
    """What the library computed; maps with channels last, as ours are."""
    with np.load(FIXTURES / name / "expected.npz") as file:
        arrays = dict(file)
    return {
        key: value.transpose(0, 2, 3, 1)
        if value.ndim == 4 and key != "images"
        else value
        for key, value in arrays.items()
    }


@functools.cache
def loaded(name: str) -> Any:
    """The model of a fixture, compiled once for all tests; none changes it."""
    return aezoo.load(FIXTURES / name)


def unit(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as `decode` answers: in [0, 1]."""
    return np.clip(0.5 * images + 0.5, 0.0, 1.0)


def assert_close(actual: Any, wanted: np.ndarray) -> None:
    assert np.ptp(wanted) > 0.1  # something is compared
    np.testing.assert_allclose(np.asarray(actual), wanted, rtol=0, atol=TOLERANCE)


def assert_same_weights(model: Any, other: Any) -> None:
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """Copies a fixture, and changes its configuration or its tensors."""

    def change(
        name: str = "kl_sd",
        config: dict[str, Any] | None = None,
        tensors: Callable[[dict[str, np.ndarray]], Any] | None = None,
    ) -> Path:
        folder = tmp_path / name
        shutil.copytree(FIXTURES / name, folder, dirs_exist_ok=True)
        if config is not None:
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | config))
        if tensors is not None:
            (path,) = folder.glob("*.safetensors")
            found = load_file(path)
            tensors(found)
            save_file(found, path)
        return folder

    return change


# --- The same numbers ----------------------------------------------------------------


@pytest.mark.parametrize("name", chosen(KL, ["kl_flux"]))
def test_an_autoencoder_kl_computes_what_diffusers_does(name: str) -> None:
    model, wanted = loaded(name), expected(name)
    assert model.family == "kl_autoencoder"
    posterior = model.posterior(wanted["images"])
    assert_close(posterior.mean, wanted["mean"])
    assert_close(posterior.log_var, wanted["logvar"])
    assert_close(model.decode(wanted["mean"]), unit(wanted["decoded"]))


def test_a_vq_model_computes_what_diffusers_does() -> None:
    model, wanted = loaded("vq"), expected("vq")
    assert model.family == "vq_vae"
    posterior = model.posterior(wanted["images"])
    assert_close(posterior.parameters()["z_encoded"], wanted["encoded"])
    indices = np.asarray(posterior.parameters()["indices"])
    np.testing.assert_array_equal(indices, wanted["indices"])
    assert len(np.unique(indices)) > 3
    assert_close(posterior.mean, wanted["codes"])
    assert_close(model.decode(wanted["codes"]), unit(wanted["decoded"]))


def test_a_tiny_autoencoder_computes_what_diffusers_does() -> None:
    """Its configuration names no size; a model of another size has the same weights."""
    whole, wanted = loaded("tiny"), expected("tiny")
    assert whole.input_shape == (512, 512, 3)
    config = {**whole.config, "input_shape": wanted["images"].shape[1:]}
    model = aezoo.create(whole.family, **config)
    model.set_weights(whole.get_weights())
    assert_close(model.encode(wanted["images"]), wanted["codes"])
    assert_close(model.decode(wanted["codes"]), unit(wanted["decoded"]))


@pytest.mark.parametrize("name", ["mae", "mae_normalized", "mae_encoder"])
def test_features_of_a_masked_autoencoder_are_those_of_transformers(name) -> None:
    model, wanted = loaded(name), expected(name)
    assert model.family == "masked_ae"
    assert_close(model.encode(wanted["images"]), wanted["codes"])
    layers = ["tokens", "block1", "block2", "pool"]
    found = aezoo.feature_extractor(model, layer=layers)(wanted["images"])
    for index, layer in enumerate(layers[:-1]):
        assert_close(found[layer], wanted[f"state_{index}"])
    assert_close(found["pool"], wanted["codes"][:, 1:].mean(axis=1))


def test_a_masked_autoencoder_completes_what_transformers_does() -> None:
    model, wanted = loaded("mae"), expected("mae")
    images, hidden = wanted["images"], wanted["hidden"]
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    drawn = np.clip(wanted["drawn"] * std + mean, 0.0, 1.0)
    pixels = np.kron(hidden.reshape(2, 4, 4), np.ones((1, 4, 4), bool))[..., None]
    completed = model.inpaint(images, pixels[..., 0])
    assert_close(completed[:, 0], np.where(pixels, drawn, images))
    # nothing of what is hidden is seen
    other = np.where(pixels, 1.0 - images, images)
    np.testing.assert_array_equal(model.inpaint(other, pixels[..., 0]), completed)


@pytest.mark.parametrize("name", ["mae", "mae_normalized"])
def test_a_masked_autoencoder_is_trained_by_the_loss_of_transformers(name) -> None:
    from keras import ops

    model, wanted = loaded(name), expected(name)
    order = np.argsort(wanted["hidden"], axis=1, kind="stable")
    rank = ops.convert_to_tensor(np.argsort(order, axis=1).astype("int32"))
    x = ops.convert_to_tensor(wanted["images"])
    outputs = model.call_in_part(x, rank, 4)
    terms = model.compute_terms(x, outputs)
    values = 16 * 4 * 4 * 3  # that ours is summed over
    loss = np.mean(ops.convert_to_numpy(terms["reconstruction"])) / values
    assert abs(loss - wanted["loss"]) < TOLERANCE
    assert model.loss_weights["visible"] == 0.0


def test_an_encoder_without_a_decoder(tmp_path: Path) -> None:
    model = loaded("mae_encoder")
    with pytest.raises(UnsupportedOperationError, match="has an encoder alone"):
        model.reconstruct(expected("mae_encoder")["images"])
    again = aezoo.load(aezoo.save(model, tmp_path / "saved"))
    assert_same_weights(again, model)
    assert aezoo.verify(tmp_path / "saved").ok
    assert json.loads((tmp_path / "saved/aezoo.json").read_text())["tasks"] == [
        "features"
    ]


def test_names_of_newer_files_of_transformers_are_known(copy) -> None:
    def rename(tensors) -> None:
        for name in [n for n in tensors if "decoder_encoder.layer" in n]:
            older = name.replace("decoder_encoder.layer", "decoder_layers")
            tensors[older] = tensors.pop(name)

    model = aezoo.load(copy("mae", tensors=rename))
    assert_same_weights(model, loaded("mae"))


def test_codes_are_scaled_as_in_the_pipelines() -> None:
    z = np.random.default_rng(0).standard_normal((2, 3, 3, 4), "float32")
    sd = loaded("kl_sd")
    np.testing.assert_allclose(sd.scale_codes(z), 0.18215 * z, rtol=1e-5)
    plain = loaded("kl_plain")
    mean, std = np.float32([0.1, -0.2, 0.3, 0.4]), np.float32([1.5, 0.5, 2.0, 1.0])
    scaled = plain.scale_codes(z)
    np.testing.assert_allclose(scaled, (z - mean) * 0.18215 / std, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(plain.unscale_codes(scaled), z, rtol=1e-4, atol=1e-5)
    flux = loaded("kl_flux")
    z = np.zeros((1, 8, 8, 16), "float32")
    np.testing.assert_allclose(flux.scale_codes(z), -0.1159 * 0.3611, rtol=1e-5)


def test_log_variances_are_cut_as_published(copy) -> None:
    def widen(tensors) -> None:
        tensors["quant_conv.bias"][4:] = [100.0, -100.0, 0.0, 0.0]

    model = aezoo.load(copy(tensors=widen))
    log_var = np.asarray(model.posterior(expected("kl_sd")["images"]).log_var)
    assert (log_var[..., 0] == 20.0).all()
    assert (log_var[..., 1] == -30.0).all()


def test_names_of_older_files_are_known(copy) -> None:
    def rename(tensors) -> None:
        for old, new in (
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ):
            for name in [n for n in tensors if f".{old}." in n]:
                tensors[name.replace(f".{old}.", f".{new}.")] = tensors.pop(name)

    wanted = expected("kl_sd")
    model = aezoo.load(copy(tensors=rename))
    assert_close(model.encode(wanted["images"]), wanted["mean"])


# --- What can be done with it --------------------------------------------------------


def test_it_is_saved_in_our_layout(copy, tmp_path: Path) -> None:
    folder = copy()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    model = aezoo.load(folder)
    assert model.license == "mit"
    saved = aezoo.save(model, tmp_path / "saved")
    again = aezoo.load(saved)
    assert_same_weights(again, model)
    entry = json.loads((saved / "aezoo.json").read_text())
    assert entry["license"] == again.license == "mit"
    assert entry["origin"] == again.origin == "AutoencoderKL of diffusers"


def test_it_is_verified_as_far_as_its_files_say() -> None:
    found = aezoo.verify(FIXTURES / "kl_flux")
    assert found.ok
    assert [check.what for check in found.checks][-2:] == [
        "weights and config.json",
        "finite outputs",
    ]
    assert len(found.checks) == 7 + 2  # its files


def test_features_of_its_layers() -> None:
    folder = FIXTURES / "kl_sd"
    names = [info.name for info in aezoo.feature_info(folder)]
    assert names == ["stage1", "stage2", "mid", "pool", "latent"]
    x = expected("kl_sd")["images"]
    extractor = aezoo.feature_extractor(folder, layer=["mid", "latent"])
    features = extractor(x)
    assert features["mid"].shape == (2, 8, 8, 8)
    assert_close(features["latent"], expected("kl_sd")["mean"])


@pytest.mark.parametrize(
    "name", ["kl_sd", *(pytest.param(name, marks=exhaustive) for name in ("vq", "mae"))]
)
def test_it_is_described_measured_encoded_and_searched(name, tmp_path: Path) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from aezoo.cli import main

    def run(*arguments: Any) -> str:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    folder, images = FIXTURES / name, tmp_path / "images"
    images.mkdir()
    x = loaded(name).modality.examples(4, seed=1)
    for number, image in enumerate(x):
        Image.fromarray(image).save(images / f"{number}.png")
    told = run("describe", folder)
    assert loaded(name).family in told
    assert loaded(name).origin in told
    report = aezoo.evaluate(folder, x, metrics=["mse"])
    error = (loaded(name).reconstruct(x / np.float32(255)) - x / np.float32(255)) ** 2
    assert report["mse"].value == pytest.approx(error.mean(), rel=1e-4)
    run("encode", folder, images / "0.png", images / "1.png", "-o", tmp_path / "z.npz")
    with np.load(tmp_path / "z.npz") as file:
        codes = file["z"]
    np.testing.assert_allclose(codes, loaded(name).encode(x[:2]), rtol=0, atol=1e-5)
    query = images / "2.png"
    rows = json.loads(run("nearest", folder, query, images, "-k", 2, "--json"))
    assert rows[0]["path"] == str(query)
    assert rows[0]["distance"] == pytest.approx(0.0, abs=1e-4)
    passed, count = re.findall(r"(\d+)/(\d+) checks", run("verify", folder))[0]
    assert passed == count


# --- And back ------------------------------------------------------------------------


@pytest.mark.parametrize("name", chosen([*KL, "vq", "tiny"], ["kl_flux", "vq"]))
def test_it_is_written_as_it_was_read(name: str, tmp_path: Path) -> None:
    model = loaded(name)
    folder = aezoo.to_diffusers(model, tmp_path / "back")
    parts = sorted((FIXTURES / name).glob("*.safetensors"))
    wanted: dict[str, np.ndarray] = {}
    for part in parts:
        wanted |= load_file(part)
    written = load_file(folder / WEIGHTS)
    assert written.keys() == wanted.keys()
    for tensor, values in wanted.items():
        np.testing.assert_array_equal(written[tensor], values)
    old, new = (
        json.loads((where / "config.json").read_text())
        for where in (FIXTURES / name, folder)
    )
    assert new.items() <= {**old, **_moments(new)}.items()
    again = aezoo.load(folder)
    assert again.config == model.config
    if hasattr(model, "scale_codes"):
        z = np.ones((1, model.code_dim), "float32")
        wanted_codes = model.scale_codes(z)
        np.testing.assert_allclose(again.scale_codes(z), wanted_codes, rtol=1e-5)


def _moments(config: dict[str, Any]) -> dict[str, Any]:
    """What may be said in two ways: compared by what it does."""
    keys = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
    return {key: config[key] for key in keys if key in config}


def test_what_diffusers_has_no_class_for(tmp_path: Path) -> None:
    other = aezoo.create("dense_ae", input_shape=(4, 4, 1), hidden_units=())
    with pytest.raises(ConversionError, match="no class for 'dense_ae'"):
        aezoo.to_diffusers(other, tmp_path / "x")
    other = aezoo.create("kl_autoencoder", input_shape=(8, 8, 3))
    with pytest.raises(ConversionError, match="`network` must be 'ldm'"):
        aezoo.to_diffusers(other, tmp_path / "x")
    model = loaded("kl_sd")
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        aezoo.to_diffusers(model, tmp_path / "no" / "x")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="must be new or empty"):
        aezoo.to_diffusers(model, tmp_path)


# --- On the Hub ----------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path: Path):
    from huggingface_hub import constants

    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield server


def files_of(name: str, folder: str = "") -> dict[str, bytes]:
    return {
        f"{folder}{path.name}": path.read_bytes()
        for path in (FIXTURES / name).iterdir()
        if path.suffix != ".npz"
    }


def test_a_model_on_the_hub(hub) -> None:
    card = b"---\nlicense: other\nlicense_name: openrail++\n---\n"
    files = {**files_of("kl_flux"), "README.md": card, "x.bin": b"pickle"}
    commit = hub.add_repo("org/flux", files)
    address = "hf://org/flux"
    from aezoo.store.reference import find_entry

    entry = find_entry(address)
    assert hub.downloads(r"\.safetensors$") <= 7  # the heads of the files alone
    assert entry.license == "openrail++"
    assert entry.origin == f"AutoencoderKL of diffusers, {address}@{commit}"
    model = aezoo.load(address)
    assert model.count_params() == entry.num_params
    assert (model.origin, model.license) == (entry.origin, entry.license)
    assert_same_weights(model, loaded("kl_flux"))
    hub.requests.clear()
    assert aezoo.load(address, local_files_only=True).name == "flux"
    assert aezoo.load(f"{address}@{commit}").name == "flux"
    assert hub.requests == []


NORMALIZATION = {  # that of ImageNet, with twice the deviation
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.458, 0.448, 0.45],
    "size": {"height": 16, "width": 16},
}


def test_a_repository_says_how_its_images_are_normalised(hub, tmp_path) -> None:
    content = json.dumps(NORMALIZATION).encode()
    files = {**files_of("mae"), "preprocessor_config.json": content}
    commit = hub.add_repo("org/mae", files)
    address = f"hf://org/mae@{commit}"
    from aezoo.store.reference import find_entry

    entry, model = find_entry(address), aezoo.load(address)
    stated = "normalised by mean 0.485, 0.456, 0.406 and std 0.458, 0.448, 0.45 "
    assert stated in entry.origin == model.origin
    assert entry.origin.endswith("(preprocessor_config.json)")
    assert loaded("mae").origin.endswith("std 0.229, 0.224, 0.225 (ImageNet)")
    x = expected("mae")["images"]
    mean = np.float32(NORMALIZATION["image_mean"])
    wanted = loaded("mae").encode(0.5 * (x + mean))  # deviates half as much
    assert_close(model.encode(x), wanted)
    hub.requests.clear()
    offline = aezoo.load(address, local_files_only=True)
    assert (offline.origin, hub.requests) == (model.origin, [])
    saved = aezoo.save(model, tmp_path / "saved")
    assert aezoo.load(saved).origin == model.origin
    assert stated in (saved / "README.md").read_text()


def test_images_that_are_not_normalised(copy) -> None:
    folder = copy("mae")
    path = folder / "preprocessor_config.json"
    path.write_text('{"do_normalize": false, "image_std": [0, 0]}')
    config = aezoo.load(folder).config
    assert (config["channel_mean"], config["channel_std"]) == ([0.0] * 3, [1.0] * 3)


def test_a_vae_of_diffusers_has_no_preprocessor(copy) -> None:
    """What lies beside it is of another part of a pipeline."""
    folder = copy()
    (folder / "preprocessor_config.json").write_text("{")
    assert_same_weights(aezoo.load(folder), loaded("kl_sd"))


def test_a_model_in_a_folder_of_a_pipeline(hub) -> None:
    files = files_of("kl_plain", "vae/") | {"unet/config.json": b"{}"}
    files |= {"model_index.json": b"{}", "README.md": b"---\nlicense: mit\n---\n"}
    hub.add_repo("org/pipeline", files)
    with pytest.raises(ConversionError, match=r"unet, vae. Name one, .*pipeline/vae"):
        aezoo.load("hf://org/pipeline")
    model = aezoo.load("hf://org/pipeline/vae@main")
    assert model.license == "mit"
    assert "hf://org/pipeline/vae@" in model.origin
    assert_same_weights(model, loaded("kl_plain"))


def test_repositories_that_cannot_be_converted(hub) -> None:
    config = files_of("kl_sd")["config.json"]
    hub.add_repo("org/pickle", {"config.json": config, "model.bin": b"x"})
    with pytest.raises(UnsafeFileError, match=r"model.bin alone: reading a pickle"):
        aezoo.load("hf://org/pickle")
    hub.add_repo("org/other", {"config.json": b'{"model_type": "bert"}', WEIGHTS: b""})
    with pytest.raises(ConversionError, match=r"'bert', which aezoo cannot convert"):
        aezoo.load("hf://org/other")
    assert hub.downloads(WEIGHTS) == 0
    hub.add_repo("org/empty", {"readme.txt": b"x"})
    with pytest.raises(HubError, match=r"has no file aezoo.json"):
        aezoo.load("hf://org/empty")
    hub.add_repo("org/private", files_of("kl_sd"), private=True)
    with pytest.raises(HubError, match="or it is private"):
        aezoo.load("hf://org/private")
    assert aezoo.load("hf://org/private", token=hub.token).name == "private"


def test_a_gated_repository(hub) -> None:
    hub.add_repo("org/gated", files_of("kl_sd"), gated=True)
    hub.add_token("hf_stranger", repos=[])
    for token in (None, "hf_stranger"):
        with pytest.raises(HubError, match=r"org/gated is gated. Ask for access on"):
            aezoo.load("hf://org/gated", token=token)
    assert_same_weights(aezoo.load("hf://org/gated", token=hub.token), loaded("kl_sd"))


# --- What is refused -----------------------------------------------------------------


def test_an_unknown_class_is_told_what_there_is(copy) -> None:
    folder = copy(config={"_class_name": "AutoencoderKLWan"})
    with pytest.raises(ConversionError) as error:
        aezoo.load(folder)
    assert "'AutoencoderKLWan', which aezoo cannot convert" in str(error.value)
    assert all(name in str(error.value) for name in MODULES)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("AsymmetricAutoencoderKL", "its decoder sees the masked image"),
        ("AutoencoderDC", "no network here has its blocks, linear attention"),
    ],
)
def test_why_a_class_is_not_converted(copy, name, reason) -> None:
    with pytest.raises(ConversionError, match=f"{name}.*: {reason}.*ViTMAEModel"):
        aezoo.load(copy(config={"_class_name": name}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_channels": 1}, "`num_channels` must be 3"),
        ({"qkv_bias": False}, "`qkv_bias` must be True"),
        ({"hidden_act": "sine"}, "`hidden_act` must be one of silu"),
        ({"num_attention_heads": 3}, "`num_attention_heads` must be a divisor of 16"),
        ({"image_size": 18}, "`image_size` must be a multiple of 4"),
        ({"image_size": 1 << 20}, "does not fit its weights"),
        ({"image_size": 32}, r"positions: expected|position_embeddings|does not fit"),
        ({"intermediate_size": 8}, r"shape: |does not fit"),
        ({"head_dim": 4}, "'head_dim' = 4, which aezoo does not know"),
    ],
)
def test_a_masked_autoencoder_that_cannot_be_built(copy, change, message) -> None:
    with pytest.raises(ConversionError, match=message):
        aezoo.load(copy("mae", config=change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_per_block": 2}, r"'layer_per_block' = 2.*Did you mean 'layers_per"),
        ({"latent_channels": "4"}, r"`latent_channels` must be `int`"),
        ({"latent_channels": 10**15}, "`int` <= 4096"),
        ({"layers_per_block": 10**6}, r"does not fit its weights"),
        ({"block_out_channels": [10**9] * 2}, r"at most|does not fit"),
        ({"block_out_channels": [4] * 4000}, r"`block_out_channels` must be 1 to 16"),
        ({"sample_size": 17}, r"`sample_size` must be multiples of 2"),
        ({"sample_size": 1 << 20}, "does not fit its weights"),
        ({"norm_num_groups": 3}, "`groups` must divide all `filters`"),
        ({"act_fn": "sine"}, "`act_fn` must be one of silu"),
        ({"out_channels": 6}, "`out_channels` must be 3"),
        ({"down_block_types": ["X"] * 2}, "`down_block_types` must be DownEncoder"),
        ({"up_block_types": ["AttnUpDecoderBlock2D"] * 2}, "the mirror of"),
        ({"latents_mean": [0.0]}, "`latents_mean` must be 4 numbers"),
        ({"scaling_factor": 0}, "`scaling_factor` must be `float` > 0"),
    ],
)
def test_a_configuration_that_cannot_be_built(copy, change, message) -> None:
    with pytest.raises(ConversionError, match=message):
        aezoo.load(copy(config=change))


def _drop(tensors) -> None:
    del tensors["decoder.conv_in.weight"]


def _add(tensors) -> None:
    tensors["quant_conv.scale"] = np.ones((3,), "float32")


def _turn(tensors) -> None:
    name = "encoder.conv_out.weight"
    tensors[name] = np.ascontiguousarray(tensors[name][..., :2])


def _spoil(tensors) -> None:
    tensors["decoder.conv_out.bias"][1] = np.nan


def _overflow(tensors) -> None:
    tensors["decoder.conv_out.bias"] = np.full(3, 1e300)


def _round(tensors) -> None:
    tensors["decoder.conv_out.bias"] = np.ones(3, "int64")


def _double(tensors) -> None:
    name = "encoder.mid_block.attentions.0.to_q.weight"
    tensors[name.replace("to_q", "query")] = tensors[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"missing: decoder.conv_in.weight \(8, 4, 3, 3\)|does not fit"),
        (_add, r"surplus: quant_conv.scale \(3,\)\.$"),
        (_turn, r"expected \(8, 8, 3, 3\), received \(8, 8, 3, 2\)|does not fit"),
        (_spoil, "NaN or infinity, in the tensor 'decoder.conv_out.bias'"),
        (_overflow, "NaN or infinity, in the tensor 'decoder.conv_out.bias'"),
        (_round, "'decoder.conv_out.bias' of type I64"),
        (_double, "one tensor twice"),
    ],
)
def test_tensors_that_are_not_those_of_the_configuration(copy, change, message) -> None:
    with pytest.raises(ConversionError, match=message):
        aezoo.load(copy(tensors=change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged: it holds no JSON object"),
        (json.dumps({"image_mean": "x" * 1_000_001}), "must have at most 1,000,000 b"),
        ({"image_std": [0.2, 0.0, 0.2]}, r"`image_std` must be at least 1e-06"),
        ({"image_std": [0.2, 1e-300, 0.2]}, r"`image_std` must be at least 1e-06"),
        ({"image_std": [0.2, 0.2]}, r"`image_std` must be 3 finite numbers"),
        ({"image_mean": [0.2] * 4}, r"`image_mean` must be 3 finite numbers"),
        ({"image_mean": [0.2, 0.2, "x"]}, r"`image_mean\[2\]` must be `float`"),
        ({"size": {"height": 10**15, "width": 16}}, "`size` must be that of the model"),
        ({"do_center_crop": True, "crop_size": 32}, "`crop_size` must be that of"),
        ({"do_rescale": False}, "`do_rescale` must be true and `rescale_factor` 1/255"),
        ({"rescale_factor": 0.5}, "Received: do_rescale=True, rescale_factor=0.5"),
        ({"image_means": [0.5] * 3}, "'image_means' .* Did you mean 'image_mean'"),
    ],
)
def test_a_preprocessor_that_cannot_be_followed(copy, content, message) -> None:
    folder = copy("mae")
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "preprocessor_config.json").write_text(text)
    with pytest.raises(ConversionError, match=message):
        aezoo.load(folder)


def test_files_that_are_missing_damaged_or_elsewhere(copy, tmp_path: Path) -> None:
    folder = copy()
    (folder / WEIGHTS).write_bytes(b"\xff" * 100)
    with pytest.raises(ConversionError, match="is no safetensors file"):
        aezoo.load(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ConversionError, match="has no weights"):
        aezoo.load(folder)
    (folder / "a.safetensors").touch()
    (folder / "b.safetensors").touch()
    with pytest.raises(ConversionError, match="several files of weights"):
        aezoo.load(folder)
    folder = copy("kl_flux")
    index = folder / f"{WEIGHTS}.index.json"
    index.write_text('{"weight_map": {"x": "../kl_sd/a.safetensors"}}')
    with pytest.raises(UnsafeFileError, match="must name safetensors files beside"):
        aezoo.load(folder)
    index.write_text('{"weight_map": {"x": "none.safetensors"}}')
    with pytest.raises(ConversionError, match=r"has no file none.safetensors"):
        aezoo.load(folder)
    index.write_text("[]")
    with pytest.raises(ConversionError, match="is no list of tensors"):
        aezoo.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ConversionError, match=r"has no config.json"):
        aezoo.load(folder)
    only = tmp_path / "only"
    only.mkdir()
    (only / "model.ckpt").touch()
    with pytest.raises(UnsafeFileError, match=r"save_pretrained.*safe_serialization"):
        aezoo.load(only)
