"""Tensors of a network as functions of smaller ones: low-rank changes, combinations of rows."""

from __future__ import annotations

import torch
from torch import Tensor


class LowRank(torch.nn.Module):
    """A matrix, which stays as it is, plus a product of two thin ones that are trained (LoRA).

        W + (alpha / rank) down up

    E. J. Hu et al., ICLR 2022 (arXiv:2106.09685). The product is zero at first. `down` is drawn
    with the spread of W, so that a step changes matrices of any unit by the same fraction.

    Args:
        matrix: W, [n, m].
        rank: columns of `down`, rows of `up`.
        alpha: strength.
    """

    def __init__(self, matrix: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        spread = float(matrix.std()) or 1.0
        down = spread * torch.randn(matrix.size(0), rank, dtype=matrix.dtype)
        self.down = torch.nn.Parameter(down)
        self.up = torch.nn.Parameter(matrix.new_zeros(rank, matrix.size(1)))
        self.scale = alpha / rank

    def forward(self, matrix: Tensor) -> Tensor:
        return matrix + self.scale * (self.down @ self.up)


class Combination(torch.nn.Module):
    """A tensor whose rows stay combinations of those that it had, with weights [n, K].

    The coefficients of a product that turns with the structure are weights times couplings; the
    rows of the trained tensor span the couplings that it uses, which a singular value decomposition
    finds. So no training can leave them.

    Args:
        tensor: any shape.
        axes: n entries of these axes are the rows, the others their columns.
        rank: K; None for the number of rows that are independent.
    """

    rows: Tensor

    def __init__(
        self, tensor: Tensor, axes: tuple[int, ...] = (0,), rank: int | None = None
    ) -> None:
        super().__init__()
        self.order = axes + tuple(k for k in range(tensor.ndim) if k not in axes)
        self.count = len(axes)
        self.shape = tuple(tensor.size(k) for k in self.order)
        matrix = self._matrix(tensor.detach()).to(torch.float64)
        _, values, rows = torch.linalg.svd(matrix, full_matrices=False)
        small = max(matrix.shape) * torch.finfo(tensor.dtype).eps
        rank = int((values > small * values[:1]).sum()) if rank is None else rank
        self.register_buffer("rows", rows[:rank].to(tensor.dtype))

    @property
    def rank(self) -> int:
        """K"""
        return self.rows.size(0)

    def forward(self, weights: Tensor) -> Tensor:
        tensor: Tensor = (weights @ self.rows).view(self.shape)
        back = [self.order.index(k) for k in range(len(self.order))]
        return tensor.permute(back).contiguous()

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """Weights of a tensor that has this form."""
        return self._matrix(tensor) @ self.rows.T

    def _matrix(self, tensor: Tensor) -> Tensor:
        return tensor.permute(self.order).flatten(self.count).flatten(0, self.count - 1)
