"""A model as a folder: what is saved is what is loaded; what is unsafe is refused."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import aezoo
from aezoo.errors import (
    AezooError,
    ChecksumError,
    DiskError,
    ManifestError,
    UnknownModelError,
    UnsafeFileError,
)
from aezoo.manifest import DataInfo, Metric
from aezoo.models.autoencoder import Autoencoder
from aezoo.nn import structure
from aezoo.registry import find_family
from aezoo.store import folder, reference
from aezoo.utils import files as file_tools
from aezoo.utils import folders
from aezoo.utils.files import sha256_of
from tests.draws import chosen

FILES = ["README.md", "aezoo.json", "config.json", "golden.npz", "metadata.json"]
FILES += ["model.weights.h5"]


def tiny(family: str = "dense_vae", **config: Any) -> Autoencoder:
    found = find_family(family)
    return aezoo.create(family, **{**found.tiny, **config})


def pixels(n: int = 4, shape: tuple[int, ...] = (8, 8, 1)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype="uint8")


@pytest.fixture(scope="module")
def _saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aezoo.save(tiny(), tmp_path_factory.mktemp("saved") / "vae")


@pytest.fixture
def saved(_saved: Path, tmp_path: Path) -> Path:
    """A saved model that a test may damage."""
    return Path(shutil.copytree(_saved, tmp_path / "vae"))


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        keras.Model, "__init__", lambda *_, **__: pytest.fail("something was built")
    )


def edit(path: Path, change: Callable[[dict], Any]) -> None:
    document = json.loads((path / "aezoo.json").read_text())
    change(document)
    (path / "aezoo.json").write_text(json.dumps(document))


def rehash(path: Path) -> None:
    weights = path / "model.weights.h5"
    size, sha256 = weights.stat().st_size, sha256_of(weights)
    edit(path, lambda e: e["weights"].update(bytes=size, sha256=sha256))


# --- Round trips ----------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    chosen(aezoo.list_families(), ["dense_ae", "flow_vae", "group_vae", "sentence_ae"]),
)
def test_what_is_saved_is_what_is_loaded(family: str, tmp_path: Path) -> None:
    """Of the families in between, `check_keras_round_trip` checks the same parts."""
    model = tiny(family)
    path = aezoo.save(model, tmp_path / "model")
    is_drawn = "sampling" in model.TASKS and model.modality.is_shown
    pictures = ["samples.png"] if is_drawn else []
    assert sorted(p.name for p in path.iterdir()) == FILES + pictures
    assert list(tmp_path.iterdir()) == [path], "nothing else stays"
    native = keras.saving.load_model(path)
    for loaded in (aezoo.load(path), aezoo.load(str(path)), native):
        assert type(loaded) is type(model)
        assert loaded.get_config() == model.get_config()
        for ours, theirs in zip(loaded.weights, model.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    loaded, x = aezoo.load(path), model.modality.examples(4)
    if model.has_encoder:
        np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
        np.testing.assert_array_equal(native.encode(x), model.encode(x))
    if "sampling" in model.TASKS:
        np.testing.assert_array_equal(loaded.sample(2, seed=1), model.sample(2, seed=1))


def test_keras_loads_a_folder_in_a_new_process(saved: Path) -> None:
    code = (
        "import aezoo, keras, sys\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert (model.family, model.latent_dim) == ('dense_vae', 3)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(saved)], check=True)


def test_a_trained_model_is_saved_without_its_optimiser(tmp_path: Path) -> None:
    model = tiny(beta=2.0)
    model.encoder.trainable = False
    model.compile("adam")
    model.fit(pixels(), epochs=1, verbose=0)
    path = aezoo.save(model, tmp_path / "model")
    with h5py.File(path / "model.weights.h5") as file:
        assert "optimizer" not in file
    loaded = aezoo.load(path)
    assert (loaded.beta, loaded.compiled) == (2.0, False)
    np.testing.assert_array_equal(loaded.encode(pixels()), model.encode(pixels()))
    assert model.compiled, "the model itself is left as it was"
    loaded.compile("adam")
    loaded.fit(pixels(), epochs=1, verbose=0)


def test_mixed_precision_survives(tmp_path: Path) -> None:
    model = tiny(dtype="mixed_bfloat16")
    path = aezoo.save(model, tmp_path / "model")
    loaded = aezoo.load(path)
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    assert loaded.encoder.dtype_policy.name == "mixed_bfloat16"
    np.testing.assert_array_equal(loaded.encode(pixels()), model.encode(pixels()))


def test_the_entry_says_what_was_given(tmp_path: Path) -> None:
    path = aezoo.save(
        tiny(name="my_vae"),
        tmp_path / "model",
        description="Noise.",
        license="MIT",
        metrics={"noise/test": {"mse": Metric(0.1, "squared error", "invented")}},
    )
    entry = json.loads((path / "aezoo.json").read_text())
    assert (entry["description"], entry["license"]) == ("Noise.", "MIT")
    assert entry["metrics"]["noise/test"]["mse"]["value"] == 0.1
    assert {"aezoo", "keras"} <= set(entry["versions"])
    assert entry["weights"]["sha256"] == sha256_of(path / "model.weights.h5")
    assert aezoo.load(path).name == "my_vae"


def test_metrics_are_what_evaluate_returned(tmp_path: Path) -> None:
    model = tiny(name="vae")
    report = aezoo.evaluate(model, pixels(), metrics=["mse", "kl"])
    for metrics in (report, {f"{report.dataset}/{report.split}": report}):
        path = aezoo.save(model, tmp_path / "model", metrics=metrics, overwrite=True)
        entry = json.loads((path / "aezoo.json").read_text())
        (group,) = entry["metrics"].values()
        assert group == {name: metric.to_dict() for name, metric in report.items()}
        assert f"{report['mse'].value:.6g}" in (path / "README.md").read_text()


@pytest.mark.parametrize("as_mapping", [True, False])
def test_the_training_data_is_stated(tmp_path: Path, as_mapping: bool) -> None:
    data = DataInfo("noise", "1.0", "train", "CC0-1.0")
    given = data.to_dict() if as_mapping else data
    path = aezoo.save(tiny(), tmp_path / "model", data=given)
    entry = json.loads((path / "aezoo.json").read_text())
    assert entry["data"] == data.to_dict()
    assert "- Training data, noise: CC0-1.0" in (path / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metrics": {"a/test": 0.1}}, TypeError, r"`metrics` must be .*a/test=0.1"),
        ({"metrics": {"a/test": {"mse": 0.1}}}, TypeError, r"`Metric`s by.*Received"),
        (
            {"metrics": {"a/test": {"mse": Metric(float("nan"), "", "")}}},
            ValueError,
            r"`metrics` must be finite. Received: a/test, mse=nan. Leave it out",
        ),
        ({"data": {"name": "a"}}, ValueError, r"`data` must have `name`, `version`,"),
        (
            {"data": {"name": "a", "version": 1, "split": "", "license": ""}},
            ValueError,
            r"`license` as text. Received: data=",
        ),
        ({"data": "mnist"}, ValueError, r"`data` must have `name`.*data='mnist'"),
        ({"metrics": "mse"}, TypeError, r"`metrics` must be .*metrics='mse'"),
        ({"metrics": [0.1]}, TypeError, r"`metrics` must be .*metrics=\[0.1\]"),
        ({"metrics": {"a/test": {1: Metric(0.1, "", "")}}}, TypeError, r"must be wh"),
        ({"metrics": {"a": {"b": Metric("c", "", "")}}}, TypeError, r"must be what"),
        ({"license": 3}, TypeError, r"`license` must be text or None.*license=3"),
        ({"description": b"x"}, TypeError, r"`description` must be text or None"),
        ({"description": "\ud800"}, ValueError, r"valid Unicode.*'\\ud800'. Decode"),
    ],
)
def test_what_cannot_be_stated_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        aezoo.save(tiny(), tmp_path / "model", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "bfloat16"])
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, dtype: str) -> None:
    model = tiny("conv_vae", dtype=dtype)
    first = aezoo.save(model, tmp_path / "first")
    tiny("conv_vae")  # Keras counts its layers on
    second = aezoo.save(aezoo.load(first), tmp_path / "second")
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {
        p.name: p.read_bytes() for p in second.iterdir()
    }
    assert aezoo.verify(first).ok
    native = keras.saving.load_model(first)
    for ours, theirs in zip(native.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_folders_without_a_card_are_still_loaded_and_replaced(saved: Path) -> None:
    for name in ("README.md", "samples.png"):
        (saved / name).unlink()
    assert aezoo.verify(saved).ok
    aezoo.save(aezoo.load(saved), saved, overwrite=True)
    assert (saved / "README.md").is_file()


def test_verify_compares_the_golden_tensors(saved: Path) -> None:
    found = aezoo.verify(saved)
    assert found.ok, found
    assert {"golden codes", "golden samples"} <= {c.what for c in found.checks}
    (saved / "golden.npz").write_bytes(b"other")
    found = aezoo.verify(saved)
    assert [c.what for c in found.failures] == ["sha256 of the golden file"]
    assert folder.REMEDY in found.failures[0].detail


# --- Names and folders ----------------------------------------------------------


def test_text_names_a_folder_where_it_can(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    assert aezoo.load("vae").family == "dense_vae"
    assert aezoo.load("./vae").family == "dense_vae"
    saved.rename("conv_vae_mnist_z16")
    assert reference.as_folder("conv_vae_mnist_z16") is None, (
        "a model's name comes first"
    )
    assert reference.as_folder(Path("conv_vae_mnist_z16")) is not None
    with pytest.raises(UnknownModelError, match=r"Unknown model 'vea'.*e\.g\. './vea'"):
        aezoo.load("vea")
    with pytest.raises(FileNotFoundError, match=r"There is no folder no/such.*save"):
        aezoo.load("no/such")


# --- What is refused ------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"schema_version": 2}, ManifestError, r"`schema_version` 1\. Received.*=2"),
        ({"family": "dense_va"}, ManifestError, r"Did you mean 'dense_v?ae'.*Famil"),
        ({"family": ["x"]}, ManifestError, r"`family` must be `str`"),
        ({"family": None}, ManifestError, r"`family` must be `str`"),
        (
            {"num_params": True},
            ManifestError,
            r"`num_params` must be `int`",
        ),
        ({"num_params": 10**12}, ManifestError, r"`num_params` must fit the weights"),
        ({"num_params": 5}, ManifestError, r"expected 5 values, received"),
        (
            {"input_shape": [8, "8", 1]},
            ManifestError,
            r"`input_shape\[1\]` must be",
        ),
        ({"config": {"latent_dims": 3}}, ManifestError, r"Did you mean 'latent_dim'"),
        ({"config": {"activation": {}}}, ManifestError, r"numbers, text.*activation="),
        ({"config": {"filters": [[[1]]]}}, ManifestError, r"numbers, text.*filters="),
        ({"config": {"filters": [[{}]]}}, ManifestError, r"numbers, text.*filters="),
        ({"config": {"dtype": "int8"}}, ManifestError, r"`dtype` must be one of"),
        ({"weights": {"file": "../x"}}, UnsafeFileError, r"must stay inside.*\.\./x"),
        ({"weights": {"file": "/etc/x"}}, UnsafeFileError, r"must stay inside.*/etc/x"),
        ({"weights": {"file": "gone.h5"}}, ChecksumError, r"gone.h5 is missing. Copy"),
        ({"weights": {"bytes": 7}}, ChecksumError, r"expected 7 bytes, received"),
        (
            {"weights": {"sha256": "0"}},
            ManifestError,
            r"`weights.sha256` must",
        ),
        ({"golden": "x"}, ManifestError, r"`golden` must be `object`"),
    ],
)
def test_an_edited_entry_is_refused_before_anything_is_built(
    saved: Path, change: dict, error: type[Exception], message: str
) -> None:
    def apply(entry: dict) -> None:
        for key, value in change.items():
            entry[key] = {**entry[key], **value} if isinstance(value, dict) else value

    edit(saved, apply)
    with pytest.raises(error, match=message):
        aezoo.load(saved)


def test_the_configuration_is_refused_before_the_weights_are_read(saved: Path) -> None:
    edit(saved, lambda e: e["config"].update(latent_dims=3))
    (saved / "model.weights.h5").unlink()
    with pytest.raises(ManifestError, match=r"Unknown argument `latent_dims`"):
        aezoo.load(saved)


@pytest.mark.parametrize("field", ["name", "family", "config", "weights", "golden"])
def test_a_missing_field_is_named(saved: Path, field: str) -> None:
    edit(saved, lambda e: e.pop(field))
    with pytest.raises(ManifestError, match=f"`{field}` is missing. Copy"):
        aezoo.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"is not JSON"),
        (b"\xff\xfe", r"is not JSON"),
        (b"[" * 100_000, r"is not JSON"),
        (b"[]", r"it must be `object`. Received: \[\]"),
        (b" " * 1_000_001, r"at most 1,000,000 bytes. Received: more"),
    ],
)
def test_an_entry_that_is_none(saved: Path, content: bytes, message: str) -> None:
    (saved / "aezoo.json").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        aezoo.load(saved)


def test_missing_files(saved: Path) -> None:
    (saved / "model.weights.h5").unlink()
    with pytest.raises(ChecksumError, match=r"is missing\. Copy the folder again"):
        aezoo.load(saved)
    (saved / "aezoo.json").unlink()
    with pytest.raises(ManifestError, match=r"has no aezoo\.json\. Pass a folder"):
        aezoo.load(saved)


def test_links_out_of_the_folder_are_refused(saved: Path, tmp_path: Path) -> None:
    for name in ("model.weights.h5", "aezoo.json"):
        (saved / name).rename(tmp_path / name)
        (saved / name).symlink_to(tmp_path / name)
        with pytest.raises(UnsafeFileError, match=f"must stay inside.*{name}"):
            aezoo.load(saved)


def test_a_flipped_byte_is_a_checksum_error(saved: Path) -> None:
    weights = saved / "model.weights.h5"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"does not match.*expected sha256.*Copy"):
        aezoo.load(saved)


def test_an_external_link_is_refused_whatever_its_hash(saved: Path) -> None:
    with h5py.File(saved / "model.weights.h5", "a") as file:
        file["stolen"] = h5py.ExternalLink("secret.h5", "/")
    rehash(saved)
    with pytest.raises(UnsafeFileError, match=r"ExternalLink at '/stolen'"):
        aezoo.load(saved)


def test_a_huge_configuration_takes_no_memory(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10^17 weights, or a few too many: refused before a kernel is allocated."""
    monkeypatch.setattr(structure.np, "zeros", lambda *_: pytest.fail("allocated"))
    for units, message in (
        ([10**8, 10**9], r"`hidden_units` must be at most 4,096 for a model of 2,294 "),
        (
            [2_000, 4_000],
            r"does not fit its configuration, which needs \d+,\d+ w",
        ),
    ):
        edit(saved, lambda e, u=units: e["config"].update(hidden_units=u))
        with pytest.raises(ManifestError, match=message):
            aezoo.load(saved)


class _Planted:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("code of the folder was run",)


def test_other_files_are_not_opened(saved: Path) -> None:
    for name in ("model.pkl", "golden.npz", "config.json", "metadata.json"):
        (saved / name).write_bytes(pickle.dumps(_Planted()))
    (saved / "aezoo.py").write_text("raise SystemExit")
    assert aezoo.load(saved).family == "dense_vae"


# --- What is not saved ----------------------------------------------------------


def test_a_folder_is_replaced_only_on_request(saved: Path) -> None:
    model = tiny(latent_dim=2)
    with pytest.raises(FileExistsError, match=r"holds 7 files.*overwrite=True"):
        aezoo.save(model, saved)
    assert aezoo.load(saved).latent_dim == 3
    aezoo.save(model, saved, overwrite=True)
    assert aezoo.load(saved).latent_dim == 2
    assert list(saved.parent.iterdir()) == [saved]
    (saved / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"also holds notes\.txt\. Move them"):
        aezoo.save(model, saved, overwrite=True)
    with pytest.raises(FileExistsError, match=r"Received: the file .*notes\.txt"):
        aezoo.save(model, saved / "notes.txt", overwrite=True)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    aezoo.save(tiny("linear_ae"), tmp_path / "empty")
    assert aezoo.load(tmp_path / "empty").family == "linear_ae"


@pytest.mark.parametrize(
    ("owner", "step"),
    [(folder, "golden_tensors"), (folders, "_copy_modes"), (folders, "_exchange")],
)
def test_an_interrupted_save_leaves_the_old_folder(
    saved: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    """`tests/test_folders.py` kills it at every step."""
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        aezoo.save(tiny(latent_dim=2), saved, overwrite=True)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_parent_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"in which to save, does not.*mkdir"):
        aezoo.save(tiny(), tmp_path / "no" / "such")

    def refuse(*_: Any, **__: Any) -> None:  # root may write anywhere
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    message = r"cannot be written.*Read-only.*Make it writable, or choose another"
    with pytest.raises(DiskError, match=message):
        aezoo.save(tiny(), tmp_path / "model")


def test_only_models_of_registered_families_are_saved(tmp_path: Path) -> None:
    class Own(find_family("linear_ae").objective):  # type: ignore[misc]
        pass

    own = tiny("linear_ae")
    own.__class__ = Own
    for model in (own, keras.Sequential()):
        with pytest.raises(TypeError, match=f"of type {type(model).__name__}. Save"):
            aezoo.save(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_diverged_model_is_not_saved(tmp_path: Path) -> None:
    model = tiny("linear_ae")
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    with pytest.raises(ValueError, match=r"NaN or infinity. Received: weight 'linear_"):
        aezoo.save(model, tmp_path / "model")


def test_code_in_keras_own_configuration_is_never_run(saved: Path) -> None:
    """`aezoo.load` builds from `aezoo.json` alone; a Lambda has no way in."""
    layer = {
        "class_name": "Lambda",
        "module": "keras.layers",
        "config": {"function": 1},
    }
    (saved / "config.json").write_text(json.dumps(layer))
    assert aezoo.load(saved).family == "dense_vae"
    entry = json.loads((saved / "aezoo.json").read_text())
    entry["config"]["activation"] = layer
    (saved / "aezoo.json").write_text(json.dumps(entry))
    with pytest.raises(ManifestError, match=r"`config` must hold numbers, text, null"):
        aezoo.load(saved)


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b", "\ud800" * 300, "loop"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"`folder` must be a path. Received: folder="):
        aezoo.save(tiny("linear_ae"), tmp_path / name)
    for place in (tmp_path / name, str(tmp_path / name)):
        with pytest.raises(FileNotFoundError, match=r"There is no folder .*Pass"):
            aezoo.load(place)
    with pytest.raises(UnknownModelError, match=r"Unknown model"):
        aezoo.load(name)
    assert list(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b", "\ud800", "loop.h5", "sub"])
def test_names_of_weights_that_no_file_can_have(saved: Path, name: str) -> None:
    (saved / "loop.h5").symlink_to(saved / "loop.h5")
    (saved / "sub").mkdir()
    edit(saved, lambda e: e["weights"].update(file=name))
    with pytest.raises(AezooError, match=r"cannot be used|is missing|is not JSON"):
        aezoo.load(saved)


def test_the_working_folder_is_not_replaced(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved)
    for place in (".", saved, "../vae"):
        with pytest.raises(ValueError, match=r"must not be the working folder"):
            aezoo.save(tiny(), place, overwrite=True)
    assert aezoo.load(".").latent_dim == 3


@pytest.mark.parametrize("file", ["model.weights.h5", "aezoo.json", "golden.npz"])
def test_a_pipe_is_no_file(saved: Path, file: str) -> None:
    """Opening one would wait for ever for its other end."""
    (saved / file).unlink()
    os.mkfifo(saved / file)
    if file == "golden.npz":
        failures = [check.what for check in aezoo.verify(saved).failures]
        assert failures == ["sha256 of the golden file"]
        return
    with pytest.raises((ChecksumError, ManifestError), match=r"is missing|has no aez"):
        aezoo.load(saved)


def test_verify_reads_no_more_than_a_golden_file_may_have(saved: Path) -> None:
    with (saved / "golden.npz").open("wb") as file:
        file.truncate(1 << 40)
    (check,) = [c for c in aezoo.verify(saved).failures if "golden" in c.what]
    assert "may have at most 100,000,000 bytes. Received: more" in check.detail


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (-1, ManifestError, "`weights.bytes` must be `int` >= 1. Received: -1"),
        (10**15, ChecksumError, "at most 8,589,934,592 bytes. Received"),
        (10**400, ManifestError, "`weights.bytes` must be `int` <= "),
    ],
    ids=["negative", "large", "huge"],
)
def test_the_stated_size_of_the_weights_is_bounded(
    saved: Path, size: int, error: type[AezooError], message: str
) -> None:
    edit(saved, lambda e: e["weights"].update(bytes=size))
    with pytest.raises(error, match=message):
        aezoo.load(saved)


def test_a_full_disk_leaves_model_and_folder_as_they_were(saved: Path) -> None:
    """HDF5 and archives are made in memory, and only then written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    model = tiny(latent_dim=2)
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
        with pytest.raises(DiskError, match=f"{saved.parent} .*too large. Free some"):
            aezoo.save(model, saved, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    assert list(saved.parent.iterdir()) == [saved]
    aezoo.save(model, saved, overwrite=True)
    assert aezoo.load(saved).latent_dim == 2


def test_a_load_while_others_save_is_one_model(tmp_path: Path) -> None:
    """Of two that another process saves by turns to one place."""
    models = {2: tiny(latent_dim=2), 3: tiny(latent_dim=3)}
    saves = [aezoo.save(m, tmp_path / str(dim)) for dim, m in models.items()]
    target = shutil.copytree(saves[0], tmp_path / "model")
    command = [sys.executable, "-m", "tests.race_saves", "replace", *saves, target, "4"]
    root = Path(__file__).parent.parent
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)
    found = []
    while writer.poll() is None:
        loaded = aezoo.load(target)
        found.append(loaded.latent_dim)
        weights = models[loaded.latent_dim].get_weights()
        for ours, theirs in zip(loaded.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert writer.returncode == 0
    assert set(found) == {2, 3}, "both were seen"
    assert int(writer.communicate()[0]) > 20


def test_a_load_reads_each_file_once(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    read_file = file_tools.read_file

    def count(path: Path, max_bytes: int) -> bytes | None:
        opened.append(path.name)
        content = read_file(path, max_bytes)
        path.unlink()  # whoever opens it again finds nothing
        return content

    monkeypatch.setattr(file_tools, "read_file", count)
    monkeypatch.setattr("aezoo.store.entry.read_file", count)
    assert aezoo.load(saved).built
    assert opened == ["aezoo.json", "model.weights.h5"]


def test_a_folder_whose_replacement_was_killed_is_loaded_and_replaced(
    saved: Path,
) -> None:
    aside = saved.with_name(f".{saved.name}.aezoo-old")
    saved.rename(aside)
    assert aezoo.load(saved).latent_dim == 3
    saved.rename(aside)
    with pytest.raises(FileExistsError, match=r"holds 7 files.*overwrite=True"):
        aezoo.save(tiny(latent_dim=2), saved)
    assert list(saved.parent.iterdir()) == [saved]
