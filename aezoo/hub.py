"""Where weights come from, and how they become a model that can be trusted."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aezoo import manifest, registry
from aezoo.backend import without_initialisation
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.files import check_hdf5, path_inside, verify_sha256
from aezoo.manifest import WeightsEntry
from aezoo.models._base import Autoencoder

WEIGHTS_FOLDER = manifest.PACKAGE / "weights"


def load(name: str) -> Autoencoder:
    """A pretrained model, ready to use.

    The weights are bundled: nothing is downloaded. The file's SHA-256 is checked
    before it is opened.

    Args:
        name: A name from `aezoo.list_models()`, e.g. `"conv_vae_mnist_z16"`.

    Returns:
        A `keras.Model` with `reconstruct`, `encode`, `posterior`, `decode`, `sample`,
        `interpolate` and `traverse`.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        ChecksumError: If the weights file is corrupted, truncated or missing.
        ManifestError: If the manifest's entry does not fit the file.
        UnsafeFileError: If the file refers to data outside itself.
    """
    entry = manifest.describe(name)
    path = path_inside(WEIGHTS_FOLDER, entry.weights.file)
    verify_sha256(path, entry.weights.sha256, "Reinstall aezoo to restore it.")
    return load_entry(entry, path)


def load_entry(entry: WeightsEntry, path: Path) -> Autoencoder:
    """Build the model of an entry and read its weights from a verified file.

    Raises:
        ManifestError: If the configuration is invalid, or entry and file disagree.
        UnsafeFileError: If the file refers to data outside itself.
    """
    check_hdf5(path, entry.num_params)
    try:
        cls = registry.family_class(entry.family)
        check_config(cls, entry.config)
        model = cls(**entry.config, name=entry.name)
        with without_initialisation(model):
            model.build((None, *model.input_shape))
    except (TypeError, ValueError) as error:
        raise ManifestError(
            f"The manifest entry {entry.name!r} does not describe a valid "
            f"{entry.family!r} model: {error}"
        ) from error
    stated = (entry.input_shape, entry.latent_shape, entry.num_params)
    actual = (model.input_shape, model.latent_shape, model.count_params())
    if stated != actual:
        raise ManifestError(
            f"The manifest entry {entry.name!r} does not fit its configuration: "
            "expected (input_shape, latent_shape, num_params) = "
            f"{actual}, received {stated}."
        )
    try:
        model.load_weights(path)
    except (ValueError, KeyError) as error:
        raise ManifestError(
            f"The weights file {path} does not fit the manifest entry "
            f"{entry.name!r}: {error}"
        ) from error
    return model


def check_config(cls: type[Autoencoder], config: Iterable[str]) -> None:
    """Refuse arguments that no `__init__` of a family's class names.

    Raises:
        ValueError: Names the unknown argument and the closest known one.
    """
    known = {"name", "dtype", "trainable"}
    for base in cls.__mro__:
        if base.__module__.startswith("aezoo.models"):
            known |= set(inspect.signature(base).parameters)
    known -= {"args", "kwargs"}
    for name in config:
        if name not in known:
            raise ValueError(
                f"Unknown argument `{name}` for family {cls.family!r}."
                f"{registry.did_you_mean(name, known)} "
                f"Known: {', '.join(sorted(known))}."
            )


def create(name: str, /, **config: Any) -> Autoencoder:
    """A new model with random weights.

    Args:
        name: A family, e.g. `"conv_vae"`, or the name of pretrained weights, whose
            architecture is taken without its weights.
        **config: Arguments of the family; they override those of the weights.

    Returns:
        A built `keras.Model`; call `compile` and `fit` to train it.

    Raises:
        UnknownModelError: If there is no such family or model; names the closest.
        ValueError: If an argument is unknown or out of range.
    """
    if name in registry.list_families():
        cls = registry.family_class(name)
    elif name in manifest.entries():
        entry = manifest.entries()[name]
        cls = registry.family_class(entry.family)
        config = {**entry.config, **config}
    else:
        known = [*registry.list_families(), *manifest.entries()]
        raise UnknownModelError(
            f"Unknown family or model {name!r}.{registry.did_you_mean(name, known)} "
            f"Families: {', '.join(registry.list_families())}."
        )
    check_config(cls, config)
    model = cls(**config)
    model.build((None, *model.input_shape))
    return model
