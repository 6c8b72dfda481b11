"""What objectives that learn from labels share."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from aezoo.modalities import Label, Modality
from aezoo.models.arguments import units
from aezoo.models.vae import VAE
from aezoo.networks.stages import Encoder, Stage

Tensor = Any


class LabelledEncoder(Encoder):
    """An encoder that sees the class as further channels, the same everywhere.

    Its features are those of examples of unknown class.

    Args:
        encoder: Maps examples with `num_classes` channels more.
        num_classes: Number of classes.
    """

    def __init__(self, encoder: Encoder, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.num_classes = num_classes

    @property
    def heads(self) -> dict[str, keras.layers.Layer]:  # type: ignore[override]
        """The encoder's heads."""
        return self.encoder.heads

    def stages(self) -> list[Stage]:
        """Those of the encoder; the first adds channels of zeros: no class."""
        first, *rest = self.encoder.stages()
        count = self.num_classes

        def with_zeros(x: Tensor) -> Tensor:
            padding = [(0, 0)] * (x.ndim - 1) + [(0, count)]
            return first.before(ops.pad(x, padding))

        def shape_with_zeros(shape: tuple) -> tuple:
            return first.shape_before((*shape[:-1], shape[-1] + count))

        labelled = dataclasses.replace(
            first, before=with_zeros, shape_before=shape_with_zeros
        )
        return [labelled, *rest]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Parameters of the posterior, from the output of the last stage."""
        return self.encoder.outputs(x)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build the encoder for examples `(batch, *positions, channels)`."""
        *shape, channels = input_shape
        self.encoder.build((*shape, channels + self.num_classes))  # type: ignore[operator]

    def call(self, inputs: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Parameters of the posterior, given integer labels `(batch,)`, or None."""
        batch = ops.shape(inputs)[0]
        if labels is None:
            classes = ops.zeros((batch, self.num_classes), inputs.dtype)
        else:
            classes = Label(self.num_classes).to_model(labels, inputs.dtype)
        positions = inputs.shape[1:-1]
        planes = ops.reshape(classes, (-1, *[1] * len(positions), self.num_classes))
        planes = ops.broadcast_to(planes, (batch, *positions, self.num_classes))
        parameters: dict[str, Tensor] = self.encoder(
            ops.concatenate([inputs, planes], axis=-1)
        )
        return parameters


class LabelledVAE(VAE):
    """A VAE whose encoder and decoder may be told the class. No family itself.

    Labels are integers from 0 to `num_classes - 1`, and -1 for an unknown one; None
    stands for all unknown.

    Args:
        num_classes: Number of classes.
        **kwargs: As in `VAE`.
    """

    num_classes: int = units(10)

    @property
    def given(self) -> Mapping[str, Modality]:
        """The class: `labels`."""
        return {"labels": Label(self.num_classes)}

    @property
    def required_conditions(self) -> tuple[str, ...]:
        """None: the class may be unknown."""
        return ()

    def one_hot(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """Labels as rows of float32; zeros where unknown. `(batch, num_classes)`.

        Args:
            labels: Integers `(batch,)`, or None.
            like: Any tensor of that batch.
        """
        if labels is None:
            return ops.zeros((ops.shape(like)[0], self.num_classes), "float32")
        return self.given["labels"].to_model(labels)
