"""Labels of potentials: what a network learns that replaces others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from torchml.data.configuration import Configuration
from torchml.errors import DataError
from torchml.evaluation.predicting import predict
from torchml.inference.evaluation import Evaluation
from torchml.inference.potential import Potential


def labelled(
    configurations: Sequence[Configuration],
    models: Sequence[Potential | str | Path],
    *,
    forces: bool = True,
    stress: bool = True,
    device: str = "cpu",
) -> list[Configuration]:
    """Return configurations whose labels are the mean of what some potentials say.

    Args:
        configurations: their own labels are replaced; targets and the ends of relaxations, of which
            potentials know nothing, are left out.
        models: what `Potential` opens, or opened ones.
        forces: label the forces.
        stress: label the stress; structures without a volume get none.
        device: "cpu", "cuda" or "cuda:K".

    Raises:
        DataError: there is no model, or a structure does not fit one.
        TorchMLError: a model cannot be read.
    """
    if not models:
        raise DataError("there are no models to label by, expected at least one")
    found = [
        [
            evaluation
            for _, evaluation in predict(
                model, configurations, forces=forces, stress=stress, device=device
            )
        ]
        for model in models
    ]
    return [
        _with_labels(one, [evaluations[k] for evaluations in found])
        for k, one in enumerate(configurations)
    ]


def _with_labels(configuration: Configuration, said: Sequence[Evaluation]) -> Configuration:
    forces = [one.forces for one in said if one.forces is not None]
    stress = [one.stress for one in said if one.stress is not None]
    return replace(
        configuration,
        energy=float(np.mean([one.energy for one in said if one.energy is not None])),
        forces=np.mean(forces, axis=0) if forces else None,
        stress=np.mean(stress, axis=0) if stress else None,
        targets={},
        relaxed_positions=None,
        relaxed_energy=None,
        initial_energy=None,
    )
