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
    check_flag,
    check_input_shape,
    check_number,
    check_positive_int,
    check_positive_ints,
)

Tensor = Any


_LENET = {"convolutions": 1, "kernel_size": 5, "normalization": False, "dropout": 0.0}


class Classifier(keras.Model):
    """A small convolutional classifier, by default in the manner of LeNet-5.

    Two convolutions of 5 x 5, each with a 2 x 2 maximum, and two dense layers
    (LeCun et al., 1998, https://doi.org/10.1109/5.726791), with rectified units. The
    features are those of the first dense layer, after its rectification. With several
    normalised convolutions of 3 x 3 before each maximum it is in the manner of VGG
    (Simonyan & Zisserman, 2015, https://arxiv.org/abs/1409.1556).

    Args:
        input_shape: Image shape `(height, width, channels)`.
        num_classes: Classes to tell apart.
        filters: Filters of the convolutions before each maximum.
        feature_dim: Units of the first dense layer.
        convolutions: How many of them there are before each.
        kernel_size: Their height and width.
        normalization: Whether each is followed by batch normalisation.
        dropout: Share of the features that training leaves out.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        num_classes: int = 10,
        filters: Sequence[int] = (32, 64),
        feature_dim: int = 128,
        convolutions: int = 1,
        kernel_size: int = 5,
        normalization: bool = False,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_shape = check_input_shape(input_shape)
        self.num_classes = check_positive_int("num_classes", num_classes)
        self.filters = check_positive_ints("filters", filters, minimum=1)
        self.feature_dim = check_positive_int("feature_dim", feature_dim)
        self.convolutions = check_positive_int("convolutions", convolutions)
        self.kernel_size = check_positive_int("kernel_size", kernel_size)
        self.normalization = check_flag("normalization", normalization)
        self.dropout = check_number("dropout", dropout, low=0.0, high=0.99)
        self.hidden: list[keras.layers.Layer] = []
        policy = {"dtype": self.dtype_policy}
        last = {**policy, "data_format": "channels_last"}
        for i, n in enumerate(self.filters, start=1):
            for j in range(1, self.convolutions + 1):
                self.hidden += self._convolution(n, f"{i}_{j}" if j > 1 else f"{i}")
            self.hidden.append(
                keras.layers.MaxPooling2D(
                    2, name=f"pooling_{i}", padding="same", **last
                )
            )
        self.hidden += [
            keras.layers.Flatten(name="flat", **last),
            keras.layers.Dense(
                feature_dim, activation="relu", name="features", **policy
            ),
        ]
        self.dropped = keras.layers.Dropout(self.dropout, name="dropout", **policy)
        self.logits = keras.layers.Dense(num_classes, name="logits", dtype="float32")

    def _convolution(self, filters: int, name: str) -> list[keras.layers.Layer]:
        """A convolution, its normalisation if there is one, and its rectification."""
        policy = {"dtype": self.dtype_policy}
        is_plain = not self.normalization
        found: list[keras.layers.Layer] = [
            keras.layers.Conv2D(
                filters,
                self.kernel_size,
                padding="same",
                activation="relu" if is_plain else None,
                use_bias=is_plain,
                name=f"convolution_{name}",
                data_format="channels_last",
                **policy,
            )
        ]
        if not is_plain:
            found += [
                keras.layers.BatchNormalization(name=f"normalization_{name}", **policy),
                keras.layers.Activation("relu", name=f"rectified_{name}", **policy),
            ]
        return found

    def build(self, input_shape: Any = None) -> None:  # noqa: ARG002
        """Create all weights. Happens by itself on first use."""
        shape: tuple[int | None, ...] = (None, *self.input_shape)
        for layer in self.hidden:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.logits.build(shape)

    def extract(self, images: Tensor, training: bool = False) -> Tensor:
        """Features `(batch, feature_dim)` of floats in [0, 1] or uint8."""
        x = to_unit_range(images, self.compute_dtype)
        for layer in self.hidden:
            x = self._applied(layer, x, training)
        return ops.cast(x, "float32")

    def _applied(self, layer: Any, x: Tensor, training: bool) -> Tensor:
        if isinstance(layer, keras.layers.BatchNormalization):
            return layer(x, training=training)
        return layer(x)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Rectified outputs before each maximum, of images of any height and width.

        Args:
            images: Floats in [0, 1] or uint8, `(batch, height, width, channels)`.

        Returns:
            One `(batch, h, w, filters)` for each, of half the last one's height and
            width.
        """
        x = to_unit_range(images, self.compute_dtype)
        found: list[Tensor] = []
        for layer in self.hidden:
            if len(found) == len(self.filters):
                break
            if isinstance(layer, keras.layers.MaxPooling2D):
                found.append(x)
            x = self._applied(layer, x, training=False)
        return found

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Logits `(batch, num_classes)` of floats in [0, 1] or uint8."""
        features = self.extract(inputs, training)
        return self.logits(self.dropped(features, training=training))

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the classifier, without weights."""
        return {**super().get_config(), **self.config}

    @property
    def config(self) -> dict[str, Any]:
        """The classifier's own arguments."""
        deeper = {
            "convolutions": self.convolutions,
            "kernel_size": self.kernel_size,
            "normalization": self.normalization,
            "dropout": self.dropout,
        }
        return {
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "filters": list(self.filters),
            "feature_dim": self.feature_dim,
            # as the first ones have it, which know nothing else
            **({} if deeper == _LENET else deeper),
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
