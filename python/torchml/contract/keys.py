"""The keys of a model's metadata: the table of the driver, read through `torchml._core`.

A key is written into an archive as an extra file. Keys and choices that have an older name are
written under it, so that drivers of all versions read them; provenance is in a folder of its own,
which older drivers ignore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from torchml import _core

Value = str | float | int | bool | tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A key of the metadata.

    Attributes:
        name: as in `ModelMetadata`.
        aliases: older names.
        kind: string, number, integer, list (words), lines, flag or choice.
        choices: the values of a choice.
        place: where the key is written: archive, provenance or param (only in a `.param` file).
        meaning: one line, with the unit.
    """

    name: str
    aliases: tuple[str, ...]
    kind: str
    choices: tuple[str, ...]
    place: str
    meaning: str


@cache
def metadata_keys() -> tuple[Key, ...]:
    """Return all keys, in the order in which messages and pages list them."""
    return tuple(
        Key(
            entry["name"],
            tuple(entry["aliases"]),
            entry["kind"],
            tuple(entry["choices"]),
            entry["place"],
            entry["meaning"],
        )
        for entry in _core.metadata_keys()
    )


def find_key(name: str) -> Key | None:
    """Return the key of this name or older name."""
    return next((key for key in metadata_keys() if name in (key.name, *key.aliases)), None)


def choices(name: str) -> tuple[str, ...]:
    """Return the values that a key of the kind choice can have."""
    key = find_key(name)
    return key.choices if key else ()


def parse(texts: Mapping[str, str], source: str) -> dict[str, Value]:
    """Read the texts of keys; empty texts declare nothing.

    Args:
        texts: text by name or older name of a key.
        source: where the texts were read, for messages.

    Returns:
        Values by the present names of their keys; older names of choices become the present ones.

    Raises:
        TorchMLError: names the key, its text, the source and what was expected.
    """
    return _immutable(_core.parse_metadata(dict(texts), source))


def merge(*sources: tuple[str, Mapping[str, str]]) -> dict[str, Value]:
    """Read the texts of several sources.

    Args:
        sources: name, for messages, and texts of each source.

    Raises:
        TorchMLError: a text is wrong, or two sources contradict each other.
    """
    return _immutable(_core.merge_metadata([(name, dict(texts)) for name, texts in sources]))


def _immutable(values: Mapping[str, str | float | int | bool | list[str]]) -> dict[str, Value]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def to_text(name: str, value: object) -> str:
    """Write a value, a sequence word by word or line by line, so that `parse` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))  # numpy's floats too
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    key = find_key(name)
    return ("\n" if key and key.kind == "lines" else " ").join(map(str, value))


def extra_files(texts: Mapping[str, str], source: str) -> dict[str, str]:
    """Return the extra files of an archive that declare `texts`: text by file name.

    Keys and choices are written under their oldest names.
    """
    return _core.metadata_files(dict(texts), source)


def key_of_file(file: str) -> str:
    """Return the key that an extra file of this name holds, or ""."""
    return _core.metadata_key_of_file(file)
