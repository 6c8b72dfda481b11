"""Where weights come from, and how they become a model that can be trusted."""

import inspect
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras

from aezoo import folder, manifest, registry, remote
from aezoo.backend import without_initialisation
from aezoo.errors import ManifestError, UnknownModelError
from aezoo.files import check_hdf5, path_inside, verify_sha256
from aezoo.folder import FolderEntry
from aezoo.manifest import WeightsEntry
from aezoo.models._base import Autoencoder

WEIGHTS_FOLDER = manifest.PACKAGE / "weights"


def load(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> Autoencoder:
    """A pretrained model, or one from a folder or the Hugging Face Hub, ready to use.

    The weights of the models in `aezoo.list_models()` are bundled: nothing is
    downloaded for them. Folders and repositories are data, never code: configuration
    and files are checked before anything is built, and only registered families are
    built. The SHA-256 of weights is checked before they are opened.

    Args:
        name: A name from `aezoo.list_models()`, e.g. `"conv_vae_mnist_z16"`; or a
            folder that `aezoo.save` wrote: a `Path`, or text with a `/` or that names
            an existing folder; or such a folder on the Hub,
            `"hf://organisation/name"` or `"hf://organisation/name@revision"`.
        revision: Branch, tag or commit on the Hub.
        cache_dir: Cache of the Hub's client; None for its default.
        local_files_only: Take from the cache alone.
        token: Access token for private repositories; None for the one that
            `hf auth login` stored.

    Returns:
        A `keras.Model` with `reconstruct`, `encode`, `posterior`, `decode`, `sample`,
        `interpolate` and `traverse`.

    Raises:
        UnknownModelError: If there is no such model; names the closest.
        FileNotFoundError: If there is no such folder.
        HubError: If the Hub cannot give a file; says what to do.
        ValueError: If an option of the Hub is passed for another kind of name.
        ChecksumError: If the weights file is corrupted, truncated or missing.
        ManifestError: If the manifest's or folder's entry is invalid, or does not fit
            the file.
        UnsafeFileError: If a file refers to data outside itself, or its name leaves
            its folder.
    """
    options = {
        "revision": revision,
        "cache_dir": None if cache_dir is None else Path(cache_dir),
        "local_files_only": local_files_only,
        "token": token,
    }
    if isinstance(name, str) and name.startswith(remote.SCHEME):
        return load_folder(*remote.fetch_model(remote.parse_address(name, **options)))
    given = [option for option, value in options.items() if value]
    if given:
        raise ValueError(
            f"`{given[0]}` belongs to models on the Hub, 'hf://organisation/name'. "
            f"Received: name={str(name)!r}."
        )
    path = as_folder(name)
    if path is not None:
        return load_folder(path)
    if name not in manifest.entries():
        raise UnknownModelError(
            f"Unknown model {name!r}."
            f"{registry.did_you_mean(str(name), manifest.entries())} "
            "Call `aezoo.list_models()` for all names, or pass a folder that "
            f"`aezoo.save` wrote, e.g. {f'./{name}'!r}."
        )
    entry = manifest.describe(str(name))
    path = path_inside(WEIGHTS_FOLDER, entry.weights.file)
    verify_sha256(path, entry.weights.sha256, "Reinstall aezoo to restore it.")
    return load_entry(entry, path)


def as_folder(name: str | os.PathLike[str]) -> Path | None:
    """The folder that `load(name)` reads, or None if `name` names a model."""
    if isinstance(name, os.PathLike):
        return Path(name)
    if not isinstance(name, str) or not name or name in manifest.entries():
        return None
    is_path = any(separator in name for separator in {"/", os.sep})
    return Path(name) if is_path or Path(name).is_dir() else None


def load_folder(path: Path, root: Path | None = None) -> Autoencoder:
    """The model of a folder that `aezoo.save` wrote; raises as `load` does.

    Args:
        path: The folder.
        root: What links in it must not leave; None for the folder itself.
    """
    entry = folder.read_entry(path, root)
    entry_class(entry)  # refused before the weights are even hashed
    return load_entry(entry, folder.weights_path(path, entry, root))


def load_entry(entry: WeightsEntry | FolderEntry, path: Path) -> Autoencoder:
    """Build the model of an entry and read its weights from a verified file.

    Raises:
        ManifestError: If the configuration is invalid, or entry and file disagree.
        UnsafeFileError: If the file refers to data outside itself.
    """
    check_hdf5(path, entry.num_params)
    cls = entry_class(entry)
    try:
        model = cls(**entry.config, name=entry.name)
        with without_initialisation(model, entry.num_params):
            model.build((None, *model.input_shape))
    except (TypeError, ValueError) as error:
        raise _invalid(entry, error) from error
    stated = (entry.input_shape, entry.latent_shape, entry.num_params)
    actual = (model.input_shape, model.latent_shape, model.count_params())
    if stated != actual:
        raise ManifestError(
            f"The manifest entry {entry.name!r} does not fit its configuration: "
            "expected (input_shape, latent_shape, num_params) = "
            f"{actual}, received {stated}."
        )
    read_weights(model, path, f"the manifest entry {entry.name!r}")
    return model


def read_weights(model: keras.Model, path: Path, owner: str) -> None:
    """Read a verified weights file into a model that is built.

    Args:
        model: The model.
        path: The weights file.
        owner: Whose file it is, for the message.

    Raises:
        ManifestError: If the file holds other weights.
    """
    try:
        model.load_weights(path)
    except (ValueError, KeyError) as error:
        raise ManifestError(
            f"The weights file {path} does not fit {owner}: {error}"
        ) from error


def entry_class(entry: WeightsEntry | FolderEntry) -> type[Autoencoder]:
    """The class of an entry's family, which knows all arguments of its `config`.

    Raises:
        ManifestError: If the family or an argument is unknown; names the closest.
    """
    try:
        cls = registry.family_class(entry.family)
        check_config(cls, entry.config)
    except ValueError as error:
        raise _invalid(entry, error) from error
    return cls


def _invalid(entry: WeightsEntry | FolderEntry, error: Exception) -> ManifestError:
    return ManifestError(
        f"The manifest entry {entry.name!r} does not describe a valid "
        f"{entry.family!r} model: {error}"
    )


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
