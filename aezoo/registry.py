"""Families by name. Imports neither TensorFlow nor Keras until one is asked for."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from aezoo.errors import UnknownModelError
from aezoo.utils.text import did_you_mean

if TYPE_CHECKING:
    from aezoo.modalities.base import Modality
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.networks.base import Network

_MODELS = Path(__file__).parent / "models"
# Modules of `aezoo.models` that hold no objective.
_SHARED = {
    "arguments",
    "autoencoder",
    "batches",
    "entry_points",
    "families",
    "inpainting",
    "passes",
    "projection",
    "training",
}
# Families of an objective on another network than its own: the objective's module.
_ON_OTHER_NETWORKS = {
    "contractive_conv_ae": "contractive_ae",
    "conv_ae": "ae",
    "conv_vae": "vae",
    "dense_ae": "ae",
    "dense_vae": "vae",
    "resnet_ae": "ae",
    "resnet_vae": "vae",
    "sentence_ae": "ae",
    "voxel_vae": "vae",
}
_families: dict[str, "Family"] = {}
_Class = TypeVar("_Class", bound=type)


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """A registered name: an objective with a default network and modality.

    Attributes:
        name: The name.
        objective: The class.
        network: The default network.
        modality: The default modality; None for grey images of 28x28 pixels.
        defaults: Arguments that differ from the objective's own defaults.
        tiny: Flat arguments of a small model, for tests.
    """

    name: str
    objective: type["Autoencoder"]
    network: "Network"
    modality: "Modality | None"
    defaults: Mapping[str, Any]
    tiny: Mapping[str, Any]


def register_family(
    name: str,
    *,
    network: "Network",
    modality: "Modality | None" = None,
    tiny: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Callable[[_Class], _Class]:
    """Class decorator: register an objective as a family.

    Args:
        name: The family's name.
        network: Its default network.
        modality: Its default modality; None for grey images of 28x28 pixels.
        tiny: Flat arguments of a small model of the family, for tests.
        **defaults: Arguments that differ from the objective's own defaults.
    """

    def register(cls: _Class) -> _Class:
        _families[name] = Family(
            name,
            cls,
            network,
            modality,
            MappingProxyType(defaults),
            MappingProxyType(dict(tiny or {})),
        )
        return cls

    return register


def list_families() -> list[str]:
    """Names of all families, sorted. Needs no import of TensorFlow or Keras."""
    modules = {module.name for module in pkgutil.iter_modules([str(_MODELS)])}
    own = {name for name in modules - _SHARED if not name.startswith("_")}
    return sorted(own | set(_ON_OTHER_NETWORKS) | set(_families))


def find_family(name: str) -> Family:
    """A family, whose module is imported on first use.

    Args:
        name: A name from `list_families()`, e.g. `"conv_vae"`.

    Raises:
        UnknownModelError: If no family has that name; names the closest.
    """
    if name not in _families:
        known = list_families()
        if name not in known:
            raise UnknownModelError(
                f"Unknown family {name!r}.{did_you_mean(name, known)} "
                f"Families: {', '.join(known)}."
            )
        importlib.import_module(f"aezoo.models.{_ON_OTHER_NETWORKS.get(name, name)}")
    return _families[name]
