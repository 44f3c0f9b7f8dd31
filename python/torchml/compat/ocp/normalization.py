"""The constants by which OCP normalises labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchml.compat.ocp.sections import Part
from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Normalizers:
    """Labels minus the mean, divided by the standard deviation; forces have the mean 0.

    Attributes:
        mean: of the energies, eV.
        energy: standard deviation of the energies, eV.
        forces: standard deviation of the force components, eV/Å.
    """

    mean: float
    energy: float
    forces: float


def normalizers(train: Part) -> Normalizers | None:
    """Return the constants of the training data; None where labels are not normalised.

    Raises:
        TorchMLError: a constant is missing or out of range.
    """
    transforms = dict(train.transforms)
    normalizer = transforms.pop("normalizer", None)
    if transforms:
        raise TorchMLError(
            f"dataset.train.transforms.{next(iter(transforms))} cannot be honoured, expected "
            "normalizer alone"
        )
    if normalizer is not None:
        energy, forces = (_entry(normalizer, name) for name in ("energy", "forces"))
        std = energy.get("stdev", 1.0)
        return _checked(
            energy.get("mean", 0.0), std, forces.get("mean", 0.0), forces.get("stdev", std)
        )
    if not train.normalize_labels:
        return None
    if train.target_mean is None or train.target_std is None:
        raise TorchMLError(
            "dataset.train.normalize_labels needs target_mean and target_std, expected numbers in "
            "eV (torchml data inspect prints the distribution of the energies)"
        )
    force_mean, force_std = train.grad_target_mean, train.grad_target_std
    return _checked(
        train.target_mean,
        train.target_std,
        0.0 if force_mean is None else force_mean,
        train.target_std if force_std is None else force_std,
    )


def _entry(normalizer: Any, name: str) -> Mapping[str, Any]:
    place = f"dataset.train.transforms.normalizer.{name}"
    entry = (normalizer.get(name) or {}) if isinstance(normalizer, Mapping) else None
    if not isinstance(entry, Mapping) or set(entry) - {"mean", "stdev"}:
        raise TorchMLError(f"{place} is {entry!r}, expected the keys mean and stdev")
    return entry


def _checked(mean: Any, energy: Any, force_mean: Any, forces: Any) -> Normalizers:
    try:
        mean, energy, force_mean, forces = map(float, (mean, energy, force_mean, forces))
    except (TypeError, ValueError):
        raise TorchMLError(
            f"the normalisation has {mean!r}, {energy!r}, {force_mean!r}, {forces!r}, expected "
            "numbers"
        ) from None
    if not (energy > 0 and forces > 0):
        raise TorchMLError(
            f"the standard deviations are {energy:g} eV and {forces:g} eV/Å, expected positive ones"
        )
    if force_mean:
        raise TorchMLError(
            f"the mean of the forces is {force_mean:g} eV/Å, expected 0: forces are derivatives"
        )
    return Normalizers(mean, energy, forces)
