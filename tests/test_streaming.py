"""Features in Parquet files: what they hold, and what interruptions do to them."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import aezoo
from aezoo import modalities
from aezoo.data.streams import open_stream
from aezoo.errors import (
    ExampleFileError,
    MissingDependencyError,
    UnknownLayerError,
    UnknownModelError,
)
from aezoo.features import streaming
from aezoo.features.streaming import (
    EncodingRun,
    FeatureEncoder,
    encode_to_memory,
    encode_to_parquet,
    named_entry,
    read_features,
    read_metadata,
)
from aezoo.modalities.image.digits import draw_digits

ROOT = Path(__file__).parent.parent
NAME = "conv_ae_mnist_z32"
SMALL = {"batch_size": 4, "part_size": 8}
pytestmark = pytest.mark.usefixtures("tiny_zoo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """22 digits in three class folders."""
    images, _ = draw_digits(22, seed=0)
    for i, image in enumerate(images):
        place = tmp_path / "digits" / f"class{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{i:02}.png")
    return tmp_path / "digits"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "features.parquet"


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are encoded, by a function that needs no Keras."""
    sizes: list[int] = []

    class Toy:
        feature_shape = (3,)
        dim = 3

        def __init__(self, *_: Any) -> None:
            pass

        def __call__(self, images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            return images[:, 10, 12:15, 0].astype("float32")

    monkeypatch.setattr(streaming, "FeatureEncoder", Toy)
    return sizes


def pixels(paths: list[str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path))[..., None] for path in paths])


def interrupt(folder: Path, output: Path, after: int, **options: Any) -> None:
    """A run that stops after some batches, as Ctrl-C does it."""
    run = EncodingRun(NAME, folder, output, **SMALL, **options)
    encoder, left = run.load(), after

    def encode(images: np.ndarray) -> np.ndarray:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return encoder(images)

    class Dying:
        feature_shape, dim = encoder.feature_shape, encoder.dim

        def __call__(self, images: np.ndarray) -> np.ndarray:
            return encode(images)

    with pytest.raises(KeyboardInterrupt):
        run.write(Dying)  # type: ignore[arg-type]


# --- What is written ----------------------------------------------------------------


def test_rows_are_paths_labels_and_codes(folder: Path, output: Path) -> None:
    done = encode_to_parquet(NAME, folder, output, **SMALL)
    assert (done.path, done.num_rows, done.num_resumed) == (output, 22, 0)
    table = pq.read_table(output)
    assert table.schema.types == [pa.string(), pa.string(), pa.list_(pa.float32(), 32)]
    assert table.column_names == ["path", "label", "feature"]
    paths = table["path"].to_pylist()
    assert paths == [str(path) for path in sorted(folder.rglob("*.png"))]
    assert table["label"].to_pylist() == [Path(path).parent.name for path in paths]
    codes = np.array(table["feature"].to_pylist())
    expected = aezoo.load(NAME).encode(pixels(paths))
    np.testing.assert_allclose(codes, expected, atol=1e-5)

    metadata = read_metadata(output)
    assert metadata == done.metadata
    assert metadata["model"] == NAME
    assert metadata["weights_sha256"] == aezoo.describe(NAME).weights.sha256
    assert metadata["layer"] == "latent"
    assert metadata["aezoo_version"] == aezoo.__version__
    assert metadata["feature_shape"] == [32]
    assert not output.with_name("features.parquet.parts").exists()

    found = read_features(output)
    assert (len(found), found.features.dtype) == (22, np.float32)
    np.testing.assert_array_equal(found.features, codes.astype("float32"))
    assert found.labels is not None
    assert found.labels.tolist() == table["label"].to_pylist()


def test_labels_of_datasets_are_integers(tmp_path: Path, output: Path, encoded) -> None:
    images, labels = draw_digits(9, seed=0)
    (tmp_path / "drawn").mkdir()
    np.savez(tmp_path / "drawn" / "test.npz", images=images, labels=labels)
    encode_to_parquet(NAME, "drawn/test", output, data_dir=tmp_path)
    table = pq.read_table(output)
    assert table.schema.field("label").type == pa.int64()
    assert table["label"].to_pylist() == labels.tolist()
    assert table["path"].to_pylist() == [f"drawn/test/{i}" for i in range(9)]
    encode_to_parquet(NAME, images, output, overwrite=True)
    table = pq.read_table(output)
    assert table["label"].null_count == 9
    assert read_features(output).labels is None
    assert encoded == [9, 9]


def test_models_in_folders_have_features_too(tmp_path: Path, output: Path) -> None:
    images, _ = draw_digits(3, seed=0)
    aezoo.save(aezoo.load(NAME), tmp_path / "mine")
    name = str(tmp_path / "mine")
    encode_to_parquet(name, images, output)
    expected = aezoo.load(NAME).encode(images)
    np.testing.assert_allclose(read_features(output).features, expected, atol=1e-5)
    assert read_metadata(output)["weights_sha256"] == named_entry(name).weights.sha256


@pytest.mark.parametrize(
    ("layer", "pooling"),
    [("stage1", None), ("stage1", "max"), ("hidden1", None)],
)
def test_features_are_those_of_the_extractor(
    output: Path, layer: str, pooling: str | None
) -> None:
    images, _ = draw_digits(3, seed=0)
    done = encode_to_parquet(NAME, images, output, layer=layer, pooling=pooling)
    extractor = aezoo.feature_extractor(NAME, layer=layer, pooling=pooling)
    expected = np.asarray(extractor(images))
    assert done.metadata["feature_shape"] == list(expected.shape[1:])
    assert (done.metadata["layer"], done.metadata["pooling"]) == (layer, pooling)
    found = read_features(output).features
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-5)


def test_wrong_layers_and_poolings_leave_nothing_behind(output: Path) -> None:
    images, _ = draw_digits(3, seed=0)
    with pytest.raises(UnknownLayerError, match=r"Did you mean 'stage1'"):
        encode_to_parquet(NAME, images, output, layer="stage11")
    with pytest.raises(ValueError, match="`pooling` must be one of None, 'avg'"):
        encode_to_parquet(NAME, images, output, layer="stage1", pooling="mean")
    with pytest.raises(
        ValueError, match="`pooling` is over positions, and the layer 'latent'"
    ):
        encode_to_parquet(NAME, images, output, pooling="avg")
    assert not list(output.parent.iterdir())


def test_the_encoder_refuses_other_images() -> None:
    encoder = FeatureEncoder(NAME)
    assert encoder(np.zeros((0, 28, 28, 1), "uint8")).shape == (0, 32)
    images, _ = draw_digits(5, seed=0)
    np.testing.assert_allclose(encoder(images), encoder(images / 255.0), atol=1e-5)
    with pytest.raises(ValueError, match=r"must have shape \(n, 28, 28, 1\)\. Rec"):
        encoder(images[:, :14])
    with pytest.raises(ValueError, match=r"values in \[0, 1\].* or pass uint8"):
        encoder(images.astype("float32"))


def test_features_in_memory_are_those_in_the_file(folder: Path, output: Path) -> None:
    encode_to_parquet(NAME, folder, output, **SMALL)
    stream = open_stream(folder, modalities.Image(28, 28, 1))
    found = encode_to_memory(FeatureEncoder(NAME), stream, batch_size=4)
    expected = read_features(output)
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.paths, expected.paths)


# --- Interruptions ------------------------------------------------------------------


@pytest.mark.exhaustive
def test_no_kill_at_any_moment_loses_or_doubles_a_row(
    folder: Path, tmp_path: Path
) -> None:
    """See `tests/kill_everywhere.py`."""
    command = [sys.executable, "-m", "tests.kill_everywhere", folder, tmp_path / "run"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["paths"] == [str(path) for path in sorted(folder.rglob("*.png"))]
    assert found["killed"] > 50
    assert found["resumed"] > 20


def test_a_killed_command_goes_on_where_it_stopped(
    tmp_path: Path, tiny_zoo: Path
) -> None:
    images, _ = draw_digits(60, seed=1)
    source = tmp_path / "sixty"
    source.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(source / f"{i:02}.png")
    expected, output = tmp_path / "expected.parquet", tmp_path / "out.parquet"
    encode_to_parquet(NAME, source, expected, **SMALL)
    code = (
        "import sys, time; from pathlib import Path\n"
        "from aezoo import manifest\n"
        "from aezoo.features import streaming\n"
        f"manifest.PACKAGE = Path({str(tiny_zoo)!r})\n"
        "encode = streaming.FeatureEncoder.__call__\n"
        "def slowly(self, images):\n"
        "    time.sleep(0.2)\n"
        "    return encode(self, images)\n"
        "streaming.FeatureEncoder.__call__ = slowly\n"
        f"streaming.encode_to_parquet({NAME!r}, {str(source)!r}, {str(output)!r},"
        " batch_size=4, part_size=8)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    parts = output.with_name("out.parquet.parts")
    deadline = time.monotonic() + 240
    while len(list(parts.glob("part-*"))) < 2:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    done = encode_to_parquet(NAME, source, output, **SMALL)
    assert 16 <= done.num_resumed < 60
    assert pq.read_table(output).equals(pq.read_table(expected), check_metadata=True)
    assert not parts.exists()


def test_only_what_is_missing_or_changed_is_encoded(
    folder: Path, output: Path, encoded
) -> None:
    interrupt(folder, output, after=5)
    assert sum(encoded) == 20
    encoded.clear()
    done = encode_to_parquet(NAME, folder, output, **SMALL)
    assert (done.num_resumed, encoded) == (16, [4, 2])

    output.unlink()
    interrupt(folder, output, after=5)
    encoded.clear()
    changed = sorted(folder.rglob("*.png"))[9]
    Image.new("L", (28, 28), 77).save(changed)
    parts = output.with_name("features.parquet.parts")
    part = sorted(parts.glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-20])
    done = encode_to_parquet(NAME, folder, output, **SMALL)
    assert (done.num_resumed, sum(encoded)) == (0, 22), "one damaged, one changed"
    found = read_features(output)
    assert found.features[found.paths == str(changed)].tolist() == [[77.0] * 3]


def test_a_complete_output_is_left_alone(folder: Path, output: Path, encoded) -> None:
    encode_to_parquet(NAME, folder, output, **SMALL)
    before = output.stat()
    encoded.clear()
    done = encode_to_parquet(NAME, folder, output, **SMALL)
    assert (done.num_rows, done.num_resumed, encoded) == (22, 22, [])
    after = output.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with pytest.raises(FileExistsError, match=r"exists and holds other features"):
        encode_to_parquet(NAME, folder, output, **SMALL, resume=False)
    with pytest.raises(FileExistsError, match=r"replace it with `overwrite=True`"):
        encode_to_parquet("conv_vae_mnist_z16", folder, output, **SMALL)
    next(folder.rglob("*.png")).unlink()
    with pytest.raises(FileExistsError, match=r"exists and holds other features"):
        encode_to_parquet(NAME, folder, output, **SMALL)
    done = encode_to_parquet(NAME, folder, output, **SMALL, overwrite=True)
    assert done.num_rows == 21
    output.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"exists and holds other features"):
        encode_to_parquet(NAME, folder, output, **SMALL)
    assert output.read_bytes() == b"mine"


@pytest.mark.usefixtures("encoded")
def test_another_run_is_not_gone_on_with(folder: Path, output: Path) -> None:
    interrupt(folder, output, after=3)
    with pytest.raises(ValueError, match=r"model='conv_ae_mnist_z32'.*Received: model"):
        encode_to_parquet("conv_vae_mnist_z16", folder, output, **SMALL)
    with pytest.raises(ValueError, match=r"unfinished run with layer='latent'"):
        encode_to_parquet(NAME, folder, output, layer="stage1", **SMALL)
    with pytest.raises(ValueError, match=r"source=.*discard it with `resume=False`"):
        encode_to_parquet(NAME, folder / "class0", output, **SMALL)
    done = encode_to_parquet(
        "conv_vae_mnist_z16", folder, output, **SMALL, resume=False
    )
    assert (done.num_rows, done.num_resumed) == (22, 0)


@pytest.mark.usefixtures("encoded")
def test_two_processes_do_not_write_one_output(folder: Path, output: Path) -> None:
    interrupt(folder, output, after=3)
    lock = output.with_name("features.parquet.parts") / "lock"
    with (
        filelock.FileLock(lock),
        pytest.raises(FileExistsError, match="Another process is writing"),
    ):
        encode_to_parquet(NAME, folder, output, **SMALL)


def test_the_parts_folder_of_others_is_not_touched(folder: Path, output: Path) -> None:
    parts = output.with_name("features.parquet.parts")
    parts.mkdir()
    (parts / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"it holds thesis.txt. Move it away"):
        encode_to_parquet(NAME, folder, output, resume=False)
    shutil.rmtree(parts)
    parts.write_text("mine")
    with pytest.raises(FileExistsError, match=r"must be free for the parts"):
        encode_to_parquet(NAME, folder, output)
    assert parts.read_text() == "mine"


# --- Faults -------------------------------------------------------------------------


def test_unreadable_files_are_fatal_or_listed(
    folder: Path, output: Path, encoded
) -> None:
    broken = sorted(folder.rglob("*.png"))[13]
    content = broken.read_bytes()
    broken.write_bytes(content[:60])
    with pytest.raises(ExampleFileError, match=r"truncated.*is kept: repair or remove"):
        encode_to_parquet(NAME, folder, output, **SMALL)
    encoded.clear()
    done = encode_to_parquet(NAME, folder, output, **SMALL, on_error="skip")
    assert sum(encoded) == 13, "the first part was kept"
    assert [path for path, _ in done.skipped] == [str(broken)]
    assert str(broken) not in read_features(output).paths
    assert len(read_features(output)) == done.num_rows == 21
    assert done.metadata["skipped"][0][0] == str(broken)
    again = encode_to_parquet(NAME, folder, output, **SMALL, on_error="skip")
    assert again.skipped == done.skipped

    output.unlink()
    interrupt(folder, output, after=5, on_error="skip")
    with pytest.raises(ExampleFileError, match="is kept"):
        encode_to_parquet(NAME, folder, output, **SMALL)
    broken.write_bytes(content)
    assert encode_to_parquet(NAME, folder, output, **SMALL).num_rows == 22
    with pytest.raises(ValueError, match="`on_error` must be one of 'fail', 'skip'"):
        encode_to_parquet(NAME, folder, output, on_error="ignore")


@pytest.mark.usefixtures("encoded")
def test_a_folder_without_a_readable_image_gives_no_rows(
    folder: Path, output: Path
) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    done = encode_to_parquet(NAME, folder, output, **SMALL, on_error="skip")
    assert (done.num_rows, len(done.skipped)) == (0, 22)


@pytest.mark.usefixtures("encoded")
def test_a_small_disk_is_told_before_or_meanwhile(
    folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(total=10, used=9, free=1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(OSError, match=r"need about 0 MB in .*0 MB are free"):
            encode_to_parquet(NAME, folder, output, **SMALL)
    assert not output.with_name("features.parquet.parts").exists(), "nothing was done"

    sync, calls = os.fsync, 0

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:  # the state, two parts
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"The disk is full. What has been encoded"):
            encode_to_parquet(NAME, folder, output, **SMALL)
    assert encode_to_parquet(NAME, folder, output, **SMALL).num_resumed == 16


def test_what_is_wrong_is_told_before_a_model_is_loaded(
    folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aezoo.engines.load.load", None)
    with pytest.raises(UnknownModelError, match=f"Did you mean {NAME!r}"):
        encode_to_parquet("conv_ae_mnist_32", folder, output)
    with pytest.raises(ValueError, match=r"must end in \.parquet"):
        encode_to_parquet(NAME, folder, output.with_suffix(".csv"))
    with pytest.raises(ValueError, match="`batch_size` must be an integer"):
        encode_to_parquet(NAME, folder, output, batch_size=0)
    with pytest.raises(ValueError, match="`part_size` must be an integer"):
        encode_to_parquet(NAME, folder, output, part_size=0)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r'install "aezoo\[features\]"'):
        encode_to_parquet(NAME, folder, output)


def test_only_our_parquet_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    with pytest.raises(FileNotFoundError, match="aezoo encode NAME FOLDER -o"):
        read_features(path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match="no Parquet file of features"):
        read_features(path)
    pq.write_table(pa.table({"path": ["a"]}), path)
    with pytest.raises(ValueError, match="no Parquet file of features"):
        read_features(path)
