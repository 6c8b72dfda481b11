"""Images of any source in order, a batch at a time."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from aezoo.data.datasets import Dataset, DatasetError, load_dataset
from aezoo.data.streams import Batch, Stream, as_text, open_stream, read_ahead
from aezoo.modalities import Image
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.files import write_image
from tests.conftest import needs_dataset

IMAGE = Image(28, 28, 1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return draw_digits(22, seed=0)


@pytest.fixture
def folder(tmp_path: Path, digits) -> Path:
    for i, image in enumerate(digits[0]):
        place = tmp_path / "data" / f"class{i % 2}" / f"deep{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        write_image(place / f"{i:02}.png", image)
    return tmp_path / "data"


def everything(stream: Stream, batch_size: int = 4) -> Batch:
    batches = list(stream.batches(batch_size))
    labels = [label for batch in batches for label in batch.labels or []]
    return Batch(
        [path for batch in batches for path in batch.paths],
        labels or None,
        np.concatenate([batch.examples for batch in batches]),
        [pair for batch in batches for pair in batch.unreadable],
        [note for batch in batches for note in batch.notes],
    )


def test_folders_are_read_in_the_order_of_open_dataset(folder: Path) -> None:
    found = everything(open_stream(folder, IMAGE))
    files = sorted(folder.rglob("*.png"))
    assert found.paths == [str(file) for file in files]
    assert found.labels == [file.parts[-3] for file in files]
    from aezoo.data.datasets import open_dataset

    np.testing.assert_array_equal(
        found.examples, open_dataset(folder, modality=IMAGE).examples
    )


def test_labels_are_class_folders_and_nothing_else(folder: Path, digits) -> None:
    assert open_stream(folder / "class0" / "deep0", IMAGE).label_type is None
    write_image(folder / "bare.png", digits[0][0])
    assert everything(open_stream(folder, IMAGE)).labels is None


def test_links_to_folders_are_left_out_and_broken_links_told(folder: Path) -> None:
    (folder / "class0" / "loop").symlink_to(folder)
    (folder / "class0" / "gone.png").symlink_to(folder / "nothing.png")
    found = everything(open_stream(folder, IMAGE))
    assert len(found.paths) == 22
    assert [Path(path).name for path, _ in found.unreadable] == ["gone.png"]


def test_names_that_are_no_text_are_written_as_text() -> None:
    assert as_text("a/caf\udce9.png") == "a/caf\\xe9.png"


def test_parts_are_told_apart_by_what_is_in_them(folder: Path, digits) -> None:
    def fingerprints(**options) -> list[str]:
        return [
            p.fingerprint for p in open_stream(folder, IMAGE, **options).parts(8, 4)
        ]

    before = fingerprints()
    assert len(set(before)) == 3
    assert fingerprints() == before
    assert not set(fingerprints(invert=True)) & set(before)
    last = sorted(folder.rglob("*.png"))[-1]
    write_image(last, 255 - digits[0][0])
    assert fingerprints()[:2] == before[:2]
    assert fingerprints()[2] != before[2]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_archives_are_read_piece_by_piece(tmp_path, digits, save, dtype) -> None:
    images, labels = digits
    images = images if dtype == "uint8" else (images / 255.0).astype(dtype)
    save(tmp_path / "mine.npz", images=images, labels=labels)
    stream = open_stream(tmp_path / "mine.npz", IMAGE)
    found = everything(stream)
    np.testing.assert_array_equal(found.examples, images)
    assert found.labels == labels.tolist()
    assert found.paths[21] == f"{tmp_path}/mine.npz/21"
    # A part may be left out, and the next one still begins where it should.
    part = list(stream.parts(8, 4))[1]
    batches = [read() for read in part.read()]
    np.testing.assert_array_equal(
        np.concatenate([batch.examples for batch in batches]), images[8:16]
    )


def test_archives_by_name_and_in_another_order(tmp_path: Path, digits) -> None:
    (tmp_path / "drawn").mkdir()
    images = np.asfortranarray(digits[0])
    np.savez(tmp_path / "drawn" / "test.npz", images=images)
    for name in ("drawn", "drawn/test"):
        found = everything(open_stream(name, IMAGE, data_dir=tmp_path))
        np.testing.assert_array_equal(found.examples, images)
        assert found.labels is None


def test_arrays_pairs_and_datasets(digits) -> None:
    images, labels = digits
    assert everything(open_stream(images, IMAGE)).labels is None
    assert everything(open_stream(digits, IMAGE)).labels == labels.tolist()
    stream = open_stream(Dataset("mine", "1", "train", images), IMAGE)
    assert everything(stream).paths[3] == "mine/train/3"
    assert open_stream(stream, IMAGE) is stream
    one, other = (
        next(open_stream(x, IMAGE).parts(8, 4)).fingerprint
        for x in (images, 255 - images)
    )
    assert one != other


def test_named_datasets_are_those_of_load_dataset() -> None:
    needs_dataset("mnist")
    stream = open_stream("mnist/test[:300]", IMAGE)
    expected = load_dataset("mnist", "test[:300]")
    found = everything(stream, 64)
    np.testing.assert_array_equal(found.examples, expected.examples)
    assert found.labels == expected.labels.tolist()
    part = list(stream.parts(128, 64))[1]
    batches = [read() for read in part.read()]
    assert batches[0].paths[0] == "mnist/test[:300]/128"
    np.testing.assert_array_equal(batches[1].examples, expected.examples[192:256])
    with pytest.raises(DatasetError, match="'tset', is not prepared"):
        open_stream("mnist/tset", IMAGE)


def cut_short(path: Path, images: np.ndarray) -> None:
    """An archive whose array holds fewer pixels than its header says."""
    import io
    import zipfile

    buffer = io.BytesIO()
    np.save(buffer, images)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", buffer.getvalue()[: -28 * 28])


def test_what_cannot_be_read_is_told(tmp_path: Path, digits) -> None:
    images, labels = digits
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty holds no images \(\.png"):
        open_stream(tmp_path / "empty", IMAGE)
    with pytest.raises(DatasetError, match="There is no folder"):
        open_stream(tmp_path / "absent", IMAGE)
    with pytest.raises(DatasetError, match=r"no folder my/digits. Dataset 'my'"):
        open_stream("my/digits", IMAGE, data_dir=tmp_path)
    with pytest.raises(DatasetError, match=r"^Dataset 'absent', split 'test'"):
        open_stream("absent", IMAGE, data_dir=tmp_path)
    with pytest.raises(DatasetError, match=r"takes images of shape \(32, 32, 3\)"):
        open_stream(images, Image(32, 32, 3))
    with pytest.raises(DatasetError, match="images/test holds no images"):
        open_stream(images[:0], IMAGE)
    path = tmp_path / "bad.npz"
    with pytest.raises(DatasetError, match=r"bad.npz does not exist"):
        open_stream(path, IMAGE)
    path.write_bytes(b"PK nothing")
    with pytest.raises(DatasetError, match=r"not a readable .npz archive"):
        open_stream(path, IMAGE)
    np.savez(path, labels=labels)
    with pytest.raises(DatasetError, match="holds no examples, which may be called"):
        open_stream(path, IMAGE)
    np.savez(path, images=images, labels=labels[:3])
    with pytest.raises(DatasetError, match="3 labels, 22 images"):
        open_stream(path, IMAGE)
    cut_short(path, images)
    with pytest.raises(DatasetError, match="another size than its header says"):
        everything(open_stream(path, IMAGE))


def test_reading_ahead_keeps_the_order_and_a_bound() -> None:
    lock, running, most, started = threading.Lock(), 0, 0, 0

    def read(i: int) -> tuple[int, str]:
        nonlocal running, most, started
        with lock:
            running, started = running + 1, started + 1
            most = max(most, running)
        time.sleep(0.002 * (5 - i % 5))  # later ones are done earlier
        with lock:
            running -= 1
        return i, threading.current_thread().name

    results = read_ahead((lambda i=i: read(i) for i in range(40)), workers=3)
    first = next(results)
    time.sleep(0.1)
    assert started == 5, "what the caller has, and four ahead"
    found = [first, *results]
    assert [i for i, _ in found] == list(range(40))
    assert most == 3
    assert all(name.startswith("aezoo-read") for _, name in found)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_reading_end_it(workers: int) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(read_ahead(iter([fail, fail]), workers))
