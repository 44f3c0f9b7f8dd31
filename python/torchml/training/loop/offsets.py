"""Reference energies of a fine-tuning: the labels against the old model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from torchml.data.configuration import Configuration
from torchml.data.dataset import GraphDataset
from torchml.data.references import elements, fit_references, reference_energy
from torchml.errors import TorchMLError
from torchml.importers.fine_tuned import FineTuned
from torchml.training.loop.init_from import InitFrom
from torchml.training.loop.prediction import predict

_BATCH = 4  # configurations; only energies are computed


@dataclass(frozen=True)
class Offsets:
    """What the labels differ from the old model by.

    Attributes:
        by_element: least squares (eV per atom), for the elements of the labels; empty without
            energies.
        mean: of the differences of the energies per atom (eV).
        rest: root mean square of the differences per atom that remain (eV).
    """

    by_element: dict[str, float]
    mean: float = 0.0
    rest: float = 0.0


def offsets_of(model: FineTuned, data: GraphDataset) -> Offsets:
    """Compare the energies of the configurations with those of a model."""
    rows = [k for k, one in enumerate(data.configurations) if one.energy is not None]
    differences: list[Configuration] = []
    device = model.references.device
    for begin in range(0, len(rows), _BATCH):
        some = rows[begin : begin + _BATCH]
        with torch.no_grad():
            energies = predict(model, data[some].to(device), forces=False).energy.tolist()
        for row, energy in zip(some, energies, strict=True):
            one = data.configurations[row]
            assert one.energy is not None
            differences.append(replace(one, energy=one.energy - energy))
    if not differences:
        return Offsets({})
    known = elements(differences)
    fitted = fit_references(differences, known)
    per_atom = np.array([(one.energy or 0.0) / len(one) for one in differences])
    explained = np.array([reference_energy(one, fitted) / len(one) for one in differences])
    rest = float(np.sqrt(np.mean((per_atom - explained) ** 2)))
    return Offsets(fitted, float(per_atom.mean()), rest)


def set_references(model: FineTuned, rule: InitFrom, offsets: Offsets) -> None:
    """Set the energies of isolated atoms, and what they differ from the old ones by.

    Raises:
        TorchMLError: an element of the model has no energy in `rule`.
    """
    old = dict(zip(model.species, model.references.tolist(), strict=True))
    new = old
    if isinstance(rule.references, dict):
        if missing := sorted(set(model.species) - set(rule.references)):
            raise TorchMLError(
                f"model.init_from.references lacks {' '.join(missing)}, expected an energy for "
                f"each of {' '.join(model.species)}"
            )
        new = rule.references
    elif rule.references == "refit":
        new = {one: energy + offsets.by_element.get(one, 0.0) for one, energy in old.items()}
    with torch.no_grad():
        for k, symbol in enumerate(model.species):
            model.references[k] = new[symbol]
            model.shifts[k] = new[symbol] - old[symbol]
