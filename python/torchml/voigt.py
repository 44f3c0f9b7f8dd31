"""Symmetric 3 x 3 tensors as six numbers in the order xx yy zz yz xz xy (Voigt's notation).

ASE and KIM-API use this order too. The factor 2 of engineering strains is not applied.
"""

from __future__ import annotations

from typing import Any

ROWS = [0, 1, 2, 1, 0, 0]
COLUMNS = [0, 1, 2, 2, 2, 1]


def to_voigt(tensor: Any) -> Any:
    """Return the six components of the symmetric part of a tensor.

    Args:
        tensor: array or torch tensor [..., 3, 3], any unit.

    Returns:
        [..., 6] in the order xx yy zz yz xz xy, same type and unit.
    """
    return (tensor[..., ROWS, COLUMNS] + tensor[..., COLUMNS, ROWS]) / 2
