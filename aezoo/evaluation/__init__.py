"""Metrics, and the one `evaluate` that stamps how each was measured.

Imports Keras when a name is used: the leaderboard needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "METRICS": "definition",
    "Report": "report",
    "evaluate": "measure",
    "list_metrics": "measure",
}
__all__ = ["METRICS", "Report", "evaluate", "list_metrics"]

if TYPE_CHECKING:
    from aezoo.evaluation.definition import METRICS
    from aezoo.evaluation.measure import evaluate, list_metrics
    from aezoo.evaluation.report import Report


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'aezoo.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"aezoo.evaluation.{_MODULE_OF[name]}"), name)
