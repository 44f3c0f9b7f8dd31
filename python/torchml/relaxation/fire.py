"""Fast inertial relaxation engine: damped dynamics that stops when it moves uphill.

E. Bitzek, P. Koskinen, F. Gähler, M. Moseler, P. Gumbsch, Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from torchml.relaxation.optimizer import Optimizer, Rows


@dataclass
class FIRE(Optimizer):
    """FIRE with the symbols of the paper and the values of ASE; masses are 1.

    Attributes:
        maxstep: largest norm of the move of all atoms together, Å.
        dt: time step at the start.
        dtmax: longest time step.
        nmin: downhill steps before the time step grows.
        finc: growth of the time step.
        fdec: its reduction after an uphill step.
        astart: mixing of velocity and force at the start, and after an uphill step.
        fa: reduction of the mixing.
    """

    maxstep: float = 0.2
    dt: float = 0.1
    dtmax: float = 1.0
    nmin: int = 5
    finc: float = 1.1
    fdec: float = 0.5
    astart: float = 0.1
    fa: float = 0.99
    _velocity: Rows | None = field(default=None, init=False)
    _downhill: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._mixing = self.astart

    def step(self, positions: Rows, energy: float, forces: Rows) -> Rows:
        if self._velocity is None:
            self._velocity = np.zeros_like(forces)
        elif np.vdot(forces, self._velocity) > 0:
            self._turn_downhill(self._velocity, forces)
        else:
            self._velocity[:] = 0
            self._mixing = self.astart
            self.dt *= self.fdec
            self._downhill = 0
        self._velocity += self.dt * forces
        move = self.dt * self._velocity
        length = float(np.sqrt(np.vdot(move, move)))
        return positions + (move * (self.maxstep / length) if length > self.maxstep else move)

    def _turn_downhill(self, velocity: Rows, forces: Rows) -> None:
        """Turn the velocity towards the forces; after some steps, lengthen the time step."""
        speed = np.sqrt(np.vdot(velocity, velocity) / np.vdot(forces, forces))
        velocity *= 1 - self._mixing
        velocity += self._mixing * speed * forces
        if self._downhill > self.nmin:
            self.dt = min(self.dt * self.finc, self.dtmax)
            self._mixing *= self.fa
        self._downhill += 1
