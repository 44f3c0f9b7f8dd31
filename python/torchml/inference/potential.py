"""A model evaluated in Python by the C++ code that runs inside LAMMPS."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike, NDArray

from torchml import _core
from torchml.contract.metadata import MetadataKeywords, ModelMetadata
from torchml.errors import DataError
from torchml.inference.evaluation import Evaluation
from torchml.inference.files import StoredFiles, model_files
from torchml.inference.members import Members
from torchml.inference.parts import Parts
from torchml.neighbors import ParticleSystem, periodic_particles


class Potential:
    """A trained model, ready to evaluate structures.

    It can be pickled and copied. A pickle contains the files of the model as they were when it was
    opened, which are kept in memory for that; a copy in the same process shares the opened model.

    Args:
        model: folder of a portable model, `.pt` or `.pt2` archive, checkpoint of a training, or
            name of an installed KIM model.
        device: "cpu", "cuda" or "cuda:K".
        source: the package of a model of another one, as for `torchml.export_model`.
        head: with `source`, as there.
        python: with `source`, as there.
        keywords: metadata that a `.pt` archive lacks, such as `species=["Si"]`, `cutoff=4.0` (Å),
            `layers=2`, `convention="graph"`; `MetadataKeywords` lists all of them.

    Raises:
        TorchMLError: the model cannot be read, its metadata are incomplete, or a keyword
            contradicts them.
        TypeError: a keyword is unknown.

    Attributes:
        name: the model as the caller named it.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "cpu",
        *,
        source: str | None = None,
        head: str | None = None,
        python: str | Path | None = None,
        **keywords: Unpack[MetadataKeywords],
    ) -> None:
        self.name = str(model)
        self._fields = ModelMetadata.from_keywords(keywords).to_fields()
        self._device = device
        foreign = _foreign(source, head, python, keywords)
        with model_files(model, foreign, device) as path:
            self._open(path)
            self._files = StoredFiles.read(path)

    def _open(self, path: Path) -> None:
        self._core = _core.Potential(str(path), self._fields, self._device)
        self._codes = np.full(len(chemical_symbols), -1, dtype=np.int32)  # by atomic number
        for code, symbol in enumerate(self.spec.species):
            if symbol in atomic_numbers:
                self._codes[atomic_numbers[symbol]] = code

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_core", "_parts")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        with self._files.on_disk() as path:
            self._open(path)

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        vars(other).update(vars(self), _core=self._core.copy())
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # what it shares does not change

    @property
    def spec(self) -> _core.ModelSpec:
        """What the model declares: species, cutoff (Å), layers, convention, dtype, ..."""
        return self._core.spec

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self._core.device

    @property
    def energy_kind(self) -> str:
        """What the model returns as energy: total, per_contributing or per_particle."""
        return self._core.energy_kind

    def digest(self) -> str:
        """Return a text that differs for different contents of the opened files."""
        return self._files.digest()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a sum; empty for other models, and for compiled archives."""
        return self._parts.names

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self._files, self.spec, self.device)

    def codes(self, atoms: Atoms) -> NDArray[np.int32]:
        """Return the model's species code of every atom: [atoms], int32.

        Raises:
            DataError: the structure has an element that the model does not know.
        """
        codes: NDArray[np.int32] = self._codes[atoms.numbers]
        if (codes < 0).any():
            unknown = sorted({chemical_symbols[number] for number in atoms.numbers[codes < 0]})
            raise DataError(
                f"the structure holds {' '.join(unknown)}, "
                f"but the model '{self.name}' knows only {' '.join(self.spec.species)}"
            )
        return codes

    @property
    def reach(self) -> float:
        """Distance (Å) to which `evaluate_particles` needs ghosts where it is given `image_of`.

        Models of the convention `edges` read the features of a ghost from its atom.
        """
        spec = self.spec
        return spec.cutoff if spec.convention == "edges" else spec.influence_distance

    def particles(self, atoms: Atoms) -> ParticleSystem:
        """Return the atoms, their ghosts within the influence distance, and neighbour lists.

        These are the particles of a simulator, which states no images.
        """
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
        stress: bool = False,
        part_energies: bool = False,
        members: bool = False,
    ) -> Evaluation:
        """Evaluate a structure; only requested quantities are computed.

        The features of ghosts are those of the atoms of which they are images, and what they
        contribute is added to these.

        Args:
            atoms: the structure, periodic in any number of directions.
            energy: request the energy.
            forces: request the forces.
            virial: request the virial, and with it the stress of structures that have a volume.
            particle_energies: request one energy per atom.
            particle_virials: request one virial per atom.
            stress: as `virial`, but a structure without a volume is an error.
            part_energies: request the energies of the parts of a sum, which are computed apart
                from the other quantities.
            members: request the results of each member of a committee; the other quantities are
                then computed with them, at no further cost.

        Returns:
            The requested quantities, in eV and Å.

        Raises:
            DataError: the structure does not fit the model, or has no volume.
            ModelError: energies of parts are requested of a model that is no sum.
            torchml.Error: members are requested of a model that is no committee.
        """
        volume = volume_of(atoms)
        if stress and volume is None:
            raise DataError(no_volume(atoms))
        codes = self.codes(atoms)
        particles = periodic_particles(
            atoms.positions, atoms.cell.array, atoms.pbc, self.spec.cutoff, self.reach
        )
        results = self.evaluate_particles(
            codes[particles.image_of],
            particles.coordinates,
            particles.contributing,
            particles.neighbor_offsets,
            particles.neighbors,
            image_of=particles.image_of,
            energy=energy,
            forces=forces,
            virial=virial or stress,
            particle_energies=particle_energies,
            particle_virials=particle_virials,
            members=members,
        )
        own = Members.of(results, slice(len(atoms))) if members else None
        results = {key: one for key, one in results.items() if not key.startswith("member_")}
        for key in ("forces", "particle_energies", "particle_virials"):
            if key in results:
                results[key] = results[key][: len(atoms)].copy()  # the rest are zeros of ghosts
        if "virial" in results and volume is not None:
            results["stress"] = results["virial"] / volume
        if part_energies:
            results["part_energies"] = self._parts.energies(codes, particles)
        return Evaluation(**results, members=own)

    def evaluate_particles(
        self,
        species: ArrayLike,
        coordinates: ArrayLike,
        contributing: ArrayLike,
        neighbor_offsets: ArrayLike,
        neighbors: ArrayLike,
        *,
        image_of: ArrayLike | None = None,
        **requested: bool,
    ) -> dict[str, Any]:
        """Evaluate particles as a simulator gives them, ghosts included, in any order.

        A simulator does not state which ghost is an image of which atom. With `image_of`, the
        results of images are given to their atoms and are zero for the images themselves, and
        models of the convention `edges` compute the features of each atom once; they then need
        ghosts within the cutoff, and lists of the contributing particles, alone.

        Args:
            species: [N], species codes of the model.
            coordinates: [N, 3], Å.
            contributing: [N], 1 for contributing particles, 0 for ghosts.
            neighbor_offsets: [N + 1], particle i has neighbors[offsets[i]:offsets[i + 1]].
            neighbors: full lists, which may hold pairs beyond the cutoff.
            image_of: [N], the contributing particle of which each is an image, itself for one that
                contributes.
            requested: which of energy, forces, virial, particle_energies, particle_virials,
                edge_terms and members to return. The last gives member_energies [k],
                member_particle_energies [k, N] and, with forces, member_forces [k, N, 3].

        Returns:
            The requested quantities by name, for all N particles, in eV and Å.
        """
        return self._core.evaluate(
            np.ascontiguousarray(species, dtype=np.int32),
            np.ascontiguousarray(coordinates, dtype=np.float64).reshape(-1, 3),
            np.ascontiguousarray(contributing, dtype=np.int32),
            np.ascontiguousarray(neighbor_offsets, dtype=np.int64),
            np.ascontiguousarray(neighbors, dtype=np.int32),
            image_of=None if image_of is None else np.ascontiguousarray(image_of, dtype=np.int32),
            **requested,
        )


def _foreign(
    source: str | None, head: str | None, python: str | Path | None, keywords: MetadataKeywords
) -> dict[str, Any] | None:
    """Fields of `torchml.importers.opening.Foreign`; None for models that are not foreign."""
    if source is None:
        if head or python:
            raise TypeError("'head' and 'python' are for models of other packages, expected source")
        return None
    facts = {key: keywords.get(key) for key in ("cutoff", "layers", "dtype")}
    species = keywords.get("species")
    symbols = species.split() if isinstance(species, str) else species
    return {"kind": source, "species": symbols, "head": head, "python": python, **facts}


def volume_of(atoms: Atoms) -> float | None:
    """Return the volume of the cell, Å³; None for structures to which stress does not apply."""
    volume = float(atoms.cell.volume)
    spans = volume > 1e-6 * float(np.prod(atoms.cell.lengths()))  # else flatter than any real cell
    return volume if atoms.pbc.any() and spans else None


def no_volume(atoms: Atoms) -> str:
    """Return the sentence about a structure without a volume, which names the reason."""
    periodic = int(atoms.pbc.sum())
    kind = ("molecule or cluster", "wire", "slab", "crystal")[periodic]
    missing = [name for name, vector in zip("abc", atoms.cell, strict=True) if not vector.any()]
    reason = (
        "it is not periodic"
        if periodic == 0
        else f"it has no cell vector {' or '.join(missing)}"
        if missing
        else "the cell vectors lie in one plane"
    )
    return (
        f"stress, an energy per volume, was requested for a {kind} with pbc {atoms.pbc.tolist()} "
        f"and the cell {atoms.cell.tolist()}, but {reason}, expected a periodic one "
        "whose cell has a volume"
    )
