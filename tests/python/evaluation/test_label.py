"""Labels of potentials: the mean of what they say, of structures and of changed copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.labelled import structures
from torchml import Potential, cli
from torchml.contract import metadata
from torchml.data import Configuration, read, write_extxyz
from torchml.errors import DataError
from torchml.evaluation.labelling import labelled
from torchml.models import SchNet, describe, script


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    species = ["H", "C", "O", "Cu", "Pt", "Au"]
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = SchNet(species, cutoff=3.0, layers=2, features=4, gaussians=4)
        metadata.save(script(model, "edges"), folder / f"{seed}.pt", describe(model, "edges"))
    return sorted(folder.glob("*.pt"))


@pytest.fixture(scope="module")
def data() -> list[Configuration]:
    """An alloy, a slab and a molecule."""
    return [Configuration.from_atoms(atoms, index=k) for k, atoms in enumerate(structures())]


def test_labels_are_the_mean_of_the_models(models, data) -> None:
    potentials = [Potential(path) for path in models]
    found = labelled(data, models)
    assert [one.stress is None for one in found] == [False, False, True]  # a molecule has none
    for one, atoms in zip(found, structures(), strict=True):
        said = [
            potential.evaluate(atoms, stress=one.stress is not None) for potential in potentials
        ]
        assert one.energy == pytest.approx(np.mean([s.energy for s in said]), rel=1e-12)
        np.testing.assert_allclose(one.forces, np.mean([s.forces for s in said], 0), atol=1e-12)
        if one.stress is not None:
            np.testing.assert_allclose(one.stress, np.mean([s.stress for s in said], 0), atol=1e-14)
    energies = labelled(data, models[:1], forces=False, stress=False)
    assert all(one.forces is one.stress is None for one in energies)
    with pytest.raises(DataError, match="there are no models to label by, expected at least one"):
        labelled(data, [])


def test_the_command_writes_structures_and_copies(models, data, tmp_path, capsys) -> None:
    source, output = tmp_path / "data.extxyz", tmp_path / "labelled.extxyz"
    write_extxyz(data, source)
    words = ["label", str(source), "--model", *map(str, models), "-o", str(output)]
    assert cli.main([*words, "--copies", "2"]) == 0
    assert f"{output}: 9 configurations, extxyz" in capsys.readouterr().out
    written = read(output)
    again = labelled(list(written), models)
    for one, other in zip(written, again, strict=True):
        assert one.energy == pytest.approx(other.energy, rel=1e-12)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)
    np.testing.assert_array_equal(written[0].positions, data[0].positions)
    assert cli.main(words) == 1  # it exists
    assert "expected another name, or --force" in capsys.readouterr().err
    assert cli.main([*words, "--force", "--copies", "-1"]) == 1
    assert "--copies is -1, expected 0 or more" in capsys.readouterr().err
    assert cli.main([*words, "--force", "--no-stress"]) == 0
    assert all(one.stress is None for one in read(output))
