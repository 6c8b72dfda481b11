"""Train a bundled feature extractor: data -> fit -> accuracy -> export.

    python -m training.extractors lenet_mnist_v1
    python -m training.extractors lenet_mnist_v1 --bundle

The first form writes to `runs/<name>`; `--bundle` also puts weights, golden features
and the manifest entry where the package ships them. A bundled name is final: its
figures are compared by name, so new weights need a new one.
"""

import dataclasses
import io
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import click
import keras
import numpy as np

from aezoo import manifest
from aezoo.data import datasets
from aezoo.data.datasets import Dataset
from aezoo.errors import AezooError, ManifestError
from aezoo.manifest import (
    ExtractorEntry,
    Share,
    TrainingInfo,
    ZooGolden,
    weights_folder,
)
from aezoo.modalities.image.classifier import Classifier, load_classifier
from aezoo.modalities.image.extractors import Extractor, golden_features
from aezoo.nn.backend import BACKEND
from aezoo.nn.weights import weights_bytes
from aezoo.training.batches import ShuffledExamples
from aezoo.training.recipe import RecipeError
from training.export import (
    GOLDEN_SUFFIX,
    ROOT,
    WEIGHTS_SUFFIX,
    check_writable,
    data_info,
)
from training.files import edited_manifest, put_files, remove_unused
from training.train import hardware, versions


@dataclasses.dataclass(frozen=True)
class ExtractorRecipe:
    """Everything that determines an extractor, but the machine.

    Attributes:
        dataset: TFDS name; trained on all of `train`, measured on all of `test`.
        epochs: Passes over the training split.
        batch_size: Images per step.
        learning_rate: Adam's, with cosine decay to 0.
        max_shift: Images are moved by up to so many pixels each way.
        is_mirrored: Half of the images are shown from left to right.
        config: Arguments of `Classifier` beside shape and classes.
        seed: Seed of weights, order and shifts.
        license: Licence of the weights.
    """

    dataset: str
    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    max_shift: int = 2
    is_mirrored: bool = False
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    license: str = "Apache-2.0"


RECIPES = {
    "lenet_mnist_v1": ExtractorRecipe("mnist", epochs=5),
    "lenet_fashion_mnist_v1": ExtractorRecipe("fashion_mnist", epochs=8, max_shift=1),
    "vgg_cifar10_v1": ExtractorRecipe(
        "cifar10",
        epochs=20,
        max_shift=3,
        is_mirrored=True,
        config={
            "filters": (32, 64, 128),
            "feature_dim": 128,
            "convolutions": 2,
            "kernel_size": 3,
            "normalization": True,
            "dropout": 0.3,
        },
    ),
}


class LabelledImages(ShuffledExamples):
    """Shuffled batches of shifted images with their labels.

    Args:
        data: Images with labels.
        recipe: Batch size, shifts, mirroring and seed.
    """

    def __init__(self, data: Dataset, recipe: ExtractorRecipe) -> None:
        labels = labels_of(data)
        super().__init__(data.examples, recipe.batch_size, recipe.seed, labels)
        self.max_shift = recipe.max_shift
        self.is_mirrored = recipe.is_mirrored

    def on_epoch_end(self) -> None:
        """Another order and other shifts."""
        self.epoch += 1

    def __getitem__(self, index: int) -> Any:
        """One batch: images and labels."""
        images, labels = super().__getitem__(index)
        generator = np.random.default_rng((self.seed, self.epoch, index))
        images = shift(images, self.max_shift, generator)
        if self.is_mirrored:
            turned = generator.random(len(images)) < 0.5
            images = np.where(turned[:, None, None, None], images[:, :, ::-1], images)
        return images, labels


def labels_of(data: Dataset) -> np.ndarray:
    """Labels of a dataset, `(n,)`.

    Raises:
        RecipeError: If it has none.
    """
    if data.labels is None:
        raise RecipeError(
            f"A classifier is trained on labels, and {data.key!r} has none. "
            "Name another dataset."
        )
    return data.labels


def shift(
    images: np.ndarray, max_shift: int, generator: np.random.Generator
) -> np.ndarray:
    """Move each image by up to `max_shift` pixels along both sides; edges are 0."""
    margin = (max_shift, max_shift)
    padded = np.pad(images, ((0, 0), margin, margin, (0, 0)))
    # (batch, dy, dx, channels, height, width)
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, images.shape[1:3], axis=(1, 2)
    )
    dy, dx = generator.integers(0, 2 * max_shift + 1, (2, len(images)))
    return np.moveaxis(windows[np.arange(len(images)), dy, dx], 1, -1)


def train(
    name: str,
    recipe: ExtractorRecipe,
    out: Path,
    data_dir: Path | None = None,
    *,
    bundle: bool = False,
) -> ExtractorEntry:
    """Run a recipe to its end.

    Args:
        name: Name of the extractor.
        recipe: What to train.
        out: Folder of the export.
        data_dir: As in `aezoo.datasets.load_dataset`.
        bundle: Also export into the package and the repository's manifest.

    Returns:
        The manifest entry of the export.
    """
    # Everything that can fail does so before an epoch is spent.
    check_writable(out)
    if bundle:
        refuse_bundled(name, ROOT / manifest.MANIFEST_NAME)
    train_data, test_data = (
        datasets.load_dataset(recipe.dataset, split, data_dir)
        for split in ("train", "test")
    )
    labels, _ = labels_of(train_data), labels_of(test_data)
    keras.utils.set_random_seed(recipe.seed)
    model = Classifier(
        train_data.examples.shape[1:],
        int(labels.max()) + 1,
        **recipe.config,
        name=name,
        dtype="float32",
    )
    model.build()
    start = time.monotonic()
    fit(model, recipe, train_data)
    training = {
        "hardware": hardware(),
        "seconds": round(time.monotonic() - start, 1),
        "backend": BACKEND,
        "versions": versions(),
    }
    accuracy = measure_accuracy(model, test_data)
    arguments = (name, model, recipe, train_data, accuracy, training)
    entry = export(*arguments, out, out / manifest.MANIFEST_NAME)
    if bundle:
        entry = export(*arguments, weights_folder(), ROOT / manifest.MANIFEST_NAME)
    return entry


def fit(model: Classifier, recipe: ExtractorRecipe, data: Dataset) -> None:
    """Fit a classifier by Adam, with cosine decay to zero."""
    batches = LabelledImages(data, recipe)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate, recipe.epochs * len(batches)
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False if BACKEND == "tensorflow" else "auto",
    )
    model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,  # `batches` does, by seed and epoch
        verbose=1 if sys.stderr.isatty() else 2,
    )


def measure_accuracy(model: Classifier, data: Dataset) -> Share:
    """Share of images whose largest logit is that of their label."""
    logits = model.predict(data.examples, batch_size=1000, verbose=0)
    is_right = np.argmax(logits, axis=1) == labels_of(data)
    return Share(
        value=float(np.mean(is_right)),
        unit="fraction of images",
        protocol=f"{data.key}, all {len(is_right):,} images; share whose largest "
        "logit is that of their label",
        standard_error=float(np.std(is_right, ddof=1) / np.sqrt(len(is_right))),
    )


def export(
    name: str,
    model: Classifier,
    recipe: ExtractorRecipe,
    data: Dataset,
    accuracy: Share,
    training: Mapping[str, Any],
    folder: Path,
    manifest_file: Path,
) -> ExtractorEntry:
    """Write weights, golden features and manifest entry, and check that they load.

    Args:
        name: Name of the extractor.
        model: The trained classifier; its optimiser is not written.
        recipe: What made it.
        data: The training split.
        accuracy: Its accuracy on the test split.
        training: `hardware`, `seconds`, `backend` and `versions`.
        folder: Where weights and golden features go.
        manifest_file: The manifest to extend; created where it does not exist.

    Returns:
        The new entry.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A fresh copy has no optimiser, whose moments would treble the file.
    copy = Classifier(**model.config, name=name, dtype="float32")
    copy.build()
    copy.set_weights(model.get_weights())
    golden = io.BytesIO()
    features = golden_features(Extractor(name, copy, copy.input_shape))
    np.savez_compressed(golden, **features)  # type: ignore[arg-type]
    contents = {WEIGHTS_SUFFIX: weights_bytes(copy), GOLDEN_SUFFIX: golden.getvalue()}

    with edited_manifest(manifest_file) as document:
        files = put_files(name, contents, folder, document)
        weights, golden_file = files[WEIGHTS_SUFFIX], files[GOLDEN_SUFFIX]
        entry = ExtractorEntry(
            name=name,
            config=copy.config,
            input_shape=copy.input_shape,
            num_classes=copy.num_classes,
            feature_dim=copy.feature_dim,
            num_params=copy.count_params(),
            accuracy=accuracy,
            data=data_info(data),
            license=recipe.license,
            seed=recipe.seed,
            training=TrainingInfo(**training),
            weights=weights,
            golden=ZooGolden(golden_file.file, golden_file.sha256),
        )
        document.extractors[name] = entry
    remove_unused(name, folder, document)
    load_classifier(entry, folder / entry.weights.file)
    return entry


def refuse_bundled(name: str, manifest_file: Path) -> None:
    """A bundled extractor is final: new weights need a new name.

    Raises:
        ManifestError: If the manifest has an extractor of that name.
    """
    if name in manifest.read_manifest(manifest_file).extractors:
        raise ManifestError(
            f"The extractor {name!r} is in the manifest already, and figures are "
            "compared by its name. Bundle new weights under a new name, with the next "
            "`_v` number."
        )


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(list(RECIPES)))
@click.option("--epochs", type=click.IntRange(1), help="In place of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="In place of the recipe's.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="TFDS or .npz folder."
)
@click.option("--out", type=click.Path(path_type=Path), help="Default: runs/NAME.")
@click.option("--bundle", is_flag=True, help="Export into the package as well.")
def main(
    name: str,
    epochs: int | None,
    seed: int | None,
    data_dir: Path | None,
    out: Path | None,
    bundle: bool,
) -> None:
    """Command line of `train`."""
    given = {"epochs": epochs, "seed": seed}
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    recipe = dataclasses.replace(RECIPES[name], **changes)
    try:
        entry = train(name, recipe, out or Path("runs") / name, data_dir, bundle=bundle)
    except (AezooError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    accuracy = entry.accuracy
    click.echo(
        f"{name}  {accuracy.value:.2%} ± {accuracy.standard_error:.2%} of "
        f"{entry.data.name}/test; {entry.weights.bytes:,} bytes"
    )


if __name__ == "__main__":
    main()
