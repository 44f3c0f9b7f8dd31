"""MACE models with random weights."""

from __future__ import annotations

import numpy as np
import torch

from torchml.importers.mace import model as mace


def random_mace(hidden: str, r_max: float = 4.0, max_ell: int = 2) -> torch.nn.Module:
    """A MACE of silicon in float64, always with the same weights.

    Args:
        hidden: features of an atom, as irreps of e3nn.
        r_max: its cutoff (Å).
        max_ell: largest degree of the harmonics.
    """
    modules = mace.import_mace()
    from e3nn import o3

    before = torch.get_default_dtype()
    torch.manual_seed(2018)
    torch.set_default_dtype(torch.float64)
    try:
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        model: torch.nn.Module = modules.ScaleShiftMACE(
            r_max=r_max,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=max_ell,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=1,
            hidden_irreps=o3.Irreps(hidden),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.array([-5.0]),
            avg_num_neighbors=14.0,
            atomic_numbers=[14],
            correlation=3,
            gate=torch.nn.functional.silu,
            atomic_inter_scale=0.1,
            atomic_inter_shift=0.0,
        )
    finally:
        torch.set_default_dtype(before)
    return model
