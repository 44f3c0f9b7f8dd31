"""The reference: a model evaluated in Python, with inputs that are computed without the C++ code.

This code is simple rather than fast. Neighbours come from a search over all pairs and all lattice
shifts. A model of convention `edges` gets the periodic graph itself, without ghosts, and so does
the descriptor library for the convention `descriptor`. Models that take coordinates get this graph
unfolded: image (j, T + S) exists if image (i, T) is reached and atom i has the neighbour j shifted
by S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell
from numpy.typing import NDArray

from torchml._descriptors import Descriptor
from torchml.contract.compiled_inputs import arguments_of
from torchml.contract.metadata import quiet_torchscript
from torchml.contract.operators import load_extensions
from torchml.contract.signature import SHELL_COUNTS
from torchml.contract.torchscript import load_script
from torchml.errors import TorchMLError
from torchml.inference.compiled import SUFFIX, Compiled
from torchml.inference.evaluation import Evaluation
from torchml.inference.files import archive_of
from torchml.models import EdgeModel
from torchml.models.staged import StagedModel
from torchml.voigt import to_voigt

Shift = tuple[int, int, int]
Node = tuple[int, Shift]


@dataclass(frozen=True)
class PeriodicEdges:
    """E directed edges: atom `source` shifted by lattice vectors lies within reach of `target`.

    target, source [E] atoms; shifts [E, 3] whole lattice vectors; vectors [E, 3] from target to
    source, Å. Sorted by target.
    """

    target: NDArray[np.int64]
    source: NDArray[np.int64]
    shifts: NDArray[np.int64]
    vectors: NDArray[np.float64]


def periodic_edges(atoms: Atoms, cutoff: float) -> PeriodicEdges:
    """Find all pairs closer than the cutoff, including an atom and its own images."""
    positions = atoms.positions
    cell = complete_cell(atoms.cell.array)
    inverse = np.linalg.inv(cell)
    spread = np.ptp(positions @ inverse, axis=0) if len(positions) else np.zeros(3)
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0) + spread).astype(int) * atoms.pbc
    shifts = np.stack(
        np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    # Each list starts with an empty array, for structures without atoms.
    targets, sources = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    used, vectors = [np.empty((0, 3), dtype=np.int64)], [np.empty((0, 3))]
    for i, here in enumerate(positions):
        vector = positions[None, :, :] + (shifts @ cell)[:, None, :] - here
        near = (vector**2).sum(axis=2) < cutoff**2
        near[(shifts == 0).all(axis=1), i] = False
        shift, j = np.nonzero(near)
        targets.append(np.full(len(j), i))
        sources.append(j)
        used.append(shifts[shift])
        vectors.append(vector[near])
    return PeriodicEdges(
        target=np.concatenate(targets),
        source=np.concatenate(sources),
        shifts=np.concatenate(used),
        vectors=np.concatenate(vectors),
    )


@dataclass(frozen=True)
class Unfolded:
    """N images as particles, the atoms of the structure first.

    owners [N] atoms; shifts [N, 3] whole lattice vectors; edges [E, 2] (source, target) sorted by
    the hop that reaches the target; hops [E] of that target.
    """

    owners: NDArray[np.int64]
    shifts: NDArray[np.int64]
    edges: NDArray[np.int64]
    hops: NDArray[np.int64]


def unfold(periodic: PeriodicEdges, atoms: int, layers: int) -> Unfolded:
    """Follow the periodic graph from the atoms for `layers` hops and collect the images."""
    neighbors: list[list[Node]] = [[] for _ in range(atoms)]
    for target, source, shift in zip(
        periodic.target.tolist(), periodic.source.tolist(), periodic.shifts.tolist(), strict=True
    ):
        neighbors[target].append((source, tuple(shift)))
    particle: dict[Node, int] = {(i, (0, 0, 0)): i for i in range(atoms)}
    frontier: list[Node] = list(particle)
    edges: list[tuple[int, int]] = []
    hops: list[int] = []
    for hop in range(layers):
        reached: list[Node] = []
        for owner, (a, b, c) in frontier:
            target = particle[owner, (a, b, c)]
            for other, (da, db, dc) in neighbors[owner]:
                node = (other, (a + da, b + db, c + dc))
                if node not in particle:
                    particle[node] = len(particle)
                    reached.append(node)
                edges.append((particle[node], target))
                hops.append(hop)
        frontier = reached
    return Unfolded(
        owners=np.array([owner for owner, _ in particle], dtype=np.int64),
        shifts=np.array([shift for _, shift in particle], dtype=np.int64).reshape(-1, 3),
        edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
        hops=np.array(hops, dtype=np.int64),
    )


class ReferenceModel:
    """An archive, alone or in a model folder, evaluated with the `spec` of its Potential.

    Attributes:
        form: TorchScript or .pt2.
    """

    def __init__(self, path: str | Path, spec: Any) -> None:
        load_extensions(spec.extensions)
        self.module: Callable[..., Any]
        self.spec = spec
        self.dtype = getattr(torch, spec.input_dtype)
        archive = archive_of(Path(path))
        self.form = SUFFIX if archive.suffix == SUFFIX else "TorchScript"
        if archive.suffix == SUFFIX:
            compiled = Compiled(archive)
            self.module, self.argument_names = compiled, arguments_of(compiled.facts) or []
            return
        module: Any = load_script(archive).eval()
        self.module = module
        arguments = module.forward.schema.arguments[1:]  # the first is self
        self.argument_names = [argument.name for argument in arguments]

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Return energy (eV), forces (eV/Å) and virial (eV) of a structure."""
        edges = periodic_edges(atoms, self.spec.cutoff)
        if self.spec.convention == "edges":
            return self._evaluate_edges(atoms, edges)
        if self.spec.convention in ("graph", "raw"):
            return self._evaluate_particles(atoms, edges)
        if self.spec.convention == "descriptor":
            return self._evaluate_descriptor(atoms, edges)
        raise TorchMLError(
            f"the convention is '{self.spec.convention}', expected raw, graph, edges or descriptor"
        )

    def _species(self, atoms: Atoms) -> NDArray[np.int64]:
        if self.spec.species_input == "atomic_number":
            return np.asarray(atoms.numbers, dtype=np.int64)
        symbols = atoms.get_chemical_symbols()
        return np.array([self.spec.species.index(symbol) for symbol in symbols], dtype=np.int64)

    def _evaluate_edges(self, atoms: Atoms, edges: PeriodicEdges) -> Evaluation:
        n, layers = len(atoms), self.spec.layers
        vectors = torch.tensor(edges.vectors, dtype=self.dtype, requires_grad=True)
        inputs: list[Any] = [
            torch.from_numpy(self._species(atoms)),
            vectors,
            torch.from_numpy(np.stack([edges.source, edges.target])),
            torch.zeros(n, dtype=torch.int64),
        ]
        counts = {"node_counts": [n] * (layers + 1), "edge_counts": [len(edges.target)] * layers}
        inputs += [counts[name] for name in self.argument_names[4:]]
        energy, gradient = self._run(inputs, vectors, n, gradient_sign=1.0)
        return self._evaluation(energy, gradient, edges, n)

    def _evaluate_descriptor(self, atoms: Atoms, edges: PeriodicEdges) -> Evaluation:
        n = len(atoms)
        descriptor = Descriptor(self.spec.descriptor)
        known = self.spec.descriptor.species
        codes = np.array([known.index(symbol) for symbol in atoms.get_chemical_symbols()], int)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(edges.target, minlength=n))])
        environment = (codes, offsets, codes[edges.source], edges.vectors)
        values = descriptor.compute_edges(*environment)
        leaf = torch.tensor(values, dtype=self.dtype, requires_grad=True)
        inputs: list[Any] = [leaf, torch.from_numpy(self._species(atoms))]
        inputs = inputs[: len(self.argument_names)]
        energy, cotangent = self._run(inputs, leaf, n, gradient_sign=1.0)
        gradient = descriptor.pull_back_edges(*environment, cotangent)
        return self._evaluation(energy, gradient, edges, n)

    def _evaluation(
        self, energy: float, gradient: NDArray[np.float64], edges: PeriodicEdges, atoms: int
    ) -> Evaluation:
        """Compute forces and virial from dE/d(vector) [E, 3]."""
        forces = np.zeros((atoms, 3))
        np.add.at(forces, edges.target, gradient)
        np.add.at(forces, edges.source, -gradient)
        return Evaluation(energy=energy, forces=forces, virial=to_voigt(gradient.T @ edges.vectors))

    def _evaluate_particles(self, atoms: Atoms, periodic: PeriodicEdges) -> Evaluation:
        n = len(atoms)
        image = unfold(periodic, n, self.spec.layers)
        coordinates = atoms.positions[image.owners] + image.shifts @ complete_cell(atoms.cell.array)
        coords = torch.tensor(coordinates, dtype=self.dtype, requires_grad=True)
        species = torch.from_numpy(self._species(atoms)[image.owners])
        ghost = torch.ones(len(coordinates), dtype=torch.int64)
        ghost[:n] = 0
        if self.spec.convention == "graph":
            inputs = [species, coords, *self._stages(image), ghost]
        else:
            counts = np.bincount(periodic.target, minlength=n).astype(np.int32)
            listed = image.edges[:, 0].astype(np.int32)
            inputs = [
                species,
                coords,
                torch.from_numpy(counts),
                torch.from_numpy(listed),
                1 - ghost,
            ]
        energy, particle_forces = self._run(inputs, coords, n, gradient_sign=-1.0)
        forces = np.zeros((n, 3))
        np.add.at(forces, image.owners, particle_forces)
        return Evaluation(
            energy=energy, forces=forces, virial=to_voigt(-particle_forces.T @ coordinates)
        )

    def _stages(self, image: Unfolded) -> list[torch.Tensor]:
        stages = []
        for hop in range(self.spec.layers):
            edges = image.edges[image.hops <= hop]
            if not self.spec.directed:
                edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
            stages.append(torch.from_numpy(np.ascontiguousarray(edges.T)))
        return stages

    def _run(
        self, inputs: list[Any], leaf: torch.Tensor, atoms: int, gradient_sign: float
    ) -> tuple[float, NDArray[np.float64]]:
        """Return the energy of the atoms, and the model's own derivative or sign x dE/d(leaf)."""
        with quiet_torchscript():
            output = self.module(*inputs)
        derivative = None
        if isinstance(output, tuple):
            output, derivative = output
        energies = output.reshape(-1)
        # One value is the total; values per atom or per particle are summed: the atoms are first.
        energy = energies[0] if len(energies) == 1 else energies[:atoms].sum()
        if derivative is None and energy.requires_grad and leaf.numel():
            (gradient,) = torch.autograd.grad(energy, leaf, allow_unused=True)
            derivative = None if gradient is None else gradient_sign * gradient
        if derivative is None:
            derivative = torch.zeros_like(leaf)
        return float(energy.detach()), derivative.detach().to(torch.float64).numpy()


class EagerModel(ReferenceModel):
    """The model of a checkpoint as training evaluates it, before conversion to TorchScript."""

    def __init__(self, model: EdgeModel | StagedModel, spec: Any) -> None:
        self.module = self._call
        self.model = model.eval()
        self.spec = spec
        self.dtype = getattr(torch, spec.input_dtype)
        self.argument_names = ["", "", "", "", *SHELL_COUNTS]

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Return energy, forces and virial; an `EdgeModel` takes edges in any convention."""
        edges = periodic_edges(atoms, self.spec.cutoff)
        if isinstance(self.model, EdgeModel):
            return self._evaluate_edges(atoms, edges)
        return self._evaluate_particles(atoms, edges)

    def _call(self, first: torch.Tensor, second: torch.Tensor, *others: Any) -> torch.Tensor:
        if isinstance(self.model, EdgeModel):
            edge_index, _, *counts = others
            energies: torch.Tensor = self.model(first, second, edge_index, *counts)
        else:
            *stages, contributing = others
            energies = self.model(first, second, stages, contributing)
        return energies
