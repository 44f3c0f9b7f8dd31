"""Reference energies: exact where compositions allow it, sensible where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from torchml import TorchMLError
from torchml.data import Configuration, fit_references, reference_energy

TRUE = {"H": -13.6, "C": -1029.5, "O": -2041.8}


def compound(counts, energy=0.0, **options):
    numbers = [z for z, n in zip((1, 6, 8), counts, strict=True) for _ in range(n)]
    return Configuration(numbers, np.eye(len(numbers), 3), energy=energy, **options)


def energies_of(counts):
    return sum(n * e for n, e in zip(counts, TRUE.values(), strict=True))


def test_sums_of_atoms_are_found_again():
    counts = [(4, 1, 0), (2, 0, 1), (4, 1, 1), (10, 7, 2), (0, 1, 2)]
    some = [compound(c, energies_of(c)) for c in counts]
    found = fit_references(some, ["H", "C", "O"])
    assert found == pytest.approx(TRUE, rel=1e-12)
    assert fit_references(some, ["O", "H", "C"]) == pytest.approx(TRUE, rel=1e-12)
    assert list(fit_references(some, ["O", "H", "C"])) == ["O", "H", "C"]
    assert reference_energy(some[3], found) == pytest.approx(some[3].energy, rel=1e-12)


def test_it_is_least_squares_of_energies_per_atom():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, size=(40, 3)) + np.array([1, 0, 0])
    some = [compound(c, energies_of(c) + rng.normal()) for c in counts]
    atoms = counts.sum(axis=1)
    expected = np.linalg.lstsq(
        counts / atoms[:, None], np.array([c.energy for c in some]) / atoms, rcond=None
    )[0]
    assert list(fit_references(some, list(TRUE)).values()) == pytest.approx(expected, rel=1e-10)


def test_a_single_composition_shares_its_energy():
    some = [compound((4, 2, 0), -60.0 + noise) for noise in (-0.1, 0.1)]
    found = fit_references(some, ["H", "C", "O"])
    assert reference_energy(some[0], found) == pytest.approx(-60)
    # By their numbers, and nothing for what does not occur.
    assert found["C"] == pytest.approx(found["H"] / 2) and found["O"] == pytest.approx(0, abs=1e-12)


def test_configurations_without_energy_do_not_count():
    some = [compound((1, 0, 0), -13.0), compound((3, 0, 0), None)]
    assert fit_references(some, ["H"]) == pytest.approx({"H": -13.0})
    with pytest.raises(TorchMLError, match="none of 1 configurations has an energy"):
        fit_references(some[1:], ["H"])


def test_unknown_elements_are_named():
    c = compound((1, 1, 0), -1.0, source="a.xyz", index=4)
    with pytest.raises(TorchMLError, match=r"a\.xyz, configuration 4 has C, expected only H, O"):
        fit_references([c], ["H", "O"])
    with pytest.raises(
        TorchMLError, match=r"a\.xyz, configuration 4 has C, whose reference energy"
    ):
        reference_energy(c, {"H": -1.0})
