"""Models from the name of their class, as YAML files and checkpoints record it."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel


def class_path(model: EdgeModel) -> str:
    """Return the path of the class of a model: "package.module.Class"."""
    cls = type(model)
    return f"{cls.__module__}.{cls.__qualname__}"


def describe_class(model: EdgeModel) -> tuple[str, dict[str, Any]]:
    """Return class path and arguments from which `build` makes a model of the same structure.

    Raises:
        TorchMLError: an argument cannot be written to a checkpoint.
    """
    path = class_path(model)
    for name, value in model.arguments.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise TorchMLError(
                f"the argument '{name}' of {path} is a {type(value).__name__}, which a checkpoint "
                "cannot hold; expected texts, numbers, lists of them, or models"
            ) from None
    return path, model.arguments


def build(class_path: str, arguments: Mapping[str, Any]) -> EdgeModel:
    """Build the model `class_path(**arguments)`.

    Args:
        class_path: "package.module.Class"; models of this package need no path.
        arguments: of the constructor; a model is given as {"class_path": ..., "init_args": {...}}.

    Raises:
        TorchMLError: there is no such class, or the arguments do not fit it.
    """
    cls = _find(class_path)
    values = {
        name: build(value["class_path"], value.get("init_args", {})) if _is_model(value) else value
        for name, value in arguments.items()
    }
    parameters = inspect.signature(cls).parameters
    open_ended = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )
    if (unknown := sorted(set(values) - set(parameters))) and not open_ended:
        raise TorchMLError(
            f"{class_path} has no argument '{unknown[0]}', expected: {' '.join(parameters)}"
        )
    try:
        inspect.signature(cls).bind(**values)
    except TypeError as error:
        raise TorchMLError(f"{class_path} cannot be built from its arguments: {error}") from None
    return cls(**values)


def _is_model(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def _find(path: str) -> Callable[..., EdgeModel]:
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name or "torchml.models")
        cls = getattr(module, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TorchMLError(f"there is no model class '{path}': {error}") from None
    if not (isinstance(cls, type) and issubclass(cls, EdgeModel)):
        raise TorchMLError(f"'{path}' is not a model class, expected a subclass of EdgeModel")
    return cls
