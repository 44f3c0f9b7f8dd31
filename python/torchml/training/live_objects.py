"""Networks that a program passes to a run as objects, and their entries in config.yaml."""

from __future__ import annotations

from typing import Any

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.build import describe_class
from torchml.models.staged import StagedModel


def check_network(model: Any) -> EdgeModel | StagedModel:
    """Return the object if it is a network that a task trains.

    Raises:
        TorchMLError: for any other type.
    """
    if not isinstance(model, EdgeModel | StagedModel):
        raise TorchMLError(
            f"model is a {type(model).__name__}, expected an EdgeModel, or a StagedModel around "
            "any network"
        )
    return model


def describe_network(model: EdgeModel | StagedModel) -> dict[str, Any]:
    """Return {class_path, init_args} for config.yaml, without the weights."""
    if isinstance(model, EdgeModel):
        class_path, arguments = describe_class(model)
        return {"class_path": class_path, "init_args": arguments}
    return {"class_path": "torchml.training.unsaved_network"}


def unsaved_network() -> StagedModel:
    """Stand in config.yaml for a network that only the program has which trained it.

    Raises:
        TorchMLError: always.
    """
    raise TorchMLError(
        "the model was an object of the program that trained it: run that program again, or use "
        "its checkpoint"
    )
