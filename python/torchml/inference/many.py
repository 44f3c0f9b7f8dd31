"""Many structures evaluated together."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from torchml.errors import StructureError, TorchMLError
from torchml.inference.call_size import CallSize
from torchml.inference.evaluation import Evaluation
from torchml.inference.members import Members
from torchml.inference.potential import Potential, volume_of
from torchml.inference.separable import is_separable
from torchml.neighbors import MovingParticles, ParticleSystem

# How the lack of memory is reported: by Python, C++, torch on a CPU, and torch on a GPU.
_OUT_OF_MEMORY = ("bad_alloc", "t allocate memory", "not enough memory", "out of memory")


def evaluate_many(
    potential: Potential,
    structures: Sequence[Atoms],
    *,
    forces: bool = True,
    stress: bool = False,
    particle_energies: bool = False,
    members: bool = False,
    most_edges: int | None = None,
) -> list[Evaluation]:
    """Evaluate structures, many in one call of the model.

    Results do not depend on which structures share a call, up to the rounding of the model's own
    numbers: 1e-10 eV and eV/Å for float64. Where memory runs out, fewer of them share one. Models
    that return only a total energy, or let distant atoms influence each other, are called for one
    structure after the other.

    Args:
        potential: the model.
        structures: periodic in any number of directions, of any size.
        forces: request the forces.
        stress: request the virial and the stress; structures without a volume have no stress.
        particle_energies: request one energy per atom; None where the model has only totals.
        members: request the results of each member of a committee, and so their deviations.
        most_edges: neighbours of all atoms in one call; by default as many as take about 10 ms on a
            CPU, and 2,000,000 on a GPU.

    Returns:
        One evaluation per structure, in their order, with the energy and what was requested.

    Raises:
        StructureError: a structure does not fit the model, or alone needs more memory than there
            is.
    """
    return ManyStructures(potential, skin=0.0, most_edges=most_edges).evaluate(
        structures,
        forces=forces,
        stress=stress,
        particle_energies=particle_energies,
        members=members,
    )


def batches_by_edges(sizes: Iterable[int], most: Callable[[], int]) -> Iterator[list[int]]:
    """Yield consecutive batches whose sizes sum to at most `most()`.

    Args:
        sizes: number of edges of each structure, read as far as batches are requested.
        most: returns the limit at present; a structure that exceeds it is a batch of its own.

    Yields:
        Positions in `sizes`, at least one.
    """
    batch: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if batch and total + size > most():
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += size
    if batch:
        yield batch


class ManyStructures:
    """Structures whose atoms move a little from one evaluation to the next, as in relaxations.

    Neighbour lists reach a skin beyond the cutoff and are kept until an atom moved by more than
    half of it, or the cell shrank accordingly. Where atoms move far in each step, `evaluate_many`
    is as fast.

    Args:
        potential: the model.
        skin: Å.
        most_edges: neighbours of all atoms in one call of the model, as `evaluate_many` has it.
    """

    def __init__(
        self, potential: Potential, *, skin: float = 0.5, most_edges: int | None = None
    ) -> None:
        self._potential = potential
        self._skin = skin
        self._size = CallSize(potential, most_edges)
        self._kept: dict[Hashable, _Kept] = {}

    def evaluate(
        self,
        structures: Sequence[Atoms],
        *,
        keys: Sequence[Hashable] | None = None,
        forces: bool = True,
        stress: bool = False,
        particle_energies: bool = False,
        members: bool = False,
    ) -> list[Evaluation]:
        """Evaluate structures, as `evaluate_many` does.

        Args:
            structures: periodic in any number of directions, of any size.
            keys: one per structure, by which its lists are found in the next call; lists of keys
                that a call does not have are dropped. The default is the position.
            forces: request the forces.
            stress: request the virial and the stress.
            particle_energies: request one energy per atom.
            members: request the results of each member of a committee.

        Returns:
            One evaluation per structure, in their order.

        Raises:
            StructureError: a structure does not fit the model, or alone needs more memory than
                there is.
        """
        requested = _Requested(forces, stress, particle_energies, members)
        evaluations = []
        for result in self._results(structures, keys, requested):
            if isinstance(result, StructureError):
                raise result
            evaluations.append(result)
        return evaluations

    def evaluate_each(
        self,
        structures: Sequence[Atoms],
        *,
        keys: Sequence[Hashable] | None = None,
        forces: bool = True,
        stress: bool = False,
        particle_energies: bool = False,
        members: bool = False,
    ) -> list[Evaluation | StructureError]:
        """Evaluate structures as `evaluate` does; those that fail have an error in their place."""
        requested = _Requested(forces, stress, particle_energies, members)
        return list(self._results(structures, keys, requested))

    def _results(
        self,
        structures: Sequence[Atoms],
        keys: Sequence[Hashable] | None,
        requested: _Requested,
    ) -> Iterator[Evaluation | StructureError]:
        """Yield one result per structure, in their order."""
        names = range(len(structures)) if keys is None else keys
        prepared: dict[int, _Structure | StructureError] = {}

        def sizes() -> Iterator[int]:
            for index, (key, atoms) in enumerate(zip(names, structures, strict=True)):
                prepared[index] = structure = self._prepare(index, atoms, key)
                yield 0 if isinstance(structure, StructureError) else max(1, structure.edges)

        batches = (
            batches_by_edges(sizes(), lambda: self._size.most)
            if is_separable(self._potential)
            else ([index] for index, _ in enumerate(sizes()))
        )
        for batch in batches:
            entries = [prepared.pop(index) for index in batch]
            found = self._evaluate([e for e in entries if isinstance(e, _Structure)], requested)
            for entry in entries:
                yield next(found) if isinstance(entry, _Structure) else entry
        self._kept = {key: self._kept[key] for key in names if key in self._kept}

    def _prepare(self, index: int, atoms: Atoms, key: Hashable) -> _Structure | StructureError:
        potential = self._potential
        kept = self._kept.get(key)
        try:
            if kept is None or not np.array_equal(kept.numbers, atoms.numbers):
                lists = MovingParticles(potential.spec.cutoff, potential.reach, self._skin)
                kept = _Kept(atoms.numbers.copy(), potential.codes(atoms), lists)
            particles = kept.lists.at(atoms.positions, atoms.cell.array, atoms.pbc)
        except TorchMLError as error:
            return StructureError(f"structure {index} ({_formula(atoms)}): {error}", index)
        if self._skin > 0:
            self._kept[key] = kept
        return _Structure(index, atoms, kept.codes, particles)

    def _evaluate(
        self, structures: Sequence[_Structure], requested: _Requested
    ) -> Iterator[Evaluation | StructureError]:
        """Evaluate structures in one call, and in halves of them where that fails."""
        if not structures:
            return
        edges = sum(structure.edges for structure in structures)
        begin = time.perf_counter()
        try:
            if len(structures) == 1:
                found = [_alone(self._potential, structures[0], requested)]
            else:
                found = _together(self._potential, structures, requested)
        except (TorchMLError, MemoryError) as error:
            failure = str(error) or "there is not enough memory"
            no_memory = isinstance(error, MemoryError) or _is_about_memory(failure)
        else:
            self._size.took(edges, time.perf_counter() - begin)
            yield from found
            return
        if len(structures) == 1:
            yield _named(structures[0], failure, no_memory)
            return
        if no_memory:
            self._size.lower(edges)
        # Where memory is not the reason, the halves lead to the structure that fails.
        half = len(structures) // 2
        yield from self._evaluate(structures[:half], requested)
        yield from self._evaluate(structures[half:], requested)


@dataclass(frozen=True)
class _Requested:
    forces: bool
    stress: bool
    particle_energies: bool
    members: bool


@dataclass(frozen=True)
class _Kept:
    """What is known of a structure from one evaluation to the next."""

    numbers: NDArray[np.int64]
    codes: NDArray[np.int32]
    lists: MovingParticles


@dataclass(frozen=True)
class _Structure:
    index: int
    atoms: Atoms
    codes: NDArray[np.int32]
    particles: ParticleSystem

    @property
    def edges(self) -> int:
        return len(self.particles.neighbors)


def _alone(potential: Potential, structure: _Structure, requested: _Requested) -> Evaluation:
    particles = structure.particles
    each = requested.particle_energies and potential.energy_kind != "total"
    results = potential.evaluate_particles(
        structure.codes[particles.image_of],
        particles.coordinates,
        particles.contributing,
        particles.neighbor_offsets,
        particles.neighbors,
        image_of=particles.image_of,
        forces=requested.forces,
        virial=requested.stress,
        particle_energies=each,
        members=requested.members,
    )
    n = len(structure.codes)
    return _evaluation(
        structure.atoms,
        results["energy"],
        results["forces"][:n] if requested.forces else None,
        results["virial"] if requested.stress else None,
        results["particle_energies"][:n] if each else None,
        Members.of(results, slice(n)) if requested.members else None,
    )


def _together(
    potential: Potential, structures: Sequence[_Structure], requested: _Requested
) -> list[Evaluation]:
    systems = [structure.particles for structure in structures]
    starts = np.cumsum([0] + [len(system.contributing) for system in systems])
    offsets = np.cumsum([0] + [len(system.neighbors) for system in systems])
    species = [structure.codes[structure.particles.image_of] for structure in structures]
    results = potential.evaluate_particles(
        np.concatenate(species),
        _each_around_origin(np.concatenate([system.coordinates for system in systems]), starts),
        np.concatenate([system.contributing for system in systems]),
        np.concatenate(
            [[0]] + [s.neighbor_offsets[1:] + at for s, at in zip(systems, offsets, strict=False)]
        ),
        np.concatenate([s.neighbors + at for s, at in zip(systems, starts, strict=False)]),
        image_of=np.concatenate([s.image_of + at for s, at in zip(systems, starts, strict=False)]),
        energy=False,
        forces=requested.forces,
        particle_energies=True,
        particle_virials=requested.stress,  # the shares sum to the virial in every convention
        members=requested.members,
    )
    evaluations = []
    for structure, start in zip(structures, starts, strict=False):
        rows = slice(start, start + len(structure.codes))
        energies = results["particle_energies"][rows]
        evaluations.append(
            _evaluation(
                structure.atoms,
                float(energies.sum()),
                results["forces"][rows] if requested.forces else None,
                results["particle_virials"][rows].sum(axis=0) if requested.stress else None,
                energies if requested.particle_energies else None,
                Members.of(results, rows) if requested.members else None,
            )
        )
    return evaluations


def _each_around_origin(
    coordinates: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Put the first atom of each system at the origin.

    Then float32 has the digits that it has for a structure alone.
    """
    if len(coordinates) == 0:
        return coordinates
    origins = coordinates[np.minimum(starts[:-1], len(coordinates) - 1)]
    return coordinates - np.repeat(origins, np.diff(starts), axis=0)


def _evaluation(
    atoms: Atoms,
    energy: float,
    forces: NDArray[np.float64] | None,
    virial: NDArray[np.float64] | None,
    particle_energies: NDArray[np.float64] | None,
    members: Members | None,
) -> Evaluation:
    """Copies, since the arrays are views of those of a whole batch with its ghosts."""
    volume = None if virial is None else volume_of(atoms)
    return Evaluation(
        energy=energy,
        forces=None if forces is None else forces.copy(),
        virial=virial,
        particle_energies=None if particle_energies is None else particle_energies.copy(),
        stress=None if virial is None or volume is None else virial / volume,
        members=members,
    )


def _is_about_memory(message: str) -> bool:
    return any(words in message for words in _OUT_OF_MEMORY)


def _named(structure: _Structure, failure: str, no_memory: bool) -> StructureError:
    name = f"structure {structure.index} ({_formula(structure.atoms)})"
    if no_memory:
        failure = (
            f"its {len(structure.atoms)} atoms with {structure.edges} neighbours need more memory "
            f"than there is: {failure}"
        )
    return StructureError(f"{name}: {failure}", structure.index)


def _formula(atoms: Atoms) -> str:
    return str(atoms.get_chemical_formula()) or "no atoms"
