"""OCP's configuration files: includes, overrides, sweeps."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from torchml.compat.ocp import versions
from torchml.compat.ocp.flags import Flags, combination, value_of
from torchml.compat.ocp.versions import Version
from torchml.errors import FileError, TorchMLError

Content = dict[str, Any]

# Keys of `task` that the documentation of OCP shows at the top level.
_OF_TASK = (
    *("relax_dataset", "write_pos", "relaxation_steps", "relaxation_fmax", "relax_opt"),
    *("num_relaxation_batches", "eval_relaxations", "save_full_traj"),
)
_PARTS = ("train", "val", "test")


def load(flags: Flags) -> tuple[Content, Version, list[str]]:
    """Read the configuration of a command line.

    Returns:
        The content with `dataset` as a mapping of train, val, test and relax; the version of OCP;
        and sentences for the user.

    Raises:
        TorchMLError: a file is missing, is no YAML, or files contradict.
    """
    path = Path(flags.config_yml)
    tree = _read(path, ())
    name = flags.version_of_ocp
    given = tree.content.pop("version_of_ocp", None)
    version, reason = versions.choose(name or given, list(tree.parts()))
    content = tree.merged(version)
    content = complete(content)
    for word in flags.overrides:
        override(content, word)
    if flags.config_override is not None:
        _merge_override(content, flags.config_override)
    return content, version, [f"version of OCP: {version.name} ({reason})"]


def complete(content: Mapping[str, Any]) -> Content:
    """Return the content with one form of `dataset` and of `task`.

    Raises:
        TorchMLError: `dataset` has a form that no version of OCP reads, or a key is there twice.
    """
    whole = copy.deepcopy(dict(content))
    whole["dataset"] = _dataset(whole.get("dataset"))
    task = dict(_mapping(whole.get("task") or {}, "task"))
    for key in _OF_TASK:
        if key not in whole:
            continue
        if key in task:
            raise TorchMLError(f"{key} and task.{key} are both given, expected task.{key}")
        task[key] = whole.pop(key)
    whole["task"] = task
    return whole


def override(content: Content, word: str) -> None:
    """Replace a value, as `--section.key=value` says; `--key=value` means the key of any section.

    Raises:
        TorchMLError: a key is that of no section.
    """
    name, _, text = word.removeprefix("--").partition("=")
    *path, leaf = name.split(".")
    value = value_of(text)
    if not path and leaf not in content:
        sections = [part for part in content.values() if isinstance(part, dict) and leaf in part]
        if not sections:
            raise TorchMLError(
                f"--{name} names no key of the configuration, expected --SECTION.KEY=VALUE"
            )
        for section in sections:
            section[leaf] = value
        return
    branch: Any = content
    for key in path:
        if branch is content.get("dataset") and key.isdigit() and int(key) < len(_PARTS):
            key = _PARTS[int(key)]  # the place in the list of earlier versions
        branch = branch.setdefault(key, {})
        if not isinstance(branch, dict):
            raise TorchMLError(f"--{name}: '{key}' has no keys, it is {branch!r}")
    branch[leaf] = value


def grid(flags: Flags) -> list[Flags]:
    """Return one command line for each combination of the values of a sweep.

    Raises:
        TorchMLError: the file is missing, or a value is no list.
    """
    if flags.sweep_yml is None:
        return [flags]
    path = Path(flags.sweep_yml)
    axes = list(_flat(_yaml(path)))
    for name, values in axes:
        if not isinstance(values, list):
            raise TorchMLError(f"{path}: {name} is {values!r}, expected a list of values")
    words = tuple(word for word in flags.words if not word.startswith("--sweep-yml="))
    if "--sweep-yml" in words:
        place = words.index("--sweep-yml")
        words = (*words[:place], *words[place + 2 :])
    runs = []
    for number, values in enumerate(itertools.product(*(values for _, values in axes))):
        chosen = tuple(
            f"--{name}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
            for (name, _), value in zip(axes, values, strict=True)
        )
        runs.append(combination(flags, number, words, chosen))
    return runs


# --- Files -------------------------------------------------------------------------------------


class _Tree:
    """A file and those that it includes."""

    def __init__(self, path: Path, content: Content, included: Sequence[_Tree]) -> None:
        self.path = path
        self.content = content
        self.included = included

    def parts(self) -> Iterator[Content]:
        yield self.content
        for tree in self.included:
            yield from tree.parts()

    def merged(self, version: Version) -> Content:
        """Join the files as this version of OCP does."""
        if version.includes_override:
            whole = dict(self.content)
            for tree in self.included:
                whole |= tree.merged(version)
            return whole
        whole = {}
        for tree in self.included:
            part = tree.merged(version)
            if twice := next(iter(_common(whole, part)), None):
                raise TorchMLError(
                    f"{self.path} includes files that both have {twice}, expected it in one of them"
                )
            whole = _joined(whole, part)
        return _joined(whole, self.content)


def _read(path: Path, above: tuple[Path, ...]) -> _Tree:
    if path.resolve() in above:
        raise TorchMLError(f"{path} includes itself, expected files without a circle")
    content = _yaml(path)
    includes = content.pop("includes", None) or []
    if not isinstance(includes, list):
        raise TorchMLError(f"{path}: includes is {includes!r}, expected a list of files")
    here = (*above, path.resolve())
    return _Tree(path, content, [_read(_included(str(one), path), here) for one in includes])


def _included(name: str, by: Path) -> Path:
    """The path from the working directory, as in OCP, else from a folder above the main file."""
    folders = [Path(), *by.absolute().parents]
    return next((folder / name for folder in folders if (folder / name).is_file()), Path(name))


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses keys that a mapping has twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value]
        if twice := {name for name in names if names.count(name) > 1} - {"<<"}:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{min(twice)}' is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _yaml(path: Path) -> Content:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file, expected a configuration of OCP") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    return dict(_mapping(content, str(path)))


# --- Mappings ----------------------------------------------------------------------------------


def _dataset(content: Any) -> Content:
    """The parts by name: a list means train, val and test; a single part is that of training."""
    if content is None:
        return {}
    if isinstance(content, list):
        if len(content) > len(_PARTS):
            raise TorchMLError(
                f"dataset has {len(content)} entries, expected those for train, val and test"
            )
        return dict(zip(_PARTS, content, strict=False))
    parts = _mapping(content, "dataset")
    return {"train": dict(parts)} if "src" in parts else dict(parts)


def _mapping(content: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise TorchMLError(f"{place} is {content!r}, expected keys with values")
    return content


def _merge_override(content: Content, text: str) -> None:
    try:
        given = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise TorchMLError(f"--config-override: {' '.join(str(error).split())}") from None
    given = dict(_mapping(given, "--config-override"))
    if "dataset" in given:
        given["dataset"] = _dataset(given["dataset"])
    merged = _joined(content, given)
    content.clear()
    content.update(merged)


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> Content:
    """Both, with the values of the other where a key is in both."""
    whole = dict(one)
    for key, value in other.items():
        old = whole.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        whole[key] = _joined(old, value) if both else value  # type: ignore[arg-type]
    return whole


def _common(one: Mapping[str, Any], other: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """Names of the values that are in both."""
    for key in one.keys() & other.keys():
        if isinstance(one[key], Mapping) and isinstance(other[key], Mapping):
            yield from _common(one[key], other[key], f"{name}{key}.")
        else:
            yield f"{name}{key}"


def _flat(content: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value
