"""Energies of atoms by themselves, and the scale of what is left for the network to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from torchml.data.configuration import Configuration
from torchml.data.references import fit_references, reference_energy
from torchml.errors import TorchMLError


@dataclass(frozen=True)
class Normalization:
    """How labels are brought to the order of one before a network sees them.

    The energy of an atom is reference[element] + scale * network; losses are taken in units of the
    scale, so that coefficients and learning rates mean the same for every material.

    references: energy of each element (eV) by symbol, "least_squares" from the training set, or
        "none".
    scale: a number (eV), "forces" for the root mean square of the force components, "energy" for
        the standard deviation of the energies per atom around the references, "auto" for "forces"
        where there are some and "energy" otherwise, or "none".
    """

    references: dict[str, float] | Literal["least_squares", "none"] = "least_squares"
    scale: float | Literal["auto", "forces", "energy", "none"] = "auto"


def normalize(
    rule: Normalization, configurations: Sequence[Configuration], species: Sequence[str]
) -> tuple[dict[str, float], float]:
    """References (eV) by element, and the scale (eV)."""
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
    scale = _scale(rule, configurations, references)
    if not (np.isfinite(scale) and scale > 0):
        raise TorchMLError(f"model.normalization.scale is {scale}, expected a positive number (eV)")
    return references, scale


def _scale(
    rule: Normalization, configurations: Sequence[Configuration], references: dict[str, float]
) -> float:
    if rule.scale == "none":
        return 1.0
    if not isinstance(rule.scale, str):
        return float(rule.scale)
    if rule.scale in ("auto", "forces"):
        forces = [one.forces for one in configurations if one.forces is not None]
        # Perfect crystals have none: any scale is as good then.
        rms = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 0.0
        if rms > 1e-6 or rule.scale == "forces":
            return rms if rms > 1e-6 else 1.0
    rest = [
        (one.energy - reference_energy(one, references)) / len(one)
        for one in configurations
        if one.energy is not None
    ]
    spread = float(np.std(rest)) if rest else 0.0
    return spread if spread > 1e-9 else 1.0
