"""Pretrained encoders for what comes after them. Imports Keras when a name is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "FeatureExtractor": "extractor",
    "FeatureInfo": "info",
    "enable_lora": "finetuning",
    "feature_extractor": "extractor",
    "feature_info": "info",
    "freeze_until": "finetuning",
    "layerwise_learning_rates": "finetuning",
}
__all__ = [
    "FeatureExtractor",
    "FeatureInfo",
    "enable_lora",
    "feature_extractor",
    "feature_info",
    "freeze_until",
    "layerwise_learning_rates",
]

if TYPE_CHECKING:
    from aezoo.features.extractor import FeatureExtractor, feature_extractor
    from aezoo.features.finetuning import (
        enable_lora,
        freeze_until,
        layerwise_learning_rates,
    )
    from aezoo.features.info import FeatureInfo, feature_info


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'aezoo.features' has no attribute {name!r}")
    return getattr(import_module(f"aezoo.features.{_MODULE_OF[name]}"), name)
