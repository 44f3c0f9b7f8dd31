"""The same call gives the same bits, whatever was evaluated in between."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from torchml.reference.physics.evaluating import Evaluate, forces_of


def repeats(evaluate: Evaluate, atoms: Atoms) -> bool:
    """Whether energy and forces of a structure have the same bits after another structure."""
    first = evaluate(atoms)
    evaluate(atoms[:1])
    second = evaluate(atoms)
    return first.energy == second.energy and np.array_equal(forces_of(first), forces_of(second))
