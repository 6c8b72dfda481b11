"""Metrics, and the one `evaluate` that stamps how each was measured."""

# In the order in which metrics are listed.
# isort: off
from aezoo.evaluation import reconstruction
from aezoo.evaluation import likelihood
from aezoo.evaluation import latent
from aezoo.evaluation import samples
from aezoo.evaluation import disentanglement
from aezoo.evaluation import representation

# isort: on
from aezoo.evaluation.definition import METRICS
from aezoo.evaluation.measure import evaluate, list_metrics
from aezoo.evaluation.report import Report

__all__ = [
    "METRICS",
    "Report",
    "disentanglement",
    "evaluate",
    "latent",
    "likelihood",
    "list_metrics",
    "reconstruction",
    "representation",
    "samples",
]
