"""Metrics: the errors that papers and leaderboards report.

Every metric is a mean over all batches and ranks: sums and counts are added over the ranks, and
divided once, so that the result does not depend on the batches. Rows without label (NaN), of weight
zero, of padding and of fixed atoms do not count.

Definitions of `forces_cosine`, `forces_magnitude`, `efwt` and `ewt`: L. Chanussot et al., ACS
Catal. 11, 6059 (2021), https://arxiv.org/abs/2010.09990.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchmetrics import Metric, MetricCollection

if TYPE_CHECKING:
    from torchml.data.batch import GraphBatch
    from torchml.training.loop.prediction import Prediction

    Errors = Callable[[GraphBatch, Prediction], Tensor]

ENERGY_THRESHOLD = 0.02
"""eV; energies closer than this count as right in `ewt` and `efwt`."""

FORCE_THRESHOLD = 0.03
"""eV/Å; components of forces closer than this count as right in `efwt`."""


class MeanError(Metric):
    """Mean, or root of the mean square, of the errors that a function returns for each batch.

    Args:
        errors: returns the errors of the labelled rows of one batch, in any shape.
        root_mean_square: whether to square, average and take the root.

    The value is NaN while there are no errors.
    """

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, errors: Errors, root_mean_square: bool = False) -> None:
        super().__init__()
        self.errors = errors
        self.root_mean_square = root_mean_square
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, batch: GraphBatch, prediction: Prediction) -> None:
        """Add the errors of one batch."""
        errors = self.errors(batch, prediction).detach().to(self.total.dtype)
        self.total += (errors.square() if self.root_mean_square else errors).sum()
        self.count += errors.numel()

    def compute(self) -> Tensor:
        """The mean over all batches."""
        mean = self.total / self.count
        return mean.sqrt() if self.root_mean_square else mean


def make_metrics(
    kind: str = "s2ef", forces: bool = True, stress: bool = False, prefix: str = ""
) -> MetricCollection:
    """Return the metrics of a kind of task; `update(batch, prediction)`.

    Every kind:
    energy_mae, energy_rmse                      eV per configuration
    energy_per_atom_mae, energy_per_atom_rmse    eV per atom
    ewt                                          share of energies within 0.02 eV

    All but "is2re", which is about energies, where the task predicts forces:
    forces_mae, forces_rmse                      eV/Å, over components of free atoms
    forces_x_mae, forces_y_mae, forces_z_mae     the same of one component
    forces_cosine                                mean cosine between predicted and true forces
    forces_magnitude                             eV/Å, mean difference of the lengths
    efwt                                         share of configurations whose energy is within
                                                 0.02 eV and whose every force component is
                                                 within 0.03 eV/Å
    and where it predicts the stress:
    stress_mae, stress_rmse                      eV/Å³, over the six components
    """
    metrics: dict[str, Metric | MetricCollection] = {
        "energy_mae": MeanError(_energy_error),
        "energy_rmse": MeanError(_energy_error, root_mean_square=True),
        "energy_per_atom_mae": MeanError(_energy_per_atom_error),
        "energy_per_atom_rmse": MeanError(_energy_per_atom_error, root_mean_square=True),
        "ewt": MeanError(_energy_is_within_threshold),
    }
    if forces and kind != "is2re":
        metrics |= {
            "forces_mae": MeanError(_forces_error),
            "forces_rmse": MeanError(_forces_error, root_mean_square=True),
            "forces_x_mae": MeanError(_forces_x_error),
            "forces_y_mae": MeanError(_forces_y_error),
            "forces_z_mae": MeanError(_forces_z_error),
            "forces_cosine": MeanError(_forces_cosine),
            "forces_magnitude": MeanError(_forces_magnitude_error),
            "efwt": MeanError(_energy_and_forces_are_within_threshold),
        }
    if stress and kind != "is2re":
        metrics |= {
            "stress_mae": MeanError(_stress_error),
            "stress_rmse": MeanError(_stress_error, root_mean_square=True),
        }
    # Metrics whose sums agree after the first batch would be merged for good, if they may be.
    return MetricCollection(metrics, prefix=prefix or None, compute_groups=False)


# --- Which labels count --------------------------------------------------------------------------


def energy_is_labelled(batch: GraphBatch) -> Tensor:
    """bool[G]: configurations whose energy counts."""
    return batch.real & torch.isfinite(batch.energy) & (batch.energy_weight > 0)


def force_is_labelled(batch: GraphBatch) -> Tensor:
    """bool[A]: free atoms whose force counts."""
    counts = (batch.real & (batch.forces_weight > 0))[batch.configuration_of_atom]
    return counts & batch.free & torch.isfinite(batch.forces).all(dim=1)


def stress_is_labelled(batch: GraphBatch) -> Tensor:
    """bool[G]: configurations whose stress counts."""
    return batch.real & torch.isfinite(batch.stress).all(dim=1) & (batch.stress_weight > 0)


# --- Errors of one batch -------------------------------------------------------------------------


def _energy_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return (prediction.energy - batch.energy)[energy_is_labelled(batch)].abs()


def _energy_per_atom_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return _energy_error(batch, prediction) / batch.atom_counts[energy_is_labelled(batch)]


def _energy_is_within_threshold(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return _energy_error(batch, prediction) < ENERGY_THRESHOLD


def _forces(batch: GraphBatch, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Predicted and true forces of the atoms that count, float[., 3]."""
    assert prediction.forces is not None
    labelled = force_is_labelled(batch)
    return prediction.forces[labelled].to(batch.forces.dtype), batch.forces[labelled]


def _forces_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    predicted, true = _forces(batch, prediction)
    return (predicted - true).abs()


def _forces_x_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return _forces_error(batch, prediction)[:, 0]


def _forces_y_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return _forces_error(batch, prediction)[:, 1]


def _forces_z_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return _forces_error(batch, prediction)[:, 2]


def _forces_cosine(batch: GraphBatch, prediction: Prediction) -> Tensor:
    return cosine_similarity(*_forces(batch, prediction), dim=1)


def _forces_magnitude_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    predicted, true = _forces(batch, prediction)
    difference: Tensor = predicted.norm(p=2, dim=1) - true.norm(p=2, dim=1)
    return difference.abs()


def _energy_and_forces_are_within_threshold(batch: GraphBatch, prediction: Prediction) -> Tensor:
    """bool: one per configuration that has an energy and at least one force that counts."""
    configuration = batch.configuration_of_atom[force_is_labelled(batch)]
    forces, misses = batch.energy.new_zeros(2, len(batch.energy))
    forces.index_add_(0, configuration, forces.new_ones(configuration.shape))
    missed = ~(_forces_error(batch, prediction) < FORCE_THRESHOLD).all(dim=1)
    misses.index_add_(0, configuration, missed.to(misses.dtype))
    counts = energy_is_labelled(batch) & (forces > 0)
    energies = (prediction.energy - batch.energy)[counts].abs()
    right: Tensor = (energies < ENERGY_THRESHOLD) & (misses[counts] == 0)
    return right


def _stress_error(batch: GraphBatch, prediction: Prediction) -> Tensor:
    assert prediction.stress is not None
    labelled = stress_is_labelled(batch)
    return (prediction.stress[labelled].to(batch.stress.dtype) - batch.stress[labelled]).abs()
