"""A model of another package, once it was read, is the start of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from torchml import fit
from torchml.data import Configuration
from torchml.importers.checkpoint import load_fine_tuned
from torchml.importers.fine_tuned import tensor_of
from torchml.importers.imported import Imported
from torchml.importers.opening import Loaded
from torchml.importers.parity import Structure, results
from torchml.training import start

SHIFTS = (3.0, -2.0)
"""What the labels differ from the model by, for each atom of the two species (eV)."""


def require_training(found: Imported, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a model of two species further, and compare what its own results make known.

    With the energies of the model itself as labels, but for a shift of each species, the offsets
    are these shifts, and nothing remains.
    """
    species = list(found.model.species)
    structures = [_salt(species, count, seed) for seed, count in enumerate((8, 7, 5, 8))]
    loaded = Loaded(Path(kind), kind, found.model, origin=found)
    monkeypatch.setattr(start, "load", lambda *_, **__: loaded)
    run = fit(
        {"plots": False, "model": {"init_args": {"init_from": {"file": kind, "source": kind}}}},
        data=[_labelled(found, one, species) for one in structures],
        data__split={"val": 1},
        data__batch_size=3,
        trainer={"max_epochs": 1, "accelerator": "cpu", "logger": False},
    )
    assert run.task.offsets.by_element == pytest.approx(
        dict(zip(species, SHIFTS, strict=True)), abs=1e-6
    )
    assert run.task.offsets.rest < 1e-6
    after = load_fine_tuned(run.best)
    old = getattr(found.model, "network", found.model)
    assert after.trained and not after.frozen
    for name in after.trained:
        assert not torch.equal(tensor_of(after.network, name), tensor_of(old, name)), name


def _salt(species: list[str], count: int, seed: int) -> Atoms:
    """Some atoms of rattled rock salt."""
    atoms = bulk("NaCl", "rocksalt", 5.3, cubic=True)
    atoms.symbols = [species[k % 2] for k in range(8)]
    atoms.rattle(0.15, seed=seed)
    return atoms[:count]


def _labelled(found: Imported, atoms: Atoms, species: list[str]) -> Configuration:
    """Energies of the model but for the shifts, and forces that are a tenth smaller."""
    own = results(
        found.model,
        Structure(list(atoms.symbols), atoms.positions, atoms.cell.array, list(atoms.pbc)),
    )
    shift = sum(SHIFTS[species.index(symbol)] for symbol in atoms.symbols)
    forces = 0.9 * np.asarray(own.forces)
    return Configuration(
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        energy=float(own.energy) + shift,
        forces=forces,
    )
