"""Families by name. Imports neither TensorFlow nor Keras until one is asked for."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aezoo.errors import UnknownModelError
from aezoo.utils.text import did_you_mean

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

_FAMILIES: dict[str, type["Autoencoder"]] = {}
_MODELS_FOLDER = Path(__file__).parent / "models"
_Class = TypeVar("_Class", bound=type)


def register_family(name: str) -> Callable[[_Class], _Class]:
    """Class decorator: register an autoencoder family under `name`.

    The class also becomes a registered Keras serialisable (`aezoo>ClassName`), so
    that `keras.saving.load_model` finds it: see `keras_hook`.

    Args:
        name: The family's name; also the name of its module in `aezoo.models`.
    """

    def register(cls: _Class) -> _Class:
        import keras

        cls.family = name  # type: ignore[attr-defined]
        _FAMILIES[name] = cls
        registered: _Class = keras.saving.register_keras_serializable("aezoo")(cls)
        return registered

    return register


def list_families() -> list[str]:
    """Names of all families, sorted. Needs no import of TensorFlow or Keras."""
    modules = pkgutil.iter_modules([str(_MODELS_FOLDER)])
    names = (module.name for module in modules)
    return sorted(n for n in names if n != "autoencoder" and not n.startswith("_"))


def family_class(name: str) -> type["Autoencoder"]:
    """The class registered for a family, imported on first use.

    Args:
        name: A name from `list_families()`, e.g. `"conv_vae"`.

    Raises:
        UnknownModelError: If no family has that name.
    """
    if name not in _FAMILIES:
        families = list_families()
        if name not in families:
            raise UnknownModelError(
                f"Unknown family {name!r}.{did_you_mean(name, families)} "
                f"Families: {', '.join(families)}."
            )
        importlib.import_module(f"aezoo.models.{name}")
    return _FAMILIES[name]
