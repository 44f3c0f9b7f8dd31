"""Which tensors of imported networks are weights, and which are constants.

For evaluation most tensors of these networks are buffers, or parameters without gradients.
Couplings of rotations, harmonics, envelopes and tables are constants, which no training may change.
"""

from __future__ import annotations

import torch

from torchml.importers.networks import (
    allegro,
    ani,
    chgnet,
    equivariant,
    gated,
    mace,
    nequip,
    radial,
)

_FREE: dict[type, tuple[str, ...]] = {
    equivariant.ElementLinear: ("weights", "bias"),
    radial.Perceptron: ("weights",),
    mace.MACE: ("embedding",),
    mace.Product: ("linear",),
    mace.Readout: ("weights",),
    nequip.NequIP: ("embedding",),
    nequip.Readout: ("bias",),
    allegro.Allegro: ("weighting", "first"),
    allegro.PairEmbedding: ("projection", "centers", "neighbors"),
    ani.Linear: ("weights", "biases"),
    ani.Members: ("weights", "biases"),
    chgnet.CHGNet: ("embedding",),
    gated.Affine: ("scale", "shift"),
}

# Weights times couplings of rotations, with the axes of the weights; over the others, each entry of
# these is a combination of couplings.
_COMBINED: dict[type, dict[str, tuple[int, ...]]] = {
    mace.Product: {"coefficients": (0, 2)},
    allegro.Coupling: {"coefficients": (0,)},
}


def free_weights(module: torch.nn.Module) -> tuple[str, ...]:
    """Names of the tensors, or lists of tensors, of a module that a training may change freely."""
    return _FREE.get(type(module), ())


def combined_weights(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The tensors of a module that must stay combinations of what they span, by name.

    Returns:
        The axes over which the combinations differ.
    """
    return _COMBINED.get(type(module), {})
