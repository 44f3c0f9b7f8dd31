"""Small MACE models with random weights, and the results of MACE itself."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers

# Before mace: e3nn's constants are read without a global setting.
import torchml.importers.mace.model

torchml.importers.mace.model.import_mace()

from e3nn import o3  # noqa: E402
from mace.calculators import MACECalculator  # noqa: E402
from mace.modules import MACE, ScaleShiftMACE, interaction_classes  # noqa: E402

# MACE lets torch.load run any pickle, in this process and its children; no other test wants that.
os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)


def random_mace(species: list[str], hidden: str = "8x0e", **options: Any) -> torch.nn.Module:
    """A MACE of two layers; with `scale`, a ScaleShiftMACE. Further options are MACE's own."""
    torch.manual_seed(5)
    before = torch.get_default_dtype()
    torch.set_default_dtype(options.pop("dtype", torch.float64))
    first = options.pop("first", "RealAgnosticResidualInteractionBlock")
    later = options.pop("later", "RealAgnosticResidualInteractionBlock")
    scale = options.pop("scale", None)
    heads = options.get("heads") or ["Default"]
    energies = -3.0 - np.arange(len(heads) * len(species)).reshape(len(heads), -1) / 7
    arguments: dict[str, Any] = {
        "r_max": 4.0,
        "num_bessel": 8,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "num_interactions": 2,
        "hidden_irreps": o3.Irreps(hidden),
        "MLP_irreps": o3.Irreps("16x0e"),
        "gate": torch.nn.functional.silu,
        "avg_num_neighbors": 14.0,
        "correlation": 3,
        "radial_type": "bessel",
    }
    try:
        model = (MACE if scale is None else ScaleShiftMACE)(
            interaction_cls_first=interaction_classes[first],
            interaction_cls=interaction_classes[later],
            num_elements=len(species),
            atomic_numbers=[atomic_numbers[symbol] for symbol in species],
            atomic_energies=energies if len(heads) > 1 else energies[0],
            **(arguments | options),
            **({} if scale is None else _scaling(scale, len(heads))),
        )
    finally:
        torch.set_default_dtype(before)
    return model


def maces_own(model: torch.nn.Module, dtype: str = "float64", **options: Any) -> MACECalculator:
    """The calculator of MACE, which sets the default float type of torch."""
    return MACECalculator(models=model, device="cpu", default_dtype=dtype, **options)


def _scaling(scale: float, heads: int) -> dict[str, Any]:
    """Another scale and shift for each head."""
    if heads == 1:
        return {"atomic_inter_scale": scale, "atomic_inter_shift": 0.3}
    numbers = np.arange(heads)
    return {"atomic_inter_scale": scale + 0.1 * numbers, "atomic_inter_shift": 0.3 - numbers}
