"""Batches of random labels, with predictions near them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Batch:
    """The fields of a GraphBatch that the metrics use."""

    energy: Tensor
    forces: Tensor
    stress: Tensor
    energy_weight: Tensor
    forces_weight: Tensor
    stress_weight: Tensor
    free: Tensor
    real: Tensor
    atom_counts: Tensor
    configuration_of_atom: Tensor


@dataclass
class Prediction:
    energy: Tensor
    forces: Tensor | None
    stress: Tensor | None


def some_batch(seed: int, atoms: list[int], error: float = 0.05) -> tuple[Batch, Prediction]:
    """Labels, and predictions with errors of about `error`."""
    generator = torch.Generator().manual_seed(seed)
    total, count = sum(atoms), len(atoms)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    batch = Batch(
        energy=10 * normal(count),
        forces=normal(total, 3),
        stress=0.1 * normal(count, 6),
        energy_weight=torch.ones(count, dtype=torch.float64),
        forces_weight=torch.ones(count, dtype=torch.float64),
        stress_weight=torch.ones(count, dtype=torch.float64),
        free=torch.ones(total, dtype=torch.bool),
        real=torch.ones(count, dtype=torch.bool),
        atom_counts=torch.tensor(atoms),
        configuration_of_atom=torch.repeat_interleave(torch.arange(count), torch.tensor(atoms)),
    )
    prediction = Prediction(
        energy=batch.energy + error * normal(count),
        forces=batch.forces + error * normal(total, 3),
        stress=batch.stress + error * normal(count, 6),
    )
    return batch, prediction
