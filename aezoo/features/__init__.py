"""Pretrained encoders in other models: their layers by name, and fine-tuning."""

from aezoo.features.extractor import FeatureExtractor, feature_extractor
from aezoo.features.finetuning import (
    enable_lora,
    freeze_until,
    layerwise_learning_rates,
)
from aezoo.features.info import FeatureInfo, feature_info

__all__ = [
    "FeatureExtractor",
    "FeatureInfo",
    "enable_lora",
    "feature_extractor",
    "feature_info",
    "freeze_until",
    "layerwise_learning_rates",
]
