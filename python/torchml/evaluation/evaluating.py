"""Compare predictions of a data set with its labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from torchml.data.configuration import Configuration
from torchml.errors import DataError
from torchml.evaluation.evaluate_summary import WORST, Summary, Task, Worst
from torchml.evaluation.metrics import Comparison, forces_difference
from torchml.evaluation.metrics_positions import Relaxed, add_relaxed, minimum_image_difference
from torchml.evaluation.metrics_sums import add_comparison
from torchml.inference.evaluation import Evaluation

Pair = tuple[Configuration, Evaluation | Relaxed]

_ATOMS = 8192  # of the structures that are compared at once


def evaluate(
    pairs: Iterable[Pair], task: Task = "s2ef", *, free_atoms_only: bool = True
) -> Summary:
    """Return the errors of predictions; what is kept in memory does not grow with their number.

    Labels that are missing, or whose weight is zero, do not count.

    Args:
        pairs: labelled configurations and what was predicted for them: `Evaluation`, or `Relaxed`
            for the task is2rs.
        task: s2ef compares energies, forces and stress; is2re energies with the relaxed energies;
            is2rs positions with the relaxed positions, and energies with the relaxed energies.
        free_atoms_only: leave out fixed atoms, as OCP does.

    Raises:
        DataError: a prediction has another number of atoms than its configuration.
    """
    summary = Summary(task, free_atoms_only)
    for part in _parts(pairs):
        _check_shapes(part)
        summary.structures += len(part)
        summary.atoms += sum(len(c) for c, _ in part)
        if task == "is2rs":
            for configuration, prediction in part:
                assert isinstance(prediction, Relaxed)
                _add_positions(summary, configuration, prediction)
        comparison = _compare(part, summary)
        _add_comparison(summary, comparison, [c for c, _ in part])
    return summary


def check_labels(summary: Summary, where: str) -> None:
    """Raise DataError if a whole data set has no label to which predictions could be compared."""
    if any(summary.sums.counts.values()):
        return
    wanted = {
        "s2ef": "energies, forces or stress (see data.keys); --task is2re reads relaxed energies",
        "is2re": "relaxed energies (y_relaxed)",
        "is2rs": "relaxed positions (pos_relaxed)",
    }
    raise DataError(
        f"{where}: no configuration of {summary.structures} has a label that was predicted, "
        f"expected {wanted[summary.task]}"
    )


# --- One part of the data set --------------------------------------------------------------------


def _parts(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    part: list[Pair] = []
    atoms = 0
    for pair in pairs:
        part.append(pair)
        atoms += len(pair[0])
        if atoms >= _ATOMS:
            yield part
            part, atoms = [], 0
    if part:
        yield part


def _check_shapes(part: Sequence[Pair]) -> None:
    for configuration, prediction in part:
        for name in ("forces", "positions"):
            value = getattr(prediction, name, None)
            if value is not None and value.shape != (len(configuration), 3):
                raise DataError(
                    f"{configuration.name}: the predicted {name} have the shape "
                    f"{list(value.shape)}, expected {[len(configuration), 3]}"
                )


def _compare(part: Sequence[Pair], summary: Summary) -> Comparison:
    """Predictions beside labels; a row without one of them does not count."""
    configurations = [c for c, _ in part]
    atoms = [len(c) for c in configurations]
    energy = _column(part, "energy", [(1,)] * len(part), summary)
    forces = _column(part, "forces", [(n, 3) for n in atoms], summary)
    stress = _column(part, "stress", [(1, 6)] * len(part), summary)
    owners = np.repeat(np.arange(len(part)), atoms)
    free = np.concatenate([counting_atoms(c, summary.free_atoms_only) for c in configurations])
    return Comparison(
        atom_counts=torch.tensor(atoms),
        configuration_of_atom=torch.from_numpy(owners),
        energy=energy.labels,
        predicted_energy=energy.predictions,
        energy_counts=torch.from_numpy(energy.counts),
        forces=forces.labels,
        predicted_forces=forces.predictions if forces.is_predicted else None,
        force_counts=torch.from_numpy(forces.counts[owners] & free),
        stress=stress.labels,
        predicted_stress=stress.predictions if stress.is_predicted else None,
        stress_counts=torch.from_numpy(stress.counts),
    )


@dataclass(frozen=True, eq=False)
class _Column:
    """Labels and predictions of one quantity, NaN where there are none.

    counts: bool[G], structures that have both.
    """

    labels: torch.Tensor
    predictions: torch.Tensor
    counts: NDArray[np.bool_]
    is_predicted: bool


def _column(
    part: Sequence[Pair], name: str, shapes: Sequence[tuple[int, ...]], summary: Summary
) -> _Column:
    labels = [_label(c, name, summary.task) for c, _ in part]
    predictions = [_prediction(e, name, summary.task) for _, e in part]
    summary.labels[name] += sum(label is not None for label in labels)
    is_there = [a is not None and b is not None for a, b in zip(labels, predictions, strict=True)]
    return _Column(
        _filled(labels, shapes),
        _filled(predictions, shapes),
        np.array(is_there),
        any(value is not None for value in predictions),
    )


def _label(configuration: Configuration, name: str, task: Task) -> ArrayLike | None:
    """The label with which a prediction is compared; None if it does not count."""
    if getattr(configuration.weights, name) == 0:
        return None
    if task != "s2ef":
        return configuration.relaxed_energy if name == "energy" else None
    if name == "stress" and not configuration.has_volume:
        return None  # of slabs and wires, in other units
    label: ArrayLike | None = getattr(configuration, name)
    return label


def _prediction(prediction: Evaluation | Relaxed, name: str, task: Task) -> ArrayLike | None:
    if name != "energy" and (task != "s2ef" or isinstance(prediction, Relaxed)):
        return None
    value: ArrayLike | None = getattr(prediction, name)
    return value


def _filled(values: Sequence[ArrayLike | None], shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """The values in one tensor, NaN in place of None."""
    rows = [
        np.full(shape, np.nan) if value is None else np.asarray(value, np.float64).reshape(shape)
        for value, shape in zip(values, shapes, strict=True)
    ]
    return torch.from_numpy(np.concatenate(rows))


def counting_atoms(configuration: Configuration, free_only: bool) -> NDArray[np.bool_]:
    """Return the atoms that count, bool[N]: all, or those that are not fixed."""
    if free_only and configuration.fixed is not None:
        return ~configuration.fixed
    return np.ones(len(configuration), dtype=bool)


# --- What is added to the summary ----------------------------------------------------------------


def _add_comparison(
    summary: Summary, comparison: Comparison, configurations: Sequence[Configuration]
) -> None:
    add_comparison(summary.sums, comparison)
    groups = np.array([c.group or "" for c in configurations])
    for group in sorted(set(groups.tolist()) - {""}):
        flags = torch.from_numpy(groups == group)
        add_comparison(summary.sums_of_group(group), comparison.of_configurations(flags))
    if comparison.predicted_forces is not None:
        _add_elements(summary, comparison, np.concatenate([c.numbers for c in configurations]))
    _add_points(summary, comparison)
    _add_worst(summary, comparison, configurations)


def _add_elements(summary: Summary, comparison: Comparison, numbers: NDArray[np.int64]) -> None:
    for number in np.unique(numbers).tolist():
        of_element = comparison.of_atoms(torch.from_numpy(numbers == number))
        if of_element.force_counts.any():
            symbol = chemical_symbols[number]
            add_comparison(summary.sums_of_element(symbol), of_element)
            summary.add_element_errors(symbol, forces_difference(of_element).numpy())


def _add_points(summary: Summary, c: Comparison) -> None:
    """Add points of the parity plots, which need a prediction for each label."""
    rows: dict[str, tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]] = {
        "energy": (c.energy / c.atom_counts, c.predicted_energy / c.atom_counts, c.energy_counts),
        "forces": (c.forces, c.predicted_forces, c.force_counts),
        "stress": (c.stress, c.predicted_stress, c.stress_counts),
    }
    for quantity, (labels, predictions, counts) in rows.items():
        if predictions is not None and counts.any():
            summary.add_points(quantity, labels[counts].numpy(), predictions[counts].numpy())


def _add_worst(summary: Summary, c: Comparison, configurations: Sequence[Configuration]) -> None:
    """Keep the structures with the largest errors of energy per atom, and of force on one atom."""
    atoms = c.atom_counts.numpy()
    begins = np.cumsum(atoms) - atoms
    energies = _counting((c.predicted_energy - c.energy).numpy(), c.energy_counts.numpy())
    errors = {"energy": np.abs(energies) / atoms}
    lengths: NDArray[np.float64] | None = None
    if c.predicted_forces is not None:
        differences = (c.predicted_forces - c.forces).norm(dim=1).numpy()
        lengths = _counting(differences, c.force_counts.numpy())
        errors["forces"] = np.fmax.reduceat(lengths, begins)
    for quantity, values in errors.items():
        order = [k for k in np.argsort(-values)[:WORST].tolist() if not np.isnan(values[k])]
        summary.add_worst(
            quantity,
            [
                Worst(
                    float(values[k]),
                    configurations[k],
                    None if np.isnan(energies[k]) else float(energies[k]),
                    None if lengths is None else lengths[begins[k] : begins[k] + atoms[k]],
                )
                for k in order
            ],
        )


def _counting(values: NDArray[np.float64], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The values, NaN where they do not count; errors of what is no number are infinite."""
    return np.where(
        counts, np.nan_to_num(values, nan=np.inf, posinf=np.inf, neginf=-np.inf), np.nan
    )


def _add_positions(summary: Summary, configuration: Configuration, relaxed: Relaxed) -> None:
    """Add the errors of one relaxed structure, of its group and of its elements."""
    free = counting_atoms(configuration, summary.free_atoms_only)
    add_relaxed(summary.sums, configuration, relaxed, free)
    if configuration.group is not None:
        add_relaxed(summary.sums_of_group(configuration.group), configuration, relaxed, free)
    if configuration.relaxed_positions is None or not free.any():
        return
    summary.labels["relaxed positions"] += 1
    vectors = minimum_image_difference(configuration, relaxed.positions)
    distances = np.linalg.norm(vectors, axis=1)
    for number in np.unique(configuration.numbers[free]).tolist():
        symbol = chemical_symbols[number]
        rows = free & (configuration.numbers == number)
        sums = summary.sums_of_element(symbol)
        sums.add("distance", distances[rows])
        sums.add("positions_mae", np.abs(vectors[rows]))
        sums.add("positions_mse", vectors[rows])
        summary.add_element_errors(symbol, distances[rows])
    mean = float(distances[free].mean())
    summary.add_errors("distance", np.array([mean]))
    of_atoms = np.where(free, distances, np.nan)
    summary.add_worst(
        "distance", [Worst(mean, configuration, _energy_error(configuration, relaxed), of_atoms)]
    )


def _energy_error(configuration: Configuration, relaxed: Relaxed) -> float | None:
    if relaxed.energy is None or configuration.relaxed_energy is None:
        return None
    return relaxed.energy - configuration.relaxed_energy
