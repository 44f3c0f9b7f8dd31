"""A small MACE of silicon with random weights, for examples that need one."""

from __future__ import annotations

import numpy as np
import torch
from ase.data import atomic_numbers

import torchml.importers.mace.model

# e3nn's constants are read without a global setting of torch.
torchml.importers.mace.model.import_mace()

from e3nn import o3  # noqa: E402
from mace.modules import ScaleShiftMACE, interaction_classes  # noqa: E402


def small_mace(cutoff: float, element: str = "Si") -> torch.nn.Module:
    """Return a MACE of two layers and eight channels, with a screened repulsion of nuclei.

    Args:
        cutoff: of one layer (Å).
        element: the only element.
    """
    torch.manual_seed(4)
    block = interaction_classes["RealAgnosticResidualInteractionBlock"]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return ScaleShiftMACE(
            r_max=cutoff,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls_first=block,
            interaction_cls=block,
            num_interactions=2,
            num_elements=1,
            hidden_irreps=o3.Irreps("8x0e"),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.array([-3.0]),
            avg_num_neighbors=14.0,
            atomic_numbers=[atomic_numbers[element]],
            correlation=2,
            radial_type="bessel",
            pair_repulsion=True,
            atomic_inter_scale=0.1,
            atomic_inter_shift=0.0,
        )
    finally:
        torch.set_default_dtype(before)
