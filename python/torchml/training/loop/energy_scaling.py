"""Reference energies of the elements, and the scale of the remaining energies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from torchml.data.configuration import Configuration
from torchml.data.references import fit_references, reference_energy
from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Normalization:
    """Reference energies and scale, which bring labels to the order of one.

    The energy of an atom is reference[element] + scale * network. Losses are in units of the scale,
    so that coefficients and learning rates mean the same for every material.

    Attributes:
        references: energy of each element (eV) by symbol, "least_squares" from the training set,
            or "none". Where no energies exist and none are learned, least_squares is none.
        scale: a number (eV), "forces" for the root mean square of the force components, "energy"
            for the standard deviation of the energies per atom around the references, "auto" for
            "forces" if there are any and "energy" otherwise, or "none".
    """

    references: dict[str, float] | Literal["least_squares", "none"] = "least_squares"
    scale: float | Literal["auto", "forces", "energy", "none"] = "auto"

    def without_energies(self) -> Normalization:
        """Return the rule for data of forces alone: references that would be fitted are none."""
        return replace(self, references="none") if self.references == "least_squares" else self


def normalize(
    rule: Normalization, configurations: Sequence[Configuration], species: Sequence[str]
) -> tuple[dict[str, float], float]:
    """Compute the references (eV) by symbol, and the scale (eV).

    Raises:
        TorchMLError: a reference is missing, or the scale is not positive.
    """
    references = dict.fromkeys(species, 0.0)
    if isinstance(rule.references, dict):
        if missing := sorted(set(species) - set(rule.references)):
            raise TorchMLError(
                f"model.normalization.references lacks {' '.join(missing)}, "
                f"expected an energy for each of {' '.join(species)}"
            )
        references = {symbol: float(rule.references[symbol]) for symbol in species}
    elif rule.references == "least_squares":
        references = fit_references(configurations, species)
    return references, scale_of(rule, configurations, references)


def scale_of(
    rule: Normalization, configurations: Sequence[Configuration], references: dict[str, float]
) -> float:
    """Compute the scale (eV) of energies around references.

    Raises:
        TorchMLError: the scale is not positive.
    """
    scale = _scale(rule, configurations, references)
    if not (np.isfinite(scale) and scale > 0):
        raise TorchMLError(f"model.normalization.scale is {scale}, expected a positive number (eV)")
    return scale


def _scale(
    rule: Normalization, configurations: Sequence[Configuration], references: dict[str, float]
) -> float:
    if rule.scale == "none":
        return 1.0
    if not isinstance(rule.scale, str):
        return float(rule.scale)
    if rule.scale in ("auto", "forces"):
        forces = [c.forces for c in configurations if c.forces is not None]
        # Perfect crystals have none: any scale is as good then.
        rms = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 0.0
        if rms > 1e-6 or rule.scale == "forces":
            return rms if rms > 1e-6 else 1.0
    rest = [
        (c.energy - reference_energy(c, references)) / len(c)
        for c in configurations
        if c.energy is not None
    ]
    spread = float(np.std(rest)) if rest else 0.0
    return spread if spread > 1e-9 else 1.0
