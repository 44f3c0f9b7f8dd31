"""Outputs of DFT codes, each written as the code does, and runs that ended early."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from helpers.dft_outputs import aims, cp2k, outcar, pwscf, vasprun
from helpers.labelled import labelled
from torchml import TorchMLError
from torchml.data import read


def steps(count: int = 3) -> list[Atoms]:
    """Steps of a skewed cell, with forces and stress."""
    crystals = []
    for k in range(count):
        atoms = bulk("Cu") * (1, 1, 2)
        atoms.symbols[1] = "Au"
        atoms.set_cell(atoms.cell * (1 + 0.01 * k), scale_atoms=True)
        atoms.rattle(0.1, seed=k)
        atoms.wrap()
        crystals.append(labelled(atoms))
    return crystals


Writer = Callable[[list[Atoms]], str]
TRAJECTORIES: dict[str, Writer] = {"vasprun.xml": vasprun, "OUTCAR": outcar, "aims.out": aims}
WRITERS: dict[str, Writer] = {
    **TRAJECTORIES,
    "run.pwo": lambda steps: pwscf(steps[0]),
    "cp2k.out": lambda steps: cp2k(steps[0]),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_labels_of_each_code(name, is_compressed):
    text = WRITERS[name](steps()).encode()
    path = Path(name + (".gz" if is_compressed else ""))
    path.write_bytes(gzip.compress(text) if is_compressed else text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Python hides these from users: ASE has not followed NumPy 2.5 yet.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ase\.")
        found = read(path)
    assert len(found) == (3 if name in TRAJECTORIES else 1)
    for c, atoms in zip(found, steps(), strict=False):
        results = atoms.calc.results
        assert c.numbers.tolist() == atoms.numbers.tolist() and c.pbc.all()
        assert c.energy == pytest.approx(results["energy"], abs=1e-7)
        np.testing.assert_allclose(c.forces, results["forces"], atol=1e-6)
        np.testing.assert_allclose(c.stress, results["stress"], atol=1e-7)
        np.testing.assert_allclose(
            c.cell @ c.cell.T, atoms.cell.array @ atoms.cell.array.T, atol=2e-5
        )
        np.testing.assert_allclose(c.positions, atoms.positions, atol=1e-6)


@pytest.mark.parametrize("name", TRAJECTORIES)
@pytest.mark.parametrize(
    ("place", "complete"), [("forces of the last step", 2), ("before the last line", 3)]
)
def test_runs_that_ended_early(name, place, complete, caplog):
    """Where an energy is written before the positions or forces, the step does not count."""
    whole = TRAJECTORIES[name](steps())
    last = {"vasprun.xml": "</modeling>", "OUTCAR": " General timing", "aims.out": "Have a nice"}
    forces = {"vasprun.xml": 'name="forces"', "OUTCAR": " POSITION  ", "aims.out": "Total atomic"}
    cut = whole.rindex(forces[name] if place.startswith("forces") else last[name])
    text = whole[:cut] + ("\n" if place.startswith("before") else "")
    Path(name).write_text(text)
    Path("whole").mkdir()
    Path("whole", name).write_text(whole)
    with pytest.raises(TorchMLError, match=f"^{name} (ends without|cannot be read)"):
        read(name)
    assert len(read([name, "whole"], broken="skip")) == 3
    caplog.clear()
    kept = read([name, "whole"], broken="keep")
    # The last step of FHI-aims is not told from one whose positions are missing.
    expected = 2 if name == "aims.out" else complete
    assert len(kept) == 3 + expected
    assert f"{expected} complete steps are read" in caplog.text
    for c, atoms in zip(kept, steps()[:expected], strict=False):
        assert c.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-7)
        np.testing.assert_allclose(c.positions, atoms.positions, atol=1e-6)


@pytest.mark.parametrize("name", ["run.pwo", "cp2k.out"])
def test_one_step_that_ended_early(name):
    whole = WRITERS[name](steps())
    last = {"run.pwo": "JOB DONE", "cp2k.out": "PROGRAM ENDED"}[name]
    Path(name).write_text(whole[: whole.index(last)])
    with pytest.raises(TorchMLError, match=f"{name} ends without '{last}"):
        read(name)
    assert len(read(name, broken="keep")) == 1
    for line in ("!    total energy", " ENERGY| Total"):
        whole = whole.split(line)[0]
    Path(name).write_text(whole)
    with pytest.raises(TorchMLError, match=f"{name} holds no (step with an energy|structure)"):
        read(name)


@pytest.mark.parametrize("version", ["6.1", "2024.1", "2025.1"])
def test_versions_of_cp2k(version):
    """Old versions print three digits of the cell, from which stress does not suffer."""
    slab = labelled(fcc111("Cu", (1, 1, 2), vacuum=5))
    slab.pbc = True, True, False
    water = molecule("H2O", vacuum=4)
    water.calc = SinglePointCalculator(water, energy=-470.1, forces=0.1 * water.positions)
    rotated = steps(1)[0]
    forces = rotated.calc.results["forces"]
    rotated.set_cell(rotated.cell[[1, 2, 0]])  # not the lower triangle of lengths and angles
    rotated.calc = SinglePointCalculator(rotated, energy=1.5, forces=forces)
    for atoms in (slab, water, rotated, *steps(2)):
        Path("cp2k.log").write_text(cp2k(atoms, version))
        (c,) = read("cp2k.log")
        assert c.pbc.tolist() == atoms.pbc.tolist()
        assert c.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-9)
        np.testing.assert_allclose(c.cell, atoms.cell.array, atol=6e-4)
        np.testing.assert_allclose(c.forces, atoms.calc.results["forces"], atol=1e-6)
        if "stress" in atoms.calc.results:
            np.testing.assert_allclose(c.stress, atoms.calc.results["stress"], atol=1e-7)
        else:
            assert c.stress is None


def test_outputs_of_cp2k_one_after_the_other():
    """A run that ended before its energy, and was repeated below."""
    died = cp2k(steps(1)[0]).split(" ENERGY|")[0]
    Path("cp2k.out").write_text(died + "".join(cp2k(atoms) for atoms in steps()))
    assert [c.energy for c in read("cp2k.out")] == pytest.approx(
        [atoms.calc.results["energy"] for atoms in steps()]
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("ENERGY_FORCE", "GEO_OPT", "run type GEO_OPT, whose positions CP2K writes to other files"),
        ("ENERGY_FORCE", "MD", "run type MD, whose positions"),
        ("SCF run converged in", "SCF run NOT converged after", "that is NOT converged"),
        ("( QS )", "( QMMM )", "energies of several methods"),
        ("[hartree] ", "[kcalmol] ", "energy in kcalmol, expected a.u. or hartree or ev"),
        ("[bar]", "[furlong]", "stress in furlong, expected gpa"),
        ("[hartree/bohr]", "[N]", "forces in N, expected"),
        (" FORCES|      2", " FORCES  2", "forces of 1 atoms, expected 2"),
        ("IN ANGSTROM", "IN parsec", "coordinates in parsec"),
        (" CELL| Vector b", " CELL_REF| Vector b", "expected the cell"),
        (
            " CELL| Periodicity   XYZ",
            " CELL| Periodicity   XY",
            "the Periodicity XY, XYZ, expected one",
        ),
        ("63.5460", "63.5460 9", "no row in its table of coordinates"),
        (" STRESS|      y", " STRESS|", "1 rows of a stress tensor, expected 3"),
    ],
)
def test_what_cp2k_does_not_say_clearly_is_named(old, new, sentence):
    text = cp2k(steps(1)[0])
    assert old in text
    Path("cp2k.out").write_text(text.replace(old, new))
    with pytest.raises(TorchMLError, match=r"^cp2k\.out: a run of CP2K") as error:
        read("cp2k.out")
    assert sentence in str(error.value)


def test_a_second_energy_has_no_positions():
    text = cp2k(steps(1)[0])
    line = next(line for line in text.splitlines() if "ENERGY| Total" in line)
    Path("cp2k.out").write_text(text.replace(line, f"{line}\n{line}"))
    with pytest.raises(TorchMLError, match="has 2 times the energy, expected it once"):
        read("cp2k.out")
    text = text.replace(line, line.replace(line.split()[-1], "********"))
    Path("cp2k.out").write_text(text)
    with pytest.raises(TorchMLError, match="a field that is no number"):
        read("cp2k.out")
