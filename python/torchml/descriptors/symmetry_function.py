"""One symmetry function, and the rows of parameters that represent it in files.

J. Behler, J. Chem. Phys. 134, 074106 (2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Literal, cast, get_args

from torchml.descriptors.checks import finite
from torchml.errors import TorchMLError

FunctionKind = Literal["g1", "g2", "g3", "g4", "g5"]

# Columns of the rows of each function, with the names of KLIFF.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "g1": (),
    "g2": ("eta", "Rs"),
    "g3": ("kappa",),
    "g4": ("zeta", "lambda", "eta"),
    "g5": ("zeta", "lambda", "eta"),
}


@dataclass(frozen=True)
class SymmetryFunction:
    """A symmetry function; parameters of other kinds are ignored.

    Attributes:
        kind: g1 to g5.
        eta: 1/Å² (g2, g4, g5).
        Rs: Å (g2).
        kappa: 1/Å (g3).
        zeta: g4, g5.
        lambda_: g4, g5.
    """

    kind: FunctionKind
    eta: float = 0.0
    Rs: float = 0.0
    kappa: float = 0.0
    zeta: float = 1.0
    lambda_: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FunctionKind):
            raise TorchMLError(f"a symmetry function is '{self.kind}', expected g1 to g5")
        for name in ("eta", "Rs", "kappa", "zeta", "lambda_"):
            number = finite(f"{name.rstrip('_')} of {self.kind}", getattr(self, name))
            object.__setattr__(self, name, number)

    def row(self) -> dict[str, float]:
        """Return the parameters of its kind by the names of KLIFF."""
        return {name: getattr(self, _attribute(name)) for name in _COLUMNS[self.kind]}


def _attribute(name: str) -> str:
    return "lambda_" if name == "lambda" else name


def rows_of(functions: Sequence[SymmetryFunction]) -> Any:
    """Return functions as plain values: {"g2": [{...}, ...], ...}, or a list of such mappings.

    The list is needed if functions of one kind are not consecutive.
    """
    groups = [
        {kind: [function.row() for function in group] if kind != "g1" else None}
        for kind, group in groupby(functions, key=lambda function: function.kind)
    ]
    # Several g1 need several mappings, because g1 has no rows.
    if any(a.kind == b.kind == "g1" for a, b in pairwise(functions)):
        groups = [{f.kind: [f.row()] if f.kind != "g1" else None} for f in functions]
    names = [name for group in groups for name in group]
    unique = len(set(names)) == len(names)
    return {k: v for group in groups for k, v in group.items()} if unique else groups


def functions_of(given: Any) -> Iterable[SymmetryFunction]:
    """Yield the functions of a mapping or a list, the inverse of `rows_of`."""
    if isinstance(given, Mapping):
        for kind, rows in given.items():
            if kind not in _COLUMNS:
                raise TorchMLError(
                    f"the symmetry function '{kind}' is unknown, expected one of: "
                    + " ".join(_COLUMNS)
                )
            if kind == "g1":  # rows of g1 in KLIFF have no meaning
                yield SymmetryFunction("g1")
                continue
            if isinstance(rows, str) or not isinstance(rows, Sequence) or not rows:
                raise TorchMLError(f"{kind} is {rows!r}, expected a list of rows of parameters")
            for row in rows:
                yield _function(kind, row)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        for entry in given:
            if isinstance(entry, SymmetryFunction):
                yield entry
            else:
                rows_by_kind = entry if isinstance(entry, Mapping) else {str(entry): None}
                yield from functions_of(rows_by_kind)
    else:
        raise TorchMLError(
            f"symmetry functions are {given!r}, expected a name, or rows of parameters by g1 to g5"
        )


def _function(kind: str, row: Any) -> SymmetryFunction:
    columns = _COLUMNS[kind]
    given = row if isinstance(row, Mapping) else ()
    names = ["lambda" if name == "lambda_" else name for name in given]
    if set(names) != set(columns):
        raise TorchMLError(
            f"a row of {kind} is {row!r}, expected a number for each of: {' '.join(columns)}"
        )
    values = {_attribute(name): value for name, value in zip(names, row.values(), strict=True)}
    return SymmetryFunction(cast(FunctionKind, kind), **values)
