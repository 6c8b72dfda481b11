"""A model zoo of autoencoders and variational autoencoders for Keras 3.

`import aezoo` loads neither TensorFlow nor Keras; the first call that needs them does.
"""

from typing import TYPE_CHECKING, Any

from aezoo import keras_hook

__version__ = "0.1.0"

_MODULE_OF = {
    "create": "hub",
    "download": "cache",
    "list_families": "registry",
    "describe": "manifest",
    "list_models": "manifest",
    "load": "hub",
    "push_to_hub": "publishing",
    "save": "folder",
    "fit_sampler": "samplers",
    "encode_to_parquet": "features.streaming",
    "feature_extractor": "features",
    "feature_info": "features",
    "freeze_until": "features",
    "enable_lora": "features",
    "layerwise_learning_rates": "features",
    "evaluate": "evaluation",
    "leaderboard": "ranking",
    "rejection_sample": "rejection",
    "verify": "verification",
}
_MODULES = (
    "datasets",
    "digits",
    "distributions",
    "errors",
    "evaluation",
    "losses",
    "optimizers",
    "plots",
    "samplers",
)

__all__ = [
    "__version__",
    "create",
    "datasets",
    "describe",
    "digits",
    "distributions",
    "download",
    "enable_lora",
    "encode_to_parquet",
    "errors",
    "evaluate",
    "evaluation",
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
    "optimizers",
    "plots",
    "push_to_hub",
    "rejection_sample",
    "samplers",
    "save",
    "verify",
]

if TYPE_CHECKING:
    from aezoo import (
        datasets,
        digits,
        distributions,
        errors,
        evaluation,
        losses,
        optimizers,
        plots,
        samplers,
    )
    from aezoo.cache import download
    from aezoo.evaluation import evaluate
    from aezoo.features import (
        enable_lora,
        feature_extractor,
        feature_info,
        freeze_until,
        layerwise_learning_rates,
    )
    from aezoo.features.streaming import encode_to_parquet
    from aezoo.folder import save
    from aezoo.hub import create, load
    from aezoo.manifest import describe, list_models
    from aezoo.publishing import push_to_hub
    from aezoo.ranking import leaderboard
    from aezoo.registry import list_families
    from aezoo.rejection import rejection_sample
    from aezoo.samplers import fit_sampler
    from aezoo.verification import verify


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        value = importlib.import_module(f"aezoo.{name}")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"aezoo.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'aezoo' has no attribute {name!r}")
    keras_hook.register_families()
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


keras_hook.watch()
