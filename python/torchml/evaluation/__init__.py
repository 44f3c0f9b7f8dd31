"""Data sets evaluated: predictions, the files of leaderboards, metrics and reports."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.evaluation.evaluate_summary import Summary
    from torchml.evaluation.evaluating import evaluate
    from torchml.evaluation.leaderboard import write_leaderboard
    from torchml.evaluation.metrics_positions import Relaxed
    from torchml.evaluation.predicted_files import write_json, write_predicted_extxyz
    from torchml.evaluation.predicting import predict
    from torchml.evaluation.prediction_run import predict_to_file
    from torchml.evaluation.predictions import Predictions
    from torchml.evaluation.report import write_report

_HOMES = {
    "Predictions": "torchml.evaluation.predictions",
    "Relaxed": "torchml.evaluation.metrics_positions",
    "Summary": "torchml.evaluation.evaluate_summary",
    "evaluate": "torchml.evaluation.evaluating",
    "predict": "torchml.evaluation.predicting",
    "predict_to_file": "torchml.evaluation.prediction_run",
    "write_json": "torchml.evaluation.predicted_files",
    "write_leaderboard": "torchml.evaluation.leaderboard",
    "write_predicted_extxyz": "torchml.evaluation.predicted_files",
    "write_report": "torchml.evaluation.report",
}

__all__ = [
    "Predictions",
    "Relaxed",
    "Summary",
    "evaluate",
    "predict",
    "predict_to_file",
    "write_json",
    "write_leaderboard",
    "write_predicted_extxyz",
    "write_report",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
