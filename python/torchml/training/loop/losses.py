"""Losses that torch does not have.

They follow torch's own: `loss(input, target)` and an attribute `reduction`, which is "none", "mean"
or "sum". The tasks use "none" and apply weights, masks and the mean over all ranks themselves, so
any module of `torch.nn` with that attribute can be used too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from torchml.errors import TorchMLError


class VectorNormLoss(nn.Module):
    """Length of the difference of vectors, |f - f_ref|: what OCP calls `l2mae`.

    Unlike the absolute error of the components it does not depend on the orientation of the axes.

    Shapes: input and target [..., 3]; with reduction "none" the result is [...].
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _known(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _reduce(torch.linalg.vector_norm(input - target, dim=-1), self.reduction)


class MaskedLoss(nn.Module):
    """Any elementwise loss over the labels that exist: NaN is ignored.

    With reduction "none" a missing label yields 0; "mean" divides by the number of labels that
    exist, and is 0 where none does.

    Args:
        loss: a loss with the attribute `reduction`, which is set to "none" here.
        reduction: "none", "mean" or "sum".
    """

    def __init__(self, loss: nn.Module | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.loss = _elementwise(loss or nn.MSELoss())
        self.reduction = _known(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        missing = torch.isnan(target)
        # The labels are filled in before the loss sees them: 0 * NaN would poison the gradient.
        values = self.loss(input, torch.where(missing, input.detach(), target))
        values = torch.where(missing, torch.zeros_like(values), values)
        if self.reduction == "mean":
            return values.sum() / (~missing).sum().clamp(min=1)
        return _reduce(values, self.reduction)


class SerialBCEWithLogitsLoss(nn.Module):
    """Binary cross entropy of several yes-or-no labels, one per column; NaN where unknown.

    Every column is averaged over its own known labels, and the columns are then averaged, so that
    rarely known labels count as much as the others.

    Shapes: input and target [..., K]; with reduction "none" the result has the same shape.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _known(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        known = ~torch.isnan(target)
        values = binary_cross_entropy_with_logits(
            input, target.nan_to_num(0.0), reduction="none"
        ) * known.to(input.dtype)
        if self.reduction == "mean":
            columns = values.flatten(0, -2), known.flatten(0, -2)
            counts = columns[1].sum(0)
            return (columns[0].sum(0) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)
        return _reduce(values, self.reduction)


class MultiTaskLoss(nn.Module):
    """A loss and a weight for each column of a target.

    Args:
        losses: one loss per column, each with the attribute `reduction`, set to "none" here.
        weights: one factor per column; all 1 if omitted.
        reduction: "none", "mean" (over rows and columns) or "sum".

    Shapes: input and target [..., K]; with reduction "none" the result has the same shape.
    """

    def __init__(
        self,
        losses: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.losses = nn.ModuleList(_elementwise(loss) for loss in losses)
        self.weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if len(self.weights) != len(self.losses):
            raise TorchMLError(
                f"MultiTaskLoss has {len(self.losses)} losses and {len(self.weights)} weights, "
                "expected one weight per loss"
            )
        self.reduction = _known(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if input.size(-1) != len(self.losses):
            raise TorchMLError(
                f"MultiTaskLoss has {len(self.losses)} losses, but the prediction has "
                f"{input.size(-1)} columns"
            )
        columns = [
            weight * loss(input[..., k], target[..., k])
            for k, (loss, weight) in enumerate(zip(self.losses, self.weights, strict=True))
        ]
        return _reduce(torch.stack(columns, dim=-1), self.reduction)


def _elementwise(loss: nn.Module) -> nn.Module:
    if not hasattr(loss, "reduction"):
        raise TorchMLError(
            f"the loss {type(loss).__name__} has no attribute 'reduction', expected one such as "
            "torch.nn.MSELoss"
        )
    setattr(loss, "reduction", "none")  # noqa: B010  (torch declares it nowhere)
    return loss


def _known(reduction: str) -> str:
    if reduction not in ("none", "mean", "sum"):
        raise TorchMLError(f"reduction is '{reduction}', expected 'none', 'mean' or 'sum'")
    return reduction


def _reduce(values: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values
