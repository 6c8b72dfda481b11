"""Families: an objective with the network and modality that it has by default.

`new_model` composes a model from the flat arguments of `aezoo.create`, and
`flat_config` is its inverse.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aezoo import manifest, modalities, registry
from aezoo.errors import UnknownModelError
from aezoo.modalities import Image, Modality
from aezoo.models.arguments import arguments_of, check_known
from aezoo.networks import Custom, Network, network_class
from aezoo.networks.base import as_tuples
from aezoo.registry import Family, find_family
from aezoo.utils.text import did_you_mean
from aezoo.utils.validation import check_input_shape

if TYPE_CHECKING:
    import keras

    from aezoo.models.autoencoder import Autoencoder

KERAS_ARGUMENTS = ("name", "dtype", "trainable")


def create(
    name: str,
    /,
    *,
    network: str | Network | None = None,
    modality: Modality | None = None,
    encoder: "keras.Model | None" = None,
    decoder: "keras.Model | None" = None,
    **config: Any,
) -> "Autoencoder":
    """A new model with random weights: an objective on a network, for a modality.

    Args:
        name: A family, e.g. `"conv_vae"` or `"iwae"`, or the name of pretrained
            weights, whose architecture is taken without its weights.
        network: Another network than the family's: its name, e.g. `"resnet"`, or one
            of `aezoo.networks` with arguments.
        modality: What an example is, one of `aezoo.modalities`; None for images of
            `input_shape`.
        encoder: With `decoder` in place of a network: a Keras model from examples (as
            tensors; images as floats in [0, 1]) to features, to which heads are added,
            or to a dictionary with a tensor for each head.
        decoder: A Keras model from codes to examples, or to the parameters of the
            likelihood, without an output activation.
        **config: Arguments of the objective and of the network, `input_shape` of
            images, and `name`, `dtype` and `trainable` of `keras.Model`. They override
            those of pretrained weights.

    Returns:
        A built `keras.Model`; call `compile` and `fit` to train it.

    Raises:
        UnknownModelError: If there is no such family or model; names the closest.
        NetworkError: If the network cannot carry the modality, or the latent that the
            objective needs; a ValueError.
        ValueError: If an argument is unknown or out of range.

    Example:
        >>> model = aezoo.create("wae", network="dense", latent_dim=8)
    """
    for key, value in (
        ("network", network),
        ("modality", modality),
        ("encoder", encoder),
        ("decoder", decoder),
    ):
        if value is not None:
            config[key] = value
    if name in manifest.entries() and name not in registry.list_families():
        entry = manifest.entries()[name]
        name, config = entry.family, {**entry.config, **config}
    elif name not in registry.list_families():
        known = [*registry.list_families(), *manifest.entries()]
        raise UnknownModelError(
            f"Unknown family or model {name!r}.{did_you_mean(name, known)} "
            f"Families: {', '.join(registry.list_families())}."
        )
    model = new_model(name, **config)
    model.ensure_built()
    return model


def new_model(family: str, /, **config: Any) -> "Autoencoder":
    """The model of a family and its flat arguments, not yet built.

    Args:
        family: Name of the family.
        **config: As in `create`; networks and modalities may also be given as the
            configurations that `flat_config` makes of them.

    Raises:
        UnknownModelError: If there is no such family.
        ValueError: If an argument is unknown or out of range.
    """
    return compose(find_family(family), **config)


def compose(family: Family, /, **config: Any) -> "Autoencoder":
    """As `new_model`, for a family that need not be registered.

    Args:
        family: The family.
        **config: As in `new_model`.
    """
    # Keras would count models of a class, so that names told of what ran before.
    arguments = {"name": family.name, **family.defaults, **config}
    keras_arguments = {
        name: arguments.pop(name) for name in KERAS_ARGUMENTS if name in arguments
    }
    shape = arguments.pop("input_shape", None)
    modality = arguments.pop("modality", None)
    network = _take_network(family, arguments)
    modality = _modality(family, network, modality, shape)
    model = family.objective(
        modality=modality,
        network=network,
        family=family.name,
        **keras_arguments,
        **arguments,
    )
    unused = network.unused(model.latent)
    if not config.keys().isdisjoint(unused):
        known = known_arguments(family, type(network))
        check_known(family.name, config, [n for n in known if n not in unused])
    return model


def check_config(family: str, config: Mapping[str, Any]) -> None:
    """Refuse arguments that a family does not know, before anything is made of them.

    Args:
        family: Name of the family.
        config: Flat arguments.

    Raises:
        ValueError: Names the unknown argument and the closest known one.
    """
    found = find_family(family)
    network = config.get("network")
    cls = network_class(network) if isinstance(network, str) else type(found.network)
    check_known(family, config, known_arguments(found, cls))


def known_arguments(family: Family, network: type[Network]) -> list[str]:
    """Names of all flat arguments of a family on a network."""
    return [
        *KERAS_ARGUMENTS,
        *("input_shape", "modality", "network", "encoder", "decoder"),
        *network.argument_names(),
        *arguments_of(family.objective),
    ]


def _modality(family: Family, network: Network, modality: Any, shape: Any) -> Modality:
    if modality is not None:
        if shape is not None:
            raise ValueError(
                "`input_shape` is of images; the modality has a shape of its own. "
                f"Received: input_shape={shape!r}, modality={modality!r}."
            )
        if isinstance(modality, Mapping):
            return modalities.from_config(dict(modality))
        if not isinstance(modality, Modality):
            raise ValueError(
                "`modality` must be one of `aezoo.modalities`, such as "
                f"`aezoo.modalities.Image(28, 28, 1)`. Received: {modality!r}."
            )
        return modality
    if shape is None and isinstance(network, Custom):
        shape = network.image_shape()
    if shape is None:
        return family.modality or Image(28, 28, 1)
    return Image(*check_input_shape(shape))


def _take_network(family: Family, arguments: dict[str, Any]) -> Network:
    network = arguments.pop("network", None)
    encoder, decoder = (arguments.pop(name, None) for name in ("encoder", "decoder"))
    if encoder is not None or decoder is not None:
        if network not in (None, "custom"):
            raise ValueError(
                "`network` and `encoder` with `decoder` exclude each other. "
                f"Received: network={network!r}."
            )
        return Custom.from_models(encoder, decoder)
    if network is None:
        network = family.network
    elif isinstance(network, str):
        network = network_class(network)()
    elif not isinstance(network, Network):
        raise ValueError(
            "`network` must be the name of a network, or one of `aezoo.networks`. "
            f"Received: {network!r}."
        )
    cls = type(network)
    check_known(family.name, arguments, known_arguments(family, cls))
    own = {
        name: as_tuples(arguments.pop(name))
        for name in cls.argument_names()
        if name in arguments and name not in arguments_of(family.objective)
    }
    return dataclasses.replace(network, **own)


def flat_config(model: "Autoencoder") -> dict[str, Any]:
    """The flat arguments of a model, as JSON values: `new_model` takes them.

    Args:
        model: The model.
    """
    family = find_family(model.family)
    config: dict[str, Any] = {}
    if isinstance(model.modality, Image):
        config["input_shape"] = list(model.modality.shape)
    else:
        config["modality"] = model.modality.to_config()
    for name, argument in arguments_of(type(model)).items():
        value = model.argument_values[argument.name]
        config[name] = _as_json(value)
    network = model.network
    if type(network) is not type(family.network) and not isinstance(network, Custom):
        config["network"] = network.kind
    unused = network.unused(model.latent)
    arguments = network.to_config()
    return {**config, **{n: v for n, v in arguments.items() if n not in unused}}


def _as_json(value: Any) -> Any:
    if isinstance(value, Modality):
        return value.to_config()
    if isinstance(value, Mapping):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(v) for v in value] if isinstance(value, tuple | list) else value
