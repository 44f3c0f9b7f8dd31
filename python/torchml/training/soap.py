"""SOAP: Adam in the directions in which the gradients of a weight vary separately."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchml.errors import TorchMLError


class SOAP(Optimizer):
    """Adam in the eigenbases of averages of the products of gradients, of rows and of columns.

    N. Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", ICLR 2025
    (arXiv:2409.11321). Here weights of more than two dimensions are matrices of the two longest,
    each with bases of its own, and the first gradient counts. Vectors keep their axes. It pays
    where weights are few and steps many, as those of `ACE` are.

    Args:
        params: weights, or groups of them.
        lr: learning rate.
        betas: decay of the averages of gradients and of their squares.
        basis_decay: decay of the averages from which the bases follow.
        interval: steps from one update of the bases to the next.
        largest: rows and columns longer than this keep their axes.
        weight_decay: fraction of a weight, times the learning rate, that a step takes away.
        eps: added to the root of the squares.

    Raises:
        TorchMLError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.99),
        basis_decay: float = 0.95,
        interval: int = 10,
        largest: int = 512,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        decays = (*betas, basis_decay)
        if lr < 0 or weight_decay < 0 or not all(0 <= decay < 1 for decay in decays):
            raise TorchMLError(
                f"SOAP: lr is {lr}, weight_decay {weight_decay}, betas {tuple(betas)} and "
                f"basis_decay {basis_decay}, expected lr and weight_decay >= 0, and decays from 0 "
                "to below 1"
            )
        if interval < 1:
            raise TorchMLError(f"SOAP: interval is {interval}, expected at least 1")
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "basis_decay": basis_decay,
            "interval": interval,
            "largest": largest,
            "weight_decay": weight_decay,
            "eps": eps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the weights by their gradients.

        Args:
            closure: computes the loss and the gradients again.

        Returns:
            The loss of the closure; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, weight.grad, group)
        return loss

    def _step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        weight, gradient = _as_matrices(weight), _as_matrices(gradient)
        products = _products(gradient, group["largest"])
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
            state["products"] = [None if one is None else one.clone() for one in products]
            state["bases"] = [None if one is None else _eigenbasis(one) for one in products]
        state["step"] += 1
        first, second = group["betas"]
        bases = state["bases"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(_turned(gradient, *bases).square(), 1 - second)
        mean = _turned(state["mean"], *bases) / (1 - first ** state["step"])
        size = (state["square"] / (1 - second ** state["step"])).sqrt() + group["eps"]
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(group["lr"] * _turned_back(mean / size, *bases))
        for average, product in zip(state["products"], products, strict=True):
            if average is not None:
                average.lerp_(product, 1 - group["basis_decay"])
        if state["step"] % group["interval"] == 0:
            pairs = zip(state["products"], bases, strict=True)
            state["bases"] = [None if one is None else _closer(one, basis) for one, basis in pairs]


def _as_matrices(values: Tensor) -> Tensor:
    """A view of a weight of more than two dimensions, the two longest of which are the last."""
    if values.ndim <= 2:
        return values
    longest = sorted(range(values.ndim), key=lambda k: -values.shape[k])[:2]
    return values.movedim(sorted(longest), (-2, -1))


def _products(gradient: Tensor, largest: int) -> list[Tensor | None]:
    """Those of all pairs of rows and of columns, where they have a basis: [.., n, n]."""
    if gradient.ndim < 2 or min(gradient.shape[-2:]) == 1:
        return [None, None]
    rows, columns = gradient.shape[-2:]
    return [
        gradient @ gradient.mT if rows <= largest else None,
        gradient.mT @ gradient if columns <= largest else None,
    ]


def _eigenbasis(product: Tensor) -> Tensor:
    basis: Tensor = torch.linalg.eigh(product.double())[1]
    return basis.to(product.dtype)


def _closer(product: Tensor, basis: Tensor) -> Tensor:
    """One step of orthogonal iteration towards the eigenbasis."""
    result: Tensor = torch.linalg.qr(product @ basis)[0]
    return result


def _turned(values: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """Components along the bases of rows and columns."""
    values = values if left is None else left.mT @ values
    return values if right is None else values @ right


def _turned_back(values: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    values = values if left is None else left @ values
    return values if right is None else values @ right.mT
