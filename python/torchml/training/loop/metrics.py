"""Metrics of a training, as torchmetrics.

Every metric is a mean over all batches and ranks: sums and counts are added over the ranks, and
divided once, so that the result does not depend on the batches. Rows without label (NaN), of weight
zero, of padding and of fixed atoms do not count. The definitions are in
`torchml.evaluation.metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from torchml.evaluation.metrics import METRICS, Comparison
from torchml.evaluation.metrics import Metric as Definition

if TYPE_CHECKING:
    from torchml.data.batch import GraphBatch
    from torchml.training.loop.prediction import Prediction

# Metrics that follow from others, or are for single evaluations.
_NOT_LOGGED = {"energy_mse", "energy_per_atom_mse", "forces_mse", "forces_difference"}


class MeanError(Metric):
    """Mean of the errors of a metric over batches and ranks; NaN while there are no errors.

    Args:
        definition: what it is the mean of.
    """

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, definition: Definition) -> None:
        super().__init__()
        self.definition = definition
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, batch: GraphBatch, prediction: Prediction) -> None:
        """Add the errors of one batch."""
        errors = self.definition.errors(compare(batch, prediction)).detach().to(self.total.dtype)
        self.total += (errors if self.definition.mean == "plain" else errors.square()).sum()
        self.count += errors.numel()

    def compute(self) -> Tensor:
        """The mean over all batches."""
        mean = self.total / self.count
        return mean.sqrt() if self.definition.mean == "root" else mean


def make_metrics(
    kind: str = "s2ef", forces: bool = True, stress: bool = False, prefix: str = ""
) -> MetricCollection:
    """Return the metrics of a kind of task; `update(batch, prediction)`.

    Args:
        kind: "is2re", which is about energies, has no metrics of forces and stress.
        forces: whether the task predicts forces.
        stress: whether it predicts the stress.
        prefix: of their names, which are those of `torchml.evaluation.metrics.METRICS`.
    """
    wanted = {"energy"}
    if kind != "is2re":
        wanted |= {
            name for name, is_predicted in (("forces", forces), ("stress", stress)) if is_predicted
        }
    metrics: dict[str, Metric | MetricCollection] = {
        name: MeanError(definition)
        for name, definition in METRICS.items()
        if definition.needs in wanted and name not in _NOT_LOGGED
    }
    # Metrics whose sums agree after the first batch would be merged for good, if they may be.
    return MetricCollection(metrics, prefix=prefix or None, compute_groups=False)


def compare(batch: GraphBatch, prediction: Prediction) -> Comparison:
    """Return the predictions for a batch beside its labels."""
    return Comparison(
        atom_counts=batch.atom_counts,
        configuration_of_atom=batch.configuration_of_atom,
        energy=batch.energy,
        predicted_energy=prediction.energy,
        energy_counts=energy_is_labelled(batch),
        forces=batch.forces,
        predicted_forces=prediction.forces,
        force_counts=force_is_labelled(batch),
        stress=batch.stress,
        predicted_stress=prediction.stress,
        stress_counts=stress_is_labelled(batch),
    )


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
