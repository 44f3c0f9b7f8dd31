"""Labels of potentials: what a network learns that replaces others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from torchml.data.configuration import Configuration
from torchml.data.progress import Progress
from torchml.errors import DataError
from torchml.evaluation.predicting import Quantities, evaluate_named
from torchml.inference.evaluation import Evaluation
from torchml.inference.many import ManyStructures
from torchml.inference.potential import Potential

# Calls of the same size every time: their last bits depend on it, and with them what is learned.
_CHUNK = 64
_MOST_EDGES_ON_CPU = 20_000


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
    configurations = list(configurations)  # copies are made once, not for each model
    wanted = Quantities(forces, stress)
    found = [_evaluations(model, configurations, wanted, device) for model in models]
    return [
        _with_labels(one, [evaluations[k] for evaluations in found])
        for k, one in enumerate(configurations)
    ]


def _evaluations(
    model: Potential | str | Path,
    configurations: Sequence[Configuration],
    wanted: Quantities,
    device: str,
) -> list[Evaluation]:
    potential = model if isinstance(model, Potential) else Potential(model, device)
    most = _MOST_EDGES_ON_CPU if potential.device == "cpu" else None
    many = ManyStructures(potential, skin=0.0, most_edges=most)
    found: list[Evaluation] = []
    with Progress(f"labelling by {potential.name}", len(configurations)) as bar:
        for begin in range(0, len(configurations), _CHUNK):
            chunk = list(configurations[begin : begin + _CHUNK])
            found += evaluate_named(many, chunk, wanted)
            bar.advance(len(chunk))
    return found


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
