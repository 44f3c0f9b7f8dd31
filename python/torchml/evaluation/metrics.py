"""Metrics: the definitions of the errors that papers and leaderboards report.

Every metric is a mean over rows (configurations, atoms or components), of which only those count
that have a label. The functions return one value for each row that counts, so that sums and counts
of batches and ranks can be added, and divided once.

Definitions of `forces_cosine`, `forces_magnitude`, `efwt` and `ewt`: L. Chanussot et al., ACS
Catal. 11, 6059 (2021), https://arxiv.org/abs/2010.09990.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor
from torch.nn.functional import cosine_similarity

ENERGY_THRESHOLD = 0.02
"""eV; energies closer than this count as right in `ewt` and `efwt`."""

FORCE_THRESHOLD = 0.03
"""eV/Å; components of forces closer than this count as right in `efwt`."""


@dataclass(eq=False)
class Comparison:
    """Predictions beside labels, for G configurations with A atoms.

    Attributes:
        atom_counts: i64[G].
        configuration_of_atom: i64[A].
        energy, predicted_energy: f64[G], eV.
        energy_counts: bool[G], configurations whose energy counts.
        forces, predicted_forces: [A, 3], eV/Å; None where none are predicted.
        force_counts: bool[A], atoms whose force counts.
        stress, predicted_stress: [G, 6], eV/Å³; None where none is predicted.
        stress_counts: bool[G], configurations whose stress counts.
    """

    atom_counts: Tensor
    configuration_of_atom: Tensor
    energy: Tensor
    predicted_energy: Tensor
    energy_counts: Tensor
    forces: Tensor
    predicted_forces: Tensor | None
    force_counts: Tensor
    stress: Tensor
    predicted_stress: Tensor | None
    stress_counts: Tensor

    def of_configurations(self, flags: Tensor) -> Comparison:
        """Return the comparison in which only these configurations count: bool[G]."""
        return replace(
            self,
            energy_counts=self.energy_counts & flags,
            force_counts=self.force_counts & flags[self.configuration_of_atom],
            stress_counts=self.stress_counts & flags,
        )

    def of_atoms(self, flags: Tensor) -> Comparison:
        """Return the comparison in which only these atoms count: bool[A]."""
        return replace(self, force_counts=self.force_counts & flags)


Mean = Literal["plain", "square", "root"]
"""The mean of errors, of their squares, or the root of the latter."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        errors: returns the errors of the rows that count, in any shape.
        mean: how they are averaged.
        needs: what must be predicted besides the energy.
    """

    errors: Callable[[Comparison], Tensor]
    mean: Mean = "plain"
    needs: Literal["energy", "forces", "stress"] = "energy"


# --- Errors of the rows that count ---------------------------------------------------------------


def energy_error(c: Comparison) -> Tensor:
    """|E - E_label|, eV: one per configuration."""
    return (c.predicted_energy - c.energy)[c.energy_counts].abs()


def energy_per_atom_error(c: Comparison) -> Tensor:
    """|E - E_label| / number of atoms, eV: one per configuration."""
    return energy_error(c) / c.atom_counts[c.energy_counts]


def energy_is_within_threshold(c: Comparison) -> Tensor:
    """bool: one per configuration."""
    return energy_error(c) < ENERGY_THRESHOLD


def forces_error(c: Comparison) -> Tensor:
    """|F - F_label|, eV/Å: three components per atom."""
    predicted, true = _forces(c)
    return (predicted - true).abs()


def forces_x_error(c: Comparison) -> Tensor:
    return forces_error(c)[:, 0]


def forces_y_error(c: Comparison) -> Tensor:
    return forces_error(c)[:, 1]


def forces_z_error(c: Comparison) -> Tensor:
    return forces_error(c)[:, 2]


def forces_difference(c: Comparison) -> Tensor:
    """Length of F - F_label, eV/Å: one per atom."""
    predicted, true = _forces(c)
    length: Tensor = (predicted - true).norm(p=2, dim=1)
    return length


def forces_cosine(c: Comparison) -> Tensor:
    """Cosine of the angle between F and F_label: one per atom."""
    return cosine_similarity(*_forces(c), dim=1)


def forces_magnitude_error(c: Comparison) -> Tensor:
    """Difference of the lengths of F and F_label, eV/Å: one per atom."""
    predicted, true = _forces(c)
    difference: Tensor = predicted.norm(p=2, dim=1) - true.norm(p=2, dim=1)
    return difference.abs()


def energy_and_forces_are_within_threshold(c: Comparison) -> Tensor:
    """bool: one per configuration that has an energy and at least one force that counts."""
    configuration = c.configuration_of_atom[c.force_counts]
    forces, misses = c.energy.new_zeros(2, len(c.energy))
    forces.index_add_(0, configuration, forces.new_ones(configuration.shape))
    missed = ~(forces_error(c) < FORCE_THRESHOLD).all(dim=1)
    misses.index_add_(0, configuration, missed.to(misses.dtype))
    counts = c.energy_counts & (forces > 0)
    energies = (c.predicted_energy - c.energy)[counts].abs()
    right: Tensor = (energies < ENERGY_THRESHOLD) & (misses[counts] == 0)
    return right


def stress_error(c: Comparison) -> Tensor:
    """|s - s_label|, eV/Å³: six components per configuration."""
    assert c.predicted_stress is not None
    counts = c.stress_counts
    return (c.predicted_stress[counts].to(c.stress.dtype) - c.stress[counts]).abs()


def _forces(c: Comparison) -> tuple[Tensor, Tensor]:
    """Predicted and true forces of the atoms that count, [., 3]."""
    assert c.predicted_forces is not None
    return c.predicted_forces[c.force_counts].to(c.forces.dtype), c.forces[c.force_counts]


METRICS: dict[str, Metric] = {
    "energy_mae": Metric(energy_error),
    "energy_mse": Metric(energy_error, "square"),
    "energy_rmse": Metric(energy_error, "root"),
    "energy_per_atom_mae": Metric(energy_per_atom_error),
    "energy_per_atom_mse": Metric(energy_per_atom_error, "square"),
    "energy_per_atom_rmse": Metric(energy_per_atom_error, "root"),
    "ewt": Metric(energy_is_within_threshold),
    "forces_mae": Metric(forces_error, needs="forces"),
    "forces_mse": Metric(forces_error, "square", needs="forces"),
    "forces_rmse": Metric(forces_error, "root", needs="forces"),
    "forces_x_mae": Metric(forces_x_error, needs="forces"),
    "forces_y_mae": Metric(forces_y_error, needs="forces"),
    "forces_z_mae": Metric(forces_z_error, needs="forces"),
    "forces_difference": Metric(forces_difference, needs="forces"),
    "forces_cosine": Metric(forces_cosine, needs="forces"),
    "forces_magnitude": Metric(forces_magnitude_error, needs="forces"),
    "efwt": Metric(energy_and_forces_are_within_threshold, needs="forces"),
    "stress_mae": Metric(stress_error, needs="stress"),
    "stress_rmse": Metric(stress_error, "root", needs="stress"),
}
"""energy_mae, energy_mse, energy_rmse              eV, eV² per configuration
energy_per_atom_mae, ..._mse, ..._rmse              eV, eV² per atom
ewt                                                 share of energies within 0.02 eV
forces_mae, forces_mse, forces_rmse                 eV/Å, (eV/Å)², over components of atoms
forces_x_mae, forces_y_mae, forces_z_mae            the same of one component
forces_difference                                   eV/Å, mean length of the difference
forces_cosine                                       mean cosine between predicted and true forces
forces_magnitude                                    eV/Å, mean difference of the lengths
efwt                                                share of configurations whose energy is within
                                                    0.02 eV and whose every force component is
                                                    within 0.03 eV/Å
stress_mae, stress_rmse                             eV/Å³, over the six components
"""
