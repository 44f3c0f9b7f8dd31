"""Functions of the distance whose derivatives are known in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Curves(torch.autograd.Function):
    """K functions of r [E], given their values, slopes and curvatures [E, K], twice differentiable.

    Autograd would go through the arrays [E, K] once for each operation of each derivative; this
    goes through them once for each derivative.
    """

    @staticmethod
    def forward(ctx: Any, r: Tensor, values: Tensor, slopes: Tensor, curvatures: Tensor) -> Tensor:
        ctx.save_for_backward(r, slopes, curvatures)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        slopes = Slopes.apply(*ctx.saved_tensors, gradients[0])  # type: ignore[no-untyped-call]
        return slopes, None, None, None


class Slopes(torch.autograd.Function):
    """The derivative by r of sum(gradient * functions): [E]."""

    @staticmethod
    def forward(
        ctx: Any, r: Tensor, slopes: Tensor, curvatures: Tensor, gradient: Tensor
    ) -> Tensor:
        ctx.save_for_backward(r, slopes, curvatures, gradient)
        return (gradient * slopes).sum(1)

    @staticmethod
    def backward(ctx: Any, *changes: Any) -> Any:
        saved = ctx.saved_tensors
        to_r, to_gradient = Curvatures.apply(*saved, changes[0])  # type: ignore[no-untyped-call]
        return to_r, None, None, to_gradient


class Curvatures(torch.autograd.Function):
    """The derivatives of `change * Slopes` by r [E] and by the gradient [E, K]."""

    @staticmethod
    def forward(
        ctx: Any, r: Tensor, slopes: Tensor, curvatures: Tensor, gradient: Tensor, change: Tensor
    ) -> tuple[Tensor, Tensor]:
        return change * (gradient * curvatures).sum(1), change.unsqueeze(1) * slopes

    @staticmethod
    def backward(ctx: Any, *changes: Any) -> Any:
        raise RuntimeError("third derivatives of radial functions do not exist, expected two")
