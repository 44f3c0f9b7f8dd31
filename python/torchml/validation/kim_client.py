"""A small simulator: it evaluates a model through KIM-API, with kimpy."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kimpy
import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from torchml.errors import TorchMLError
from torchml.inference.evaluation import Evaluation

ARGUMENTS = {
    "energy": kimpy.compute_argument_name.partialEnergy,
    "forces": kimpy.compute_argument_name.partialForces,
    "virial": kimpy.compute_argument_name.partialVirial,
    "particle_energies": kimpy.compute_argument_name.partialParticleEnergy,
    "particle_virials": kimpy.compute_argument_name.partialParticleVirial,
}
PER_PARTICLE = ("forces", "particle_energies", "particle_virials")


def output_arrays(particles: int) -> dict[str, NDArray[np.float64]]:
    """Return arrays for all outputs, filled with NaN, which a computation must overwrite."""
    shapes: dict[str, tuple[int, ...]] = {
        "energy": (1,),
        "forces": (particles, 3),
        "virial": (6,),
        "particle_energies": (particles,),
        "particle_virials": (particles, 6),
    }
    return {key: np.full(shape, np.nan) for key, shape in shapes.items()}


class ComputeArguments:
    """A KIM ComputeArguments object and the arrays that it points to."""

    def __init__(self, model: KimModel) -> None:
        self.model = model
        self.kim = model.kim.compute_arguments_create()
        self._neighbors = kimpy.neighlist.create()
        self.coordinates = np.zeros((1, 3))
        self.arrays: dict[str, NDArray[np.float64]] = {}
        self._kept: Any = None

    def supports(self, output: str) -> bool:
        """Whether the model computes this output (a key of ARGUMENTS)."""
        status = self.kim.get_argument_support_status(ARGUMENTS[output])
        return str(status) != "notSupported"

    def compute(
        self,
        species: Sequence[str] | NDArray[np.int32],
        coordinates: ArrayLike,
        contributing: ArrayLike | None = None,
        outputs: Sequence[str] = ("energy", "forces"),
        *,
        skin: float = 0.0,
        release_gil: bool = True,
    ) -> dict[str, NDArray[np.float64]]:
        """Compute outputs for all particles, in the model's units.

        Args:
            species: [N], symbols or KIM codes.
            coordinates: [N, 3].
            contributing: [N], 1 for contributing particles, 0 for ghosts; all contribute if None.
            outputs: keys of ARGUMENTS.
            skin: length by which neighbour lists exceed the model's cutoff.
            release_gil: release the GIL; a callback into Python needs it.

        Returns:
            The outputs by name.
        """
        coordinates = np.ascontiguousarray(coordinates, dtype=np.double).reshape(-1, 3)
        n = len(coordinates)
        # kimpy refuses empty arrays: there is always room for one particle.
        room = max(n, 1)
        codes, flags, x = np.zeros(room, np.intc), np.ones(room, np.intc), np.zeros((room, 3))
        codes[:n] = [self.model.species[s] if isinstance(s, str) else s for s in species]
        x[:n] = coordinates
        if contributing is not None:
            flags[:n] = contributing
        count, arrays = np.array([n], np.intc), output_arrays(room)
        name = kimpy.compute_argument_name
        for argument, array in (
            (name.numberOfParticles, count),
            (name.particleSpeciesCodes, codes),
            (name.particleContributing, flags),
            (name.coordinates, x),
        ):
            self.kim.set_argument_pointer(argument, array)
        for key, argument in ARGUMENTS.items():
            if key in outputs:
                self.kim.set_argument_pointer(argument, arrays[key])
            elif self.supports(key):
                self.kim.set_argument_null_pointer(argument)
        need = np.ones(room, np.intc) if self.model.wants_ghost_neighbors else flags
        # Its list builder fails for lengths in metres: use the cutoff as unit of small ones.
        unit = min(1.0, self.model.cutoffs.max())
        reach = (self.model.influence_distance + skin) / unit
        self._neighbors.build(x / unit, reach, (self.model.cutoffs + skin) / unit, need)
        self.kim.set_callback_pointer(
            kimpy.compute_callback_name.GetNeighborList,
            kimpy.neighlist.get_neigh_kim(),
            self._neighbors,
        )
        # KIM-API keeps bare pointers to all of these.
        self.coordinates, self.arrays, self._kept = x, arrays, (count, codes, flags)
        self.model.kim.compute(self.kim, release_gil)
        return {key: arrays[key][:n] if key in PER_PARTICLE else arrays[key] for key in outputs}


class KimModel:
    """An installed KIM model.

    Args:
        name: its KIM ID.
        length: KIM unit of length.
        energy: KIM unit of energy.
        time: KIM unit of time.
    """

    def __init__(
        self,
        name: str,
        length: Any = kimpy.length_unit.A,
        energy: Any = kimpy.energy_unit.eV,
        time: Any = kimpy.time_unit.ps,
    ) -> None:
        self.name = name
        self.units_accepted, self.kim = kimpy.model.create(
            kimpy.numbering.zeroBased,
            length,
            energy,
            kimpy.charge_unit.e,
            kimpy.temperature_unit.K,
            time,
            name,
        )
        self.influence_distance = float(self.kim.get_influence_distance())
        cutoffs, hints = self.kim.get_neighbor_list_cutoffs_and_hints()
        self.cutoffs: NDArray[np.float64] = np.atleast_1d(cutoffs).astype(np.double)
        self.wants_ghost_neighbors = not np.all(hints)
        self.species = dict(self._supported_species())
        self.arguments = ComputeArguments(self)

    def _supported_species(self) -> Iterator[tuple[str, int]]:
        for index in range(kimpy.species_name.get_number_of_species_names()):
            species = kimpy.species_name.get_species_name(index)
            supported, code = self.kim.get_species_support_and_code(species)
            if supported:
                yield str(species), code

    def compute(self, *args: Any, **kwargs: Any) -> dict[str, NDArray[np.float64]]:
        """Compute outputs with the compute arguments of the model; see ComputeArguments.compute."""
        return self.arguments.compute(*args, **kwargs)

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Evaluate a structure with ghosts from kimpy: all outputs that the model supports."""
        positions = np.ascontiguousarray(atoms.positions, dtype=np.double)
        codes = np.array([self.species[s] for s in atoms.get_chemical_symbols()], np.intc)
        owners = np.arange(len(atoms))
        if atoms.pbc.any():
            cell = np.ascontiguousarray(atoms.cell.complete().array, dtype=np.double)
            wrapped = atoms.copy()
            wrapped.wrap(eps=0)
            ghosts, ghost_codes, ghost_owners = kimpy.neighlist.create_paddings(
                self.influence_distance,
                cell,
                np.asarray(atoms.pbc, np.intc),
                np.ascontiguousarray(wrapped.positions, dtype=np.double),
                codes,
            )
            positions = np.concatenate([wrapped.positions, np.reshape(ghosts, (-1, 3))])
            codes = np.concatenate([codes, ghost_codes]).astype(np.intc)
            owners = np.concatenate([owners, ghost_owners]).astype(np.int64)
        contributing = (np.arange(len(positions)) < len(atoms)).astype(np.intc)
        outputs = [key for key in ARGUMENTS if self.arguments.supports(key)]
        found: dict[str, Any] = self.compute(codes, positions, contributing, outputs)
        for key in PER_PARTICLE:
            if key in found:
                folded = np.zeros((len(atoms), *found[key].shape[1:]))
                np.add.at(folded, owners, found[key])
                found[key] = folded
        found["energy"] = float(found["energy"][0])
        return Evaluation(**found)


@contextlib.contextmanager
def kim_log_explains(doing: str) -> Iterator[None]:
    """Raise errors of KIM-API with the reason in its log.

    KIM-API writes kim.log into the working folder: a temporary one inside the context.

    Raises:
        TorchMLError: KIM-API reports an error.
    """
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        try:
            yield
        except (kimpy.KimPyError, RuntimeError) as error:
            reason = last_error(Path("kim.log")) or str(error)
            raise TorchMLError(f"{doing}: {reason}") from error


def last_error(log: Path) -> str:
    """Return the last error of a model in a kim.log, else the first of KIM-API, else ""."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    # time * number * verbosity * object * file:line * message
    entries = [line.split(" * ", 5) for line in lines]
    errors = [entry for entry in entries if len(entry) == 6 and entry[2] == "error"]
    by_model = [message for *_, file, message in errors if not file.startswith("KIM_")]
    return by_model[-1] if by_model else errors[0][5] if errors else ""
