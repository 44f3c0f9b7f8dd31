"""Configuration files and values of the command line, merged as LightningCLI merges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torchml.errors import FileError, TorchMLError

_OF_CLASS = ("class_path", "init_args")
_SHARED = ("model", "data")  # sections whose classes have the same arguments


def read(path: str | Path) -> dict[str, Any]:
    """Return the content of a YAML file.

    Raises:
        FileError: there is no such file, or it contains no keys with values.
    """
    yaml = import_module("yaml")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{path}: no such file, expected a configuration in YAML") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise FileError(f"{path} contains no keys with values, expected a configuration")
    return content


def merged(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one document; later values replace earlier ones, and another class its arguments.

    Tasks have the same arguments, and so have data modules: there another class keeps them.
    """
    result: dict[str, Any] = {}
    for document in documents:
        result = _merge(result, _with_arguments(result, document))
    return result


def put(content: dict[str, Any], key: str, text: str) -> None:
    """Set the value of a dotted key of the command line (`data.init_args.batch_size`).

    As in LightningCLI, `init_args` may be left out, and a text in place of a class is its path.

    Raises:
        TorchMLError: a part of the key has a value that is no section.
    """
    yaml = import_module("yaml")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    section, (*path, leaf) = content, key.split(".")
    for name in path:
        section = _arguments(section, name).setdefault(name, {})
        if not isinstance(section, dict):
            raise TorchMLError(f"--{key}: '{name}' is {section!r}, expected keys with values")
    section = _arguments(section, leaf)
    is_class = isinstance(section.get(leaf), dict) and "class_path" in section[leaf]
    if is_class and isinstance(value, str):
        value = {"class_path": value}
        value = _with_arguments(content, {key: value})[key]
    section[leaf] = value


def class_and_arguments(content: Any, place: str) -> tuple[str | None, Any]:
    """Return the class path and the arguments of a section.

    Args:
        content: {class_path, init_args}, a class path alone, or arguments alone.
        place: key of the section in errors.

    Raises:
        TorchMLError: there is another key beside class_path and init_args.
    """
    if isinstance(content, str):
        return content, {}
    if not isinstance(content, Mapping) or "class_path" not in content:
        return None, content
    if other := [key for key in content if key not in _OF_CLASS]:
        raise TorchMLError(
            f"{place}.{other[0]} stands beside class_path, expected it in {place}.init_args"
        )
    return str(content["class_path"]), content.get("init_args") or {}


def _with_arguments(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """The new document, with the old arguments where a section that shares them has a new class."""
    whole = dict(new)
    for key in _SHARED:
        before, after = old.get(key), new.get(key)
        if not (isinstance(before, Mapping) and "class_path" in before):
            continue
        if isinstance(after, str):
            after = {"class_path": after}
        if isinstance(after, Mapping) and "class_path" in after:
            arguments = _merge(before.get("init_args") or {}, after.get("init_args") or {})
            whole[key] = {**after, "init_args": arguments}
    return whole


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, str) and isinstance(new, Mapping) and set(new) == {"init_args"}:
        old = {"class_path": old}
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return new
    if "class_path" in new and old.get("class_path") not in (None, new["class_path"]):
        return dict(new)
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _arguments(section: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments of a class, if the section is one and the key is not of the class itself."""
    if "class_path" not in section or name in _OF_CLASS:
        return section
    arguments: dict[str, Any] = section.setdefault("init_args", {})
    return arguments
