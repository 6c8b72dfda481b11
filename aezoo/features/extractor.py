"""Pretrained encoders as plain Keras models, for transfer learning."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

import aezoo
from aezoo.features.info import (
    FeatureInfo,
    check_layers,
    infos_of,
    resized_config,
)
from aezoo.inference.finite import check_finite
from aezoo.modalities import Image, Modality
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.families import new_model
from aezoo.networks.stages import LATENT, POOL
from aezoo.nn.backend import is_concrete
from aezoo.nn.keras_private import flat_layers, own_trainable_variables
from aezoo.nn.layers.quantizers import VectorQuantizer
from aezoo.utils.validation import check_choice, check_input_shape, check_positive_int

Tensor = Any
POOLINGS = (None, "avg", "max", "flatten")


def feature_extractor(
    name: "str | os.PathLike[str] | Autoencoder",
    trainable: bool = False,
    *,
    layer: str | Sequence[str] = LATENT,
    pooling: str | None = None,
    input_shape: Sequence[int] | None = None,
    convert_channels: bool = False,
    freeze_batch_norm: bool = False,
    dtype: Any = None,
    **options: Any,
) -> "FeatureExtractor":
    """The encoder of a pretrained model: examples in, features of named layers out.

    Args:
        name: A name, folder or address, as in `aezoo.load`; or a model, whose weights
            are copied.
        trainable: Whether fine-tuning may change the encoder's weights. If not, batch
            normalisation keeps its statistics, too.
        layer: A layer, or several, from `aezoo.feature_info(name)`. What lies above
            the highest of them is left out.
        pooling: What becomes of positions: `"avg"` or `"max"` over them, `"flatten"`
            to one vector, or None to keep them.
        input_shape: Of models of images, `(height, width, channels)`; None for the
            model's own. Other sizes are for layers that take them: convolutions, and
            transformers.
        convert_channels: Whether images may have another number of channels than the
            model. If so, a grey value stands for red, green and blue alike, or becomes
            `0.299 red + 0.587 green + 0.114 blue` (ITU-R BT.601), inside the
            extractor. State the images' channels in `input_shape`.
        freeze_batch_norm: Whether batch normalisation keeps its statistics, scales
            and offsets even if `trainable`.
        dtype: Keras dtype policy, e.g. `"mixed_float16"`; None for the model's own.
            Features are float32 in any case.
        **options: `source`, `revision`, `cache_dir`, `local_files_only` and `token`
            of `aezoo.load`.

    Returns:
        A `keras.Model` from examples `(batch, *shape)` to features `(batch, ...)`,
        for use alone, in `keras.Sequential` or in a functional model; to a dictionary
        by layer, where `layer` is a sequence.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        UnknownLayerError: If there is no such layer; names all.
        ValueError: If the layer has no positions to pool, does not take such images,
            or an argument is none of the above.
        ChecksumError: If the weights file is corrupted, truncated or missing.

    Example:
        >>> features = aezoo.feature_extractor("conv_ae_mnist_z32", layer="pool")
        >>> classifier = keras.Sequential([features, keras.layers.Dense(10)])
    """
    if not isinstance(name, Autoencoder):
        model = aezoo.load(name, **options)
    elif options:
        raise ValueError(
            f"`{next(iter(options))}` belongs to names, folders and addresses, and "
            f"`name` is a model. Received: name={name.name!r}."
        )
    else:
        model = name
    model.refuse_if_told("A feature extractor")
    model.ensure_built()
    config, channels = model.config, None
    if input_shape is not None:
        if not isinstance(model.modality, Image):
            raise ValueError(
                f"`input_shape` is of images, and {model.name!r} takes "
                f"{model.modality.nouns} of shape {model.modality.shape}. Received: "
                f"{input_shape=}. Leave it out."
            )
        height, width, channels = check_input_shape(input_shape)
        _check_channels(model, channels, convert_channels)
        if (height, width) != model.input_shape[:2]:
            _check_size(model, layer, (height, width))
            config = resized_config(model, input_shape)
    extractor = FeatureExtractor(
        model.family,
        config,
        layer,
        pooling=pooling,
        channels=channels,
        freeze_batch_norm=freeze_batch_norm,
        name=f"{model.name}_features",
        dtype=model.dtype_policy if dtype is None else dtype,
    )
    extractor.build((None, *extractor.modality.shape))
    extractor.copy_weights(model.encoder)
    extractor.trainable = trainable
    return extractor


def _check_channels(model: Autoencoder, channels: int, convert_channels: bool) -> None:
    own = model.input_shape[-1]
    if channels == own:
        return
    if {channels, own} != {1, 3}:
        raise ValueError(
            f"{model.name!r} takes images of {own} channels. Received: input_shape "
            f"with {channels}. Only grey (1) and RGB (3) can be converted."
        )
    if not convert_channels:
        rule = "repeats grey as red, green and blue" if own == 3 else "makes RGB grey"
        raise ValueError(
            f"{model.name!r} takes images of {own} channels. Received: input_shape "
            f"with {channels}. Pass `convert_channels=True`, which {rule}."
        )


def _check_size(
    model: Autoencoder, layer: str | Sequence[str], size: tuple[int, int]
) -> None:
    infos = {info.name: info for info in infos_of(model)}
    names = [layer] if isinstance(layer, str) else list(layer)
    check_layers(names, infos, model.name)
    able = [name for name, info in infos.items() if info.takes_any_size]
    for name in names:
        if name not in able:
            which = f"Layers that do: {', '.join(able)}." if able else "None does."
            raise ValueError(
                f"The layer {name!r} of {model.name!r} takes images of size "
                f"{model.input_shape[:2]} alone. Received: input_shape of size {size}. "
                f"{which}"
            )
    stride = max(_stride_behind(name, infos) for name in names)
    if min(size) < stride:
        raise ValueError(
            f"Images of size {size} leave nothing for {', '.join(names)} of "
            f"{model.name!r}, where one position stands for {stride}x{stride} pixels. "
            "Use larger images, or a layer of smaller stride."
        )


def _stride_behind(name: str, infos: Mapping[str, FeatureInfo]) -> int:
    """The stride of a layer; of `pool`, that of the stage which it averages."""
    if name == POOL:
        names = list(infos)
        name = names[names.index(POOL) - 1]
    return infos[name].stride or 1


@keras.saving.register_keras_serializable("aezoo")
class FeatureExtractor(keras.Model):
    """The encoder half of an autoencoder, up to a layer, without its decoder.

    Takes floats in [0, 1] or uint8. Keras casts the input of a `Sequential` or
    functional model to its `Input`'s dtype *before* this layer sees it: feed floats
    in [0, 1], or declare `keras.Input(shape, dtype="uint8")` to pass uint8 through.
    Called directly on an array, a wrong range is an error.

    Everything that `aezoo.freeze_until` and `aezoo.enable_lora` set is part of the
    configuration, and so of a saved model. Saving merges LoRA's weights into the
    kernels, as Keras does.

    Args:
        family: Family of the autoencoder.
        config: The family's arguments.
        layer: A layer, or several.
        pooling: As in `feature_extractor`.
        channels: Channels of images, if they are to be converted; None for the
            model's own.
        freeze_batch_norm: As in `feature_extractor`.
        frozen_until: Layer up to which training changes nothing; None for none.
        lora_rank: Rank of the LoRA weights that training changes instead of the
            kernels; None for none.
        **kwargs: `name`, `dtype` and `trainable` of `keras.Model`.
    """

    def __init__(
        self,
        family: str,
        config: Mapping[str, Any],
        layer: str | Sequence[str] = LATENT,
        *,
        pooling: str | None = None,
        channels: int | None = None,
        freeze_batch_norm: bool = False,
        frozen_until: str | None = None,
        lora_rank: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.autoencoder_config = dict(config)
        # In a closure, so that Keras tracks the encoder and not the decoder.
        autoencoder = new_model(family, **{"dtype": self.dtype_policy, **config})
        self._autoencoder: Callable[[], Autoencoder] = lambda: autoencoder
        self.is_single = isinstance(layer, str)
        self.layer_names = (layer,) if isinstance(layer, str) else tuple(layer)
        infos = {info.name: info for info in infos_of(autoencoder)}
        check_layers(self.layer_names, infos, self.name)
        if not self.layer_names or len({*self.layer_names}) < len(self.layer_names):
            raise ValueError(
                "`layer` must be the name of a layer, or a sequence of different "
                f"names. Received: layer={layer!r}. Layers: {', '.join(infos)}."
            )
        self.pooling = check_choice("pooling", pooling, POOLINGS)
        for name in self.layer_names:
            self._check_pooling(infos[name], infos)
        self._shapes = {name: infos[name].shape for name in self.layer_names}
        self.channels = channels
        self.freeze_batch_norm = bool(freeze_batch_norm)
        self.encoder = autoencoder.encoder
        self.frozen_until = frozen_until
        self.lora_rank = lora_rank
        if frozen_until is not None:
            self.check_group(frozen_until)

    def _check_pooling(
        self, info: FeatureInfo, infos: Mapping[str, FeatureInfo]
    ) -> None:
        if self.pooling is not None and len(info.shape) == 1:
            able = [name for name, other in infos.items() if len(other.shape) > 1]
            which = f" or choose among {', '.join(able)}" if able else ""
            raise ValueError(
                f"`pooling` is over positions, and the layer {info.name!r} of "
                f"{self.name!r} is a vector of {info.num_channels} units. Received: "
                f"pooling={self.pooling!r}. Drop it{which}."
            )

    @property
    def modality(self) -> Modality:
        """What it takes: the model's modality, of images with the stated channels."""
        modality = self._autoencoder().modality
        if self.channels is None or not isinstance(modality, Image):
            return modality
        return dataclasses.replace(modality, channels=self.channels)

    # --- What training changes --------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether training changes the encoder.

        Never: what the features do not depend on, such as the variance of a VAE.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.set_trainable(value)

    def set_trainable(self, value: bool) -> None:
        """What `trainable = value` does, also where that is the value already."""
        keras.Model.trainable.fset(self, value)
        self._restrict_training()

    def layer_groups(self) -> dict[str, tuple[keras.layers.Layer, ...]]:
        """The layers that the features depend on, by name, from the input upwards."""
        encoder: Any = self.encoder
        stages = encoder.stages_of(self.layer_names)
        groups = {stage.name: stage.layers for stage in stages}
        if LATENT in self.layer_names:
            groups[LATENT] = encoder.code_layers(self._autoencoder().code_head)
        return groups

    def check_group(self, layer: str) -> str:
        """The name of the group that a layer is of: for `pool`, the stage before it.

        Raises:
            UnknownLayerError: If the features do not depend on such a layer.
        """
        encoder: Any = self.encoder
        groups = list(self.layer_groups())
        offers = {stage.name: stage.offers for stage in encoder.stages()}
        owners = {n: group for group in groups for n in offers.get(group, (group,))}
        check_layers([layer], owners, self.name)
        return owners[layer]

    def _restrict_training(self) -> None:
        """Freeze whatever training shall not change, where the rest is trainable."""
        groups = self.layer_groups()
        used = {id(inner) for layers in groups.values() for inner in _flat(layers)}
        for outer in _flat([self.encoder]):
            if id(outer) in used:
                continue
            if any(id(inner) in used for inner in _flat([outer])):
                _freeze_variables(outer)  # its own, e.g. a mask token
            else:
                outer.trainable = False
        for inner in _flat([self.encoder]):
            if isinstance(inner, VectorQuantizer):  # which no gradient reaches
                inner.trainable = False
        if self.lora_rank is not None:
            for inner in _flat(layer for layers in groups.values() for layer in layers):
                _freeze_variables(inner, but="lora_kernel")
        for layer in self._frozen_layers(groups):
            layer.trainable = False
        if self.freeze_batch_norm or self.lora_rank is not None:
            for inner in _flat([self.encoder]):
                if isinstance(inner, keras.layers.BatchNormalization):
                    inner.trainable = False

    def _frozen_layers(
        self, groups: Mapping[str, tuple[keras.layers.Layer, ...]]
    ) -> list[keras.layers.Layer]:
        if self.frozen_until is None:
            return []
        names = list(groups)
        frozen = names[: names.index(self.check_group(self.frozen_until)) + 1]
        return [layer for name in frozen for layer in groups[name]]

    def lora_layers(self) -> list[keras.layers.Layer]:
        """Layers that training may change and that Keras's `enable_lora` knows."""
        groups = self.layer_groups()
        frozen = {id(inner) for inner in _flat(self._frozen_layers(groups))}
        return [
            inner
            for inner in _flat(layer for layers in groups.values() for layer in layers)
            if id(inner) not in frozen and hasattr(inner, "enable_lora")
        ]

    def add_lora(self, rank: int) -> None:
        """Add LoRA weights, and train them alone; see `aezoo.enable_lora`."""
        for layer in self.lora_layers():
            layer.enable_lora(check_positive_int("rank", rank))
        self.lora_rank = rank

    # --- Graph ------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Create the weights that the layers need; happens by itself on first use."""
        self._check_shape(input_shape)
        autoencoder, encoder = self._autoencoder(), self._autoencoder().encoder
        autoencoder.share_dtype_policy()
        shape = (None, *autoencoder.input_shape)
        if not encoder.built and LATENT in self.layer_names:
            encoder.build(shape)
        elif not encoder.built:
            encoder.build_stages(shape, self.layer_names)
            encoder.built = True
        if self.lora_rank is not None:
            self.add_lora(self.lora_rank)
        self.set_trainable(self._trainable)  # that of `__init__`, for all that is new

    def copy_weights(self, encoder: keras.layers.Layer) -> None:
        """Take the weights of a built encoder of the same family and configuration."""
        if LATENT in self.layer_names:
            self.encoder.set_weights(encoder.get_weights())
            return
        own, others = self.encoder, encoder
        for stage, other in zip(
            own.stages_of(self.layer_names),
            others.stages_of(self.layer_names),
            strict=True,
        ):
            for layer, source in zip(stage.layers, other.layers, strict=True):
                layer.set_weights(source.get_weights())

    def _check_shape(self, input_shape: Any) -> None:
        modality = self.modality
        if tuple(input_shape[1:]) != modality.shape:
            hint = ""
            if isinstance(modality, Image):
                hint = (
                    " Other shapes are stated by `aezoo.feature_extractor(..., "
                    "input_shape=...)`."
                )
            raise ValueError(
                f"{self.name!r} takes {modality.nouns} of shape (batch, "
                f"{', '.join(map(str, modality.shape))}). Received: input_shape="
                f"{tuple(input_shape)}.{hint}"
            )

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Check examples, or only their shape where they are symbolic; then extract."""
        if is_concrete(inputs):
            self.modality.check(inputs, "inputs")
        elif isinstance(inputs, keras.KerasTensor):
            self._check_shape(inputs.shape)
        return super().__call__(inputs, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.predict`, for what `aezoo.load(...).encode` would take.

        Raises:
            ValueError: If shape, dtype or range is wrong, or features not finite.
        """
        if is_concrete(x) or isinstance(x, list):
            x = self.modality.check(x)
        return check_finite(super().predict(x, *args, **kwargs), self.name)

    def export(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.export` of the map from examples to features.

        Images are floats in [0, 1]. What is exported cannot refuse another range: it
        answers NaN.

        Args:
            filepath: As in Keras.
            *args: As in Keras.
            **kwargs: As in Keras; `input_signature` states another dtype.
        """
        modality = self.modality
        dtype = modality.unrounded(modality.examples(1)).dtype.name
        signature = [keras.InputSpec(dtype, (None, *modality.shape))]
        kwargs.setdefault("input_signature", signature)
        return super().export(filepath, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Any:  # noqa: ARG002
        """Features of examples, float32, `(batch, ...)`; by name if there are several.

        Of `latent`, the mode of the posterior; NaN where examples are not valid. What
        behaves differently in training takes `training` from Keras.
        """
        autoencoder = self._autoencoder()
        modality = autoencoder.modality
        x = self.modality.to_model(inputs)
        if isinstance(modality, Image):
            x = modality.convert_channels(x)
        if modality.is_continuous:
            x = ops.cast(x, self.compute_dtype)
        encoder: Any = self.encoder
        features = encoder.features(x, frozenset(self.layer_names))
        if LATENT in features:
            parameters = autoencoder.to_parameters(features[LATENT])
            features[LATENT] = autoencoder.make_posterior(parameters).mode()
        found = {
            name: self._pool(ops.cast(features[name], "float32"))
            for name in self.layer_names
        }
        return found[self.layer_names[0]] if self.is_single else found

    def _pool(self, x: Tensor) -> Tensor:
        positions = tuple(range(1, x.ndim - 1))
        if self.pooling == "avg":
            return ops.mean(x, axis=positions)
        if self.pooling == "max":
            return ops.max(x, axis=positions)
        if self.pooling == "flatten":
            return ops.reshape(x, (-1, math.prod(x.shape[1:])))
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, ...)`; by name if there are several."""
        shapes = {
            name: (input_shape[0], *self._pooled_shape(shape))
            for name, shape in self._shapes.items()
        }
        return shapes[self.layer_names[0]] if self.is_single else shapes

    def _pooled_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.pooling is None:
            return shape
        return (math.prod(shape),) if self.pooling == "flatten" else shape[-1:]

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Symbols of that shape, float32 whatever the policy."""
        shape = self.compute_output_shape(inputs.shape)
        if self.is_single:
            return keras.KerasTensor(shape, "float32")
        return {name: keras.KerasTensor(s, "float32") for name, s in shape.items()}

    def get_config(self) -> dict[str, Any]:
        """Arguments that rebuild the model, without weights."""
        layer = self.layer_names[0] if self.is_single else list(self.layer_names)
        return {
            **super().get_config(),
            "family": self.family,
            "config": self.autoencoder_config,
            "layer": layer,
            "pooling": self.pooling,
            "channels": self.channels,
            "freeze_batch_norm": self.freeze_batch_norm,
            "frozen_until": self.frozen_until,
            "lora_rank": self.lora_rank,
        }


def _flat(layers: Iterable[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Layers with all that are inside them."""
    return [inner for layer in layers for inner in flat_layers(layer)]


def _freeze_variables(layer: keras.layers.Layer, but: str | None = None) -> None:
    """Freeze a layer's own variables, not those of layers inside it."""
    for variable in own_trainable_variables(layer):
        if but is None or not variable.name.startswith(but):
            variable.trainable = False
