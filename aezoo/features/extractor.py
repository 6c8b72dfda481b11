"""Pretrained encoders as plain Keras models, for transfer learning."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from aezoo import hub, registry
from aezoo.backend import is_concrete
from aezoo.models._base import Autoencoder

Tensor = Any


def feature_extractor(name: str, trainable: bool = False) -> "FeatureExtractor":
    """The encoder of a pretrained model: images in, features out.

    Args:
        name: A name from `aezoo.list_models()`.
        trainable: Whether fine-tuning may change the encoder's weights.

    Returns:
        A `keras.Model` from images `(batch, *input_shape)` to codes
        `(batch, *latent_shape)`, for use alone, in `keras.Sequential` or in a
        functional model.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ChecksumError: If the weights file is corrupted, truncated or missing.

    Example:
        >>> features = aezoo.feature_extractor("conv_ae_mnist_z32")
        >>> classifier = keras.Sequential([features, keras.layers.Dense(10)])
    """
    model = hub.load(name)
    extractor = FeatureExtractor(
        model.family, model.config, name=f"{Path(name).name}_features"
    )
    extractor.build((None, *model.input_shape))
    extractor.encoder.set_weights(model.encoder.get_weights())
    extractor.trainable = trainable
    return extractor


@keras.saving.register_keras_serializable("aezoo")
class FeatureExtractor(keras.Model):
    """The encoder half of an autoencoder, without its decoder.

    Takes floats in [0, 1] or uint8. Keras casts the input of a `Sequential` or
    functional model to its `Input`'s dtype *before* this layer sees it: feed floats
    in [0, 1], or declare `keras.Input(shape, dtype="uint8")` to pass uint8 through.
    Called directly on an array, a wrong range is an error.

    Args:
        family: Family of the autoencoder.
        config: The family's arguments.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    def __init__(self, family: str, config: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.autoencoder_config = dict(config)
        # In a closure, so that Keras tracks the encoder and not the decoder.
        autoencoder = registry.family_class(family)(
            **{"dtype": self.dtype_policy, **config}
        )
        self.encoder = autoencoder.encoder
        self._autoencoder: Callable[[], Autoencoder] = lambda: autoencoder
        self._freeze_other_heads()

    @property
    def trainable(self) -> bool:
        """Whether training changes the encoder; heads beside the code's never do."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        self._freeze_other_heads()

    def _freeze_other_heads(self) -> None:
        for name in self._autoencoder().HEADS[1:]:
            self.encoder.heads[name].trainable = False

    def build(self, input_shape: Any) -> None:
        """Create the encoder's weights; happens by itself on first use."""
        self._check_shape(input_shape)
        self._autoencoder().share_dtype_policy()
        if not self.encoder.built:
            self.encoder.build(tuple(input_shape))

    def _check_shape(self, input_shape: Any) -> None:
        expected = self._autoencoder().input_shape
        if tuple(input_shape[1:]) != expected:
            raise ValueError(
                f"{self.name!r} takes images of shape (batch, "
                f"{', '.join(map(str, expected))}). "
                f"Received: input_shape={tuple(input_shape)}."
            )

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Check images, or only their shape where they are symbolic; then extract."""
        if is_concrete(inputs):
            self._autoencoder()._check_images(inputs, "inputs")
        elif isinstance(inputs, keras.KerasTensor):
            self._check_shape(inputs.shape)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Codes of images: the mode of the posterior, `(batch, *latent_shape)`."""
        autoencoder = self._autoencoder()
        x = autoencoder.to_unit_range(inputs, self.compute_dtype)
        parameters = autoencoder.encode_parameters(x, training=training)
        return autoencoder.make_posterior(parameters).mode()

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """`(batch, *latent_shape)`."""
        return (input_shape[0], *self._autoencoder().latent_shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the model, without weights."""
        return {
            **super().get_config(),
            "family": self.family,
            "config": self.autoencoder_config,
        }
