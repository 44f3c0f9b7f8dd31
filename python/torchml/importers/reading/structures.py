"""Structures on which a model is compared: crystal, slab, molecule, all species."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .source import Structure

_MOST_SPECIES = 24
_VACUUM = 3.0  # of the cutoff
# Å, the radius of carbon: in a crystal of hydrogen an atom would have thousands of neighbours.
_SMALLEST_RADIUS = 0.76


def structures_of(
    species: Sequence[str], cutoff: float, radii: Mapping[str, float]
) -> dict[str, Structure]:
    """Small random structures, the same in every call, by name.

    Args:
        species: chemical symbols of a model.
        cutoff: its largest distance of an edge (Å).
        radii: covalent radii (Å) by symbol, from which distances between atoms follow.

    Returns:
        All have a cell; that of molecule and slab has vacuum where it is not periodic.
    """
    generator = np.random.default_rng(11)
    few = [species[k % len(species)] for k in range(8)]
    return {
        "crystal": _grid(few[:2], (1, 1, 2), (True,) * 3, cutoff, radii, generator),
        "slab": _grid(few, (2, 2, 2), (True, True, False), cutoff, radii, generator),
        "molecule": _molecule(few[:6], cutoff, radii, generator),
        "all species": _all(species, cutoff, radii, generator),
    }


def _all(
    species: Sequence[str],
    cutoff: float,
    radii: Mapping[str, float],
    generator: np.random.Generator,
) -> Structure:
    """All species in a periodic box; of many, some that are spread over the list."""
    places = np.linspace(0, len(species) - 1, min(len(species), _MOST_SPECIES)).round().astype(int)
    edge = 2
    while edge**3 < len(places):
        edge += 1
    symbols = [species[places[k % len(places)]] for k in range(edge**3)]
    return _grid(symbols, (edge,) * 3, (True,) * 3, cutoff, radii, generator)


def _grid(
    symbols: Sequence[str],
    counts: Sequence[int],
    pbc: Sequence[bool],
    cutoff: float,
    radii: Mapping[str, float],
    generator: np.random.Generator,
) -> Structure:
    """Atoms on a grid, about as far apart as the largest of them touch, all moved a little."""
    bond = 1.9 * max(_SMALLEST_RADIUS, *(radii[symbol] for symbol in symbols))
    places = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
    strain = np.eye(3) + 0.06 * generator.uniform(-1, 1, (3, 3))
    positions = (places + 0.08 * generator.uniform(-1, 1, places.shape)) * bond @ strain
    lengths = np.array(counts) * bond + np.where(pbc, 0.0, _VACUUM * cutoff)
    return Structure(list(symbols), positions, np.diag(lengths) @ strain, tuple(pbc))


def _molecule(
    symbols: Sequence[str],
    cutoff: float,
    radii: Mapping[str, float],
    generator: np.random.Generator,
) -> Structure:
    """Each atom is bound to one before it, and no two come closer than a bond."""
    positions = np.zeros((1, 3))
    while len(positions) < len(symbols):
        number = len(positions)
        bonds = np.array([radii[symbols[number]] + radii[one] for one in symbols[:number]])
        direction = generator.normal(size=3)
        other = int(generator.integers(number))
        place = positions[other] + 1.1 * bonds[other] * direction / np.linalg.norm(direction)
        if (np.linalg.norm(positions - place, axis=1) > 1.05 * bonds).all():
            positions = np.vstack([positions, place])
    lengths = np.ptp(positions, axis=0) + _VACUUM * cutoff
    return Structure(list(symbols), positions, np.diag(lengths), (False,) * 3)
