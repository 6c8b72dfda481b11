"""What to compare a model with: principal components, raw pixels, real images."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import MetricDefinition
from aezoo.models.autoencoder import DeterministicAutoencoder
from aezoo.store import load as hub

# Modules of `aezoo.evaluation` whose metrics mean something for PCA.
PCA_GROUPS = ("reconstruction", "representation", "disentanglement")


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A stand-in for a model, with figures to compare a model's with.

    Attributes:
        name: Its row's name, e.g. `"pca_z16"`.
        model: It, fitted.
        groups: Modules of `aezoo.evaluation` whose metrics mean something for it.
    """

    name: str
    model: Any
    groups: tuple[str, ...]

    def has_metric(self, definition: MetricDefinition) -> bool:
        """Whether the metric means something for this baseline."""
        group = definition.compute.__module__.rpartition(".")[2]
        return group in self.groups and definition.is_possible(self.model)


def fit(evaluation: Evaluation) -> Iterator[Baseline]:
    """The baselines of an evaluation's model, fitted to its training images."""
    shape, units = evaluation.model.input_shape, evaluation.codes.shape[1]
    yield pca(shape, units, evaluation.train.images)
    yield pixels(shape)
    yield training_images(evaluation.train.images)


def pca(input_shape: Sequence[int], units: int, images: Any) -> Baseline:
    """Principal components of images.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        units: Number of components.
        images: Training images `(n, *input_shape)`, uint8 or floats in [0, 1].
    """
    model = hub.create("linear_ae", input_shape=input_shape, latent_dim=units)
    model.fit_closed_form(images)
    return Baseline(f"pca_z{units}", model, PCA_GROUPS)


def pixels(input_shape: Sequence[int]) -> Baseline:
    """The pixels themselves as a code.

    Args:
        input_shape: Image shape `(height, width, channels)`.
    """
    return Baseline("pixels", Pixels(input_shape), ("representation",))


def training_images(images: Any) -> Baseline:
    """Training images in the place of samples: as good as samples can get.

    Args:
        images: Training images `(n, height, width, channels)`, uint8 or floats in
            [0, 1].
    """
    return Baseline("training_images", TrainingImages(images), ("samples",))


class Pixels(DeterministicAutoencoder):
    """The identity: the code of an image is its pixels.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        **kwargs: As in `DeterministicAutoencoder`.
    """

    family = "pixels"
    # what it gives back is no reconstruction: nothing was left out
    TASKS: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, input_shape: Sequence[int], **kwargs: Any) -> None:
        units = math.prod(input_shape)
        super().__init__(input_shape, units, output_activation="linear", **kwargs)
        self.encoder = _Flat(name="encoder")
        self.decoder = keras.layers.Reshape(self.input_shape, name="decoder")


class _Flat(keras.layers.Layer):
    """Images as rows, in the form of an encoder's outputs."""

    def call(self, inputs: Any) -> dict[str, Any]:
        """`{"z": (batch, pixels)}`."""
        return {"z": ops.reshape(inputs, (ops.shape(inputs)[0], -1))}


class TrainingImages(DeterministicAutoencoder):
    """Has learnt its training images by heart: samples are some of them.

    Args:
        images: The images `(n, height, width, channels)`, uint8 or floats in [0, 1].
        **kwargs: As in `DeterministicAutoencoder`.
    """

    family = "training_images"
    TASKS: ClassVar[tuple[str, ...]] = ("sampling",)
    SAMPLES: ClassVar[str] = "real images of the training data, drawn at random"

    def __init__(self, images: np.ndarray, **kwargs: Any) -> None:
        super().__init__(images.shape[1:], 1, **kwargs)
        self.images = images

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        pixel_noise: bool = False,
        labels: Any = None,
    ) -> np.ndarray:
        """Random training images, each once as long as there are enough.

        Args:
            n: Number of images.
            seed: Seed of the choice.
            sampler: Ignored: there are no codes.
            pixel_noise: Ignored: the images are real.
            labels: Ignored: their classes are not known here.
        """
        del sampler, pixel_noise, labels
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(self.images), n, replace=n > len(self.images))
        return np.asarray(self.to_unit_range(self.images[chosen]))
