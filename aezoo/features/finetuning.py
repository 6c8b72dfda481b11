"""What fine-tuning changes, and how fast: frozen layers, LoRA, rates by layer."""

from collections.abc import Mapping
from typing import Any

import keras

from aezoo.errors import UnsupportedOperationError
from aezoo.features.extractor import FeatureExtractor
from aezoo.features.info import check_layers
from aezoo.nn.keras_private import flat_layers
from aezoo.nn.optimizers import LayerwiseOptimizer, inside_loss_scale
from aezoo.utils.validation import check_number, check_positive_int


def freeze_until(model: keras.Model, layer: str | None) -> None:
    """Train what lies above a layer of a feature extractor, and freeze the rest.

    Compile the model afterwards, as after every change of what it trains.

    Args:
        model: A feature extractor, or a model with one inside.
        layer: The last layer that training leaves as it is, batch-norm statistics
            included; None to train all.

    Raises:
        UnknownLayerError: If the features do not depend on such a layer; names all.
        ValueError: If the model has no feature extractor, or several.

    Example:
        >>> features = aezoo.feature_extractor("conv_ae_mnist_z32")
        >>> aezoo.freeze_until(features, "stage1")
    """
    extractor = find_extractor(model)
    if layer is not None:
        extractor.check_group(layer)
    extractor.frozen_until = layer
    extractor.set_trainable(True)


def enable_lora(model: keras.Model, rank: int) -> None:
    """Train a few low-rank weights of a feature extractor in place of its kernels.

    Hu et al. (2022), "LoRA: low-rank adaptation of large language models"
    (https://arxiv.org/abs/2106.09685), by the `enable_lora` of Keras's own dense and
    convolutional layers: each kernel stays, and a product of two matrices of this rank
    is added to it. All other weights of the extractor are frozen, batch-norm
    statistics included. Layers that `freeze_until` froze get none. The features are
    the same until something is trained.

    Compile the model afterwards. Saving it merges the product into the kernels.

    Args:
        model: A feature extractor, or a model with one inside.
        rank: Of the product; at least 1.

    Raises:
        UnsupportedOperationError: If no layer supports it, or it is enabled already.
        ValueError: If the model has no feature extractor, or several, or `rank` is
            below 1.
    """
    extractor = find_extractor(model)
    check_positive_int("rank", rank)
    if extractor.lora_rank is not None:
        raise UnsupportedOperationError(
            f"{extractor.name!r} has LoRA weights of rank {extractor.lora_rank} "
            "already, and Keras adds them once. Make another extractor."
        )
    if not extractor.lora_layers():
        kinds = {
            type(layer).__name__
            for layers in extractor.layer_groups().values()
            for layer in layers
        }
        raise UnsupportedOperationError(
            f"No layer of {extractor.name!r} that can be trained supports LoRA: Keras "
            "has it for Dense, EinsumDense and convolutions. Its layers: "
            f"{', '.join(sorted(kinds))}; frozen until: {extractor.frozen_until!r}."
        )
    extractor.add_lora(rank)
    extractor.set_trainable(True)


def layerwise_learning_rates(
    model: keras.Model,
    optimizer: Any = "adam",
    decay: float | Mapping[str, float] = 0.5,
) -> keras.optimizers.Optimizer:
    """An optimiser for which the lower layers of a feature extractor learn slower.

    What is not of the extractor, such as a new classifier, learns at the full rate.
    Call it after everything that changes what the model trains.

    Args:
        model: A built model with a feature extractor inside.
        optimizer: A Keras optimiser or its name; has the full learning rate.
        decay: Factor from a layer to the one below it, so that the extractor's
            uppermost layer learns at `decay` times the full rate, the next at
            `decay**2`; or the factors themselves by layer, where 1 stands for others.

    Returns:
        An optimiser for `model.compile`, which is saved with the model.

    Raises:
        UnknownLayerError: If `decay` names a layer on which the features do not depend.
        ValueError: If the model is not built, has no feature extractor, or several; or
            a factor is not in [0, 1].

    Example:
        >>> optimizer = aezoo.layerwise_learning_rates(
        ...     classifier, keras.optimizers.Adam(1e-3), decay=0.3
        ... )
        >>> classifier.compile(optimizer, loss="sparse_categorical_crossentropy")
    """
    extractor = find_extractor(model)
    if not model.built:
        raise ValueError(
            f"{model.name!r} has no weights yet. Call it on examples, or call its "
            "`build`, and then `layerwise_learning_rates`."
        )
    groups = extractor.layer_groups()
    if isinstance(decay, Mapping):
        check_layers(decay, groups, extractor.name)
        by_layer = {
            name: check_number(f"decay[{name!r}]", decay.get(name, 1.0), low=0, high=1)
            for name in groups
        }
    else:
        check_number("decay", decay, low=0, high=1)
        by_layer = {
            name: decay**depth for depth, name in enumerate(reversed(groups), start=1)
        }
    factors = {
        id(variable): by_layer[name]
        for name, layers in groups.items()
        for layer in layers
        for variable in layer.variables
    }
    by_weight = [factors.get(id(v), 1.0) for v in model.trainable_variables]
    return inside_loss_scale(
        keras.optimizers.get(optimizer),
        lambda inner: LayerwiseOptimizer(inner, by_weight),
    )


def find_extractor(model: keras.Model) -> FeatureExtractor:
    """The one feature extractor that a model is or has inside.

    Raises:
        ValueError: If there is none, or there are several.
    """
    found = [
        layer for layer in flat_layers(model) if isinstance(layer, FeatureExtractor)
    ]
    if len(found) != 1:
        names = ", ".join(repr(extractor.name) for extractor in found)
        raise ValueError(
            f"`model` must have one feature extractor inside. Received: {model.name!r} "
            f"with {names or 'none'}. Pass an extractor of `aezoo.feature_extractor`."
        )
    extractor: FeatureExtractor = found[0]
    return extractor
