"""Maps of features that rotate with the structure.

Features are lists of blocks [M, 2l+1, U], one for each irreducible representation of O(3): the
channels lie last, so that linear maps are single matrix products.
"""

import torch
from torch import Tensor


class ElementLinear(torch.nn.Module):
    """x W[element] + b: [n, d, U] -> [n, d, U'].

    Args:
        weights: [Z, U, U'], or one for all elements with Z = 1.
        bias: [U'], for scalars (d = 1); None adds nothing.
    """

    weights: Tensor
    bias: Tensor

    def __init__(self, weights: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.has_bias = bias is not None
        self.register_buffer("bias", weights.new_zeros(0) if bias is None else bias)
        self.elements = weights.size(0)
        self.outputs = weights.size(2)
        self.register_buffer("weights", weights.transpose(0, 1).flatten(1).contiguous())

    def forward(self, x: Tensor, species: Tensor) -> Tensor:
        y: Tensor = (x.flatten(0, 1) @ self.weights).unflatten(0, [x.size(0), x.size(1)])
        if self.elements > 1:
            y = y.unflatten(2, [self.elements, self.outputs])
            index = species.view(-1, 1, 1, 1).expand(-1, y.size(1), 1, self.outputs)
            y = y.gather(2, index).squeeze(2)
        return y + self.bias if self.has_bias else y


class Harmonics(torch.nn.Module):
    """Real spherical harmonics of unit vectors: [E, 3] -> [E, (l_max + 1)^2].

    Each degree follows from the one before: Y_{l+1} is bilinear in Y_l and the vector. The
    coefficients of the steps, [3 (2l+1), 2l+3], fix order and norm.
    """

    def __init__(self, first: Tensor, steps: list[Tensor]) -> None:
        super().__init__()
        self.steps = torch.nn.ParameterList(
            torch.nn.Parameter(step, requires_grad=False) for step in steps
        )
        self.first = float(first)

    def forward(self, unit: Tensor) -> Tensor:
        y = torch.full_like(unit[:, :1], self.first)
        degrees = [y]
        for step in self.steps:
            y = (y.unsqueeze(2) * unit.unsqueeze(1)).flatten(1) @ step
            degrees.append(y)
        return torch.cat(degrees, dim=1)
