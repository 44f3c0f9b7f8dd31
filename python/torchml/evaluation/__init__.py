"""Predictions and errors of whole data sets."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.evaluation.evaluate import Summary, evaluate
    from torchml.evaluation.evaluate_model import evaluate_model
    from torchml.evaluation.metrics_positions import Relaxed
    from torchml.evaluation.report import write_report

# Where each public name lives; it is imported on demand.
_HOMES = {
    "Relaxed": "torchml.evaluation.metrics_positions",
    "Summary": "torchml.evaluation.evaluate",
    "evaluate": "torchml.evaluation.evaluate",
    "evaluate_model": "torchml.evaluation.evaluate_model",
    "write_report": "torchml.evaluation.report",
}

__all__ = ["Relaxed", "Summary", "evaluate", "evaluate_model", "write_report"]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
