"""Models by the name of their class: what YAML files and checkpoints hold."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel


def class_path(model: EdgeModel) -> str:
    """Where the class of a model is found: "package.module.Class"."""
    cls = type(model)
    return f"{cls.__module__}.{cls.__qualname__}"


def describe_class(model: EdgeModel) -> tuple[str, dict[str, Any]]:
    """Class path and arguments from which `build` makes a model of the same structure."""
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
    """The model `class_path(**arguments)`; the models of this package need no path.

    An argument that is itself a model is given as {"class_path": ..., "init_args": {...}}.
    """
    cls = _find(class_path)
    values = {
        name: build(value["class_path"], value.get("init_args", {})) if _is_model(value) else value
        for name, value in arguments.items()
    }
    parameters = inspect.signature(cls).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
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
        found = importlib.import_module(module_name or "torchml.models")
        cls = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TorchMLError(f"there is no model class '{path}': {error}") from None
    if not (isinstance(cls, type) and issubclass(cls, EdgeModel)):
        raise TorchMLError(f"'{path}' is not a model class, expected a subclass of EdgeModel")
    return cls
