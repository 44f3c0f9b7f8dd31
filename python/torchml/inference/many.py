"""Many structures evaluated together."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from torchml.inference.evaluation import Evaluation
from torchml.inference.potential import Potential


def evaluate_many(
    potential: Potential,
    structures: Sequence[Atoms],
    *,
    forces: bool = True,
    stress: bool = False,
    particle_energies: bool = False,
) -> list[Evaluation]:
    """Evaluate structures; the result of each does not depend on the others.

    Args:
        potential: the model.
        structures: periodic in any number of directions, of any size.
        forces: request the forces.
        stress: request the stress; structures without a volume get None.
        particle_energies: request one energy per atom; None where the model has only totals.

    Returns:
        One evaluation per structure, in their order, with the energy and what was requested.

    Raises:
        DataError: a structure does not fit the model.
    """
    each = particle_energies and potential.energy_kind != "total"
    return [
        potential.evaluate(atoms, forces=forces, virial=stress, particle_energies=each)
        for atoms in structures
    ]
