"""A compiled model in LAMMPS is the TorchScript model."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.kim import KIM

from helpers import portable
from helpers.compiled import compiled_schnet, folder_of_all_workers, rewrite
from torchml import kim
from torchml.contract import metadata, param_file
from torchml.export import aoti
from torchml.validation.lammps import evaluate_with_lammps

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the archive of this test is for x86-64"
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """TorchScript and what was compiled of it."""
    return compiled_schnet(folder_of_all_workers(tmp_path_factory), "edges")


@pytest.fixture(scope="module")
def compiled(archives, collection, tmp_path_factory):
    """The name of the compiled model and that of its TorchScript."""
    scripted, compiled = (
        install(kind, archive, tmp_path_factory.mktemp(kind))
        for archive, kind in zip(archives, ("scripted", "compiled"), strict=True)
    )
    return compiled, scripted


def install(kind, archive, parent, others=None):
    """Install a portable model of an archive and perhaps others; its name."""
    facts = metadata.read(archive)
    inputs = 6 if archive.suffix == ".pt" else len(aoti.arguments_of(facts))
    file = f"model{archive.suffix}"
    name = kim.model_name(f"Test_schnet_{kind}")
    files = {file: archive, "model.param": param_file.render(facts, file, inputs)}
    portable.write_folder(parent / name, files | (others or {}), list(facts.species))
    kim.install(parent / name, "environment")
    return name


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_finds_the_numbers_of_torchscript(ranks, compiled):
    structures = [portable.silicon(2), portable.silicon()]
    found, expected = (
        evaluate_with_lammps(
            name, structures, ["Si"], ranks=ranks, particle_energies=True, particle_virials=True
        )
        for name in compiled
    )
    for one, other in zip(found, expected, strict=True):
        assert one.energy == pytest.approx(other.energy, rel=1e-12)
        assert np.abs(one.forces - other.forces).max() < 1e-11
        assert np.abs(one.particle_energies - other.particle_energies).max() < 1e-11
        assert np.abs(one.particle_virials - other.particle_virials).max() < 1e-8


def test_torchscript_runs_where_the_compiled_archive_does_not_fit(compiled, archives, tmp_path):
    """The simulator goes on, and kim.log says why in one line."""
    foreign = tmp_path / "foreign.pt2"
    rewrite(archives[1], foreign, {"extra/torchml/instruction_set": "aarch64"})
    name = install("both", foreign, tmp_path, {"model.pt": archives[0]})
    energies = []
    for model in (name, compiled[1]):
        atoms = portable.silicon()
        atoms.calc = KIM(model)
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1]
    lines = [line for line in Path("kim.log").read_text().splitlines() if "aarch64" in line]
    assert lines
    assert all("model.pt runs in the place of the compiled archive" in line for line in lines)
