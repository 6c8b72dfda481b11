"""A model zoo of autoencoders and variational autoencoders for Keras 3.

`import aezoo` loads neither TensorFlow nor Keras; the first call that needs them does.
"""

from typing import TYPE_CHECKING, Any

from aezoo.utils import keras_hook

__version__ = "0.1.0"

_MODULE_OF = {
    "attribute_vector": "inference.attributes",
    "compress": "compression",
    "create": "models.families",
    "decompress": "compression",
    "download": "store.cache",
    "export": "engines.export",
    "list_families": "registry",
    "describe": "manifest",
    "list_models": "manifest",
    "load": "engines.load",
    "push_to_hub": "store.publish",
    "save": "store.folder",
    "fit_sampler": "samplers",
    "encode_to_parquet": "features.streaming",
    "feature_extractor": "features",
    "feature_info": "features",
    "freeze_until": "features",
    "enable_lora": "features",
    "layerwise_learning_rates": "features",
    "evaluate": "evaluation",
    "leaderboard": "evaluation.leaderboard",
    "rejection_sample": "features.rejection",
    "to_diffusers": "store.foreign.export",
    "verify": "store.verify",
}
# Public modules, by the room that they live in.
_MODULES = {
    "datasets": "data.datasets",
    "digits": "modalities.image.digits",
    "distributions": "nn.distributions",
    "errors": "errors",
    "evaluation": "evaluation",
    "losses": "nn.losses",
    "modalities": "modalities",
    "networks": "networks",
    "optimizers": "nn.optimizers",
    "plots": "evaluation.plots",
    "samplers": "samplers",
    "training": "training",
}

__all__ = [
    "__version__",
    "attribute_vector",
    "compress",
    "create",
    "datasets",
    "decompress",
    "describe",
    "digits",
    "distributions",
    "download",
    "enable_lora",
    "encode_to_parquet",
    "errors",
    "evaluate",
    "evaluation",
    "export",
    "feature_extractor",
    "feature_info",
    "fit_sampler",
    "freeze_until",
    "layerwise_learning_rates",
    "leaderboard",
    "list_families",
    "list_models",
    "load",
    "losses",
    "modalities",
    "networks",
    "optimizers",
    "plots",
    "push_to_hub",
    "rejection_sample",
    "samplers",
    "save",
    "to_diffusers",
    "training",
    "verify",
]

if TYPE_CHECKING:
    from aezoo import errors, evaluation, modalities, networks, samplers
    from aezoo.compression import compress, decompress
    from aezoo.data import datasets
    from aezoo.engines.export import export
    from aezoo.engines.load import load
    from aezoo.evaluation import evaluate, plots
    from aezoo.evaluation.leaderboard import leaderboard
    from aezoo.features import (
        enable_lora,
        feature_extractor,
        feature_info,
        freeze_until,
        layerwise_learning_rates,
    )
    from aezoo.features.rejection import rejection_sample
    from aezoo.features.streaming import encode_to_parquet
    from aezoo.inference.attributes import attribute_vector
    from aezoo.manifest import describe, list_models
    from aezoo.modalities.image import digits
    from aezoo.models.families import create
    from aezoo.nn import distributions, losses, optimizers
    from aezoo.registry import list_families
    from aezoo.samplers import fit_sampler
    from aezoo.store.cache import download
    from aezoo.store.folder import save
    from aezoo.store.foreign.export import to_diffusers
    from aezoo.store.publish import push_to_hub
    from aezoo.store.verify import verify


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        value = importlib.import_module(f"aezoo.{_MODULES[name]}")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"aezoo.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'aezoo' has no attribute {name!r}")
    keras_hook.register_families()
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


keras_hook.watch()
