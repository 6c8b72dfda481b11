"""A small classifier of images, whose layers also say how alike two images are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from aezoo.errors import ManifestError
from aezoo.manifest import REINSTALL, ExtractorEntry, bundled_file
from aezoo.modalities.image.modality import to_unit_range
from aezoo.nn.structure import without_initialisation
from aezoo.nn.weights import StoredWeights, read_weights_file
from aezoo.utils.validation import (
    check_input_shape,
    check_positive_int,
    check_positive_ints,
)

Tensor = Any


class Classifier(keras.Model):
    """A small convolutional classifier in the manner of LeNet-5.

    Two convolutions of 5 x 5, each with a 2 x 2 maximum, and two dense layers
    (LeCun et al., 1998, https://doi.org/10.1109/5.726791), with rectified units. The
    features are those of the first dense layer, after its rectification.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        num_classes: Classes to tell apart.
        filters: Filters of the two convolutions.
        feature_dim: Units of the first dense layer.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        num_classes: int = 10,
        filters: Sequence[int] = (32, 64),
        feature_dim: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_shape = check_input_shape(input_shape)
        self.num_classes = check_positive_int("num_classes", num_classes)
        self.filters = check_positive_ints("filters", filters, minimum=1)
        self.feature_dim = check_positive_int("feature_dim", feature_dim)
        self.hidden = []
        options = {"padding": "same", "dtype": self.dtype_policy}
        for i, n in enumerate(self.filters, start=1):
            self.hidden += [
                keras.layers.Conv2D(
                    n,
                    5,
                    activation="relu",
                    name=f"convolution_{i}",
                    data_format="channels_last",
                    **options,
                ),
                keras.layers.MaxPooling2D(
                    2, name=f"pooling_{i}", data_format="channels_last", **options
                ),
            ]
        self.hidden += [
            keras.layers.Flatten(
                name="flat", dtype=self.dtype_policy, data_format="channels_last"
            ),
            keras.layers.Dense(
                feature_dim, activation="relu", name="features", dtype=self.dtype_policy
            ),
        ]
        self.logits = keras.layers.Dense(num_classes, name="logits", dtype="float32")

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Create all weights. Happens by itself on first use."""
        shape: tuple[int | None, ...] = (None, *self.input_shape)
        for layer in self.hidden:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.logits.build(shape)

    def extract(self, images: Tensor) -> Tensor:
        """Features `(batch, feature_dim)` of floats in [0, 1] or uint8."""
        x = to_unit_range(images, self.compute_dtype)
        for layer in self.hidden:
            x = layer(x)
        return ops.cast(x, "float32")

    def maps(self, images: Tensor) -> list[Tensor]:
        """Rectified outputs of the convolutions, of images of any height and width.

        Args:
            images: Floats in [0, 1] or uint8, `(batch, height, width, channels)`.

        Returns:
            One `(batch, h, w, filters)` per convolution, each of half the last one's
            height and width.
        """
        x = to_unit_range(images, self.compute_dtype)
        found = []
        for layer in self.hidden[: 2 * len(self.filters)]:
            x = layer(x)
            if isinstance(layer, keras.layers.Conv2D):
                found.append(x)
        return found

    def call(self, inputs: Tensor) -> Tensor:
        """Logits `(batch, num_classes)` of floats in [0, 1] or uint8."""
        return self.logits(self.extract(inputs))

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the classifier, without weights."""
        return {**super().get_config(), **self.config}

    @property
    def config(self) -> dict[str, Any]:
        """The classifier's own arguments."""
        return {
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "filters": list(self.filters),
            "feature_dim": self.feature_dim,
        }


def bundled_classifier(entry: ExtractorEntry) -> Classifier:
    """A classifier of the zoo with its weights from the package.

    Args:
        entry: Its entry in the manifest.

    Raises:
        ChecksumError: If the file is missing, or is not the entry's.
        ManifestError: As `load_classifier` does.
        UnsafeFileError: As `load_classifier` does.
    """
    return load_classifier(entry, bundled_file(entry.weights.file))


def load_classifier(entry: ExtractorEntry, path: Path) -> Classifier:
    """Build the classifier of an entry and read its weights from a file.

    Raises:
        ChecksumError: If the file is missing, or is not the entry's.
        ManifestError: If the configuration is invalid, or entry and file disagree.
        UnsafeFileError: If the file refers to data outside itself.
    """
    content = read_weights_file(entry, path, REINSTALL)
    weights = StoredWeights(content, entry.num_params, f"weights file {path}")
    try:
        # float32 whatever the global policy: features must not depend on it
        model = Classifier(**entry.config, name=entry.name, dtype="float32")
        with without_initialisation(model):
            model.build()
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"The manifest's extractor {entry.name!r} does not describe a valid "
            f"classifier: {error}"
        ) from error
    declared = (entry.input_shape, entry.num_classes, entry.feature_dim)
    actual = (model.input_shape, model.num_classes, model.feature_dim)
    if declared != actual:
        raise ManifestError(
            f"The manifest's extractor {entry.name!r} does not fit its configuration: "
            f"expected (input_shape, num_classes, feature_dim) = {actual}, received "
            f"{declared}."
        )
    weights.read_into(model, f"the manifest's extractor {entry.name!r}")
    return model
