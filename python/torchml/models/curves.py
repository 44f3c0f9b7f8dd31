"""Functions of the distance whose derivatives are known in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
        return Slopes.apply(*ctx.saved_tensors, gradients[0]), None, None, None


class Slopes(torch.autograd.Function):
    """The derivative by r of sum(gradient * functions), [E]; differentiable once."""

    @staticmethod
    def forward(
        ctx: Any, r: Tensor, slopes: Tensor, curvatures: Tensor, gradient: Tensor
    ) -> Tensor:
        ctx.save_for_backward(slopes, curvatures, gradient)
        return (gradient * slopes).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *changes: Any) -> Any:
        slopes, curvatures, gradient = ctx.saved_tensors
        to_r = changes[0] * (gradient * curvatures).sum(1)
        return to_r, None, None, changes[0].unsqueeze(1) * slopes
