"""The second line of a configuration in extended XYZ: key=value pairs.

Values are words, text in single or double quotes, or arrays in brackets or braces. Where a line can
be read in two ways, it is an error: a wrong guess would change the structure.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from torchml.errors import DataError

_SPACE = re.compile(r"\s*")
_KEY = re.compile(r"[^\s=\"']+")
_EQUALS = re.compile(r"\s*=")
_WORD = re.compile(r"[^\s\"']+")
_PLAIN_WORD = re.compile(r"\S+")
_QUOTED = {'"': re.compile(r'"((?:[^"\\]|\\.)*)"'), "'": re.compile(r"'((?:[^'\\]|\\.)*)'")}
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)$", re.I)
_ESCAPE = re.compile(r"\\([\"'\\n])")
_SEPARATORS = re.compile(r"[\s,]+")
_FLAGS = {
    **dict.fromkeys(("T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("F", "false", "False", "FALSE"), False),
}
_CLOSING = {"[": "]", "{": "}"}
# Keys that make a line one of extended XYZ, and the cell of i-PI, which is not read. Other lines
# with a "=" are remarks with some values.
_STRUCTURE = re.compile(r"\b(?:lattice|properties)\b|\bcell[({]", re.I)
# A value may contain "=" (a SMILES string), but not what a missing space makes of the next key.
_SWALLOWED = re.compile(r"(?:lattice|pbc|properties|energy|stress|virials?|weight)=", re.I)


def parse(line: str) -> dict[str, Any]:
    """Return the values of a line by key, as text or as nested lists of brackets.

    A key without "=" is "T", an empty value "". A line without any "=" is a remark, and has none.
    `value_of` converts text to numbers.

    Raises:
        DataError: a quote or bracket is not closed, a key is there twice, or a word is not clear.
    """
    strict = _STRUCTURE.search(line) is not None
    if "=" not in line:
        if strict:
            raise DataError(f"{_start(line)} has no '=', expected key=value")
        return {}
    values: dict[str, Any] = {}
    place, end = 0, len(line)
    while (place := _skip(line, place)) < end:
        start = place
        key, place = _key(line, place, strict)
        equals = _EQUALS.match(line, place)
        value: Any = "T"
        if equals:
            value, place = _value(line, place, equals.end(), strict)
        elif strict and (_NUMBER.match(key.rstrip(",")) or key in _FLAGS or key[0] in "[{"):
            raise DataError(
                f"{_start(line[start:])} belongs to no key, expected quotes around a value with "
                "spaces"
            )
        if key in values and (strict or equals):
            raise DataError(f"the key '{key}' is there twice, expected it once")
        values[key] = value
    return values


def value_of(value: Any) -> Any:
    """Return the number, the flag or the array that a text means; else the text.

    Numbers and flags in an array are separated by spaces or commas. Text that begins with _JSON
    holds JSON, as ASE writes it.
    """
    if isinstance(value, list):
        return _array(value)
    words = _SEPARATORS.split(value.strip(" \t,"))
    if words[0] in _FLAGS:
        flags = [_FLAGS.get(word) for word in words]
        if None not in flags:
            return flags[0] if len(flags) == 1 else flags
    elif value.startswith("_JSON "):
        try:
            return _array(json.loads(value[6:]))
        except ValueError:
            raise DataError(f"{value!r:.40} is not the JSON that it begins with") from None
    elif "_" not in value and words[0]:
        for number in (int, float):
            try:
                numbers: list[int] | list[float] = list(map(number, words))
            except ValueError:
                continue
            if len(numbers) == 1:
                return numbers[0]
            array = np.array(numbers)
            return array if array.dtype.kind in "if" else array.astype(float)  # large integers
    return value


def _key(line: str, place: int, strict: bool) -> tuple[str, int]:
    """The key at a place, and where it ends; a key with spaces is in quotes."""
    if line[place] in _QUOTED:
        key, place = _quoted(line, place)
        if key:
            return key, place
        raise DataError(f"{_start(line[place:])} follows an empty key, expected a name")
    match = _KEY.match(line, place)
    if match is None:
        raise DataError(f"{_start(line[place:])} has no key, expected a name before '='")
    end = match.end()
    if end < len(line) and line[end] in _QUOTED:
        if strict:
            raise DataError(
                f"{_start(line[place:])} has a quote within a word, expected it at the start of a "
                "value"
            )
        match = re.compile(r"[^\s=]+").match(line, place)
        assert match is not None
    return match[0], match.end()


def _value(line: str, before: int, place: int, strict: bool) -> tuple[Any, int]:
    """The value after "=", and where it ends; before is where the key ends."""
    start = _skip(line, place)
    if start == len(line):
        return "", start
    if start > place and not _is_value(line, before, start):
        return "", place
    place = start
    if line[place] in _QUOTED:
        value, end = _quoted(line, place)
    elif line[place] in _CLOSING:
        value, end = _bracketed(line, place)
    else:
        match = (_WORD if strict else _PLAIN_WORD).match(line, place)
        assert match is not None
        value, end = match[0], match.end()
        if not strict:
            value = value.rstrip(",")  # "time = 0.5, E = -17.1" of trajectories
    if isinstance(value, str) and line[start] not in _QUOTED and _SWALLOWED.search(value):
        raise DataError(f"{value!r:.40} contains a key, expected a space before it")
    if end < len(line) and not line[end].isspace():
        if not strict and line[end] == ",":
            return value, end + 1
        raise DataError(
            f"{_start(line[place:])} goes on after its value, expected a space before the next key"
        )
    return value, end


def _is_value(line: str, before: int, start: int) -> bool:
    """Whether what follows "= " is the value; else the value is empty.

    `energy = -1.5` and `config_type = bulk` have values, `config_type= Lattice="..."` has none.
    """
    if line[start] in _QUOTED:
        return not _EQUALS.match(line, _quoted(line, start)[1])
    if line[start] in _CLOSING:
        return True
    word = _PLAIN_WORD.match(line, start)
    assert word is not None
    if "=" in word[0] or _EQUALS.match(line, word.end()):
        return False
    if _NUMBER.match(word[0].rstrip(",")) or line[before].isspace():
        return True
    raise DataError(
        f"{_start(line[start:])} follows '= ' and may be a value or a key, expected no space after "
        '"=", or "" for an empty value'
    )


def _quoted(line: str, place: int) -> tuple[str, int]:
    match = _QUOTED[line[place]].match(line, place)
    if match is None:
        raise DataError(f"{_start(line[place:])} has an opening quote, expected a closing one")
    text = match[1]
    if "\\" in text:
        text = _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], text)
    return text, match.end()


def _bracketed(line: str, place: int) -> tuple[Any, int]:
    """An array: nested lists of brackets, or the text in braces."""
    end = _closing(line, place)
    inside = line[place + 1 : end - 1]
    if line[place] == "{":
        return inside.strip(), end
    try:
        return json.loads(line[place:end]), end
    except ValueError:  # words without quotes, or without commas
        pass
    if "[" not in inside:
        return inside.strip(), end
    rows = re.fullmatch(r"\s*(?:\[[^\[\]]*\][\s,]*)+", inside)
    if rows is None:
        raise DataError(f"{_start(line[place:])} is no array, expected lists of one depth")
    return [_words(row) for row in re.findall(r"\[([^\[\]]*)\]", inside)], end


def _words(row: str) -> list[Any]:
    return [value_of(word) for word in _SEPARATORS.split(row.strip(" \t,")) if word]


def _closing(line: str, place: int) -> int:
    """Where the bracket at a place is closed; quotes hide brackets."""
    expected: list[str] = []
    k = place
    while k < len(line):
        character = line[k]
        if character == '"':
            k = _quoted(line, k)[1]
            continue
        if character in _CLOSING:
            expected.append(_CLOSING[character])
        elif character in _CLOSING.values():
            if expected.pop() != character:
                break
            if not expected:
                return k + 1
        k += 1
    raise DataError(
        f"{_start(line[place:])} opens '{line[place]}', expected '{_CLOSING[line[place]]}' for it"
    )


def _array(value: Any) -> Any:
    """Nested lists of numbers or flags as an array, anything else as it is."""
    if isinstance(value, list):
        try:
            array = np.array(value)
        except (ValueError, OverflowError):  # rows of different lengths
            return value
        if array.dtype.kind in "ifb":
            return array
    return value


def _skip(line: str, place: int) -> int:
    match = _SPACE.match(line, place)
    assert match is not None
    return match.end()


def _start(text: str) -> str:
    """The beginning of a text, in quotes, for an error."""
    return repr(text.strip()[:30] + ("..." if len(text.strip()) > 30 else ""))
