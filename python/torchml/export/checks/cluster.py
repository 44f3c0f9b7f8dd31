"""A structure without periodic images, evaluated in the engine as a simulator would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import torchml._core as core
from torchml.reference.agreement import Agreement, agreement


@dataclass(frozen=True)
class Cluster:
    """A non-periodic structure and the potential that is asked about it.

    Attributes:
        cutoffs: of each pair of species, float[S, S] (Å).
        positions: float[N, 3] (Å).
        species: codes, integer[N].
    """

    potential: core.Potential
    cutoffs: npt.NDArray[Any]
    positions: npt.NDArray[Any]
    species: npt.NDArray[Any]

    @property
    def agreement(self) -> Agreement:
        """What agreement means for the float type of the model."""
        return agreement(self.potential.spec.dtype)

    @classmethod
    def random(cls, potential: core.Potential, cutoffs: npt.NDArray[Any], cutoff: float) -> Cluster:
        """Atoms at random in a box 3 cutoffs long, so that its ends do not see each other.

        No two are closer than half a cutoff, and none sits where a difference step would carry
        it over a cutoff of another.
        """
        generator = np.random.default_rng(0)
        box = np.array([3.0, 1.0, 1.0]) * cutoff
        edges = np.unique([*cutoffs.flat, cutoff, potential.spec.cutoff])
        positions = np.empty((0, 3))
        for candidate in generator.uniform(0, 1, (2000, 3)) * box:
            r = np.linalg.norm(positions - candidate, axis=1)
            if (r > 0.5 * cutoff).all() and (np.abs(r[:, None] - edges) > 0.03 * cutoff).all():
                positions = np.vstack([positions, candidate])
            if len(positions) == 16:
                break
        species = np.arange(len(positions)) % len(potential.spec.species)
        return cls(potential, cutoffs, positions, species)

    def evaluate(
        self, contributing: npt.NDArray[Any] | None = None, *, forces: bool = False
    ) -> tuple[float, npt.NDArray[Any]]:
        """Energy (eV) and, if wanted, forces on all atoms (eV/Å)."""
        n = len(self.positions)
        r = np.linalg.norm(self.positions[:, None] - self.positions[None], axis=2)
        # The engine applies the cutoff; the list reaches beyond it, as that of a simulator.
        near = (r < self.potential.spec.cutoff * 1.2) & ~np.eye(n, dtype=bool)
        result = self.potential.evaluate(
            self.species.astype(np.int32),
            self.positions,
            np.ones(n, np.int32) if contributing is None else contributing.astype(np.int32),
            np.concatenate([[0], near.sum(1).cumsum()]).astype(np.int64),
            np.nonzero(near)[1].astype(np.int32),
            energy=True,
            forces=forces,
        )
        return result["energy"], result.get("forces", np.zeros((n, 3)))

    def energy(self, contributing: npt.NDArray[Any] | None = None) -> float:
        return self.evaluate(contributing)[0]
