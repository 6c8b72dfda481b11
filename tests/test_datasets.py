"""Whatever a user has becomes images and labels, or an error that says what to do."""

from pathlib import Path

import numpy as np
import pytest

import aezoo
from aezoo.data.datasets import Dataset, DatasetError, load_dataset, open_dataset
from aezoo.errors import ImageFileError
from aezoo.modalities import Image
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.files import write_image

IMAGE = Image(28, 28, 1)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return draw_digits(8, seed=0)


@pytest.fixture
def folder(tmp_path: Path, digits) -> Path:
    """`train` and `test`, each with a subfolder per class."""
    for split in ("train", "test"):
        for i, (image, label) in enumerate(zip(*digits, strict=True)):
            place = tmp_path / "data" / split / f"class{label % 2}"
            place.mkdir(parents=True, exist_ok=True)
            write_image(place / f"{i}.png", image)
    return tmp_path / "data"


def test_arrays_come_with_or_without_labels(digits) -> None:
    images, labels = digits
    alone = open_dataset(images)
    assert (alone.key, alone.labels) == ("examples/test", None)
    pair = open_dataset((images, labels.astype("int32")))
    np.testing.assert_array_equal(pair.labels, labels)
    assert pair.labels.dtype == np.int64
    assert open_dataset(pair) is pair


def test_archives_hold_images_and_labels(tmp_path: Path, digits) -> None:
    images, labels = digits
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    data = open_dataset(tmp_path / "mine.npz")
    assert data.name == "mine"
    np.testing.assert_array_equal(data.examples, images)
    np.testing.assert_array_equal(data.labels, labels)
    np.savez(tmp_path / "bare.npz", images=images)
    assert open_dataset(str(tmp_path / "bare.npz")).labels is None


def test_folders_have_splits_and_a_class_per_subfolder(folder: Path, digits) -> None:
    images, labels = digits
    data = open_dataset(folder, "test", modality=IMAGE)
    assert data.key == "data/test"
    order = sorted(range(8), key=lambda i: (labels[i] % 2, i))
    np.testing.assert_array_equal(data.examples, images[order])
    np.testing.assert_array_equal(data.labels, labels[order] % 2)


def test_a_folder_without_subfolders_has_no_labels(folder: Path) -> None:
    data = open_dataset(folder / "test" / "class0", modality=IMAGE)
    assert data.labels is None
    assert data.examples.shape[1:] == IMAGE.shape


def test_a_folder_is_evaluated_by_its_path(folder: Path) -> None:
    model = aezoo.load("linear_ae_mnist_z32")
    names = ["mse", "kmeans_ari", "knn_accuracy"]
    report = aezoo.evaluate(model, folder, metrics=names)
    assert report.num_examples == 8
    assert "data/test, all 8 images" in report["mse"].protocol
    assert report["knn_accuracy"].value > 0.5  # train and test hold the same images
    with pytest.raises(DatasetError, match=r"Pass it as `train=`"):
        aezoo.evaluate(model, folder / "test", metrics=["knn_accuracy"])


def test_limits_cut_all_arrays_alike(digits) -> None:
    data = open_dataset(digits).take(3)
    assert len(data.examples) == len(data.labels) == 3
    assert data.take(None) is data
    assert data.take(99) is data
    with pytest.raises(ValueError, match=r"`limit` must be an integer of at least 1"):
        data.take(0)


def test_labels_belong_to_images(digits) -> None:
    images, labels = digits
    with pytest.raises(DatasetError, match=r"one row per example.*7 labels, 8 ex"):
        open_dataset((images, labels[:7]))
    with pytest.raises(DatasetError, match=r"`labels` must be integers.*float64"):
        open_dataset((images, labels / 2))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"file .*gone.npz does not exist"):
        open_dataset(tmp_path / "gone.npz")
    with pytest.raises(DatasetError, match=r"There is no folder or .npz file"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"holds no images \(.png"):
        open_dataset(tmp_path / "empty", modality=IMAGE)
    with pytest.raises(DatasetError, match=r"needs `modality`"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(DatasetError, match=r"'mnistt', split 'test', is not prepared"):
        load_dataset("mnistt", "test", tmp_path)


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DatasetError, match=r"not a readable .npz archive"):
        open_dataset(tmp_path / "text.npz")
    np.savez(tmp_path / "objects.npz", images=np.array([{}], object))
    with pytest.raises(DatasetError, match=r"must hold arrays of plain numbers"):
        open_dataset(tmp_path / "objects.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DatasetError, match=r"holds no examples, which may be called"):
        open_dataset(tmp_path / "other.npz")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no picture")
    with pytest.raises(ImageFileError, match=r"a.png is not an image"):
        open_dataset(tmp_path / "bad", modality=IMAGE)


def test_named_datasets_are_read_from_plain_archives(tmp_path: Path, digits) -> None:
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "test.npz", images=digits[0], labels=digits[1])
    data = load_dataset("mnist", "test", tmp_path)
    assert isinstance(data, Dataset)
    assert (data.name, data.version, data.split) == ("mnist", "npz", "test")


def test_archives_may_hold_factors_with_names(tmp_path: Path, digits) -> None:
    images, labels = digits
    factors = np.stack([labels, labels % 2], axis=1).astype("int16")
    named = {"factors": factors, "factor_names": np.array(["digit", "parity"])}
    np.savez(tmp_path / "mine.npz", images=images, **named)
    data = open_dataset(tmp_path / "mine.npz")
    np.testing.assert_array_equal(data.factors, factors)
    assert (data.factors.dtype, data.factor_names) == (np.int64, ("digit", "parity"))
    np.savez(tmp_path / "bare.npz", images=images, factors=factors)
    assert open_dataset(tmp_path / "bare.npz").factor_names == ("factor_0", "factor_1")
    for wrong, words in (
        ({"factors": labels}, r"`factors` must be integers of shape \(n, number"),
        ({"factors": factors / 2}, r"`factors` must be integers of shape.*float64"),
        ({"factors": factors[:3]}, r"`factors` must have one row per example"),
        ({**named, "factor_names": np.array(["digit"])}, r"one name for each of the 2"),
    ):
        np.savez(tmp_path / "wrong.npz", images=images, **wrong)
        with pytest.raises(DatasetError, match=words):
            open_dataset(tmp_path / "wrong.npz")
    np.savez(tmp_path / "text.npz", images=np.array(["a"]))
    with pytest.raises(DatasetError, match=r"`images` must hold numbers"):
        open_dataset(tmp_path / "text.npz")
