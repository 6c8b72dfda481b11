"""Metrics, and the one `evaluate` that stamps how each was measured."""

from aezoo.evaluation.evaluate import METRICS, evaluate

__all__ = ["METRICS", "evaluate"]
