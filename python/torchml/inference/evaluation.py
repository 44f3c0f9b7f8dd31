"""The results of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from torchml.inference.members import Members


@dataclass(frozen=True)
class Evaluation:
    """Results for one structure; a quantity that was not requested is None.

    Six components are in the order xx yy zz yz xz xy. Their sign is that of dE/dstrain, as in ASE:
    a compressed crystal has a negative stress.

    Attributes:
        energy: eV.
        forces: [atoms, 3], eV/Å.
        virial: [6], dE/dstrain, eV.
        particle_energies: [atoms], eV.
        particle_virials: [atoms, 6], eV; their sum is the virial.
        stress: [6], virial / volume, eV/Å³; None for structures without a volume.
        part_energies: of the parts of a sum, by name, eV.
        members: what each member of a committee computes, and how much they differ.
    """

    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    virial: NDArray[np.float64] | None = None
    particle_energies: NDArray[np.float64] | None = None
    particle_virials: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    part_energies: dict[str, float] | None = None
    members: Members | None = None
