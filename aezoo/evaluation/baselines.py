"""What a model must beat: principal components, and the raw pixels."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from aezoo import hub
from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import MetricDefinition
from aezoo.models._base import DeterministicAutoencoder

# Modules of `aezoo.evaluation` whose metrics mean something for PCA.
PCA_GROUPS = ("reconstruction", "representation", "disentanglement")


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A model that stands for "no network at all".

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
