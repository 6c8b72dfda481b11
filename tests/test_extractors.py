"""Feature extractors: verified bytes, golden features, names that say what they are."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import keras
import numpy as np
import pytest
from click.testing import CliRunner

import aezoo
from aezoo import manifest
from aezoo.data.datasets import Dataset, load_dataset
from aezoo.errors import (
    ChecksumError,
    ManifestError,
    MissingDependencyError,
    UnknownModelError,
)
from aezoo.manifest import Manifest, weights_folder
from aezoo.modalities.image import extractors
from aezoo.modalities.image.classifier import Classifier, load_classifier
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.extractors import (
    default_extractor,
    extractor_deviation,
    inception_extractor,
    list_extractors,
    load_extractor,
)
from aezoo.nn.backend import BACKEND
from aezoo.training.recipe import Recipe, RecipeError
from aezoo.utils.files import sha256_of
from tests.conftest import needs_dataset
from tests.draws import exhaustive
from training.export import export as export_model
from training.extractors import (
    RECIPES,
    ExtractorRecipe,
    LabelledImages,
    main,
    measure_accuracy,
    refuse_bundled,
    shift,
    train,
)

NAME = "lenet_mnist_v1"
NAMES = sorted(manifest.extractors())


@pytest.fixture(scope="module")
def lenet() -> extractors.Extractor:
    return load_extractor(NAME)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one extractor, which a test may damage."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for suffix in ("weights.h5", "golden.npz"):
        shutil.copy(weights_folder() / f"{NAME}.{suffix}", weights)
    document = Manifest(extractors={NAME: manifest.extractors()[NAME]})
    path = tmp_path / "weights_manifest.json"
    path.write_text(manifest.manifest_text(document))
    monkeypatch.setattr(manifest, "manifest_path", lambda: path)
    monkeypatch.setattr(manifest, "weights_folder", lambda: weights)
    manifest.installed.cache_clear()
    yield tmp_path
    manifest.installed.cache_clear()


def change_entry(zoo: Path, change: Callable[[dict], None]) -> None:
    path = zoo / "weights_manifest.json"
    document = json.loads(path.read_text())
    change(document["extractors"][NAME])
    path.write_text(json.dumps(document))
    manifest.installed.cache_clear()


# Recipes whose training takes an hour of a core, which there was not.
UNTRAINED = {"vgg_cifar10_v1"}


# --- The bundled ones ----------------------------------------------------------------


def test_mnist_and_fashion_mnist_have_an_extractor() -> None:
    assert set(NAMES) == set(RECIPES) - UNTRAINED
    assert default_extractor("mnist") == "lenet_mnist_v1"
    assert default_extractor("fashion_mnist") == "lenet_fashion_mnist_v1"
    assert set(list_extractors()) == {*NAMES, "inception_v3"}


@pytest.mark.parametrize("name", NAMES)
def test_weights_reproduce_their_golden_features(name: str) -> None:
    deviation = extractor_deviation(name)
    assert set(deviation) == {"features"}
    assert deviation["features"] <= extractors.TOLERANCE


def test_other_weights_deviate(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = load_extractor(NAME)
    bias = extractor.network.get_layer("convolution_2").bias
    bias.assign(bias + 0.01)
    monkeypatch.setattr(extractors, "load_extractor", lambda name: extractor)  # noqa: ARG005
    assert extractor_deviation(NAME)["features"] > extractors.TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_entry_and_files_agree(name: str) -> None:
    entry = manifest.extractors()[name]
    path = weights_folder() / entry.weights.file
    assert path.stat().st_size == entry.weights.bytes < 2_000_000
    assert sha256_of(path) == entry.weights.sha256
    extractor = load_extractor(name)
    assert extractor.name == name
    assert extractor.input_shape == entry.input_shape
    assert extractor.dim == entry.feature_dim
    assert extractor.network.count_params() == entry.num_params
    recipe = RECIPES[name]
    assert (entry.data.name, entry.seed) == (recipe.dataset, recipe.seed)


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("lenet_mnist_v1", 0.992),
        pytest.param("lenet_fashion_mnist_v1", 0.91, marks=exhaustive),
    ],
)
def test_the_stated_accuracy_is_measured_again(name: str, at_least: float) -> None:
    entry = manifest.extractors()[name]
    needs_dataset(entry.data.name)
    model = load_classifier(entry, weights_folder() / entry.weights.file)
    accuracy = measure_accuracy(model, load_dataset(entry.data.name, "test"))
    assert accuracy.value == pytest.approx(entry.accuracy.value, abs=2.5e-4)
    assert accuracy.protocol == entry.accuracy.protocol
    assert accuracy.value >= at_least


def test_features_do_not_depend_on_type_batch_size_or_policy(lenet) -> None:
    images = draw_digits(20, seed=5)[0]
    features = lenet.features(images)
    assert features.shape == (20, 128)
    assert features.dtype == np.float32
    assert features.min() == 0.0  # rectified
    assert len(np.unique(features.round(3), axis=0)) == 20
    other = load_extractor(NAME)
    other.batch_size = 7
    floats = images / np.float64(255)
    np.testing.assert_allclose(other.features(floats), features, rtol=1e-4, atol=1e-4)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = load_extractor(NAME).features(images)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(mixed, features, rtol=1e-4, atol=1e-4)


def test_features_tell_classes_apart(lenet) -> None:
    images, labels = draw_digits(100, seed=2)
    features = lenet.features(images)
    centres = np.stack([features[labels == c].mean(axis=0) for c in range(10)])
    distances = np.linalg.norm(features[:, None] - centres, axis=-1)
    assert np.mean(distances.argmin(axis=1) == labels) > 0.85


# --- Wrong images and names ----------------------------------------------------------

ZEROS = np.zeros((2, 28, 28, 1), "float32")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (ZEROS[..., 0], r"shape \(n, 28, 28, 1\).*\(2, 28, 28\).*images\[..., None\]"),
        (ZEROS[0], r"For a single image pass `images\[None\]`"),
        (ZEROS[:, :14], r"'lenet_mnist_v1' needs `images`.*Received: .*\(2, 14, 28, 1"),
        (ZEROS[:0], r"n at least 1. Received: images.shape=\(0, 28, 28, 1\)"),
        (ZEROS.astype("int64"), r"must be uint8, or float.*dtype=int64"),
        (ZEROS + 255, r"values in \[0, 1\].*max=255. Divide"),
        (ZEROS - 1, r"min=-1"),
        (ZEROS * np.nan, "`images` holds NaN or infinity"),
    ],
)
def test_other_images_are_refused(lenet, images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lenet.features(images)


def test_an_unknown_name_offers_the_closest() -> None:
    with pytest.raises(
        UnknownModelError, match=r"extractor 'lenet_mnist'. Did you mean 'lenet_mnist_"
    ):
        load_extractor("lenet_mnist")
    with pytest.raises(UnknownModelError, match=r"Extractors: .*inception_v3"):
        extractor_deviation("inception_v3")


def test_a_dataset_without_an_extractor_lists_what_there_is() -> None:
    with pytest.raises(
        UnknownModelError,
        match=r"trained on the dataset 'cats'. Name one .*lenet_mnist_v1 \(28 x 28 x 1"
        r", trained on mnist\).*inception_v3 \(any size\)",
    ):
        default_extractor("cats")


def test_the_newest_extractor_of_a_dataset_is_its_default(zoo: Path) -> None:
    path = zoo / "weights_manifest.json"
    document = json.loads(path.read_text())
    document["extractors"]["lenet_mnist_v2"] = document["extractors"][NAME]
    path.write_text(json.dumps(document))
    manifest.installed.cache_clear()
    assert default_extractor("mnist") == "lenet_mnist_v2"


# --- Damaged files and entries -------------------------------------------------------


@pytest.mark.parametrize("suffix", ["weights.h5", "golden.npz"])
def test_changed_bytes_are_noticed_before_they_are_read(zoo: Path, suffix: str) -> None:
    path = zoo / "weights" / f"{NAME}.{suffix}"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ChecksumError, match=rf"{suffix} does not match its hash"):
        extractor_deviation(NAME)
    path.unlink()
    with pytest.raises(ChecksumError, match=rf"{suffix} is missing"):
        extractor_deviation(NAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e["config"].update(filters=[]), "not describe a valid classifier"),
        (lambda e: e["config"].update(depth=3), "not describe a valid .*'depth'"),
        (lambda e: e.update(feature_dim=64), r"expected .* 128\), received .* 64\)"),
        (lambda e: e.update(num_params=1), r"expected 1 values, received 454,922"),
        (lambda e: e["config"].update(filters=[32, 63]), "does not fit the manifest's"),
    ],
)
def test_entries_that_do_not_fit_their_file(
    zoo: Path, change: Callable[[dict], None], message: str
) -> None:
    change_entry(zoo, change)
    with pytest.raises(ManifestError, match=message):
        load_extractor(NAME)


def test_a_golden_file_of_something_else(zoo: Path) -> None:
    path = zoo / "weights" / f"{NAME}.golden.npz"
    np.savez(path, inputs=np.zeros((8, 28, 28, 1)), features=np.zeros((8, 3)))
    change_entry(zoo, lambda e: e["golden"].update(sha256=sha256_of(path)))
    with pytest.raises(ManifestError, match=r"does not fit the extractor .*\(8, 128\)"):
        extractor_deviation(NAME)


def test_links_out_of_the_weights_file_are_refused(zoo: Path) -> None:
    path = zoo / "weights" / f"{NAME}.weights.h5"
    with h5py.File(path, "a") as file:
        file["more"] = h5py.ExternalLink("other.h5", "/")
    facts = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    change_entry(zoo, lambda e: e["weights"].update(facts))
    with pytest.raises(aezoo.errors.UnsafeFileError, match="ExternalLink"):
        load_extractor(NAME)


# --- The manifest --------------------------------------------------------------------

SCHEMA = json.loads((manifest.PACKAGE / "weights_manifest.schema.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_frozen_and_survives_a_round_trip(name: str) -> None:
    document = json.loads(manifest.manifest_path().read_text())
    entry = manifest.extractors()[name]
    assert entry.to_dict() == document["extractors"][name]
    with pytest.raises(AttributeError, match="immutable"):
        entry.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        entry.config["filters"] = ()  # type: ignore[index]


def test_a_manifest_without_extractors_has_none(tmp_path: Path) -> None:
    path = tmp_path / "weights_manifest.json"
    head = '{"schema_version": 2, "protocols": {}, "models": {}'
    path.write_text(head + "}")
    assert manifest.read_manifest(path).extractors == {}
    path.write_text(head + ', "extractors": []}')
    with pytest.raises(ManifestError, match=r"`extractors` must be `object`. Received"):
        manifest.read_manifest(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("seed"), rf"`extractors\.{NAME}\.seed` is missing"),
        (lambda e: e["weights"].update(hub=None), r"_v1\.weights\.hub` is unknown"),
        (lambda e: e.update(feature_dim=0), r"_v1\.feature_dim` must be `int` >= 1"),
    ],
)
def test_a_malformed_entry_names_entry_and_field(
    zoo: Path, change: Callable[[dict], None], message: str
) -> None:
    change_entry(zoo, change)
    with pytest.raises(ManifestError, match=message):
        manifest.extractors()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lenet", {}),
        (NAME, {"surprise": 1}),
        (NAME, {"feature_dim": 0}),
        (NAME, {"accuracy": {"value": 99.3, "unit": "%", "protocol": "p"}}),
    ],
)
def test_the_schema_rejects_a_wrong_entry(name: str, change: dict[str, Any]) -> None:
    fields = {**manifest.extractors()[NAME].to_dict(), **change}
    document = {"schema_version": 2, "protocols": {}, "models": {}}
    jsonschema.validate(document, SCHEMA)
    document["extractors"] = {name: fields}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_exporting_a_model_keeps_the_extractors(zoo: Path) -> None:
    path = zoo / "weights_manifest.json"
    model = aezoo.create("dense_ae", latent_dim=2, hidden_units=(4,))
    recipe = Recipe(
        family="dense_ae",
        config={},
        description="Tiny.",
        paper="https://x.org",
        metrics=("mse",),
    )
    data = Dataset("mnist", "npz", "train", draw_digits(4)[0])
    metric = manifest.Metric(1.0, "none", "none")
    training = {"hardware": "x", "seconds": 1.0, "backend": BACKEND}
    export_model(
        "tiny_ae",
        model,
        recipe,
        data,
        {"mnist/test": {"mse": metric}},
        {**training, "versions": {"keras": "3"}},
        zoo / "weights",
        path,
    )
    document = manifest.read_manifest(path)
    assert list(document.models) == ["tiny_ae"]
    assert list(document.extractors) == [NAME]


# --- Training ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn digits as a dataset named mnist."""
    folder = tmp_path_factory.mktemp("data") / "mnist"
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": 400, "test": 100}.items()):
        images, labels = draw_digits(count, seed=seed)
        np.savez(folder / f"{split}.npz", images=images, labels=labels)
    return folder.parent


def test_a_short_training_learns_exports_and_repeats(
    data_dir: Path, tmp_path: Path
) -> None:
    recipe = ExtractorRecipe("mnist", epochs=3, batch_size=40)
    out = tmp_path / "run"
    entry = train("lenet_mnist_v7", recipe, out, data_dir)
    assert entry.accuracy.value > 0.7
    assert entry.accuracy.protocol.startswith("mnist/test, all 100 images")
    document = json.loads((out / "weights_manifest.json").read_text())
    jsonschema.validate(document, SCHEMA)
    model = load_classifier(entry, out / entry.weights.file)
    test = load_dataset("mnist", "test", data_dir)
    assert measure_accuracy(model, test) == entry.accuracy
    again = train("lenet_mnist_v7", recipe, tmp_path / "again", data_dir)
    assert again.accuracy.value == pytest.approx(entry.accuracy.value, abs=0.02)


def test_images_move_by_at_most_the_shift_and_keep_their_labels() -> None:
    images, labels = draw_digits(30, seed=0)
    moved = shift(images, 2, np.random.default_rng(0))
    assert moved.shape == images.shape
    offsets = set()
    for image, other in zip(images, moved, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        hits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(padded[y : y + 28, x : x + 28], other)
        ]
        assert hits
        offsets |= set(hits)
    assert len(offsets) > 10
    np.testing.assert_array_equal(shift(images, 0, np.random.default_rng(0)), images)

    recipe = ExtractorRecipe("mnist", epochs=1, batch_size=7, max_shift=0)
    batches = LabelledImages(Dataset("a", "b", "c", images, labels), recipe)
    label_of = {images[i].tobytes(): labels[i] for i in range(30)}
    orders = []
    for _ in range(2):
        epoch = [batches[i] for i in range(len(batches))]
        assert sum(len(x) for x, _ in epoch) == 30
        for x, y in epoch:
            assert [label_of[i.tobytes()] for i in x] == y.tolist()
        orders.append(np.concatenate([y for _, y in epoch]).tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1]


def test_a_dataset_without_labels_trains_no_classifier(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for split in ("train", "test"):
        np.savez(tmp_path / "mnist" / f"{split}.npz", images=draw_digits(4)[0])
    with pytest.raises(RecipeError, match=r"'mnist/train' has none"):
        train("x_v1", ExtractorRecipe("mnist", epochs=1), tmp_path / "run", tmp_path)


def test_a_bundled_name_is_final(zoo: Path, tmp_path: Path) -> None:
    path = zoo / "weights_manifest.json"
    with pytest.raises(ManifestError, match=r"'lenet_mnist_v1' is in the manifest alr"):
        refuse_bundled(NAME, path)
    refuse_bundled("lenet_mnist_v2", path)
    result = CliRunner().invoke(main, [NAME, "--bundle", "--out", str(tmp_path / "o")])
    assert result.exit_code == 1
    assert "Bundle new weights under a new name" in result.output


# --- InceptionV3 ---------------------------------------------------------------------


def test_missing_inception_weights_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(**_: Any) -> None:
        assert socket.getdefaulttimeout() == extractors.DOWNLOAD_TIMEOUT
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(
        MissingDependencyError, match=r"ImageNet weights.*URL fetch failure.*lenet_mn"
    ):
        load_extractor("inception_v3")
    assert socket.getdefaulttimeout() is None


def test_inception_takes_any_size_in_grey_or_colour(
    monkeypatch: pytest.MonkeyPatch, rng
) -> None:
    """Resized to 299 x 299 in [-1, 1]; with a stand-in for the network itself."""

    def stand_in(**options: Any) -> keras.Model:
        assert options == {
            "include_top": False,
            "pooling": "avg",
            "weights": None,
            "input_shape": (299, 299, 3),
        }
        x = keras.Input((299, 299, 3))
        return keras.Model(x, keras.ops.mean(x, axis=(1, 2)))

    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    extractor = inception_extractor(weights=None)
    assert (extractor.name, extractor.dim) == ("inception_v3", 2048)
    grey = rng.integers(0, 256, (3, 5, 5, 1), dtype="uint8")
    features = extractor.features(grey)
    colour = np.repeat(grey, 3, axis=-1) / np.float32(255)
    np.testing.assert_allclose(features, extractor.features(colour), atol=1e-5)
    flat = extractor.features(np.full((1, 4, 6, 3), [0.0, 0.5, 1.0], "float32"))
    np.testing.assert_allclose(flat, [[-1.0, 0.0, 1.0]], atol=1e-5)
    with pytest.raises(ValueError, match=r"height, width, 1 or 3\).*\(3, 5, 5, 2\)"):
        extractor.features(np.zeros((3, 5, 5, 2)))


@pytest.mark.exhaustive  # 24 million weights; the test above has a stand-in for them
def test_the_real_inception_network_has_2048_features() -> None:
    extractor = inception_extractor(weights=None)
    assert extractor.features(draw_digits(2)[0]).shape == (2, 2048)


def test_a_classifier_is_rebuilt_from_its_config() -> None:
    model = Classifier((7, 9, 3), 4, filters=(2, 3, 4), feature_dim=5)
    model.build()
    copy = Classifier.from_config(model.get_config())
    copy.build()
    copy.set_weights(model.get_weights())
    x = np.random.default_rng(0).random((2, 7, 9, 3), "float32")
    np.testing.assert_array_equal(model(x), copy(x))
    assert model(x).shape == (2, 4)
    assert model.extract(x).shape == (2, 5)


# --- Deeper classifiers ---------------------------------------------------------------


def test_a_deeper_classifier_normalises_and_leaves_out_in_training_alone() -> None:
    deep = Classifier(
        (8, 8, 3), 4, filters=(4, 6), feature_dim=5, convolutions=2, kernel_size=3,
        normalization=True, dropout=0.5,
    )  # fmt: skip
    deep.build()
    x = np.random.default_rng(0).random((6, 8, 8, 3)).astype("float32")
    first, second = (np.asarray(keras.ops.convert_to_numpy(deep(x))) for _ in "12")
    np.testing.assert_array_equal(first, second)
    assert first.shape == (6, 4)
    assert [tuple(m.shape) for m in deep.maps(x)] == [(6, 8, 8, 4), (6, 4, 4, 6)]
    assert all(float(keras.ops.min(m)) >= 0.0 for m in deep.maps(x))
    means = [w for w in deep.weights if w.path.endswith("moving_mean")]
    assert len(means) == 4
    before = [keras.ops.convert_to_numpy(w).copy() for w in means]
    deep(x, training=True)
    assert any(
        np.any(keras.ops.convert_to_numpy(w) != old)
        for w, old in zip(means, before, strict=True)
    )
    again = Classifier(**deep.config)
    again.build()
    again.set_weights(deep.get_weights())
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(again(x)),
        keras.ops.convert_to_numpy(deep(x)),
        atol=1e-6,
    )


def test_the_first_classifiers_are_described_as_ever() -> None:
    assert set(Classifier().config) == {
        *("input_shape", "num_classes", "filters", "feature_dim"),
    }
