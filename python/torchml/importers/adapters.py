"""The packages whose models can be read: what their adapters declare, without importing one."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torchml.importers import reading

FOLDER = Path(reading.__file__).parent


@dataclass(frozen=True)
class Adapter:
    """What a module of `torchml.importers.reading` declares of its package.

    Attributes:
        kind: its name after `--from`.
        module: what it imports; the classes in the package's pickles begin with its first name.
        install: requirements of an environment that works, for pip.
        reads: which weights, in a few words.
        way: graph or network: whether the package's own code is traced, or a network of ours takes
            the weights; refused where a package's models cannot be imported.
    """

    kind: str
    module: str
    install: tuple[str, ...]
    reads: str
    way: str
    name: str = ""
    mark: str = ""


@cache
def adapters() -> dict[str, Adapter]:
    """All adapters by kind, in alphabetical order."""
    declared = {file.stem: _constants(file) for file in sorted(FOLDER.glob("*.py"))}
    return {
        kind: Adapter(
            kind,
            values["MODULE"],
            tuple(values["INSTALL"]),
            values.get("READS", ""),
            values.get("WAY", "graph"),
            values.get("NAME", ""),
            values.get("MARK", ""),
        )
        for kind, values in declared.items()
        if "MODULE" in values
    }


def is_kind(kind: str) -> bool:
    """Whether a text after `--from` is an adapter's name, or FILE.py:function."""
    return kind in adapters() or kind.rpartition(":")[0].endswith(".py")


def expected_kinds() -> str:
    """What may follow `--from`, for errors and help."""
    return " | ".join([*adapters(), "FILE.py:function"])


def kind_of(names: Iterable[str]) -> tuple[str, str] | None:
    """The first class of a package that an adapter reads, and the adapter's kind.

    Args:
        names: of `torchml.importers.pickles.foreign_names`.
    """
    packages = {adapter.module.partition(".")[0]: kind for kind, adapter in adapters().items()}
    for name in names:
        if kind := packages.get(name.partition(".")[0]):
            return name, kind
    return None


def kind_of_texts(texts: Collection[str]) -> str | None:
    """The kind of the adapter whose mark is among the texts in a file, if there is one.

    Args:
        texts: of `torchml.importers.pickles.texts_of`.
    """
    return next((kind for kind, one in adapters().items() if one.mark in texts), None)


def _constants(file: Path) -> dict[str, Any]:
    """The constants in capital letters at the top of a module, whose values are literals."""
    found: dict[str, Any] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return {name: value for name, value in found.items() if name.isupper()}
