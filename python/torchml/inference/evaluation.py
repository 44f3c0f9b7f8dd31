"""The results of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """What was asked for; the rest is None.

    energy             eV
    forces             [atoms, 3], eV/Å
    virial             [6], eV, dE/dstrain in the order xx yy zz yz xz xy: stress = virial / volume
    particle_energies  [atoms], eV
    particle_virials   [atoms, 6], eV, they sum to the virial
    """

    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    virial: NDArray[np.float64] | None = None
    particle_energies: NDArray[np.float64] | None = None
    particle_virials: NDArray[np.float64] | None = None
