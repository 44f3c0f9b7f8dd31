"""Molecular dynamics in ASE with minimum-image edges: a program that stays and answers.

    ase_worker.py DTYPE [MODEL.pt2]

The Python network of `variants.py` as it is (eager), or an AOTInductor package with the very same
weights, exported for the convention `edges`. Neighbours are listed with a skin, as in LAMMPS.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from steps.pairs import VerletList
from steps.variants import CUTOFF, LAYERS, SKIN, network
from torchml.export import aoti

# From species, float64 vectors and edges to energies [M] and dE/d(edge vectors).
Network = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def eager(dtype: str) -> Network:
    """The Python network, differentiated by autograd."""
    model = network(dtype)

    def call(species: Tensor, vectors: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        vectors = vectors.to(getattr(torch, dtype)).requires_grad_(True)
        nodes = [len(species)] * (LAYERS + 1)
        energies = model(species, vectors, index, nodes, [index.shape[1]] * LAYERS)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors)
        return energies.detach(), gradient

    return call


def package(path: str) -> Network:
    """A compiled archive, as exported for the driver: energies and derivatives inside."""
    model = aoti.load(path)
    dtype = getattr(torch, model.facts.input_dtype or model.facts.dtype or "float64")

    def call(species: Tensor, vectors: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        nodes, edges = [len(species)] * (LAYERS + 1), [index.shape[1]] * LAYERS
        flags = torch.zeros_like(species)
        return model(species, vectors.to(dtype), index, flags, nodes, edges)

    return call


class Silicon(Calculator):
    """ASE's side of the network: energy and forces."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE declares it so)

    def __init__(self, call: Network) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.call = call
        self.neighbors = VerletList(CUTOFF, SKIN)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = self.atoms
        assert structure is not None
        edges, vectors = self.neighbors.edges(structure)
        index = torch.from_numpy(edges)
        species = torch.zeros(len(structure), dtype=torch.int64)
        energies, gradient = self.call(species, torch.from_numpy(vectors), index)
        gradient = gradient.double()
        forces = torch.zeros(len(structure), 3, dtype=torch.float64)
        forces.index_add_(0, index[1], gradient).index_add_(0, index[0], -gradient)
        self.results = {"energy": float(energies.double().sum()), "forces": forces.numpy()}


def answer(order: dict[str, Any], call: Network) -> dict[str, Any]:
    """Run as ordered; CPU and wall time of each step in ms."""
    atoms = read(order["structure"])
    assert isinstance(atoms, Atoms)
    atoms.calc = Silicon(call)
    MaxwellBoltzmannDistribution(
        atoms, temperature_K=order["kelvin"], rng=np.random.default_rng(2018)
    )
    energy = atoms.get_potential_energy()
    dynamics = VelocityVerlet(atoms, timestep=order["time_step"])
    dynamics.run(order["warm_up"])
    cpu, wall = [], []
    for _ in range(order["steps"]):
        start = time.process_time(), time.perf_counter()
        dynamics.run(1)
        cpu.append(1e3 * (time.process_time() - start[0]))
        wall.append(1e3 * (time.perf_counter() - start[1]))
    return {"cpu": cpu, "wall": wall, "peak": peak_memory(), "energy": energy}


def peak_memory() -> float:
    """The most memory that was resident so far, MiB; getrusage() would also count the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Answer until the orders end."""
    dtype = sys.argv[1]
    call = package(sys.argv[2]) if len(sys.argv) > 2 else eager(dtype)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), call)), flush=True)


if __name__ == "__main__":
    main()
