"""Metrics, and the one `evaluate` that stamps how each was measured."""

from aezoo.evaluation import latent, likelihood, reconstruction
from aezoo.evaluation.definition import METRICS
from aezoo.evaluation.measure import evaluate, list_metrics
from aezoo.evaluation.report import Report

__all__ = [
    "METRICS",
    "Report",
    "evaluate",
    "latent",
    "likelihood",
    "list_metrics",
    "reconstruction",
]
