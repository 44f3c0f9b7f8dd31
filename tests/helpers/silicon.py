"""Small labelled structures: silicon with the Stillinger-Weber model of this package."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from torchml.data.batch import collate, make_sample
from torchml.data.configuration import Configuration
from torchml.data.graph import GraphBuilder
from torchml.models import StillingerWeber
from torchml.training.loop.prediction import predict


def silicon(count: int, repeat: int = 1, seed: int = 0) -> list[Configuration]:
    """Rattled and strained cells of 8 repeat³ atoms with energies, forces and stress."""
    generator = np.random.default_rng(seed)
    model = StillingerWeber()
    builder = GraphBuilder(model.species, model.cutoff, model.layers)
    found = []
    for k in range(count):
        atoms = bulk("Si", "diamond", 5.43 * generator.uniform(0.97, 1.03), cubic=True)
        atoms = atoms.repeat(repeat)
        atoms.positions += generator.normal(0, 0.1, atoms.positions.shape)
        one = Configuration.from_atoms(atoms, source="silicon", index=k)
        label = predict(model, collate([make_sample(one, builder(one), 0)]), stress=True)
        found.append(
            Configuration(
                one.numbers,
                one.positions,
                one.cell,
                one.pbc,
                energy=label.energy.item(),
                forces=label.forces.numpy(),
                stress=label.stress[0].numpy(),
                source="silicon",
                index=k,
            )
        )
    return found
