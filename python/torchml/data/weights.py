"""Weights of configurations in a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchml.data.configuration import Configuration, Weights
from torchml.data.sequences import LazyConfigurations
from torchml.errors import DataError, FileError, TorchMLError

NAMES = ("config", "energy", "forces", "stress")


def apply_weights(
    configurations: Sequence[Configuration],
    weights: float | Mapping[str, float] | str | Path | Weights | Sequence[Weights],
) -> Sequence[Configuration]:
    """Return the configurations with other weights.

    Args:
        configurations: any number.
        weights: a number for energy, forces and stress; a mapping with config, energy, forces and
            stress, where config multiplies the others and omitted ones are 1; the path of a file
            for `read_weights`; or a list with one entry for each configuration.

    Raises:
        DataError: the numbers of weights and of configurations differ, or a weight is negative.
    """
    if isinstance(weights, str | Path):
        path = Path(weights)
        several = read_weights(path)
        if len(several) not in (1, len(configurations)):
            raise DataError(
                f"{path} has weights for {len(several)} configurations, expected one or "
                f"{len(configurations)}"
            )
    elif isinstance(weights, Mapping):
        several = [_from_mapping(weights, 1.0, "the weights")]
    elif isinstance(weights, Weights):
        several = [weights]
    elif isinstance(weights, Sequence):
        several = [weight for weight in weights if isinstance(weight, Weights)]
        if len(several) != len(configurations):
            raise DataError(
                f"there are weights for {len(several)} configurations, expected "
                f"{len(configurations)}"
            )
    else:
        several = [_from_mapping({"config": weights}, 1.0, "the weights")]
    if len(several) == 1:
        several *= len(configurations)
    if isinstance(configurations, list):
        return [replace(c, weights=w) for c, w in zip(configurations, several, strict=True)]
    return _Weighted(configurations, several)


def read_weights(path: str | Path) -> list[Weights]:
    """Read weights from a file, for all configurations (one row) or one row for each.

    A table has a line of names (Config, Energy, Forces and Stress in any case and order), and
    rows of numbers. A file .yaml or .yml has a list of mappings with these names, or one mapping.
    As in KLIFF, config multiplies the others and omitted energy, forces or stress are 0; if
    all three are omitted, config is used for each.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"the weights {path} cannot be read: {error}") from None
    rows = _yaml_rows(text, path) if path.suffix in (".yaml", ".yml") else _table_rows(text, path)
    if not rows:
        raise DataError(f"{path} holds no weights, expected names and rows of numbers")
    return [_from_mapping(row, 0.0, f"{path}, row {index}") for index, row in enumerate(rows)]


def _table_rows(text: str, path: Path) -> list[dict[str, Any]]:
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return []
    header = [name.lower() for name in lines[0]]
    rows = []
    for index, words in enumerate(lines[1:]):
        if len(words) != len(header):
            raise DataError(f"{path}, row {index} has {len(words)} columns, expected {len(header)}")
        rows.append(dict(zip(header, words, strict=True)))
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {' '.join(lines[0])}")
    return rows


def _yaml_rows(text: str, path: Path) -> list[dict[str, Any]]:
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FileError(f"{path} cannot be read as YAML: {error}") from None
    rows = [content] if isinstance(content, dict) else content or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FileError(f"{path} is no list of weights, expected a mapping for each row")
    return [{str(name).lower(): value for name, value in row.items()} for row in rows]


def _from_mapping(values: Mapping[str, Any], missing: float, where: str) -> Weights:
    unknown = sorted(set(values) - set(NAMES))
    if unknown:
        raise DataError(f"{where}: '{unknown[0]}' is unknown, expected {', '.join(NAMES)}")
    numbers = {}
    for name, value in values.items():
        try:
            if isinstance(value, bool):
                raise TypeError
            numbers[name] = float(value)
        except (TypeError, ValueError):
            raise DataError(f"{where}: {name} is {value!r:.40}, expected one number") from None
    whole = numbers.pop("config", 1.0)
    other = missing if numbers else 1.0
    try:
        return Weights(*(whole * numbers.get(name, other) for name in NAMES[1:]))
    except TorchMLError as error:
        raise DataError(f"{where}: {error}") from None


class _Weighted(LazyConfigurations):
    """Configurations that are read on demand, with other weights."""

    def __init__(self, whole: Sequence[Configuration], weights: Sequence[Weights]) -> None:
        self.whole = whole
        self.known_sizes = getattr(whole, "known_sizes", None)
        self.weights = weights

    def __len__(self) -> int:
        return len(self.whole)

    def read(self, index: int) -> Configuration:
        return replace(self.whole[index], weights=self.weights[index])
