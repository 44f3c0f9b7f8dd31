"""Models evaluated for data sets: predictions, and the files of leaderboards."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.evaluation.leaderboard import write_leaderboard
    from torchml.evaluation.predicted_files import write_json, write_predicted_extxyz
    from torchml.evaluation.predicting import predict
    from torchml.evaluation.prediction_run import predict_to_file
    from torchml.evaluation.predictions import Predictions

_HOMES = {
    "Predictions": "torchml.evaluation.predictions",
    "predict": "torchml.evaluation.predicting",
    "predict_to_file": "torchml.evaluation.prediction_run",
    "write_json": "torchml.evaluation.predicted_files",
    "write_leaderboard": "torchml.evaluation.leaderboard",
    "write_predicted_extxyz": "torchml.evaluation.predicted_files",
}

__all__ = [
    "Predictions",
    "predict",
    "predict_to_file",
    "write_json",
    "write_leaderboard",
    "write_predicted_extxyz",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
