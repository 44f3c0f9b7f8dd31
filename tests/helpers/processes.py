"""What tests run in other processes, which import it by name."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms
from torch.utils.data import Dataset

from torchml import Potential


def energy_of(atoms: Atoms) -> float:
    """The energy by the calculator that the atoms carry."""
    return float(atoms.get_potential_energy())


class Energies(Dataset[float]):
    """Energies of structures, computed where the item is requested."""

    def __init__(self, potential: Potential, structures: Sequence[Atoms]) -> None:
        self.potential = potential
        self.structures = structures

    def __len__(self) -> int:
        return len(self.structures)

    def __getitem__(self, index: int) -> float:
        energy = self.potential.evaluate(self.structures[index]).energy
        assert energy is not None
        return energy
