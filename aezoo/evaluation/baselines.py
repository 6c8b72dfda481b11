"""What a model must beat: principal components, and the raw pixels."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from aezoo import hub
from aezoo.evaluation.context import Evaluation
from aezoo.evaluation.definition import MetricDefinition
from aezoo.models._base import DeterministicAutoencoder


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
    """The baselines of an evaluation's model.

    PCA of the training images with as many components as the model has code units,
    and the pixels themselves as a code.
    """
    model = evaluation.model
    units = evaluation.codes.shape[1]
    pca = hub.create("linear_ae", input_shape=model.input_shape, latent_dim=units)
    pca.fit_closed_form(evaluation.train.images)
    groups = ("reconstruction", "representation", "disentanglement")
    yield Baseline(f"pca_z{units}", pca, groups)
    pixels = Pixels(model.input_shape)
    yield Baseline("pixels", pixels, ("representation",))


class Pixels(DeterministicAutoencoder):
    """The identity: the code of an image is its pixels.

    Args:
        input_shape: Image shape `(height, width, channels)`.
        **kwargs: As in `DeterministicAutoencoder`.
    """

    family = "pixels"

    def __init__(self, input_shape: Sequence[int], **kwargs: Any) -> None:
        units = math.prod(input_shape)
        super().__init__(input_shape, units, output_activation="linear", **kwargs)
        self.encoder = _Flat()
        self.decoder = keras.layers.Reshape(self.input_shape, name="decoder")


class _Flat(keras.layers.Layer):
    """Images as rows, in the form of an encoder's outputs."""

    def call(self, inputs: Any) -> dict[str, Any]:
        """`{"z": (batch, pixels)}`."""
        return {"z": ops.reshape(inputs, (ops.shape(inputs)[0], -1))}
