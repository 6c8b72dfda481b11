"""`aezoo verify` passes for what was published, and finds whatever is wrong."""

import json
import math
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import aezoo
from aezoo import manifest
from aezoo.cli import main
from aezoo.errors import UnknownModelError
from aezoo.manifest import weights_folder
from aezoo.store import golden
from aezoo.store import verify as verification
from aezoo.utils.files import sha256_of
from tests.zoo_fixtures import NAMES

NAME, OTHER = "dense_vae_mnist_z2", "conv_ae_mnist_z32"
HASHES = ["sha256 of the weights", "sha256 of the golden file"]


def verify_command(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verify", *arguments])


class Zoo:
    """A copy of the tiny zoo, to be damaged."""

    def __init__(self, source: Path, folder: Path) -> None:
        shutil.copytree(source, folder)
        self.manifest = folder / "weights_manifest.json"
        self.weights = folder / "weights" / f"{NAME}.weights.h5"
        self.golden = folder / "weights" / f"{NAME}.golden.npz"

    def edit_entry(self, **changes: Any) -> None:
        document = json.loads(self.manifest.read_text())
        document["models"][NAME].update(changes)
        self.manifest.write_text(json.dumps(document))
        manifest.installed.cache_clear()

    def edit_golden(self, **changes: np.ndarray) -> None:
        """Other golden tensors, with the right hash."""
        with np.load(self.golden) as file:
            tensors = {**file, **changes}
        np.savez(self.golden, **tensors)
        digest = sha256_of(self.golden)
        self.edit_entry(golden={"file": self.golden.name, "sha256": digest})


@pytest.fixture
def zoo(
    tiny_zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Zoo:
    copy = Zoo(tiny_zoo, tmp_path / "zoo")
    monkeypatch.setattr(manifest, "manifest_path", lambda: copy.manifest)
    monkeypatch.setattr(manifest, "weights_folder", lambda: copy.weights.parent)
    manifest.installed.cache_clear()
    return copy


def failed(name: str | Path = NAME) -> dict[str, str]:
    """The failed checks of a model and their reasons."""
    found = aezoo.verify(name)
    assert found.ok == (not found.failures)
    return {check.what: check.detail for check in found.failures}


def test_a_bundled_model_is_what_was_published() -> None:
    found = aezoo.verify("conv_vae_mnist_z16")
    assert found.ok
    assert [check.what for check in found.checks] == [
        *HASHES,
        "sampler gmm",
        "weights and manifest",
        *("golden codes", "golden posterior_z_mean", "golden posterior_z_log_var"),
        *("golden reconstruction", "golden samples"),
    ]
    entry = aezoo.describe("conv_vae_mnist_z16")
    assert found.checks[0].detail == entry.weights.sha256
    assert found.checks[1].detail == entry.golden.sha256
    for check in found.checks[4:]:
        assert check.tolerance == golden.TOLERANCE
        assert check.deviation is not None
        assert 0.0 <= check.deviation <= golden.TOLERANCE
    assert repr(found).startswith("conv_vae_mnist_z16: 9 of 9 checks passed, largest")


def test_extractors_are_verified_too() -> None:
    names = list(manifest.extractors())
    assert names
    for name in names:
        found = aezoo.verify(name)
        assert found.ok
        assert found.checks[-1].what == "golden features"


def test_a_damaged_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, entry = next(iter(manifest.extractors().items()))
    for file in (entry.weights.file, entry.golden.file):
        shutil.copy(weights_folder() / file, tmp_path)
    monkeypatch.setattr(manifest, "weights_folder", lambda: tmp_path)
    assert not failed(name)
    with (tmp_path / entry.weights.file).open("ab") as file:
        file.write(b"more")
    assert list(failed(name)) == [HASHES[0]]


@pytest.mark.usefixtures("zoo")
def test_verify_all_checks_every_model() -> None:
    found = verification.verify_all()
    assert [v.name for v in found] == sorted(NAMES)
    assert all(v.ok for v in found)


def test_unknown_names_offer_the_closest(zoo: Zoo) -> None:  # noqa: ARG001
    with pytest.raises(UnknownModelError, match=f"Did you mean '{NAME}'"):
        aezoo.verify("dense_vae_mnist_z3")


def test_a_flipped_byte_of_the_weights(zoo: Zoo) -> None:
    content = bytearray(zoo.weights.read_bytes())
    content[len(content) // 2] ^= 1
    zoo.weights.write_bytes(content)
    assert list(failed()) == [HASHES[0]]
    assert "does not match its hash: expected sha256" in failed()[HASHES[0]]
    what = [check.what for check in aezoo.verify(NAME).checks]
    assert what == HASHES, "damaged weights are not opened"
    assert not failed(OTHER)


def test_missing_files(zoo: Zoo) -> None:
    zoo.golden.unlink()
    assert list(failed()) == [HASHES[1]]
    assert "is missing. Reinstall aezoo" in failed()[HASHES[1]]
    zoo.weights.unlink()
    assert list(failed()) == HASHES


def test_weights_of_another_model_with_the_right_hash(zoo: Zoo) -> None:
    other = zoo.weights.with_name(f"{OTHER}.weights.h5")
    shutil.copy(other, zoo.weights)
    weights = aezoo.describe(NAME).to_dict()["weights"]
    size = other.stat().st_size
    changed = {**weights, "sha256": sha256_of(other), "bytes": size}
    zoo.edit_entry(weights=changed, num_params=aezoo.describe(OTHER).num_params + 1)
    assert list(failed()) == ["weights and manifest"]
    assert "does not fit its entry" in failed()["weights and manifest"]


def test_retrained_weights_with_the_right_hash(zoo: Zoo) -> None:
    model = aezoo.load(NAME)
    model.set_weights([w + 0.01 for w in model.get_weights()])
    model.save_weights(zoo.weights)
    weights = aezoo.describe(NAME).to_dict()["weights"]
    size = zoo.weights.stat().st_size
    changed = {**weights, "sha256": sha256_of(zoo.weights), "bytes": size}
    zoo.edit_entry(weights=changed)
    assert {"golden codes", "golden reconstruction", "golden samples"} <= set(failed())


def test_an_entry_that_does_not_fit_its_file(zoo: Zoo) -> None:
    zoo.edit_entry(family="no_such_family")
    assert "Unknown family 'no_such_family'" in failed()["weights and manifest"]


def test_one_changed_golden_tensor_is_named(zoo: Zoo) -> None:
    with np.load(zoo.golden) as file:
        samples = file["samples"] + np.float32(3 * golden.TOLERANCE)
    zoo.edit_golden(samples=samples)
    assert list(failed()) == ["golden samples"]
    worst = aezoo.verify(NAME).worst
    assert worst is not None
    assert worst.deviation == pytest.approx(3 * golden.TOLERANCE, rel=0.05)
    assert failed()["golden samples"] == "deviates by 0.0003, tolerance 0.0001"


def test_not_a_number_never_passes(zoo: Zoo) -> None:
    with np.load(zoo.golden) as file:
        zoo.edit_golden(codes=np.full_like(file["codes"], np.nan))
    found = aezoo.verify(NAME)
    assert [check.what for check in found.failures] == ["golden codes"]
    assert found.worst is not None
    assert math.isnan(found.worst.deviation)
    checks = {check["what"]: check for check in found.to_dict()["checks"]}
    assert checks["golden codes"]["deviation"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_golden_file_of_other_tensors(zoo: Zoo) -> None:
    zoo.edit_golden(surprise=np.zeros(3))
    assert list(failed()) == ["golden tensors"]
    assert "does not fit model" in failed()["golden tensors"]


# --- Golden files of others -------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = aezoo.create("dense_vae", input_shape=(4, 4, 1), hidden_units=(4,))
    return aezoo.save(model, tmp_path / "model")


def plant(saved: Path, fill: Callable[[zipfile.ZipFile], Any]) -> str:
    """Another golden file with the right hash; the failure that it leads to."""
    path = saved / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    entry = json.loads((saved / "aezoo.json").read_text())
    entry["golden"]["sha256"] = sha256_of(path)
    (saved / "aezoo.json").write_text(json.dumps(entry))
    assert list(failed(saved)) == ["golden tensors"]
    return failed(saved)["golden tensors"]


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_a_zip_bomb_is_refused_before_it_is_unpacked(saved: Path) -> None:
    def bomb(archive: zipfile.ZipFile) -> None:
        with archive.open("codes.npy", "w", force_zip64=True) as file:
            for _ in range(200):
                file.write(bytes(1_000_000))

    tracemalloc.start()
    assert "must unpack to at most 100,000,000 bytes. Received: 200,000" in plant(
        saved, bomb
    )
    assert (saved / "golden.npz").stat().st_size < 1_000_000
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(3,)", "(-1,)"])
def test_an_array_that_says_another_size_is_refused(saved: Path, shape: str) -> None:
    found = plant(saved, lambda a: a.writestr("codes.npy", header(shape) + bytes(8)))
    assert "'codes.npy' has another size than its header says" in found


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00\x05\x00{"])
def test_a_member_that_is_no_array_is_refused(saved: Path, content: bytes) -> None:
    found = plant(saved, lambda archive: archive.writestr("codes.npy", content))
    assert "is not a readable .npz archive" in found


def test_more_inputs_than_golden_files_have_are_refused(saved: Path) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        with archive.open("inputs.npy", "w") as file:
            np.save(file, np.zeros((9, 4, 4, 1), "uint8"))

    assert "at most 8: uint8, (n, 4, 4, 1). Received: uint8, (9, 4, 4, 1)" in plant(
        saved, fill
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-4), ("mixed_float16", 2**-6), ("mixed_bfloat16", 2**-3)],
)
def test_half_precision_has_the_tolerance_of_its_roundings(
    tmp_path: Path, dtype: str, tolerance: float
) -> None:
    model = aezoo.create(
        "conv_vae",
        input_shape=(8, 8, 1),
        filters=(3, 4),
        hidden_units=(4,),
        dtype=dtype,
    )
    path = aezoo.save(model, tmp_path / "model")
    found = aezoo.verify(path)
    assert found.ok, found
    assert found.worst is not None
    assert found.worst.tolerance == golden.golden_tolerance(model) == tolerance
    assert found.worst.deviation <= 1e-6, "the same backend computes the same"
    with np.load(path / "golden.npz") as file:
        tensors = {**file, "codes": file["codes"] + 1.5 * tolerance}
    np.savez(path / "golden.npz", **tensors)
    deviation = golden.golden_deviation(model, (path / "golden.npz").read_bytes())
    assert deviation["codes"] > tolerance


# --- The command --------------------------------------------------------------------


@pytest.mark.usefixtures("zoo")
def test_the_command_prints_a_line_per_model() -> None:
    result = verify_command("--all")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(NAMES)
    for line in lines:
        assert "/8 checks" in line or "/6 checks" in line
        assert ", largest deviation " in line
        assert line.endswith(", tolerance 0.0001")


def test_the_command_goes_on_after_a_failure_and_ends_with_1(zoo: Zoo) -> None:
    (zoo.weights.with_name(f"{OTHER}.weights.h5")).unlink()
    result = verify_command(OTHER, NAME)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{OTHER:<18}  1/2 checks")
    assert lines[0].endswith("FAILED")
    assert "sha256 of the weights: The file" in lines[1]
    assert lines[2].startswith(f"{NAME}  8/8 checks, ")
    assert result.stderr.startswith(f"Error: 1 of 2 models failed: {OTHER}. `pip inst")
    assert f"`aezoo verify {OTHER} --json`" in result.stderr
    assert result.stderr.count("\n") == 1


def test_json(zoo: Zoo) -> None:
    zoo.golden.unlink()
    result = verify_command(NAME, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [aezoo.verify(NAME).to_dict()]


@pytest.mark.parametrize("arguments", [[], [NAME, "--all"]])
def test_what_to_verify_must_be_said(arguments: list[str]) -> None:
    result = verify_command(*arguments)
    assert result.exit_code == 2
    assert "Name models to verify, or pass --all; not both." in result.stderr


def test_names_are_checked_before_anything_is_loaded(
    zoo: Zoo,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "verify", lambda _: pytest.fail("too late"))
    result = verify_command(NAME, "dense_vae_mnist_z3")
    assert result.exit_code == 1
    assert f"Did you mean '{NAME}'" in result.stderr
