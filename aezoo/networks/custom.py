"""Networks that users bring: two plain Keras models."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from aezoo.modalities.base import Modality
from aezoo.networks.base import Latent, Network, NetworkError
from aezoo.networks.dense import dense_heads
from aezoo.networks.stages import Encoder, Stage

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Custom(Network):
    """An encoder and a decoder of the user's own: Keras models of any kind.

    The encoder maps tensors of examples to features, to which a linear layer per head
    is added; or to a dictionary that has a tensor for each head. The decoder maps
    latents to examples, or to the parameters of the likelihood, before any output
    activation. Both are taken as they are, with their weights.

    Args:
        encoder: Functional, Sequential or subclassed model.
        decoder: The same.
    """

    encoder_model: keras.Model
    decoder_model: keras.Model

    kind: ClassVar[str] = "custom"

    def __post_init__(self) -> None:
        """Check what can be told without an input.

        Raises:
            ValueError: If one is no Keras model, or is compiled.
        """
        for name, model in (
            ("encoder", self.encoder_model),
            ("decoder", self.decoder_model),
        ):
            if not isinstance(model, keras.Model):
                raise ValueError(
                    f"`{name}` must be a Keras model of the backend "
                    f"{keras.backend.backend()!r}. Received: a {type(model).__name__} "
                    f"of {type(model).__module__}."
                )
            if model.compiled:
                raise ValueError(
                    f"`{name}` must not be compiled: it becomes a part of a model that "
                    "has an optimiser of its own. Pass "
                    f"`keras.models.clone_model({name})` or create it anew."
                )

    def check(self, modality: Modality, latent: Latent) -> None:
        """Refuse quantised latents of flat features; shapes are checked when built."""
        if latent.quantizer is not None:
            raise self.cannot_carry(modality, latent)

    def image_shape(self) -> tuple[int, ...]:
        """Shape of the images that the encoder takes.

        Raises:
            NetworkError: If it does not say so.
        """
        takes = getattr(self.encoder_model, "input_shape", None)
        shape = tuple(takes)[1:] if isinstance(takes, Sequence) else ()
        if len(shape) != 3 or None in shape:
            raise NetworkError(
                "`encoder` does not say which images it takes: pass `input_shape="
                "(height, width, channels)`, or a `modality` if they are none. "
                f"Received: an encoder whose `input_shape` is {takes}."
            )
        return shape

    def latent_shape(self, modality: Modality, latent: Latent) -> tuple[int, ...]:
        """`(units,)`; of a map, that of the encoder's features, with `units` last."""
        if not latent.is_map:
            return (latent.units,)
        shape = self._output_shape(modality)
        if isinstance(shape, Mapping):
            shape = next(iter(shape.values()))
        if len(shape) < 3:
            raise self.cannot_carry(modality, latent)
        return (*shape[1:-1], latent.units)

    def _output_shape(self, modality: Modality) -> Any:
        return shape_of_output(
            self.encoder_model, (None, *modality.tensor_shape), "encoder"
        )

    def encoder(
        self, modality: Modality, heads: Mapping[str, int], latent: Latent
    ) -> "CustomEncoder":
        """The encoder, with heads where it has none.

        Raises:
            NetworkError: If its outputs do not fit the heads; prints both shapes.
        """
        self.check(modality, latent)
        shape = self._output_shape(modality)
        if isinstance(shape, Mapping):
            found = {name: tuple(s[1:]) for name, s in shape.items()}
            grid = self.latent_shape(modality, latent)[:-1]
            expected = {name: (*grid, width) for name, width in heads.items()}
            if found != expected:
                raise NetworkError(
                    "`encoder` must give features, one tensor, or a tensor for each "
                    f"of these heads: {expected}. Received: {found}."
                )
            return CustomEncoder(self.encoder_model, None, latent)
        if not latent.is_map and len(shape) != 2:
            raise NetworkError(
                "`encoder` must give features of shape (batch, units). Received: "
                f"an output of shape {tuple(shape)}. End it with "
                "`keras.layers.Flatten()` or a pooling over positions."
            )
        return CustomEncoder(self.encoder_model, heads, latent)

    def decoder(self, modality: Modality, width: int, latent: Latent) -> keras.Model:
        """The decoder.

        Raises:
            NetworkError: If it takes other latents or gives something else; prints
                both shapes.
        """
        expected = (None, *modality.positions, width)
        given = (None, *self.latent_shape(modality, latent))
        shape = shape_of_output(self.decoder_model, given, "decoder")
        if isinstance(shape, Mapping) or tuple(shape) != expected:
            raise NetworkError(
                f"`decoder` must map latents of shape {given} to {modality.nouns} or "
                f"parameters of the likelihood, {expected}. Received: an output of "
                f"shape {shape}."
            )
        return self.decoder_model

    # --- Configuration -------------------------------------------------------------

    @classmethod
    def argument_names(cls) -> tuple[str, ...]:
        """`encoder` and `decoder`."""
        return ("encoder", "decoder")

    def to_config(self) -> dict[str, Any]:
        """Both models as Keras serialises them, without weights."""
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder_model),
            "decoder": keras.saving.serialize_keras_object(self.decoder_model),
        }

    @classmethod
    def from_models(cls, encoder: Any, decoder: Any) -> "Custom":
        """From two models, or from what `to_config` made of them.

        Args:
            encoder: A Keras model, or its configuration.
            decoder: The same.

        Raises:
            ValueError: If there is only one of them; or if a configuration holds what
                Keras does not build in its safe mode.
        """
        for name, model, other in (
            ("encoder", encoder, "decoder"),
            ("decoder", decoder, "encoder"),
        ):
            if model is None:
                raise ValueError(
                    f"`{other}` needs `{name}` beside it. Received: {name}=None."
                )
        return cls(_as_model(encoder, "encoder"), _as_model(decoder, "decoder"))


def _as_model(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return keras.saving.deserialize_keras_object(dict(value), safe_mode=True)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"`{name}` is no model that Keras builds in its safe mode: {error}"
        ) from error


def shape_of_output(model: keras.Model, shape: Sequence[int | None], name: str) -> Any:
    """Shape of what a model gives for inputs of a shape; both with the batch axis.

    Args:
        model: The model.
        shape: `(None, ...)`.
        name: What to call the model in a message.

    Raises:
        NetworkError: If it does not take such inputs.
    """
    try:
        outputs = model(keras.KerasTensor(tuple(shape), "float32"))
    except Exception as error:  # whatever a layer of the user's raises
        takes = getattr(model, "input_shape", None)
        hint = f" It takes {takes}." if takes else ""
        raise NetworkError(
            f"`{name}` must take inputs of shape {tuple(shape)}.{hint} Received: "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    if isinstance(outputs, Mapping):
        return {key: tuple(value.shape) for key, value in outputs.items()}
    return tuple(outputs.shape)


class CustomEncoder(Encoder):
    """A user's encoder with the heads of an objective.

    Layers by name: those of a functional or sequential model that can be had one after
    the other, under their own names; and `latent`.

    Args:
        model: The user's model.
        heads: Width of each head to add; None where the model has them.
        latent: What the objective needs.
    """

    def __init__(
        self,
        model: keras.Model,
        heads: Mapping[str, int] | None,
        latent: Latent,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.keeps_positions = latent.is_map
        if heads is None:
            self.heads = {}
        elif latent.is_map:
            self.heads = {
                name: keras.layers.Dense(width, name=name)
                for name, width in heads.items()
            }
        else:
            self.heads = dense_heads(heads, latent.activation)

    def stages(self) -> list[Stage]:
        """A stage per layer of a sequence; else one for the whole model.

        None where the model gives the heads itself.
        """
        if not self.heads:
            return []
        sequence = _sequence(self.model)
        if sequence is None:
            return [Stage("features", (self.model,), stride=None)]
        return [Stage(layer.name, (layer,), stride=None) for layer in sequence]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """The heads of the features, or what the model gives."""
        if self.heads:
            return super().outputs(x)
        found = self.model(x)
        return {name: found[name] for name in found}

    def code_layers(self, head: str) -> tuple[keras.layers.Layer, ...]:
        """The head; or the model, where it has the heads itself."""
        return (self.heads[head],) if self.heads else (self.model,)


def _sequence(model: keras.Model) -> list[keras.layers.Layer] | None:
    """The layers of a model that is one sequence of them; None if it is not."""
    layers = [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    if isinstance(model, keras.Sequential):
        return layers or None
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        return None
    end = inputs[0]
    for layer in layers:
        try:
            begins, ends = layer.input, layer.output
        except (AttributeError, ValueError):  # none, or several
            return None
        if begins is not end:
            return None
        end = ends
    return layers or None
