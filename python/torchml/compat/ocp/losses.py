"""The terms of the loss, and the normalisation, which gives them their unit."""

from __future__ import annotations

from typing import Any

import torch

from torchml.compat.ocp.given import Given
from torchml.compat.ocp.normalization import normalizers
from torchml.compat.ocp.sections import Loss
from torchml.compat.typed import from_mapping
from torchml.errors import TorchMLError

ENERGY, FORCES = "energy", "forces"
_LOSSES = {
    "mae": "torch.nn.L1Loss",
    "l1": "torch.nn.L1Loss",
    "mse": "torch.nn.MSELoss",
    "l2mae": "torchml.training.VectorNormLoss",
}
# Power of the unit in a loss: with forces in another unit, its coefficient changes.
_POWERS = {"torch.nn.L1Loss": 1, "torch.nn.MSELoss": 2, "torchml.training.VectorNormLoss": 1}


def terms(given: Given) -> dict[str, Any]:
    """Return coefficients, losses and normalisation of a task.

    OCP divides labels by the standard deviations before it compares; our losses are in units of
    the scale. Forces are derivatives of the energy, so that both have one scale: a standard
    deviation of forces of its own goes into their coefficient.

    Raises:
        TorchMLError: a loss or its reduction has no equivalent.
    """
    losses = _losses(given)
    energy = losses.get(ENERGY, Loss(coefficient=0.0))
    forces = losses.get(FORCES) if given.learns_forces else None
    constants = normalizers(given.config.dataset.train)
    made: dict[str, Any] = {
        "energy_coefficient": energy.coefficient,
        "energy_loss": {"class_path": _class_path(energy, ENERGY)},
        "energy_per_atom": False,
        "normalization": {
            "references": "none",
            "scale": "none" if constants is None else constants.energy,
        },
    }
    if constants is not None and constants.mean and energy.coefficient > 0:
        made["normalization"]["references"] = "least_squares"
        given.notes.append(
            f"mean of the energies, {constants.mean:g} eV: a potential has no energy that is the "
            "same for structures of all sizes; energies of the elements, fitted to the training "
            "data, take its place"
        )
    if given.kind == "is2re":
        return made
    made |= {"free_atoms_only": _free_atoms_only(given), "force_coefficient": 0.0}
    if forces is not None and forces.coefficient > 0:
        ratio = 1.0 if constants is None else constants.energy / constants.forces
        path = _class_path(forces, FORCES)
        made["force_coefficient"] = _force_coefficient(given, forces, path, ratio)
        made["force_loss"] = {"class_path": path}
    return made


def _losses(given: Given) -> dict[str, Loss]:
    """The terms by name, from loss_functions or from optim."""
    if given.config.loss_functions:
        entries = [
            (f"loss_functions[{place}].{name}", name, content)
            for place, entry in enumerate(given.config.loss_functions)
            for name, content in entry.items()
        ]
        for place, name, _ in entries:
            if name not in (ENERGY, FORCES):
                raise TorchMLError(f"{place} is of '{name}', expected energy or forces")
        return {name: from_mapping(Loss, content or {}, place) for place, name, content in entries}
    optim = given.config.optim
    asked = {one for one in (optim.loss_force, optim.loss_forces) if one is not None}
    if len(asked) > 1:
        raise TorchMLError(
            f"optim.loss_force is '{optim.loss_force}' and optim.loss_forces "
            f"'{optim.loss_forces}', expected one of them"
        )
    return {
        ENERGY: Loss(optim.loss_energy, optim.energy_coefficient),
        FORCES: Loss(next(iter(asked), given.version.force_loss), optim.force_coefficient),
    }


def _class_path(loss: Loss, term: str) -> str:
    """The class of a loss; an energy is one number, whose length is its absolute value."""
    name = "mae" if (term, loss.fn) == (ENERGY, "l2mae") else loss.fn
    if loss.coefficient < 0:
        raise TorchMLError(
            f"the coefficient of the loss of {term} is {loss.coefficient:g}, expected 0 or more"
        )
    if loss.reduction not in ("mean", "mean_all"):
        raise TorchMLError(
            f"the loss of {term} has the reduction '{loss.reduction}', expected mean or mean_all"
        )
    if name in _LOSSES:
        return _LOSSES[name]
    if name.endswith("Loss") and hasattr(torch.nn, name):
        return f"torch.nn.{name}"
    raise TorchMLError(
        f"the loss of {term} is '{loss.fn}', expected {', '.join(_LOSSES)} or a loss of torch.nn"
    )


def _force_coefficient(given: Given, loss: Loss, path: str, ratio: float) -> float:
    """The coefficient for a mean over components, of forces in units of the scale."""
    if ratio != 1.0 and path not in _POWERS:
        raise TorchMLError(
            f"the loss of forces is '{loss.fn}' and energies and forces have different standard "
            f"deviations, expected equal ones, or one of {', '.join(_LOSSES)}"
        )
    coefficient = loss.coefficient * ratio ** _POWERS.get(path, 1)
    adds = given.version.summed_components and loss.reduction == "mean"
    if not adds or path == _LOSSES["l2mae"]:
        return coefficient
    given.notes.append(
        f"force_coefficient: three times {coefficient:g}, as the loss '{loss.fn}' of OCP adds the "
        "components of a force"
    )
    return 3.0 * coefficient


def _free_atoms_only(given: Given) -> bool:
    """Whether forces on fixed atoms are ignored in training; metrics always ignore them."""
    place = given.config.outputs.get(FORCES) or given.config.task
    if not place.eval_on_free_atoms:
        raise TorchMLError(
            "eval_on_free_atoms false cannot be honoured: metrics of forces are those of free atoms"
        )
    return place.train_on_free_atoms
