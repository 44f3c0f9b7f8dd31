"""Every unit that KIM-API knows, against CODATA 2018 rather than KIM's own conversion."""

from __future__ import annotations

import itertools

import kimpy
import numpy as np
import pytest

from helpers import portable
from helpers.portable import relative
from torchml.validation.kim_client import KimModel

# In Å and eV.
LENGTHS = {"A": 1.0, "Bohr": 0.529177210903, "cm": 1e8, "m": 1e10, "nm": 10.0}
ENERGIES = {
    "amu_A2_per_ps2": 1.66053906660e-27 * 1e4 / 1.602176634e-19,
    "erg": 1e-7 / 1.602176634e-19,
    "eV": 1.0,
    "Hartree": 27.211386245988,
    "J": 1 / 1.602176634e-19,
    "kcal_mol": 4184 / 6.02214076e23 / 1.602176634e-19,
}
OUTPUTS = ("energy", "forces", "virial", "particle_energies", "particle_virials")


def test_kim_has_no_units_that_are_not_tested():
    lengths = kimpy.length_unit.get_number_of_length_units() - 1  # one is "unused"
    energies = kimpy.energy_unit.get_number_of_energy_units() - 1
    assert (lengths, energies) == (len(LENGTHS), len(ENERGIES))


@pytest.mark.parametrize("case", [("sw", "none"), ("schnet", "edges")], ids="-".join)
def test_all_thirty_sets_of_units(case, installed):
    atoms = portable.cluster()
    species, flags = ["Si"] * len(atoms), np.arange(len(atoms)) % 3 > 0
    name = installed(*case).name
    expected = KimModel(name).compute(species, atoms.positions, flags, OUTPUTS)
    for (length, angstrom), (energy, ev) in itertools.product(LENGTHS.items(), ENERGIES.items()):
        model = KimModel(
            name, getattr(kimpy.length_unit, length), getattr(kimpy.energy_unit, energy)
        )
        assert model.units_accepted, (length, energy)
        assert [str(unit) for unit in model.kim.get_units()[:2]] == [length, energy]
        found = model.compute(species, atoms.positions / angstrom, flags, OUTPUTS)
        for output in OUTPUTS:
            # KIM's constants are of another year than ours: 1e-7.
            factor = ev / angstrom if output == "forces" else ev
            assert relative(found[output] * factor, expected[output]) < 1e-6, (length, energy)
        assert model.influence_distance * angstrom == pytest.approx(
            KimModel(name).influence_distance, rel=1e-6
        )
