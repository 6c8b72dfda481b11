"""Datasets in the structures that users have: taken, or refused with what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from aezoo import modalities
from aezoo.data.batches import batch_hint, collect, is_dataset, split_batch
from aezoo.data.datasets import DatasetError, open_dataset
from aezoo.data.streams import open_stream
from aezoo.features.streaming import encode_to_parquet
from aezoo.modalities.image.check import check_images

SHAPE = (6, 8, 1)
IMAGE = modalities.Image(*SHAPE)
X = np.random.default_rng(0).integers(0, 256, (7, *SHAPE), "uint8")
Y = np.arange(7)


def tensors(value: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(value)


class Pairs(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return X[3 * i : 3 * i + 3], Y[3 * i : 3 * i + 3]  # never an IndexError


LABELLED = {
    "pair": (X, Y),
    "dictionary": {"image": X, "label": Y},
    "dictionary of many": {"images": X, "labels": Y, "id": Y},
    "batches of dictionaries": tensors({"image": X, "label": Y}).batch(3),
    "dictionaries": tensors({"image": X, "label": Y}),
    "batches of pairs": tensors((X, Y)).batch(4),
    "pairs": tensors((X, Y)),
    "with weights": tensors((X, Y, np.ones(7))).batch(2),
    "splits": {"train": None, "test": tensors((X, Y)).batch(2)},
    "Keras dataset": Pairs(),
    "list of batches": iter([(X[:3], Y[:3]), (X[3:], Y[3:])]),
}
UNLABELLED = {
    "batches": tensors(X).batch(3),
    "images": tensors(X),
    "targets": tensors((X, X)).batch(3),
    "labels of one-hot rows": tensors((X, np.eye(7))).batch(3),
    "list": list(X),
    "array": X,
    "tensor": tf.constant(X),
    "generator": (x for x in X),
}


@pytest.mark.parametrize("case", LABELLED)
@pytest.mark.parametrize("modality", [IMAGE, None])
def test_labelled_datasets_are_read(
    case: str, modality: modalities.Image | None
) -> None:
    if case == "list of batches":
        LABELLED[case] = iter([(X[:3], Y[:3]), (X[3:], Y[3:])])
    found = open_dataset(LABELLED[case], modality=modality)
    np.testing.assert_array_equal(found.examples, X)
    np.testing.assert_array_equal(found.labels, Y)
    assert found.labels.dtype == np.int64
    assert found.key == ("images/test" if modality else "examples/test")


@pytest.mark.parametrize("case", UNLABELLED)
def test_others_are_read_without_labels(case: str) -> None:
    source = (x for x in X) if case == "generator" else UNLABELLED[case]
    found = open_dataset(source, modality=IMAGE)
    np.testing.assert_array_equal(found.examples, X)
    assert found.labels is None


def test_streams_read_them_as_well() -> None:
    stream = open_stream(tensors({"image": X, "label": Y}).batch(3), IMAGE)
    assert len(stream) == 7
    assert stream.label_type == "int64"
    batches = list(stream.batches(4))
    np.testing.assert_array_equal(np.concatenate([b.examples for b in batches]), X)


def test_datasets_without_channels_are_told_from_batches() -> None:
    for dataset in (tensors(X[..., 0]), tensors(X[..., 0]).batch(3)):
        images, _ = collect(dataset, IMAGE)
        assert images.shape == (7, 6, 8)
        with pytest.raises(ValueError, match=r"channel axis with `x\[\.\.\., None\]`"):
            check_images(images, SHAPE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (tensors(X).repeat(), r"never ends.*`dataset\.take\(100\)`"),
        (tensors(X).take(0), r"yields nothing"),
        (iter([]), r"yields nothing\. Iterators yield only once"),
        (tensors({"pixels": X}).batch(2), r"keys 'pixels'.*dataset\.map"),
        ({"pixels": X}, r"must hold 'image' or 'images'"),
        (iter([X[:2], X[:2, :3]]), r"of one shape.*\(3, 8, 1\) and \(6, 8, 1\)"),
        (["a.png"], r"`images\[0\]` must be an array of images, not a path"),
        (None, r"`images` must be an array of images. Received: NoneType"),
    ],
)
def test_others_are_refused_with_what_to_do(source: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_dataset(source, modality=IMAGE)


def test_a_file_is_a_dataset_of_one_image(tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    Image.fromarray(X[0, ..., 0]).save(path)
    for source in (path, str(path)):
        found = open_dataset(source, modality=IMAGE)
        np.testing.assert_array_equal(found.examples, X[:1])
    with pytest.raises(DatasetError, match=r"seven.png needs `modality`"):
        open_dataset(path)


def test_batches_of_any_structure_are_split() -> None:
    for batch, expected in (
        (X, (X, None)),
        ((X,), (X, None)),
        ((X, Y), (X, Y)),
        ((X, Y, np.ones(7)), (X, Y)),
        ({"image": X, "label": Y}, (X, Y)),
        ({"images": X}, (X, None)),
    ):
        x, y = split_batch(batch)
        assert x is expected[0]
        assert y is expected[1]


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((6, 8, 1), r"single examples: batch it with `dataset\.batch\(128\)`"),
        (
            (6, 8),
            r"without a channel axis: `dataset\.map\(lambda x: x\[\.\.\., None\]\)",
        ),
        ((None, 6, 8), r"`dataset\.map\(lambda x: x\[\.\.\., None\]\)`"),
        ((None, 48), r"lambda x: keras\.ops\.reshape\(x, \(-1, 6, 8, 1\)\)\)`"),
        ((4, 6, 8, 3), r"lambda x: keras\.ops\.image\.rgb_to_grayscale\(x\)\)`"),
        ((None, 1, 6, 8), r"lambda x: keras\.ops\.moveaxis\(x, 1, -1\)\)`"),
        ((None, None, None, 1), "^$"),
        ((3, 3), "^$"),
    ],
)
def test_other_shapes_are_told_what_to_do(shape: Any, hint: str) -> None:
    import re

    assert re.search(hint, batch_hint(shape, SHAPE)), batch_hint(shape, SHAPE)


def test_the_hints_work_in_a_graph() -> None:
    flat = tensors(X.reshape(7, -1)).batch(3)
    shaped = flat.map(lambda x: keras.ops.reshape(x, (-1, 6, 8, 1)))
    np.testing.assert_array_equal(collect(shaped, IMAGE)[0], X)
    grey = tensors(X.repeat(3, -1)).batch(3)
    assert collect(grey.map(lambda x: keras.ops.image.rgb_to_grayscale(x)), IMAGE)


def test_what_is_a_dataset() -> None:
    def generator() -> Iterator[int]:
        yield 1

    assert all(map(is_dataset, (tensors(X), Pairs(), generator(), {1}, range(3))))
    others = (X, tf.constant(X), [X], (X, Y), {"image": X}, "mnist", None, 3, len)
    assert not any(map(is_dataset, others))


def test_a_model_is_no_name(tmp_path: Path) -> None:
    model = keras.Sequential()
    with pytest.raises(
        ValueError, match=r"Received: Sequential\. Save a model of your"
    ):
        encode_to_parquet(model, X, tmp_path / "z.parquet")
