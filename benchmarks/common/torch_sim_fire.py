"""FIRE of torch-sim with one of our networks; importing it needs torch-sim 0.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch_sim
from ase import Atoms
from torch import Tensor
from torch_sim.models.interface import ModelInterface
from torch_sim.neighbors import vesin_nl_ts
from torch_sim.optimizers import fire

from torchml.models import EdgeModel

STEPS_BETWEEN_SWAPS = 5  # the default of torch-sim


class TorchSimModel(ModelInterface):
    """A network of one element, with the neighbour lists of torch-sim's own models."""

    def __init__(self, network: EdgeModel) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_stress, self._compute_forces = False, True
        self._cutoff = torch.tensor(network.cutoff, dtype=torch.float64)

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Return energies [systems] and forces [atoms, 3]."""
        system, count = state.system_idx, state.n_systems
        targets, sources, shifts = [], [], []
        for k in range(count):
            (atoms,) = torch.where(system == k)
            cell = state.row_vector_cell[k]
            pairs, images = vesin_nl_ts(state.positions[atoms], cell, state.pbc, self._cutoff)
            targets.append(atoms[pairs[0]])
            sources.append(atoms[pairs[1]])
            shifts.append(images.to(cell.dtype) @ cell)
        index = torch.stack([torch.cat(sources), torch.cat(targets)])
        vectors = state.positions[index[0]] - state.positions[index[1]] + torch.cat(shifts)
        vectors = vectors.detach().requires_grad_()
        nodes, edges, layers = len(system), index.shape[1], self.network.layers
        with torch.enable_grad():
            energies = self.network(
                torch.zeros_like(system), vectors, index, [nodes] * (layers + 1), [edges] * layers
            )
            (slope,) = torch.autograd.grad(energies.sum(), vectors)
        forces = torch.zeros_like(state.positions)
        forces.index_add_(0, index[1], slope).index_add_(0, index[0], -slope)
        total = torch.zeros(count, dtype=energies.dtype).index_add_(0, system, energies.detach())
        return {"energy": total, "forces": forces}


def relax(
    structures: Sequence[Atoms], network: EdgeModel, *, fmax: float, maxstep: float, steps: int
) -> list[float]:
    """Return the energies of relaxed structures, eV.

    Args:
        structures: periodic in all directions, without fixed atoms.
        network: of one element, float64.
        fmax: largest force at the end, eV/Å.
        maxstep: largest norm of a move, Å.
        steps: largest number of moves.
    """
    state = torch_sim.optimize(
        list(structures),
        TorchSimModel(network),
        optimizer=fire,
        convergence_fn=torch_sim.generate_force_convergence_fn(fmax, include_cell_forces=False),
        max_steps=steps,
        steps_between_swaps=STEPS_BETWEEN_SWAPS,
        max_step=maxstep,
    )
    return [float(energy) for energy in state.energy]
