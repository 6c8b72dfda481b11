"""Pretrained encoders for what comes after them. Imports Keras when a name is used."""

from typing import TYPE_CHECKING, Any

__all__ = ["FeatureExtractor", "feature_extractor"]

if TYPE_CHECKING:
    from aezoo.features.extractor import FeatureExtractor, feature_extractor


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'aezoo.features' has no attribute {name!r}")
    from aezoo.features import extractor

    return getattr(extractor, name)
