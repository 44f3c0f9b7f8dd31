"""A model evaluated in Python by the very code that runs inside LAMMPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from torchml import _core
from torchml.errors import TorchMLError
from torchml.inference.evaluation import Evaluation
from torchml.inference.files import model_files
from torchml.neighbors import ParticleSystem, periodic_particles


class Potential:
    """A potential in the engine.

    `model` is the folder of a portable model, a `.pt` or `.pt2` file, a checkpoint of a training,
    or the name of an installed KIM model.
    `device` is "cpu", "cuda" or "cuda:K". Further keywords (`cutoff=4.0`, `species=["Si"]`, ...)
    are what a `.pt` without metadata does not say about itself.
    """

    def __init__(self, model: str | Path, device: str = "cpu", **fields: Any) -> None:
        self.name = str(model)
        texts = {
            key: value if isinstance(value, str) else " ".join(map(str, np.atleast_1d(value)))
            for key, value in fields.items()
        }
        with model_files(model) as path:
            self._core = _core.Potential(str(path), texts, device)
        self._codes = {symbol: code for code, symbol in enumerate(self.spec.species)}

    @property
    def spec(self) -> Any:
        """What the model declares: species, cutoff, layers, convention, dtype, ..."""
        return self._core.spec

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._core.device)

    @property
    def energy_kind(self) -> str:
        """What the model returns as energy: total, per_contributing or per_particle."""
        return str(self._core.energy_kind)

    def codes(self, atoms: Atoms) -> NDArray[np.int32]:
        """The model's code of every atom: [atoms], int32."""
        symbols = atoms.get_chemical_symbols()
        unknown = sorted(set(symbols) - set(self._codes))
        if unknown:
            raise TorchMLError(
                f"the structure holds {' '.join(unknown)}, "
                f"but the model '{self.name}' knows only {' '.join(self.spec.species)}"
            )
        return np.array([self._codes[symbol] for symbol in symbols], dtype=np.int32)

    def particles(self, atoms: Atoms) -> ParticleSystem:
        """The atoms, their ghosts out to the influence distance, and their neighbour lists."""
        return periodic_particles(
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            self.spec.cutoff,
            self.spec.influence_distance,
        )

    def evaluate(
        self,
        atoms: Atoms,
        *,
        energy: bool = True,
        forces: bool = True,
        virial: bool = False,
        particle_energies: bool = False,
        particle_virials: bool = False,
    ) -> Evaluation:
        """Compute what is asked for, nothing else; what belongs to ghosts goes to their atoms."""
        codes, particles = self.codes(atoms), self.particles(atoms)
        found = self.evaluate_particles(
            codes[particles.image_of],
            particles.coordinates,
            particles.contributing,
            particles.neighbor_offsets,
            particles.neighbors,
            energy=energy,
            forces=forces,
            virial=virial,
            particle_energies=particle_energies,
            particle_virials=particle_virials,
        )
        for key in ("forces", "particle_energies", "particle_virials"):
            if key in found:
                found[key] = particles.fold(found[key])
        return Evaluation(**found)

    def evaluate_particles(
        self,
        species: ArrayLike,
        coordinates: ArrayLike,
        contributing: ArrayLike,
        neighbor_offsets: ArrayLike,
        neighbors: ArrayLike,
        **wanted: bool,
    ) -> dict[str, Any]:
        """Evaluate particles as a simulator hands them over, ghosts included, in any order.

        species [N] model codes, coordinates [N, 3] in Å, contributing [N] (1, ghosts 0), and full
        neighbour lists in compressed rows, which may hold pairs beyond the cutoff. `wanted` says
        which of energy, forces, virial, particle_energies, particle_virials and edge_terms to
        return, for all N particles.
        """
        found: dict[str, Any] = self._core.evaluate(
            np.ascontiguousarray(species, dtype=np.int32),
            np.ascontiguousarray(coordinates, dtype=np.float64).reshape(-1, 3),
            np.ascontiguousarray(contributing, dtype=np.int32),
            np.ascontiguousarray(neighbor_offsets, dtype=np.int64),
            np.ascontiguousarray(neighbors, dtype=np.int32),
            **wanted,
        )
        return found
