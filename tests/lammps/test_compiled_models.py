"""A compiled model in LAMMPS is the TorchScript model."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from helpers import portable
from torchml import kim
from torchml.contract import metadata, param_file
from torchml.export import aoti
from torchml.validation.lammps import evaluate_with_lammps

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the archive of this test is for x86-64"
)


@pytest.fixture(scope="module")
def compiled(installed, tmp_path_factory):
    """The name of the compiled model and that of its TorchScript."""
    plain = installed("schnet", "edges")
    folder = tmp_path_factory.mktemp("compiled")
    facts = aoti.compile_archive(plain.archive, folder / "model.pt2", model=plain.model)
    name = kim.model_name("Test_schnet_compiled")
    parameters = param_file.render(facts, "model.pt2", len(aoti.arguments_of(facts)))
    assert metadata.read(folder / "model.pt2") == facts
    files = {"model.pt2": folder / "model.pt2", "model.param": parameters}
    portable.write_folder(folder / name, files, ["Si"])
    kim.install(folder / name, "environment")
    return name, plain.name


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
