"""Models from the name of their class, as YAML files and checkpoints record it."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from torchml.errors import TorchMLError
from torchml.models.base import EdgeModel
from torchml.models.names import public_name

_PUBLIC = "torchml.models"


def class_path(model: EdgeModel) -> str:
    """Return the public name of a model's class: torchml.models.SchNet."""
    return public_name(type(model))


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
        arguments: of the constructor; a model is given as {"class_path": ..., "init_args": {...}},
            also in a list of models.

    Raises:
        TorchMLError: there is no such class, or the arguments do not fit it.
    """
    cls = find_class(class_path)
    values = {name: _built(value) for name, value in arguments.items()}
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


def _built(value: Any) -> Any:
    """Build the models among the arguments."""
    if isinstance(value, list):
        return [_built(entry) for entry in value]
    return build(value["class_path"], value.get("init_args", {})) if _is_model(value) else value


def _is_model(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def find_class(path: str) -> Callable[..., EdgeModel]:
    """Return the model class of this name; the models of this package need no path.

    Files of earlier versions name the module of a class, which may have moved since: its public
    name is tried too.

    Raises:
        TorchMLError: if there is no such class, or it is not a subclass of EdgeModel.
    """
    module_name, _, name = path.rpartition(".")
    try:
        cls = _class_in(module_name or _PUBLIC, name)
    except (ImportError, AttributeError, ValueError) as error:
        if not module_name.startswith(f"{_PUBLIC}."):
            raise TorchMLError(f"there is no model class '{path}': {error}") from None
        return find_class(f"{_PUBLIC}.{name}")
    if not (isinstance(cls, type) and issubclass(cls, EdgeModel)):
        raise TorchMLError(f"'{path}' is not a model class, expected a subclass of EdgeModel")
    return cls


def _class_in(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
