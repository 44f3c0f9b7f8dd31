"""The keys of a model's metadata: one table, which the driver reads too.

A key is written into an archive as an extra file. Keys and choices that have an older name are
written under it, so that drivers of all versions read them; provenance is in a folder of its own,
which older drivers ignore.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torchml.errors import ModelError

Value = str | float | int | bool | tuple[str, ...]

FOLDERS = {"archive": "torchml/", "provenance": "torchml_provenance/"}


@dataclass(frozen=True)
class Key:
    """A key of the metadata.

    Attributes:
        name: as in `ModelMetadata`.
        alias: an older name, or "".
        kind: string, number, integer, list (words), lines, flag or choice.
        meaning: one line, with the unit.
        choices: name and older name (or "") of each possible value.
        minimum: smallest value of an integer.
        place: where the key is written: archive, provenance or param (only in a `.param` file).
    """

    name: str
    alias: str
    kind: str
    meaning: str
    choices: tuple[tuple[str, str], ...] = ()
    minimum: int = 0
    place: str = "archive"


_FLOATS = (("float32", ""), ("float64", ""))
_CONVENTIONS = (("raw", "none"), ("graph", ""), ("edges", ""), ("descriptor", ""))
_KEYS = (
    Key("format", "", "integer", "version of these keys: 1", minimum=1),
    Key("convention", "", "choice", "how forward is called", _CONVENTIONS),
    Key("species", "", "list", "chemical symbols in the order of the species codes"),
    Key("cutoff", "", "number", "radius of a neighbour list, Å"),
    Key("layers", "", "integer", "message-passing layers", minimum=0),
    Key("dtype", "", "choice", "float type of the model", _FLOATS),
    Key("input_dtype", "", "choice", "float type of forward's arguments, if another", _FLOATS),
    Key(
        "species_input",
        "",
        "choice",
        "what the species argument holds",
        (("code", ""), ("atomic_number", "")),
    ),
    Key(
        "stage_edges",
        "edges",
        "choice",
        "edges of a staged graph",
        (("symmetric", ""), ("directed", "")),
    ),
    Key("returns_forces", "", "flag", "forward returns (energy, derivative)"),
    Key("radial", "", "flag", "the energy depends on the lengths of edges only"),
    Key("extensions", "", "list", "operator libraries to load first, names or paths"),
    Key("descriptor", "", "string", "kind of the descriptor, as in a .param file"),
    Key("descriptor_parameters", "", "string", "parameters of the descriptor"),
    Key("inputs", "", "string", "of a compiled archive: name:type[sizes] of each tensor"),
    Key("device", "", "string", "of a compiled archive: cpu or cuda"),
    Key("instruction_set", "", "string", "of a compiled archive: what the processor must have"),
    Key("torch", "", "string", "of a compiled archive: the version of torch that compiled it"),
    Key("name", "", "string", "name of the model", place="provenance"),
    Key("authors", "", "lines", "authors, one per line", place="provenance"),
    Key("references", "", "lines", "publications, one per line", place="provenance"),
    Key("training_data", "", "string", "what the model was trained on", place="provenance"),
    Key("torchml_version", "", "string", "version that wrote the archive", place="provenance"),
    Key(
        "receptive_field", "", "number", "distance up to which atoms matter, Å", place="provenance"
    ),
    Key("precision", "", "string", "float types of weights and sums", place="provenance"),
    Key("number_of_inputs", "", "integer", "arguments of forward", minimum=1, place="param"),
    Key("model", "", "string", "file name of the archive", place="param"),
)


def metadata_keys() -> tuple[Key, ...]:
    """Return all keys, in the order in which messages and pages list them."""
    return _KEYS


def find_key(name: str) -> Key | None:
    """Return the key of this name or older name."""
    return next((key for key in metadata_keys() if name in (key.name, key.alias)), None)


def choices(name: str) -> tuple[str, ...]:
    """Return the values that a key of the kind choice can have."""
    key = find_key(name)
    return tuple(choice for choice, _ in key.choices) if key else ()


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
    values = {}
    for name, text in texts.items():
        if (key := find_key(name)) is None:
            names = ", ".join(key.name for key in metadata_keys())
            raise ModelError(f"unknown key '{name}' in {source}, expected one of {names}")
        if text.strip():
            values[key.name] = _parse(key, text.strip(), source)
    return values


def _parse(key: Key, text: str, source: str) -> Value:
    expected = ""
    if key.kind == "string":
        return text
    if key.kind == "lines":
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if key.kind == "list":
        words = tuple(text.split())
        if key.name != "species" or len(set(words)) == len(words):
            return words
        expected = "each species once"
    elif key.kind == "choice":
        for name, alias in key.choices:
            if text.lower() in (name, alias):
                return name
        expected = "one of " + ", ".join(name for name, _ in key.choices)
    elif key.kind == "flag":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        expected = "true or false"
    elif key.kind == "number":
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and number > 0:
            return number
        expected = "a positive number of Å"
    else:
        integer = int(text) if text.removeprefix("-").isdigit() else key.minimum - 1
        if key.name == "format" and integer != 1:
            expected = "1, the only metadata format this version reads"
        elif integer >= key.minimum:
            return integer
        else:
            expected = f"an integer of at least {key.minimum}"
    raise ModelError(f"'{key.name}' is '{text}' in {source}, expected {expected}")


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
    files = {}
    values = parse(texts, source)
    for key in metadata_keys():
        if key.name not in values or key.place not in FOLDERS:
            continue
        value = values[key.name]
        text = next(
            (old for new, old in key.choices if old and new == value), to_text(key.name, value)
        )
        files[FOLDERS[key.place] + (key.alias or key.name)] = text
    return files


def key_of_file(file: str) -> str:
    """Return the key that an extra file of this name holds, or ""."""
    return next(
        (file.removeprefix(folder) for folder in FOLDERS.values() if file.startswith(folder)), ""
    )
