"""Dataclasses from mappings of plain values, checked against the types of their fields."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from torchml.errors import TorchMLError

T = TypeVar("T")


def from_mapping(cls: type[T], content: object, place: str) -> T:
    """Make a dataclass from a mapping; unknown keys and values of other types are errors.

    Args:
        cls: the dataclass.
        content: a mapping, or an instance of the class, which is checked as well.
        place: name of the mapping in errors ("config.trainer").

    Raises:
        TorchMLError: a key is unknown or missing, or a value has another type.
    """
    if isinstance(content, cls):
        content = {field.name: getattr(content, field.name) for field in fields(cls)}  # type: ignore[arg-type]
    if not isinstance(content, Mapping):
        raise TorchMLError(f"{place} is {content!r}, expected keys with values")
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise TorchMLError(f"{place}.{key} is an unknown key; {hint}")
    required = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]  # type: ignore[arg-type]
    if missing := [name for name in required if name not in content]:
        raise TorchMLError(f"{place} lacks {' and '.join(missing)}, expected a value")
    return cls(**{key: _value(hints[key], item, f"{place}.{key}") for key, item in content.items()})


def _value(hint: Any, value: Any, place: str) -> Any:
    """Convert a value to its type, including dataclasses inside it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for hint_option in arguments:
            if _fits(hint_option, value):
                return _value(hint_option, value, place)
    elif _fits(hint, value):
        if is_dataclass(hint) and isinstance(hint, type):
            return from_mapping(hint, value, place)
        if origin is list:
            return [_value(arguments[0], item, f"{place}[{k}]") for k, item in enumerate(value)]
        if origin is dict:
            return {
                key: _value(arguments[1], item, f"{place}.{key}") for key, item in value.items()
            }
        if hint is float:
            return _number(value)
        return tuple(value) if origin is tuple else value
    raise TorchMLError(f"{place} is {value!r}, expected {_words(hint)}")


def _fits(hint: Any, value: Any) -> bool:
    """Whether the value has the type; its items are not checked."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in get_args(hint) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and len(value) == len(get_args(hint))
    if origin is list:
        return isinstance(value, (list, tuple))
    if origin is dict or is_dataclass(hint):
        return isinstance(value, Mapping) or (isinstance(hint, type) and isinstance(value, hint))
    if hint is float and isinstance(value, str):
        return _number(value) is not None
    if hint in (int, float):
        allowed = (int, float) if hint is float else int
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, hint)


def _number(value: Any) -> float | None:
    """Return a number, also from a text: YAML reads 1e-3 as a text, as it has no point."""
    try:
        return float(value)
    except ValueError:
        return None


def _words(hint: Any) -> str:
    """Describe a type in words."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(option) for option in arguments)
    if origin is Literal:
        return " or ".join(repr(option) for option in arguments)
    if origin in (list, tuple):
        return "a list"
    if origin is dict or is_dataclass(hint):
        return "keys with values"
    return names.get(hint, "null" if hint is type(None) else str(hint))
