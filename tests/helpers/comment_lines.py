"""Random comment lines of extended XYZ, and what is right for them."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

from torchml.data.formats.comment_line import parse, value_of
from torchml.errors import DataError

_NAMES = (
    "energy",
    "Energy",
    "virial",
    "stress",
    "config_type",
    "REF_energy",
    "weight",
    "pbc",
    "a-b",
)
_WORDS = ("bulk", "a/b", "PBE+U", "x.y", "C:1", "-", "1.0f", "Si2", "T1")
_PIECES = (
    *(" ", "  ", "=", "= ", " =", '"', "'", "{", "}", "[", "]", "\\", ",", "\t", "T", "1", "-2.5"),
    *(
        '""',
        "''",
        "[]",
        "{}",
        'Lattice="1 0 0 0 1 0 0 0 1"',
        "pbc=F",
        "Properties=",
        "energy=",
        "é",
    ),
)


def well_formed(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A line that can be read in one way, and its values."""
    names = chance.sample(_NAMES, chance.randint(0, 5))
    expected: dict[str, Any] = {"Lattice": np.round(np.random.default_rng(0).normal(size=9), 3)}
    items = [f'Lattice="{" ".join(map(repr, expected["Lattice"].tolist()))}"']
    for name in names:
        value, text = chance.choice((_number, _flag, _word, _text, _empty, _array, _matrix))(chance)
        expected[name] = value
        items.append(f"{name}{text}")
    chance.shuffle(items)
    return chance.choice((" ", "  ", "\t")).join(items), expected


def _number(chance: random.Random) -> tuple[Any, str]:
    value = chance.choice((chance.randint(-99, 99), chance.uniform(-9, 9), 1e-12, -0.0))
    return value, chance.choice(("={}", '="{}"', "= {}", " = {}", "={{{}}}")).format(repr(value))


def _flag(chance: random.Random) -> tuple[Any, str]:
    value = chance.random() < 0.5
    return (True, "") if value and chance.random() < 0.3 else (value, f"={'FT'[value]}")


def _word(chance: random.Random) -> tuple[Any, str]:
    word = chance.choice(_WORDS)
    return word, chance.choice(("={}", '="{}"', "='{}'", " = {}")).format(word)


def _text(chance: random.Random) -> tuple[Any, str]:
    text = " ".join(chance.sample((*_WORDS, '"', "'", "\\", "=", "Lattice=", "{", "]"), 3))
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return text, f'="{escaped}"'


def _empty(chance: random.Random) -> tuple[Any, str]:
    return "", chance.choice(('=""', "=''", '= ""'))


def _array(chance: random.Random) -> tuple[Any, str]:
    value = [round(chance.uniform(-9, 9), 3) for _ in range(chance.choice((2, 3, 6, 9)))]
    text = chance.choice((" ", ", ", "  ")).join(map(repr, value))
    return np.array(value), chance.choice(('="{}"', "={{{}}}", "=[{}]", "='{}'")).format(text)


def _matrix(chance: random.Random) -> tuple[Any, str]:
    value = [[round(chance.uniform(-9, 9), 3) for _ in range(3)] for _ in range(3)]
    text = json.dumps(value)
    if chance.random() < 0.3:
        text = text.replace(",", "")
    return np.array(value), f"={text}" if chance.random() < 0.7 else f'="_JSON {json.dumps(value)}"'


def mutated(chance: random.Random, line: str) -> str:
    """The line after some insertions, deletions and replacements."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randint(0, len(line))
        end = min(len(line), place + chance.choice((0, 0, 1, 1, 5)))
        line = line[:place] + chance.choice((*_PIECES, "")) + line[end:]
    return line


def values(line: str) -> dict[str, Any]:
    """The values of a line, converted."""
    return {name: value_of(value) for name, value in parse(line).items()}


def check_well_formed(line: str, expected: dict[str, Any]) -> None:
    found = values(line)
    assert found.keys() == expected.keys(), (line, found)
    for name, value in expected.items():
        assert equal(found[name], value), (line, name, found[name], value)


def check_any(line: str) -> bool:
    """Check what holds for every line; returns whether ASE's reading was compared.

    Nothing but DataError is raised; what is accepted is read again from a plain spelling; and where
    ASE is right, it reads the same.
    """
    try:
        raw = parse(line)
        found = {name: value_of(value) for name, value in raw.items()}
    except DataError:
        return False
    again = parse(" ".join(['Lattice=""' * ("Lattice" not in raw), *map(_spelt, raw.items())]))
    if "Lattice" not in raw:
        del again["Lattice"]
    assert again == raw, (line, again, raw)
    if not _ase_is_right(line, raw):
        return False
    try:
        with np.errstate(all="ignore"):
            reference = key_val_str_to_dict(line)
    except Exception:  # nine numbers, or nothing
        return False
    assert reference.keys() == found.keys(), (line, reference, found)
    for name, value in reference.items():
        if np.ndim(value) == 2:
            value = np.ravel(value, order="F")
        assert equal(found[name], value), (line, name, found[name], value)
    return True


def _spelt(item: tuple[str, Any]) -> str:
    """A value in quotes with escapes, or as JSON."""
    name, value = item
    if isinstance(value, list):
        return f"{_in_quotes(name)}={json.dumps(value)}"
    return f"{_in_quotes(name)}={_in_quotes(value)}"


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _ase_is_right(line: str, raw: dict[str, Any]) -> bool:
    """Whether nothing in a line is known to be read wrongly by ASE.

    It drops backslashes, reads no nested brackets or quotes, takes the next key for an empty value,
    opens quotes and brackets within words, and drops empty keys.
    """
    if "\\" in line or "=" not in line or "_JSON" in line or "uid" in line:
        return False
    plain = re.sub(
        r"=\s*(\"[^\"]*\"|'[^']*'|\{[^{}\[\]\"']*\}|\[[^{}\[\]\"']*\])(?=\s|$)", "=0", line
    )
    if re.search(r"[\"'{}\[\]]|==", plain):
        return False
    if any(value in ("", []) or isinstance(value, list) for value in raw.values()):
        return False
    texts = [str(value) for value in raw.values()]
    if any(re.search(r"\d_\d|^[\s,]|[\s,]$|=", text) for text in texts):
        return False
    strict = re.search(r"\b(?:lattice|properties)\b", line, re.I)
    return strict is not None


def equal(a: Any, b: Any) -> bool:
    """Whether two values are equal; spaces around a text do not count."""
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a.strip() == b.strip()
    try:
        return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True))
    except TypeError:
        return bool(np.array_equal(np.asarray(a), np.asarray(b)))
