"""Configurations in the spellings of programs, written here, are read back."""

from __future__ import annotations

import io
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from torchml.data import Configuration, Weights, read

SYMBOLS = ("H", "C", "Si", "Cu")
FULL = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # six components as a matrix


def words(values) -> str:
    return " ".join(repr(float(x)) for x in np.ravel(values))


def text(values) -> str:
    """The numbers of a column; integers without a point."""
    return str(values) if np.ndim(values) == 0 else words(values)


def rows(c: Configuration, *columns) -> str:
    symbols = [ase.data.chemical_symbols[number] for number in c.numbers]
    table = zip(symbols, *columns, strict=True)
    return "".join(f"{row[0]} {' '.join(map(text, row[1:]))}\n" for row in table)


def write_ase(c: Configuration, weights: Weights) -> str:
    atoms = Atoms(numbers=c.numbers, positions=c.positions, cell=c.cell, pbc=c.pbc)
    atoms.calc = SinglePointCalculator(
        atoms, energy=c.energy, free_energy=c.energy, forces=c.forces, stress=c.stress
    )
    atoms.info |= {"config_type": c.group, "energy_weight": weights.energy}
    atoms.info |= {"forces_weight": weights.forces, "stress_weight": weights.stress}
    atoms.new_array("group", np.arange(len(c)))
    text = io.StringIO()
    ase.io.write(text, atoms, format="extxyz")
    return text.getvalue()


def write_quip(c: Configuration, weights: Weights) -> str:
    virial = -c.stress[FULL] * c.volume
    return (
        f'{len(c)}\nLattice="{words(c.cell)}" Properties=species:S:1:pos:R:3:Z:I:1:force:R:3 '
        f"energy={c.energy!r} virial={{{words(virial)}}} config_type={c.group} cutoff=5.0 "
        f'nneightol=1.2 pbc="T T T" energy_weight={weights.energy!r} '
        f"force_weight={weights.forces!r} virial_weight={weights.stress!r}\n"
        + rows(c, c.positions, c.numbers, c.forces)
    )


def write_kliff(c: Configuration, weights: Weights) -> str:
    return (
        f'{len(c)}\nLattice="{words(c.cell)} " PBC="1 1 1" Properties=species:S:1:pos:R:3:for:R:3 '
        f'Energy="{c.energy!r}" Stress="{words(c.stress)}" group={c.group} '
        f"energy_weight={weights.energy!r} forces_weight={weights.forces!r} "
        f"stress_weight={weights.stress!r}\n" + rows(c, c.positions, c.forces)
    )


def write_gpumd(c: Configuration, weights: Weights) -> str:
    return (
        f'{len(c)}\nenergy={c.energy!r} lattice="{words(c.cell)}" config_type={c.group} '
        f'virial="{words(-c.stress[FULL] * c.volume)}" weight={weights.energy!r} '
        "properties=species:S:1:pos:R:3:force:R:3:group:I:1\n"
        + "".join(line + " 0\n" for line in rows(c, c.positions, c.forces).splitlines())
    )


def write_mace(c: Configuration, weights: Weights) -> str:
    return (
        f'{len(c)}\nLattice="{words(c.cell)}" Properties=species:S:1:REF_forces:R:3:pos:R:3 '
        f"config_type={c.group} config_weight=2.0 config_energy_weight={weights.energy / 2!r} "
        f"config_forces_weight={weights.forces / 2!r} config_stress_weight={weights.stress / 2!r} "
        f'config_virials_weight=7.0 REF_energy={c.energy!r} REF_stress="{words(c.stress[FULL])}" '
        'pbc="T T T"\n' + rows(c, c.forces, c.positions)
    )


def write_dpdata(c: Configuration, weights: Weights) -> str:
    virials = (-c.stress[FULL] * c.volume).reshape(3, 3).tolist()
    return (
        f'{len(c)}\nvirials="_JSON {virials}" pbc=[T, T, T] energy={c.energy!r} '
        f'Lattice="{words(c.cell)}" group="{c.group}" config_energy_weight={weights.energy!r} '
        f"config_force_weight={weights.forces!r} config_virial_weight={weights.stress!r} "
        "Properties=species:S:1:pos:R:3:forces:R:3\n" + rows(c, c.positions, c.forces)
    )


WRITERS = {
    "ase": write_ase,
    "quip": write_quip,
    "kliff": write_kliff,
    "gpumd": write_gpumd,
    "mace": write_mace,
    "dpdata": write_dpdata,
}

number = st.floats(-20, 20, allow_subnormal=False).map(lambda x: round(x, 7))


@st.composite
def configurations(draw) -> Configuration:
    n = draw(st.integers(1, 5))
    array = lambda *shape: np.reshape(  # noqa: E731
        draw(st.lists(number, min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))), shape
    )
    return Configuration(
        numbers=[ase.data.atomic_numbers[draw(st.sampled_from(SYMBOLS))] for _ in range(n)],
        positions=array(n, 3),
        cell=np.diag([30.0, 31.0, 32.0]) + 0.1 * array(3, 3),
        pbc=True,
        energy=draw(number),
        forces=array(n, 3),
        stress=array(6),
        group=draw(st.sampled_from(["bulk", "slab_2", "a-b", "x.y", "T", "F1"])),
    )


@pytest.mark.parametrize("program", WRITERS)
@settings(max_examples=60, deadline=None)
@given(c=configurations(), weights=st.tuples(*[st.sampled_from([0.0, 0.25, 1.0, 4.0])] * 3))
def test_what_programs_write_is_read_back(program, c, weights):
    whole = Weights(*weights)
    if program == "gpumd":
        whole = Weights(*weights[:1] * 3)
    Path("a.xyz").write_text(2 * WRITERS[program](c, whole))
    for found in read("a.xyz"):
        tolerance = {"rtol": 1e-12, "atol": 1e-12} if program != "ase" else {"atol": 6e-9}
        assert (found.numbers == c.numbers).all() and found.pbc.all()
        np.testing.assert_allclose(found.positions, c.positions, **tolerance)
        np.testing.assert_allclose(found.cell, c.cell, **tolerance)
        np.testing.assert_allclose(found.forces, c.forces, **tolerance)
        np.testing.assert_allclose(found.stress, c.stress, **tolerance)
        assert found.energy == pytest.approx(c.energy, abs=1e-12)
        assert found.weights == whole and found.group == c.group
