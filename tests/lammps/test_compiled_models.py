"""A compiled model in LAMMPS is the TorchScript model."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from helpers import portable
from helpers.compiled import compiled_schnet, folder_of_all_workers
from torchml import kim
from torchml.contract import metadata, param_file
from torchml.export import aoti
from torchml.validation.lammps import evaluate_with_lammps

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the archive of this test is for x86-64"
)


@pytest.fixture(scope="module")
def compiled(collection, tmp_path_factory):
    """The name of the compiled model and that of its TorchScript."""
    archives = compiled_schnet(folder_of_all_workers(tmp_path_factory), "edges")
    names = []
    for archive, kind in zip(archives, ("scripted", "compiled"), strict=True):
        facts = metadata.read(archive)
        inputs = 6 if kind == "scripted" else len(aoti.arguments_of(facts))
        file = f"model{archive.suffix}"
        name = kim.model_name(f"Test_schnet_{kind}")
        folder = tmp_path_factory.mktemp(kind) / name
        files = {file: archive, "model.param": param_file.render(facts, file, inputs)}
        portable.write_folder(folder, files, list(facts.species))
        kim.install(folder, "environment")
        names.append(name)
    return names[1], names[0]


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
