"""Reference energies of the elements, which a model need not learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from torchml.data.configuration import Configuration
from torchml.data.progress import track
from torchml.errors import DataError


def fit_references(
    configurations: Sequence[Configuration], species: Sequence[str]
) -> dict[str, float]:
    """Fit one energy per element to the total energies, by least squares of the energy per atom.

    If compositions do not determine all energies, as in a set of isomers, the solution has the
    least norm: elements share the energy in proportion to their numbers, and an element that no
    configuration has gets 0. Configurations without energy do not count.

    Args:
        configurations: any number, at least one with an energy.
        species: symbols of all elements in them.

    Returns:
        eV per atom by symbol.

    Raises:
        DataError: no configuration has an energy, or one has another element.
    """
    column = {atomic_numbers[symbol]: k for k, symbol in enumerate(species)}
    rows: list[np.ndarray] = []
    energies: list[float] = []
    for c in track(configurations, "fitting reference energies", len(configurations)):
        if c.energy is None:
            continue
        row = np.zeros(len(species))
        for number, count in zip(*np.unique(c.numbers, return_counts=True), strict=True):
            if int(number) not in column:
                raise DataError(
                    f"{c.name} has {chemical_symbols[number]}, expected only {', '.join(species)}"
                )
            row[column[int(number)]] = count / len(c)
        rows.append(row)
        energies.append(c.energy / len(c))
    if not rows:
        raise DataError(
            f"none of {len(configurations)} configurations has an energy, expected some to fit "
            "reference energies to, or model.normalization.references: none"
        )
    # Many configurations have the same composition: their mean, weighted, gives the same answer.
    compositions, inverse, times = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    means = np.bincount(inverse.ravel(), energies) / times
    weights = np.sqrt(times)
    solution = np.linalg.lstsq(compositions * weights[:, None], means * weights, rcond=1e-10)[0]
    return {symbol: float(energy) for symbol, energy in zip(species, solution, strict=True)}


def reference_energy(configuration: Configuration, references: Mapping[str, float]) -> float:
    """Return the sum of the reference energies of its atoms (eV).

    Raises:
        DataError: an element has no reference energy.
    """
    total = 0.0
    numbers, counts = np.unique(configuration.numbers, return_counts=True)
    for number, count in zip(numbers, counts, strict=True):
        symbol = chemical_symbols[number]
        if symbol not in references:
            raise DataError(
                f"{configuration.name} has {symbol}, whose reference energy is missing, expected "
                f"one of {', '.join(references)}"
            )
        total += int(count) * references[symbol]
    return total


def elements(configurations: Iterable[Configuration]) -> list[str]:
    """Return the symbols of all elements that occur, by atomic number."""
    seen: set[int] = set()
    for configuration in configurations:
        seen.update(np.unique(configuration.numbers).tolist())
    return [chemical_symbols[number] for number in sorted(seen)]
