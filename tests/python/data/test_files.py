"""Wildcards, folders of DFT runs, and runs that are damaged or ended early."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from helpers.dft_outputs import pwscf, vasprun
from helpers.labelled import configurations, labelled
from torchml import TorchMLError
from torchml.data import DataModule, Keys, read, write_extxyz


def put(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def steps(count: int, seed: int = 0) -> list:
    crystals = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed + k)
        crystals.append(labelled(atoms))
    return crystals


@pytest.fixture
def runs():
    """Two runs of VASP and one of Quantum ESPRESSO, with other files beside them."""
    put("runs/a/vasprun.xml", vasprun(steps(3)))
    put("runs/a/OUTCAR", "not read, since vasprun.xml has the same steps")
    put("runs/a/INCAR", "ENCUT = 300")
    put("runs/b/c/vasprun.xml", vasprun(steps(2, seed=5)))
    put("runs/b/c/.vasprun.xml.swp", "")
    put("runs/d/pw.out", pwscf(steps(1, seed=9)[0]))
    put("runs/d/job.out", "queued")


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("set/*/train.extxyz", 6),
        ("set/r[01]/train.extxyz", 6),
        ("set/**/train.extxyz", 9),
        ("**/r0/t*.extxyz", 3),
        ("set/r?", 6),
        ("s*t/r1/*", 3),
        ("set/**", 9),
        ("set/*", 9),
    ],
)
def test_wildcards_in_any_part_of_a_path(pattern, count):
    for folder in ("r0", "r1", "x/r2"):
        write_extxyz(configurations(), f"set/{folder}/train.extxyz")
        put(f"set/{folder}/INCAR", "ENCUT = 300")
    assert len(read(pattern)) == count
    with pytest.raises(TorchMLError, match=r"set/\*/none\.xyz does not exist"):
        read("set/*/none.xyz")
    Path("set/a[1].extxyz").write_text(Path("set/r0/train.extxyz").read_text())
    assert len(read("set/a[1].extxyz")) == 3  # a file of this name comes first


def test_a_folder_of_runs(runs, caplog):
    found = read("runs")
    assert [Path(c.source).parts[1] for c in found] == ["a"] * 3 + ["b"] * 2 + ["d"]
    for c, atoms in zip(found, [*steps(3), *steps(2, 5), *steps(1, 9)], strict=True):
        assert c.energy == pytest.approx(atoms.calc.results["energy"], abs=1e-9)
        np.testing.assert_allclose(c.forces, atoms.calc.results["forces"], atol=1e-9)
    np.testing.assert_allclose(found[0].stress, steps(1)[0].calc.results["stress"], atol=1e-9)
    assert len(read("runs", format="vasp-xml")) == 5


def test_the_energies_of_vasp_are_explained_and_chosen(runs, caplog):
    read("runs")
    sentences = [record.message for record in caplog.records]
    assert len(sentences) == 1 and "E(sigma->0)" in sentences[0] and "5 meV" in sentences[0]
    caplog.clear()
    free = read("runs/a", Keys(energy="free_energy"))
    assert not caplog.records
    assert free[0].energy == pytest.approx(steps(1)[0].calc.results["energy"] - 0.02, abs=1e-9)


def test_runs_that_are_broken_are_named_and_skipped_or_refused(runs, caplog):
    text = Path("runs/a/vasprun.xml").read_text()
    put("runs/a/vasprun.xml", text[: text.rindex("<calculation>") + 500])
    put("runs/d/pw.out", "     Program PWSCF v.7.2 starts\n")
    with pytest.raises(TorchMLError, match=r"runs/a/vasprun\.xml ends without '</modeling>'.*keep"):
        read("runs")
    for broken, count in (("skip", 2), ("keep", 4)):
        caplog.clear()
        assert len(read("runs", broken=broken)) == count
        shown = "\n".join(record.message for record in caplog.records)
        assert "runs/a/vasprun.xml ends without" in shown
        assert "runs/d/pw.out" in shown and "left out" in shown
    assert len(DataModule(test="runs", broken="skip").configurations("test")) == 2
    with pytest.raises(TorchMLError, match=r"broken is 'drop'"):
        read("runs", broken="drop")
    for path in ("runs/a/vasprun.xml", "runs/b/c/vasprun.xml"):
        put(path, "")
    with pytest.raises(TorchMLError, match="all files are left out"):
        read("runs", broken="skip")


def test_compressed_outputs(runs):
    Path("z").mkdir()
    Path("z/vasprun.xml.gz").write_bytes(gzip.compress(vasprun(steps(2)).encode()))
    assert len(read("z")) == 2
    Path("z/vasprun.xml.gz").write_bytes(gzip.compress(vasprun(steps(2)).encode())[:-200])
    with pytest.raises(TorchMLError, match=r"z/vasprun\.xml\.gz"):
        read("z")


def test_outputs_beside_other_formats():
    put("mixed/vasprun.xml", vasprun(steps(1)))
    write_extxyz(configurations(), "mixed/a.xyz")
    with pytest.raises(TorchMLError, match="extxyz, outputs of DFT codes, expected one"):
        read("mixed")
