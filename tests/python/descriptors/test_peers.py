"""The numbers of other programs, which share no code with ours; they are kept with the tests."""

import json
from typing import Any

import numpy as np
import pytest

from helpers.descriptor_cases import FOLDER, Case, assert_close, cluster, load_case
from torchml import _descriptors as core


def ethanol() -> Case:
    return load_case(FOLDER / "ethanol_soap_n3l8.npz")


def kept(program: str) -> list[tuple[dict, np.ndarray]]:
    with np.load(FOLDER / "peers" / f"{program}.npz") as data:
        cases = json.loads(str(data["cases"]))
        return [(case, data[f"values{k}"]) for k, case in enumerate(cases)]


def values_of(parameters: Any) -> np.ndarray:
    """Of all atoms of the molecule, whose lists hold all others."""
    atoms = ethanol().structure
    return core.Descriptor(parameters).compute(*cluster(atoms.positions, atoms.species).arguments)


@pytest.mark.parametrize(("given", "expected"), kept("dscribe"))
def test_soap_is_that_of_dscribe(given, expected):
    # DScribe sees all atoms whose Gaussians reach into the cutoff: here, all of the molecule. Its
    # own arithmetic is good to 5e-7 of the largest component.
    species = ethanol().meta["species"]
    found = values_of(core.SoapParameters(species, np.full((3, 3), 30.0), **given))
    assert_close(found, expected, 2e-6)


@pytest.mark.parametrize(("given", "expected"), kept("lammps"))
def test_bispectrum_is_that_of_lammps(given, expected):
    given = dict(given)
    cutoff = given.pop("cutoff")
    for flag in ("switch_flag", "bzero_flag"):
        given[flag] = bool(given[flag])
    parameters = core.BispectrumParameters(
        ethanol().meta["species"], np.full((3, 3), cutoff), weights=[0.4, 1.0, 1.3], **given
    )
    assert_close(values_of(parameters), expected, 1e-13)
