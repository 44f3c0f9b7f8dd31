"""Checks of data before training.

A configuration checks itself when it is made: shapes, finite values, known elements, at least one
atom. These checks depend on the task and on the other configurations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.errors import DataError

LABELS = ("energy", "forces", "stress")


def check_labels(configurations: Sequence[Configuration], required: Collection[str]) -> None:
    """Raise DataError with the first configuration that lacks one of the labels or targets."""
    for configuration in track(configurations, "checking labels", len(configurations)):
        for name in required:
            check_label(configuration, name)


def check_species(configurations: Sequence[Configuration], species: Collection[str]) -> None:
    """Raise DataError with the first configuration that has another element than the symbols."""
    known = np.array([chemical_symbols.index(symbol) for symbol in species])
    for configuration in track(configurations, "checking elements", len(configurations)):
        strange = ~np.isin(configuration.numbers, known)
        if strange.any():
            atom = int(np.argmax(strange))
            symbol = chemical_symbols[configuration.numbers[atom]]
            raise DataError(
                f"{configuration.name}: atom {atom} is {symbol}, expected one of "
                f"{', '.join(species)}"
            )


def check_duplicates(configurations: Sequence[Configuration]) -> None:
    """Raise DataError with two configurations of equal atoms, positions, cell and pbc."""
    seen: dict[bytes, str] = {}
    for configuration in track(configurations, "looking for duplicates", len(configurations)):
        digest = structure_digest(configuration)
        if digest in seen:
            raise DataError(
                f"{configuration.name} is a duplicate of {seen[digest]}: atoms, positions and cell "
                "are the same, expected each structure once (or data.duplicates: allow)"
            )
        seen[digest] = configuration.name


def structure_codes(configurations: Sequence[Configuration]) -> NDArray[np.int64]:
    """One number for each different structure, sorted, i64[n]; equal structures have equal ones."""
    codes = [int.from_bytes(structure_digest(c)[:8], "little", signed=True) for c in configurations]
    return np.unique(np.array(codes, dtype=np.int64))


def repeated_labels(
    configurations: Sequence[Configuration],
) -> list[tuple[Configuration, Configuration]]:
    """Return pairs of different structures with equal energies and equal forces, to the bit.

    ASE writes the results of a calculator with positions that changed after the calculation.
    Structures that differ by a translation, and forces that are all zero, are left out.
    """
    seen: dict[bytes, Configuration] = {}
    pairs = []
    for c in track(configurations, "looking for repeated labels", len(configurations)):
        if c.energy is None or c.forces is None or np.abs(c.forces).max() < 1e-8:
            continue
        digest = hashlib.blake2b(np.append(c.forces, c.energy).tobytes(), digest_size=16).digest()
        first = seen.setdefault(digest, c)
        if first is not c and not _equal_but_for_translation(first, c):
            pairs.append((first, c))
    return pairs


def describe_repeated_labels(pairs: Sequence[tuple[Configuration, Configuration]]) -> str:
    """Return the sentence about such pairs."""
    first, second = pairs[0]
    others = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
    return (
        f"{second.name} has the energy and the forces of {first.name}, but other positions"
        f"{others}: such labels belong to a structure before it was changed"
    )


def _equal_but_for_translation(first: Configuration, second: Configuration) -> bool:
    """Whether two structures are equal, apart from a translation and periodic images."""
    if not np.array_equal(first.numbers, second.numbers):
        return False
    if not (np.allclose(first.cell, second.cell) and np.array_equal(first.pbc, second.pbc)):
        return False
    shifts = second.positions - first.positions
    shifts -= shifts[0]
    if first.pbc.any():
        fractions = shifts @ np.linalg.pinv(first.cell)
        shifts = shifts - (np.round(fractions) * first.pbc) @ first.cell
    return bool(np.abs(shifts).max() < 1e-6)


def structure_digest(configuration: Configuration) -> bytes:
    """Equal for two configurations if, and only if, their structures are equal to the bit."""
    c = configuration
    digest = hashlib.blake2b(digest_size=16)
    digest.update(c.numbers.tobytes())
    for values in (c.positions, c.cell):
        digest.update((values + 0.0).tobytes())  # -0 is 0
    digest.update(c.pbc.tobytes())
    return digest.digest()


def check_label(configuration: Configuration, name: str) -> None:
    """Raise DataError with the configuration if it lacks the label or target."""
    if name in LABELS:
        if getattr(configuration, name) is None:
            raise DataError(
                f"{configuration.name} has no {name}, which the task needs: see data.keys.{name}; "
                "missing: mask lets the task go without"
            )
        if name == "stress" and not configuration.pbc.any():
            raise DataError(
                f"{configuration.name} has a stress although it repeats in no direction; "
                "missing: mask leaves it out"
            )
        return
    if name not in configuration.targets:
        there = ", ".join(f"'{target}'" for target in configuration.targets) or "no targets"
        raise DataError(
            f"{configuration.name} has no target '{name}', it has {there}: see keys.targets"
        )
