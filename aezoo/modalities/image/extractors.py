"""Networks that turn images into features, in which metrics of samples are measured.

Every extractor has a name, which such a metric carries: `frechet/lenet_mnist_v1`.
Small classifiers that the project trained itself are bundled and listed in the
manifest; `inception_v3` is the network of `keras.applications`.
"""

import io
import socket
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo import manifest
from aezoo.errors import (
    ManifestError,
    MissingDependencyError,
    UnknownModelError,
    UnsupportedOperationError,
)
from aezoo.manifest import MAX_GOLDEN_BYTES, REINSTALL, ExtractorEntry, bundled_file
from aezoo.modalities.arrays import as_array
from aezoo.modalities.image.check import check_levels, shape_hint
from aezoo.modalities.image.classifier import Classifier, bundled_classifier
from aezoo.modalities.image.digits import draw_digits
from aezoo.modalities.image.modality import to_unit_range
from aezoo.nn.backend import compile_inference
from aezoo.utils.archives import read_npz
from aezoo.utils.batches import batched
from aezoo.utils.files import read_verified
from aezoo.utils.text import did_you_mean

Tensor = Any
INCEPTION = "inception_v3"
# Of golden features, relative to the largest; backends differ by about 1e-6.
TOLERANCE = 1e-4
NUM_GOLDEN = 8
# Seconds without an answer after which a download counts as impossible.
DOWNLOAD_TIMEOUT = 10.0


class Extractor:
    """A named function from images to features.

    Args:
        name: Name of the extractor.
        network: A model with a method `extract` from images, floats in [0, 1] or
            uint8, to features `(batch, feature_dim)`, and an attribute `feature_dim`.
        input_shape: `(height, width, channels)`; None for sides of any length with 1
            or 3 channels.
        batch_size: Images per step; no feature depends on it.
    """

    def __init__(
        self,
        name: str,
        network: keras.Model,
        input_shape: tuple[int, int, int] | None,
        batch_size: int = 256,
    ) -> None:
        self.name = name
        self.network = network
        self.input_shape = input_shape
        self.batch_size = batch_size
        self._compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    @property
    def dim(self) -> int:
        """Number of features."""
        return int(self.network.feature_dim)

    def features(self, images: Any) -> np.ndarray:
        """Features of images.

        Args:
            images: Shape `(n, height, width, channels)`: uint8, or floats in [0, 1].

        Returns:
            Float32, shape `(n, dim)`.

        Raises:
            ValueError: If the shape, the type or the range is another.
        """
        return self._run("extract", images)

    def logits(self, images: Any) -> np.ndarray:
        """What the classifier says of images, before the softmax.

        Args:
            images: As in `features`.

        Returns:
            Float32, shape `(n, num_classes)`.

        Raises:
            ValueError: As in `features`.
            UnsupportedOperationError: If the extractor is no classifier.
        """
        if not isinstance(self.network, Classifier):
            classifiers = ", ".join(map(repr, manifest.extractors()))
            raise UnsupportedOperationError(
                f"The extractor {self.name!r} is no classifier. Those that are: "
                f"{classifiers}."
            )
        return self._run("call", images)

    def _run(self, name: str, images: Any) -> np.ndarray:
        images = self._check_images(images)
        key = (name, images.shape[1:], images.dtype.name)
        if key not in self._compiled:
            self._compiled[key] = compile_inference(
                getattr(self.network, name), self.network, key[1:]
            )
        features: np.ndarray = batched(
            self._compiled[key], images, batch_size=self.batch_size, title=self.name
        )
        return features

    def _check_images(self, images: Any) -> np.ndarray:
        images = as_array(images, "images", "image")
        if not self._fits(images.shape):
            sides = self.input_shape or ("height", "width", "1 or 3")
            hint = ""
            if self.input_shape is not None:
                hint = shape_hint("images", images.shape, self.input_shape)
            raise ValueError(
                f"The extractor {self.name!r} needs `images` of shape "
                f"(n, {', '.join(map(str, sides))}), n at least 1. "
                f"Received: images.shape={images.shape}.{hint}"
            )
        return check_levels(images, "images")

    def _fits(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != 4 or 0 in shape:
            return False
        if self.input_shape is None:
            return shape[-1] in (1, 3)
        return shape[1:] == self.input_shape


# --- Finding and loading -----------------------------------------------------------


def list_extractors() -> list[str]:
    """Names of all extractors."""
    return [*manifest.extractors(), INCEPTION]


def default_extractor(dataset: str) -> str:
    """The newest extractor that was trained on a dataset.

    Args:
        dataset: Name of the dataset, e.g. `"mnist"`.

    Raises:
        UnknownModelError: If there is none; says what to do.
    """
    entries = manifest.extractors().values()
    names = [entry.name for entry in entries if entry.data.name == dataset]
    if names:
        return names[-1]
    known = [
        f"{entry.name} ({' x '.join(map(str, entry.input_shape))}, trained on "
        f"{entry.data.name})"
        for entry in entries
    ]
    known.append(f"{INCEPTION} (any size)")
    raise UnknownModelError(
        f"No feature extractor was trained on the dataset {dataset!r}. Name one whose "
        f"input shape fits, as in 'frechet/{INCEPTION}': {'; '.join(known)}."
    )


def load_extractor(name: str) -> Extractor:
    """A feature extractor, ready to use.

    The project's own are bundled: nothing is downloaded, and the file's SHA-256 is
    checked before it is opened. `"inception_v3"` takes its weights from Keras, which
    downloads them on first use.

    Args:
        name: A name from `list_extractors()`, e.g. `"lenet_mnist_v1"`.

    Raises:
        UnknownModelError: If there is no such extractor; names the closest.
        ChecksumError: If the weights file is corrupted, truncated or missing.
        ManifestError: If the manifest's entry does not fit the file.
        MissingDependencyError: If the weights of `"inception_v3"` are not there and
            cannot be downloaded.

    Example:
        >>> extractor = load_extractor("lenet_mnist_v1")
        >>> extractor.features(aezoo.digits.draw_digits(10)[0]).shape
        (10, 128)
    """
    if name == INCEPTION:
        return inception_extractor()
    entry = _entry(name)
    return Extractor(name, bundled_classifier(entry), entry.input_shape)


def _entry(name: str) -> ExtractorEntry:
    if name not in manifest.extractors():
        known = list_extractors()
        raise UnknownModelError(
            f"Unknown feature extractor {name!r}.{did_you_mean(name, known)} "
            f"Extractors: {', '.join(known)}."
        )
    return manifest.extractors()[name]


# --- Golden features ---------------------------------------------------------------


def golden_features(extractor: Extractor) -> dict[str, np.ndarray]:
    """What the golden file of a bundled extractor holds.

    Returns:
        `inputs`, uint8: drawn digits where they fit, else seeded noise; and their
        `features`.
    """
    if extractor.input_shape == (28, 28, 1):
        inputs = draw_digits(NUM_GOLDEN, seed=0)[0]
    else:
        shape = (NUM_GOLDEN, *(extractor.input_shape or (32, 32, 3)))
        inputs = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    return {"inputs": inputs, "features": extractor.features(inputs)}


def extractor_deviation(name: str) -> dict[str, float]:
    """How far a bundled extractor is from its golden features.

    Args:
        name: A name from the manifest, e.g. `"lenet_mnist_v1"`.

    Returns:
        `{"features": deviation}`: the largest absolute deviation over the largest
        absolute golden feature; compare with `TOLERANCE`.

    Raises:
        UnknownModelError: If the manifest has no such extractor.
        ChecksumError: If weights or golden file differ from the manifest.
        ManifestError: If the golden file holds something else.
    """
    entry = _entry(name)
    path = bundled_file(entry.golden.file)
    content = read_verified(
        path, entry.golden.sha256, REINSTALL, max_bytes=MAX_GOLDEN_BYTES
    )
    golden = read_npz(io.BytesIO(content), MAX_GOLDEN_BYTES, f"golden file {path}")
    extractor = load_extractor(name)
    expected = {
        "inputs": (NUM_GOLDEN, *entry.input_shape),
        "features": (NUM_GOLDEN, entry.feature_dim),
    }
    received = {key: value.shape for key, value in golden.items()}
    if received != expected:
        raise ManifestError(
            f"The golden file {path} does not fit the extractor {name!r}: expected "
            f"{expected}, received {received}."
        )
    features = extractor.features(golden["inputs"]).astype("float64")
    difference = np.abs(features - golden["features"]).max()
    return {"features": float(difference / np.abs(golden["features"]).max())}


# --- InceptionV3 -------------------------------------------------------------------


class InceptionFeatures(keras.Model):
    """InceptionV3 up to its mean over positions: images to 2,048 features.

    Images are resized to 299 x 299 (bilinear, without antialiasing), grey is repeated
    to three channels, and [0, 1] is scaled to [-1, 1] (Szegedy et al., 2016,
    https://arxiv.org/abs/1512.00567). The weights are those of `keras.applications`,
    not those of the original FID: values of the two do not compare.

    Args:
        weights: `"imagenet"`, the path of a weights file, or None for random ones.
        **kwargs: `name` and `trainable` of `keras.Model`.
    """

    feature_dim = 2048
    side = 299

    def __init__(self, weights: str | None = "imagenet", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inception = keras.applications.InceptionV3(
            include_top=False,
            pooling="avg",
            weights=weights,
            input_shape=(self.side, self.side, 3),
        )

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to create."""

    def extract(self, images: Tensor) -> Tensor:
        """Features `(batch, 2048)` of floats in [0, 1] or uint8, any size."""
        x = to_unit_range(images)
        if x.shape[-1] == 1:
            x = ops.repeat(x, 3, axis=-1)
        x = ops.image.resize(
            x,
            (self.side, self.side),
            interpolation="bilinear",
            data_format="channels_last",
        )
        return ops.cast(self.inception(2.0 * x - 1.0, training=False), "float32")

    call = extract


def inception_extractor(weights: str | None = "imagenet") -> Extractor:
    """InceptionV3 as an extractor.

    Args:
        weights: As in `InceptionFeatures`.

    Raises:
        MissingDependencyError: If the weights are neither in Keras's cache nor can be
            downloaded; waits for an answer at most `DOWNLOAD_TIMEOUT` seconds.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        network = InceptionFeatures(weights, name=INCEPTION)
    except Exception as error:  # Keras raises no class of its own
        raise MissingDependencyError(
            f"The extractor {INCEPTION!r} needs the ImageNet weights of "
            "`keras.applications.InceptionV3`, which are not in Keras's cache and "
            f"cannot be downloaded: {error}. Run `keras.applications.InceptionV3("
            "include_top=False)` once with internet, or name another extractor: "
            f"{', '.join(manifest.extractors())}."
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return Extractor(INCEPTION, network, None, batch_size=32)
