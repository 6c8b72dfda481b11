"""What to compare a model with: principal components, raw pixels, real images."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from aezoo.errors import UnsupportedOperationError
from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import is_possible
from aezoo.metrics import MetricDefinition
from aezoo.modalities import Image, Modality
from aezoo.models.ae import AE
from aezoo.models.families import create
from aezoo.networks import Latent, Network

# Kinds of metrics that mean something for PCA.
PCA_KINDS = ("reconstruction", "representation", "disentanglement")


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A stand-in for a model, with figures to compare a model's with.

    Attributes:
        name: Its row's name, e.g. `"pca_z16"`.
        model: It, fitted.
        kinds: Kinds of metrics that mean something for it.
    """

    name: str
    model: Any
    kinds: tuple[str, ...]

    def has_metric(self, definition: MetricDefinition) -> bool:
        """Whether the metric means something for this baseline."""
        return definition.kind in self.kinds and is_possible(definition, self.model)


def fit(evaluation: Evaluation) -> Iterator[Baseline]:
    """The baselines of an evaluation's model, fitted to its training images.

    Raises:
        UnsupportedOperationError: If its examples are no images.
    """
    modality = evaluation.modality
    if not isinstance(modality, Image):
        raise UnsupportedOperationError(
            f"The baselines are of images, and {evaluation.model.name!r} takes "
            f"{modality.nouns}. Leave out `baselines`."
        )
    shape, units = evaluation.model.input_shape, evaluation.codes.shape[1]
    yield pca(shape, units, evaluation.train.examples)
    yield pixels(shape)
    yield training_images(evaluation.train.examples)


def pca(input_shape: Sequence[int], units: int, images: Any) -> Baseline:
    """Principal components of images.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        units: Number of components.
        images: Training images `(n, *input_shape)`, uint8 or floats in [0, 1].
    """
    model = create("linear_ae", input_shape=input_shape, latent_dim=units)
    model.fit_closed_form(images)
    return Baseline(f"pca_z{units}", model, PCA_KINDS)


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


@dataclasses.dataclass(frozen=True)
class _Identity(Network):
    """No network: the code of an example is its elements. Not known by a name."""

    def check(self, modality: Modality, latent: Latent) -> None:
        """Anything."""

    def encoder(
        self,
        modality: Modality,  # noqa: ARG002
        heads: Mapping[str, int],  # noqa: ARG002
        latent: Latent,  # noqa: ARG002
    ) -> "_Flat":
        """A `_Flat`."""
        return _Flat(name="encoder")

    def decoder(
        self,
        modality: Modality,
        width: int,  # noqa: ARG002
        latent: Latent,  # noqa: ARG002
    ) -> keras.layers.Layer:
        """Back to the shape of an example."""
        return keras.layers.Reshape(modality.tensor_shape, name="decoder")


class Pixels(AE):
    """The identity: the code of an image is its pixels.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        **kwargs: As in `AE`.
    """

    # what it gives back is no reconstruction: nothing was left out
    TASKS: ClassVar[tuple[str, ...]] = ("features",)

    def __init__(self, input_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(
            modality=Image(*input_shape),
            network=_Identity(),
            family="pixels",
            latent_dim=math.prod(input_shape),
            output_activation="linear",
            **kwargs,
        )


class _Flat(keras.layers.Layer):
    """Images as rows, in the form of an encoder's outputs."""

    def call(self, inputs: Any) -> dict[str, Any]:
        """`{"z": (batch, pixels)}`."""
        return {"z": ops.reshape(inputs, (ops.shape(inputs)[0], -1))}


class TrainingImages(AE):
    """Has learnt its training images by heart: samples are some of them.

    Args:
        images: The images `(n, height, width, channels)`, uint8 or floats in [0, 1].
        **kwargs: As in `AE`.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("sampling",)
    SAMPLES: ClassVar[str] = "real images of the training data, drawn at random"

    def __init__(self, images: np.ndarray, **kwargs: Any) -> None:
        super().__init__(
            modality=Image(*images.shape[1:]),
            network=_Identity(),
            family="training_images",
            **kwargs,
        )
        self.images = images

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        sampler: str = "prior",
        noise: bool = False,
        temperature: Any = None,
        given: Any = None,
        labels: Any = None,
    ) -> np.ndarray:
        """Random training images, each once as long as there are enough.

        Args:
            n: Number of images.
            seed: Seed of the choice.
            sampler: Ignored: there are no codes.
            noise: Ignored: the images are real.
            temperature: Ignored: nothing is drawn.
            given: Ignored: they are told nothing.
            labels: Ignored: their classes are not known here.
        """
        del sampler, noise, temperature, given, labels
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(self.images), n, replace=n > len(self.images))
        return ops.convert_to_numpy(self.modality.to_model(self.images[chosen]))
