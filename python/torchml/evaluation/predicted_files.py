"""Predictions beside the labels in extended XYZ, and as OCP's `predictions.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchml.data.configuration import Configuration
from torchml.data.output import written_then_renamed
from torchml.data.progress import track
from torchml.data.writing import write_extxyz
from torchml.errors import DataError
from torchml.evaluation.predictions import Predictions


def with_predictions(
    configuration: Configuration, values: Mapping[str, NDArray[np.float64]]
) -> Configuration:
    """Return the configuration with predictions among its targets; those that are NaN are left out.

    Args:
        configuration: with its labels.
        values: predictions by name, such as predicted_energy.
    """
    finite = {name: value for name, value in values.items() if np.isfinite(value).all()}
    return replace(configuration, targets=configuration.targets | finite)


def write_predicted_extxyz(
    configurations: Sequence[Configuration], predictions: Predictions, path: str | Path
) -> None:
    """Write extended XYZ with the labels of the data and what was predicted.

    predicted_energy (eV), predicted_forces (eV/Å), predicted_stress (eV/Å³) and
    predicted_atom_energies (eV), as far as they were requested; no stress for structures without
    a volume.

    Args:
        configurations: n structures.
        predictions: of the same structures, in the same order.
        path: of the file, which is replaced.

    Raises:
        DataError: the numbers of structures or of their atoms are different.
    """
    if len(configurations) != len(predictions):
        raise DataError(
            f"there are predictions for {len(predictions)} structures, but {len(configurations)} "
            "structures, expected equal numbers"
        )
    write_extxyz(_joined(configurations, predictions), path)


def _joined(
    configurations: Sequence[Configuration], predictions: Predictions
) -> Iterator[Configuration]:
    forces, energies = predictions.forces, predictions.particle_energies
    end = 0
    for k, configuration in enumerate(
        track(configurations, "writing predictions", len(configurations))
    ):
        begin, end = end, end + int(predictions.counts[k])
        if len(configuration) != end - begin:
            raise DataError(
                f"{configuration.name} has {len(configuration)} atoms, but there are predictions "
                f"for {end - begin}, expected those of this structure"
            )
        values = {"predicted_energy": np.asarray(predictions.energies[k])}
        if forces is not None:
            values["predicted_forces"] = forces[begin:end]
        if predictions.stress is not None:
            values["predicted_stress"] = predictions.stress[k]
        if energies is not None:
            values["predicted_atom_energies"] = energies[begin:end]
        yield with_predictions(configuration, values)


def write_json(predictions: Predictions, path: str | Path, task: str = "s2ef") -> None:
    """Write the `predictions.json` of OCP's tutorials, in the order of the data.

    Args:
        predictions: all structures.
        path: of the file, which is replaced.
        task: is2re writes a list of energies, eV; s2ef a list of {"energy": eV, "forces": [[x, y,
            z], ...]}, eV/Å, with the forces of all atoms.

    Raises:
        DataError: a value is not finite, or there are no forces.
    """
    forces = predictions.forces
    if task == "s2ef" and forces is None:
        raise DataError("the predictions hold no forces, expected them for the task s2ef")
    split = predictions.of_atoms(forces) if task == "s2ef" and forces is not None else None
    with written_then_renamed(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for k, energy in enumerate(predictions.energies.tolist()):
            _check_finite(predictions.names[k], energy, [] if split is None else split[k])
            entry = energy if split is None else {"energy": energy, "forces": split[k].tolist()}
            file.write((",\n" if k else "") + json.dumps(entry))
        file.write("]\n")


def _check_finite(name: str, *values: ArrayLike) -> None:
    if not all(np.isfinite(value).all() for value in values):
        raise DataError(f"{name}: the prediction is not finite, expected numbers, as JSON has them")
